//! Whether a process lives, and whether it can do its work.

use std::time::Duration;

use crate::limits::{LIVE_MS_MAX, READY_MS_MAX};
use crate::log::LogSource;
use crate::subject::Subject;

/// Why the process should be started anew; empty while it lives.
pub(crate) async fn ailments(subject: &dyn Subject, log: Option<&LogSource>) -> Vec<String> {
    let mut reasons = subject.ailments();
    reasons.extend(silence(log, LIVE_MS_MAX).await);
    reasons
}

/// Why it cannot do its work at present; empty when it can.
pub(crate) async fn obstacles(subject: &dyn Subject, log: Option<&LogSource>) -> Vec<String> {
    let mut reasons = subject.obstacles();
    reasons.extend(silence(log, READY_MS_MAX).await);
    reasons
}

async fn silence(log: Option<&LogSource>, patience_ms: u64) -> Option<String> {
    log?.answers(Duration::from_millis(patience_ms)).await.err()
}

/// What is answered: the status, and the reasons as lines.
pub(crate) fn verdict(reasons: &[String]) -> (u16, String) {
    if reasons.is_empty() {
        return (200, "ok\n".to_owned());
    }
    (503, reasons.iter().map(|reason| format!("{reason}\n")).collect())
}
