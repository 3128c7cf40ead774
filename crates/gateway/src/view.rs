//! What a gateway shows of itself.

/// What has gone through a gateway since its start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct GatewayView {
    /// Samples that were taken.
    pub samples: u64,
    /// Records that the log has acknowledged.
    pub records: u64,
    /// Samples that were left out because the log was busy with an earlier one.
    pub missed: u64,
    /// When the last batch was acknowledged, in milliseconds since 1970-01-01 UTC; 0 before.
    pub acknowledged_at_ms: i64,
}
