//! Pauses between tries: exponential, with jitter, bounded by a total time and a count.

use std::time::Duration;

use base::rng::Random;
use runtime::timer::{self, Instant};

use crate::error::ClientError;
use crate::limits::ATTEMPTS_MAX;
use crate::options::ClientOptions;

/// Brokers go on ending a transaction after they have answered. Ours needs a flush for it, which
/// is over after the few round trips that the first tries take without any pause; timers are no
/// finer than a millisecond.
const BRISK_TRIES: u32 = 4;

/// Then Apache Kafka needs about this long.
const BRISK_PAUSE: Duration = Duration::from_millis(1);

/// The tries of one operation.
#[derive(Debug)]
pub(crate) struct Retry<'a> {
    rng: &'a dyn Random,
    pause: Duration,
    pause_max: Duration,
    deadline: Instant,
    attempts: u32,
    unpaused: u32,
}

impl<'a> Retry<'a> {
    pub(crate) fn new(options: &ClientOptions, rng: &'a dyn Random) -> Self {
        Self {
            rng,
            pause: options.retry_backoff,
            pause_max: options.retry_backoff_max,
            deadline: timer::now() + options.retry_total,
            attempts: 0,
            unpaused: 0,
        }
    }

    /// Starts without pauses and goes on with short ones, for what is usually over by then.
    pub(crate) fn brisk(mut self) -> Self {
        self.unpaused = BRISK_TRIES;
        self.pause = BRISK_PAUSE.min(self.pause);
        self
    }

    /// Waits before the next try, or gives the error back when no try is left or none would help.
    pub(crate) async fn pause(&mut self, error: ClientError) -> Result<(), ClientError> {
        if !error.is_retriable() {
            return Err(error);
        }
        self.pause_for(error).await
    }

    /// As [`Retry::pause`], for errors of which the caller knows that another try helps.
    pub(crate) async fn pause_for(&mut self, error: ClientError) -> Result<(), ClientError> {
        self.attempts += 1;
        if self.unpaused > 0 && !error.is_disconnect() {
            self.unpaused -= 1;
            return Ok(());
        }
        let pause = jittered(self.pause, self.rng);
        if self.attempts >= ATTEMPTS_MAX || timer::now() + pause >= self.deadline {
            return Err(error);
        }
        timer::sleep(pause).await;
        self.pause = (self.pause * 2).min(self.pause_max);
        Ok(())
    }
}

/// The pause, up to a fifth shorter or longer, so that many clients do not come back at once.
pub(crate) fn jittered(pause: Duration, rng: &dyn Random) -> Duration {
    let micros = u64::try_from(pause.as_micros()).unwrap_or(u64::MAX / 4);
    let spread = rng.below(micros * 2 / 5 + 1);
    Duration::from_micros(micros - micros / 5 + spread)
}

/// The `attempt`-th pause, counted from 0, without jitter.
pub(crate) fn backoff_ms(options: &ClientOptions, attempt: u32) -> u64 {
    let pause = options.retry_backoff.saturating_mul(1 << attempt.min(16));
    u64::try_from(pause.min(options.retry_backoff_max).as_millis()).unwrap_or(1000)
}

#[cfg(test)]
mod tests {
    use base::rng::SeededRandom;

    use super::*;

    #[test]
    fn jitter_stays_within_a_fifth() {
        let rng = SeededRandom::new(3);
        for _ in 0..1000 {
            let pause = jittered(Duration::from_millis(100), &rng).as_micros();
            assert!((80_000..=120_000).contains(&pause), "{pause}");
        }
    }

    #[test]
    fn pauses_double_up_to_the_limit() {
        let options = ClientOptions::tcp("h", 1);
        let pauses: Vec<u64> = (0..8).map(|attempt| backoff_ms(&options, attempt)).collect();
        assert_eq!(pauses, [20, 40, 80, 160, 320, 640, 1000, 1000]);
    }
}
