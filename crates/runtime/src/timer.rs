//! Waiting for time to pass.

use std::fmt;
use std::future::Future;
use std::time::Duration;

pub use tokio::time::Instant;

/// The time was over before the future ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimedOut;

impl fmt::Display for TimedOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("timed out")
    }
}

impl std::error::Error for TimedOut {}

/// The steady time as timers see it.
#[must_use]
pub fn now() -> Instant {
    Instant::now()
}

/// Waits this long.
pub async fn sleep(duration: Duration) {
    tokio::time::sleep(duration).await;
}

/// Waits until this time.
pub async fn sleep_until(deadline: Instant) {
    tokio::time::sleep_until(deadline).await;
}

/// Runs a future for at most this long.
///
/// # Errors
/// [`TimedOut`]; the future is dropped then.
pub async fn timeout<F: Future>(duration: Duration, future: F) -> Result<F::Output, TimedOut> {
    tokio::time::timeout(duration, future).await.map_err(|_| TimedOut)
}

/// Runs a future until this time.
///
/// # Errors
/// [`TimedOut`]; the future is dropped then.
pub async fn timeout_at<F: Future>(deadline: Instant, future: F) -> Result<F::Output, TimedOut> {
    tokio::time::timeout_at(deadline, future).await.map_err(|_| TimedOut)
}
