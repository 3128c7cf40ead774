//! What a pipeline file says about the host gateway.

use crate::error::GatewayError;
use crate::limits::{SAMPLE_EVERY_MS_MAX, SAMPLE_EVERY_MS_MIN};

/// How often to measure, and in whose name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostOptions {
    /// Milliseconds between two samples.
    pub every_ms: u64,
    /// The machine's name in the documents; the system's own where absent.
    pub host: Option<String>,
}

impl HostOptions {
    pub(crate) fn check(&self) -> Result<(), GatewayError> {
        let every_ms = self.every_ms;
        if (SAMPLE_EVERY_MS_MIN..=SAMPLE_EVERY_MS_MAX).contains(&every_ms) {
            return Ok(());
        }
        Err(GatewayError::Interval { every_ms })
    }
}
