//! Calling the task managers together, before the first work is handed out.

pub mod machine;

use std::time::Duration;

use base::clock::Clock;
use client::Client;
use client::options::ProducerOptions;
use client::producer::{Producer, Record};
use runtime::timer;
use tracing::info;

use crate::error::CoordinationError;
use crate::limits::{READ_WAIT_MS_MAX, SOS_EVERY_MS};
use crate::reader::{From, Reader, Word};
use crate::sos::CALL;
use crate::topics::{BEATS, SOS, SOS_ANSWERS};

pub use machine::Muster;

/// Says "sos" once, as the job manager with this id.
///
/// # Errors
/// The log's.
pub async fn call(client: &Client, me: &str, clock: &dyn Clock) -> Result<(), CoordinationError> {
    let producer = client.producer(ProducerOptions::default());
    say(&producer, me, clock).await?;
    producer.close().await?;
    Ok(())
}

/// Says "sos" until so many task managers have answered.
///
/// # Errors
/// [`CoordinationError::Missing`] when they have not within `patience`; the log's.
pub async fn muster(
    client: &Client,
    (me, wanted): (&str, u32),
    patience: Duration,
    clock: &dyn Clock,
) -> Result<Muster, CoordinationError> {
    let topics = [(SOS_ANSWERS, From::End), (BEATS, From::End)];
    let mut reader = Reader::open(client, &topics).await?;
    let producer = client.producer(ProducerOptions::default());
    let mut muster = Muster::new(wanted);
    let deadline = timer::now() + patience;
    let mut next = timer::now();
    while muster.missing() > 0 {
        let now = timer::now();
        if now >= deadline {
            let present = muster.present().map(|(id, _)| id.to_owned()).collect();
            return Err(CoordinationError::Missing { wanted, present });
        }
        // Those who start later have not heard the first call.
        if now >= next {
            say(&producer, me, clock).await?;
            next = now + Duration::from_millis(SOS_EVERY_MS);
        }
        let before = muster.missing();
        for word in reader.poll(Duration::from_millis(READ_WAIT_MS_MAX)).await? {
            match word {
                Word::Beat(beat) => muster.hear(&beat),
                Word::Free(answer) => muster.answer(answer),
                _ => {}
            }
        }
        if muster.missing() != before {
            info!(wanted, missing = muster.missing(), "task managers have answered");
        }
    }
    producer.close().await?;
    Ok(muster)
}

async fn say(producer: &Producer, me: &str, clock: &dyn Clock) -> Result<(), CoordinationError> {
    let record = Record {
        topic: SOS,
        partition: Some(0),
        key: Some(me.as_bytes()),
        value: Some(CALL.as_bytes()),
        timestamp: Some(clock.unix_ms()),
        headers: &[],
    };
    producer.send(record).await?.wait().await?;
    Ok(())
}
