//! What crosses the door: budgets shared by all connections, counters, and a brake on complaints.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use base::clock::Clock;
use runtime::channel::{OwnedSemaphorePermit, Semaphore};

use crate::limits::{
    BUDGET_UNIT_BYTES, COMPLAINTS_PER_SECOND_MAX, CONNECTIONS_MAX, REQUEST_BYTES_IN_FLIGHT_MAX,
    SMALL_REQUEST_BYTES_MAX,
};

/// Shared by all connections of a broker.
#[derive(Debug)]
pub(crate) struct Traffic {
    connections: Arc<Semaphore>,
    bytes: Arc<Semaphore>,
    requests: AtomicU64,
    complaints: AtomicU32,
    complaint_second: AtomicU64,
}

/// Bytes in flight that one request has taken; dropping it gives them back.
pub(crate) type Budget = Option<OwnedSemaphorePermit>;

impl Traffic {
    pub(crate) fn new() -> Self {
        Self {
            connections: Arc::new(Semaphore::new(CONNECTIONS_MAX)),
            bytes: Arc::new(Semaphore::new(REQUEST_BYTES_IN_FLIGHT_MAX / BUDGET_UNIT_BYTES)),
            requests: AtomicU64::new(0),
            complaints: AtomicU32::new(0),
            complaint_second: AtomicU64::new(0),
        }
    }

    /// A place for one more connection, where there is one.
    pub(crate) fn admit(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.connections).try_acquire_owned().ok()
    }

    /// Connections that are open.
    pub(crate) fn open(&self) -> usize {
        CONNECTIONS_MAX - self.connections.available_permits()
    }

    /// Waits until every connection has ended.
    pub(crate) async fn drained(&self) {
        let all = u32::try_from(CONNECTIONS_MAX).expect("the limit is a small constant");
        drop(self.connections.acquire_many(all).await);
    }

    /// Waits for room for a request of this size.
    pub(crate) async fn room_for(&self, bytes: usize) -> Budget {
        if bytes <= SMALL_REQUEST_BYTES_MAX {
            return None;
        }
        let units = u32::try_from(bytes.div_ceil(BUDGET_UNIT_BYTES))
            .expect("a request is smaller than the limit on all of them");
        Arc::clone(&self.bytes).acquire_many_owned(units).await.ok()
    }

    pub(crate) fn count_requests(&self, count: u64) {
        self.requests.fetch_add(count, Ordering::Relaxed);
    }

    pub(crate) fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    /// Whether one more line about a broken connection may be logged in this second.
    pub(crate) fn may_complain(&self, clock: &dyn Clock) -> bool {
        let second = clock.steady_ms() / 1000;
        if self.complaint_second.swap(second, Ordering::Relaxed) != second {
            self.complaints.store(0, Ordering::Relaxed);
        }
        self.complaints.fetch_add(1, Ordering::Relaxed) < COMPLAINTS_PER_SECOND_MAX
    }
}

#[cfg(test)]
mod tests {
    use base::clock::ManualClock;

    use super::*;

    #[test]
    fn complaints_are_braked_within_a_second_and_free_in_the_next() {
        let (traffic, clock) = (Traffic::new(), ManualClock::at(0));
        let allowed = (0..100).filter(|_| traffic.may_complain(&clock)).count();
        assert_eq!(allowed, usize::try_from(COMPLAINTS_PER_SECOND_MAX).unwrap());
        clock.advance_ms(1000);
        assert!(traffic.may_complain(&clock));
    }

    #[test]
    fn the_connection_beyond_the_limit_is_refused_until_one_ends() {
        let traffic = Traffic::new();
        let mut held: Vec<_> = (0..CONNECTIONS_MAX).map(|_| traffic.admit()).collect();
        assert!(held.iter().all(Option::is_some));
        assert!(traffic.admit().is_none());
        held.pop();
        assert!(traffic.admit().is_some());
    }
}
