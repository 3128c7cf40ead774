//! What all handlers share: the parts of one running broker.

use std::sync::Arc;

use base::clock::Clock;
use base::rng::Random;

use crate::group::service::Groups;
use crate::metadata::Metadata;
use crate::options::BrokerOptions;
use crate::partition::Partitions;
use crate::traffic::Traffic;
use crate::transaction::service::Transactions;
use crate::view::BrokerView;

/// The parts of a running broker; handlers borrow it, connections share it.
#[derive(Debug)]
pub(crate) struct Broker {
    pub(crate) options: BrokerOptions,
    pub(crate) cluster_id: String,
    pub(crate) advertised: (String, u16),
    pub(crate) metadata: Metadata,
    pub(crate) partitions: Arc<Partitions>,
    pub(crate) groups: Groups,
    pub(crate) transactions: Transactions,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) rng: Arc<dyn Random>,
    pub(crate) traffic: Traffic,
}

impl Broker {
    /// Whether one more line about a misbehaving peer may be logged now.
    pub(crate) fn may_complain(&self) -> bool {
        self.traffic.may_complain(self.clock.as_ref())
    }

    pub(crate) fn view(&self) -> BrokerView {
        BrokerView {
            cluster_id: self.cluster_id.clone(),
            connections: self.traffic.open(),
            requests: self.traffic.requests(),
        }
    }
}
