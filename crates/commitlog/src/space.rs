//! Room on the disk: clients are turned away before nothing works any more.

use crate::limits::{RESERVE_FREE_BYTES_MIN, SPACE_CHECK_BYTES, SPACE_CHECK_MS};
use crate::log::Env;

/// What is known of the free space.
#[derive(Debug)]
pub(crate) struct Space {
    free_bytes_min: u64,
    is_short: bool,
    is_ample: bool,
    looked_ms: Option<u64>,
    since_look_bytes: u64,
}

impl Space {
    pub(crate) fn new(free_bytes_min: u64) -> Self {
        Self {
            free_bytes_min,
            is_short: false,
            is_ample: false,
            looked_ms: None,
            since_look_bytes: 0,
        }
    }

    /// Whether an append of this size must be turned away.
    pub(crate) fn refuses(&mut self, env: &Env, bytes: u64) -> bool {
        if self.free_bytes_min == 0 {
            return false;
        }
        self.since_look_bytes = self.since_look_bytes.saturating_add(bytes);
        let now_ms = env.clock.steady_ms();
        let stale =
            self.looked_ms.is_none_or(|looked| now_ms.saturating_sub(looked) >= SPACE_CHECK_MS);
        if stale || self.since_look_bytes >= SPACE_CHECK_BYTES {
            self.look(env);
        }
        self.is_short
    }

    pub(crate) fn look(&mut self, env: &Env) {
        self.looked_ms = Some(env.clock.steady_ms());
        self.since_look_bytes = 0;
        // A disk that does not tell is taken at its word when it refuses a write.
        if let Ok(free) = env.disk.free_bytes(&env.root) {
            self.is_short = free < self.free_bytes_min;
            self.is_ample = free >= self.free_bytes_min.saturating_add(RESERVE_FREE_BYTES_MIN);
        }
    }

    /// Whether there is so much that some of it may be set aside.
    pub(crate) fn is_ample(&self) -> bool {
        self.is_ample
    }
}
