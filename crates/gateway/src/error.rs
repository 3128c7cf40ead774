//! Why a gateway ended.

use std::error::Error;
use std::fmt;

/// What a gateway cannot go on after.
#[derive(Debug)]
pub enum GatewayError {
    /// The operating system offers no sensors that are known here.
    Unsupported {
        /// What was asked for.
        what: &'static str,
        /// What the system said.
        source: Box<dyn Error + Send + Sync>,
    },
    /// An option is out of its bounds.
    Interval {
        /// The value.
        every_ms: u64,
    },
    /// The outlet gave up on a batch.
    Outlet {
        /// Why.
        source: Box<dyn Error + Send + Sync>,
    },
}

impl fmt::Display for GatewayError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unsupported { what, source } => write!(f, "{what}: {source}"),
            Self::Interval { every_ms } => {
                write!(f, "`every` is {every_ms} ms; it must be 10 ms to 24 h")
            }
            Self::Outlet { source } => write!(f, "readings cannot be produced: {source}"),
        }
    }
}

impl Error for GatewayError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Unsupported { source, .. } | Self::Outlet { source } => Some(&**source),
            Self::Interval { .. } => None,
        }
    }
}
