//! One connection that notices when the power has gone.

use std::time::Duration;

use base::disk::MemoryDisk;
use broker::Running;
use protocol::api::Request;
use runtime::timer;
use testkit::wire::Wire;

/// Longest that a test waits for what must come: far more than a loaded machine needs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// How often the power is looked at.
const LOOK: Duration = Duration::from_millis(1);

/// Looks at the dead power during which answers that are under way may still arrive.
const LATE_LOOKS: usize = 20;

/// A connection.
pub(crate) struct Session {
    wire: Wire,
    /// The disk, and the operation at which its power goes.
    power: Option<(MemoryDisk, usize)>,
}

impl Session {
    /// With a broker that keeps its power.
    pub(crate) async fn new(running: &Running) -> Self {
        let connection = running.connector().connect().await;
        let wire = Wire::new(connection.expect("the broker accepts connections"));
        Self { wire, power: None }
    }

    /// With a broker whose disk loses its power at this operation.
    pub(crate) async fn until_cut(running: &Running, disk: &MemoryDisk, at: usize) -> Self {
        Self { power: Some((disk.clone(), at)), ..Self::new(running).await }
    }

    /// Asks; `None` when the power has gone and no answer came.
    pub(crate) async fn ask<R: Request>(
        &mut self,
        version: i16,
        request: &R,
    ) -> Option<R::Response> {
        self.wire.send(version, request).await;
        let answer = self.wire.try_receive::<R>(version);
        let Some((disk, at)) = &self.power else {
            let answer = timer::timeout(PATIENCE, answer).await;
            return Some(answer.expect("the broker answers in time")?.1);
        };
        // A coordinator goes on trying to write its markers, so some answers never come.
        runtime::select! {
            answer = answer => Some(answer?.1),
            () = power_loss(disk, *at) => None,
        }
    }

    /// Asks a broker that has to answer.
    pub(crate) async fn call<R: Request>(&mut self, version: i16, request: &R) -> R::Response {
        self.ask(version, request).await.expect("the broker answers")
    }
}

async fn power_loss(disk: &MemoryDisk, at: usize) {
    let mut late = 0;
    while late < LATE_LOOKS {
        timer::sleep(LOOK).await;
        late += usize::from(disk.operation_count() > at);
    }
}
