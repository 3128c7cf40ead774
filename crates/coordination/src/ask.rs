//! Asking the leader, from a command.

use std::time::Duration;

use base::clock::Clock;
use client::Client;
use client::options::ProducerOptions;
use client::producer::Record;
use runtime::timer;

use crate::catalogue::FORMAT;
use crate::error::CoordinationError;
use crate::limits::{ANSWER_MS_MAX, READ_WAIT_MS_MAX, RECORD_BYTES_MAX};
use crate::reader::{From, Reader, Word};
use crate::request::{Ask, Reply, Request};
use crate::topics::{self, ANSWERS, REQUESTS};

/// Asks, and waits for the answer of whoever leads.
///
/// # Errors
/// [`CoordinationError::NoLeader`] when no answer comes in [`ANSWER_MS_MAX`]; the request may
/// still be carried out by a leader that comes later. [`CoordinationError::TooLarge`]; the log's.
pub async fn ask(
    client: &Client,
    ask: Ask,
    id: u64,
    clock: &dyn Clock,
) -> Result<Reply, CoordinationError> {
    let request = Request { format: FORMAT, id, ask };
    let value = serde_json::to_vec(&request).expect("a request is plain data");
    if value.len() > RECORD_BYTES_MAX {
        return Err(CoordinationError::TooLarge { bytes: value.len() });
    }
    topics::prepare(client).await?;
    let mut reader = Reader::open(client, &[(ANSWERS, From::End)]).await?;
    let producer = client.producer(ProducerOptions::default());
    let key = id.to_string();
    let record = Record {
        topic: REQUESTS,
        partition: Some(0),
        key: Some(key.as_bytes()),
        value: Some(&value),
        timestamp: Some(clock.unix_ms()),
        headers: &[],
    };
    producer.append(record).await?;
    producer.close().await?;
    let deadline = timer::now() + Duration::from_millis(ANSWER_MS_MAX);
    while timer::now() < deadline {
        for word in reader.poll(Duration::from_millis(READ_WAIT_MS_MAX)).await? {
            if let Word::Answer(answer) = word
                && answer.id == id
            {
                return Ok(answer.reply);
            }
        }
    }
    Err(CoordinationError::NoLeader)
}
