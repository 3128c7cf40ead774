//! What the command line and the dashboard may know of a running broker: plain numbers.

/// A broker at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BrokerView {
    /// The cluster's id.
    pub cluster_id: String,
    /// Open connections.
    pub connections: usize,
    /// Requests answered since the start.
    pub requests: u64,
}
