//! Measuring on time: the shell around the source.

use std::sync::Arc;
use std::time::Duration;

use base::cast;
use base::clock::Clock;
use runtime::channel::{WatchReceiver, WatchSender, watch};
use runtime::shutdown::Shutdown;
use runtime::{task, timer};
use tracing::debug;

use crate::error::GatewayError;
use crate::host::options::HostOptions;
use crate::host::source::HostSource;
use crate::outlet::Outlet;
use crate::view::GatewayView;

/// Samples the machine and sends the readings until it is told to end.
#[derive(Debug)]
pub struct HostService<O> {
    every: Duration,
    source: HostSource,
    outlet: O,
    clock: Arc<dyn Clock>,
    view: WatchSender<GatewayView>,
}

impl<O: Outlet> HostService<O> {
    /// Prepares the service; nothing is measured yet.
    ///
    /// # Errors
    /// [`GatewayError::Interval`] or [`GatewayError::Unsupported`].
    pub fn new(
        options: &HostOptions,
        outlet: O,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, GatewayError> {
        options.check()?;
        let source = HostSource::new(options, clock.clone())?;
        let (view, _) = watch(GatewayView::default());
        let every = Duration::from_millis(options.every_ms);
        Ok(Self { every, source, outlet, clock, view })
    }

    /// What has gone through, now and later.
    #[must_use]
    pub fn view(&self) -> WatchReceiver<GatewayView> {
        self.view.subscribe()
    }

    /// Runs until the shutdown; a batch on its way is acknowledged first.
    ///
    /// # Errors
    /// [`GatewayError::Outlet`] when the outlet gives up.
    pub async fn run(self, mut shutdown: Shutdown) -> Result<(), GatewayError> {
        let Self { every, mut source, mut outlet, clock, view } = self;
        let mut next = timer::now();
        while !shutdown.is_requested() {
            // A file system on the network may block: that must not hold up other tasks.
            let (same_source, records) = task::blocking(move || {
                let records = source.records();
                (source, records)
            })
            .await;
            source = same_source;
            let count = cast::u64_of(records.len());
            let sent = outlet.send(records).await;
            sent.map_err(|error| GatewayError::Outlet { source: Box::new(error) })?;
            let missed = missed_between(&mut next, timer::now(), every);
            if missed > 0 {
                debug!(missed, "samples left out, the log was busy");
            }
            view.send_modify(|view| {
                view.samples += 1;
                view.records += count;
                view.missed += missed;
                view.acknowledged_at_ms = clock.unix_ms();
            });
            runtime::select! {
                () = shutdown.requested() => {}
                () = timer::sleep_until(next) => {}
            }
        }
        Ok(())
    }
}

/// Moves `next` on to the first due time after `now`, on the grid that the start set, and counts
/// the due times that are over.
fn missed_between(next: &mut timer::Instant, now: timer::Instant, every: Duration) -> u64 {
    *next += every;
    let late = now.saturating_duration_since(*next);
    if late.is_zero() {
        return 0;
    }
    let missed = late.as_millis() / every.as_millis().max(1) + 1;
    let steps = u32::try_from(missed).unwrap_or(u32::MAX);
    *next += every.saturating_mul(steps);
    u64::from(steps)
}

#[cfg(test)]
mod tests {
    use std::fmt;

    use base::clock::SystemClock;
    use runtime::boot::Executor;
    use runtime::channel::{Sender, mailbox};
    use runtime::shutdown;

    use super::*;
    use crate::outlet::OutletRecord;

    #[derive(Debug)]
    struct Refused;

    impl fmt::Display for Refused {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("refused")
        }
    }

    impl std::error::Error for Refused {}

    #[derive(Debug)]
    struct Mailbox {
        sender: Sender<Vec<OutletRecord>>,
    }

    impl Outlet for Mailbox {
        type Error = Refused;

        async fn send(&mut self, records: Vec<OutletRecord>) -> Result<(), Refused> {
            self.sender.send(records).await.map_err(|_| Refused)
        }
    }

    fn service(sender: Sender<Vec<OutletRecord>>) -> HostService<Mailbox> {
        let options = HostOptions { every_ms: 10, host: None };
        HostService::new(&options, Mailbox { sender }, Arc::new(SystemClock::new())).unwrap()
    }

    #[test]
    fn it_sends_until_it_is_told_to_end() {
        Executor::local().unwrap().block_on(async {
            let (sender, mut receiver) = mailbox(1);
            let (trigger, shutdown) = shutdown::pair();
            let service = service(sender);
            let view = service.view();
            let running = task::spawn("host", service.run(shutdown));
            for _ in 0..3 {
                let batch = receiver.recv().await.expect("the service runs");
                assert!(batch.iter().any(|record| &record.key[..] == b"memory.used"));
            }
            trigger.fire();
            while receiver.recv().await.is_some() {}
            running.join().await.expect("nobody aborts it").unwrap();
            let view = *view.borrow();
            assert!(view.samples >= 3 && view.records > view.samples, "{view:?}");
        });
    }

    #[test]
    fn an_outlet_that_gives_up_ends_it() {
        Executor::local().unwrap().block_on(async {
            let (sender, receiver) = mailbox(1);
            drop(receiver);
            let (_trigger, shutdown) = shutdown::pair();
            let error = service(sender).run(shutdown).await.unwrap_err();
            assert_eq!(error.to_string(), "readings cannot be produced: refused");
        });
    }

    #[test]
    fn intervals_have_bounds() {
        let every = |every_ms| HostOptions { every_ms, host: None }.check();
        assert!(every(10).is_ok() && every(86_400_000).is_ok());
        assert!(every(9).is_err() && every(86_400_001).is_err());
    }

    #[test]
    fn a_late_service_keeps_the_grid_and_counts_what_it_missed() {
        let start = timer::now();
        let every = Duration::from_millis(100);
        let after = |ms| start + Duration::from_millis(ms);
        let mut next = start;
        assert_eq!(missed_between(&mut next, after(30), every), 0);
        assert_eq!(next, after(100));
        assert_eq!(missed_between(&mut next, after(450), every), 3);
        assert_eq!(next, after(500));
    }
}
