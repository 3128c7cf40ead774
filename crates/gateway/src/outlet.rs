//! Where a gateway's records go: the binary plugs a producer in here.

use std::error::Error;
use std::future::Future;

use bytes::Bytes;

/// A record on its way into the log; the outlet knows the topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutletRecord {
    /// The key, by which the topic is partitioned.
    pub key: Bytes,
    /// The value.
    pub value: Bytes,
    /// When it was measured, in milliseconds since 1970-01-01 UTC.
    pub timestamp_ms: i64,
}

/// A way into the log.
pub trait Outlet: Send {
    /// Why a batch was given up.
    type Error: Error + Send + Sync + 'static;

    /// Hands a batch over and waits until the log has acknowledged all of it, in order.
    ///
    /// # Errors
    /// When the batch was given up; the gateway ends then.
    fn send(
        &mut self,
        records: Vec<OutletRecord>,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send;
}
