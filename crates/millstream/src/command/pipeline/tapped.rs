//! Records between tasks that run in one call, as the processes that run them tell.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use client::Client;
use coordination::CoordinationError;
use coordination::{reader, topics};
use runtime::channel::Sender;
use runtime::stream::plain::PlainStream;
use runtime::task::{self, Task};
use serde_json::Value;
use topology::plan::Arc;

use crate::config::host_port;

/// Where a process in the foreground answers when nothing else is said.
const DEFAULT: &str = "127.0.0.1:6455";

/// Age of a beat after which its node no longer counts, in milliseconds.
const BEAT_AGE_MS_MAX: i64 = 4_000;

/// How long a process may be silent: it answers within a second.
const SILENCE: Duration = Duration::from_secs(10);

/// Bytes of an answer: what a tap keeps, in hexadecimal digits and with names around it.
const ANSWER_BYTES_MAX: usize = 8 << 20;

/// What a process tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Told {
    /// A record that passed.
    Record(Passed),
    /// So many passed without having been copied.
    Missed(u64),
    /// It cannot be asked any more; why.
    Gone(String),
}

/// A record that passed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Passed {
    pub(super) edge: String,
    pub(super) partition: i64,
    pub(super) timestamp_ms: i64,
    pub(super) key: Option<Bytes>,
    pub(super) value: Option<Bytes>,
}

/// The addresses of the processes that run a pipeline, as the beats of a cluster tell; where one
/// in the foreground would be when they do not.
///
/// # Errors
/// The log's.
pub(super) async fn addresses(
    client: &Client,
    pipeline: &str,
    now_ms: i64,
) -> Result<Vec<String>, CoordinationError> {
    let listed = client.admin().topics().await?;
    if !listed.iter().any(|topic| &*topic.name == topics::BEATS) {
        return Ok(vec![DEFAULT.to_owned()]);
    }
    let beats = reader::beats(client, now_ms - BEAT_AGE_MS_MAX).await?;
    let runs = beats.into_values().filter(|beat| beat.runs.iter().any(|run| run.job == pipeline));
    let found: Vec<String> = runs.filter_map(|beat| beat.http).collect();
    Ok(if found.is_empty() { vec![DEFAULT.to_owned()] } else { found })
}

/// Asks a process for the records of an edge until nobody listens any more.
pub(super) fn follow(
    (pipeline, arc, rate): (&str, &Arc, u32),
    address: &str,
    sender: Sender<Told>,
) -> Task<()> {
    let (edge, address) = (arc.to_string(), address.to_owned());
    let (from, to) = (&arc.from, &arc.to);
    let query = format!("/tap?pipeline={pipeline}&from={from}&to={to}&rate={rate}");
    task::spawn("tap", async move {
        let mut after = 0;
        loop {
            let asked = ask(&address, &format!("{query}&after={after}")).await;
            let told = match asked {
                Ok((200, text)) => read(&edge, &text, &mut after),
                Ok((_, text)) => vec![Told::Gone(format!("{address}: {}", text.trim()))],
                Err(error) => vec![Told::Gone(format!("{address}: {error}"))],
            };
            for one in told {
                let is_last = matches!(one, Told::Gone(_));
                if sender.send(one).await.is_err() || is_last {
                    return;
                }
            }
        }
    })
}

/// Status and body of a page.
async fn ask(address: &str, path: &str) -> io::Result<(u16, String)> {
    let bad = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
    let (host, port) = host_port(address).ok_or_else(|| bad("the address has no port"))?;
    let mut stream = PlainStream::connect(&host, port, SILENCE).await?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.send(request.as_bytes()).await?;
    let mut answer = Vec::new();
    while stream.receive(&mut answer).await? > 0 {
        if answer.len() > ANSWER_BYTES_MAX {
            return Err(bad("the answer is too long"));
        }
    }
    let text = String::from_utf8(answer).map_err(|_| bad("the answer is no text"))?;
    let status = text.split(' ').nth(1).and_then(|status| status.parse().ok());
    let (_, body) = text.split_once("\r\n\r\n").ok_or_else(|| bad("this is no HTTP"))?;
    Ok((status.ok_or_else(|| bad("this is no HTTP"))?, body.to_owned()))
}

/// What an answer holds; `after` moves on to what was told last.
fn read(edge: &str, text: &str, after: &mut u64) -> Vec<Told> {
    let mut lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let Some(passed) = lines.next().and_then(|head| head["passed"].as_u64()) else {
        return vec![Told::Gone(format!("{edge}: the answer is not understood"))];
    };
    // The process counts anew: it has begun again, or nobody had asked for too long.
    if passed < *after {
        *after = 0;
    }
    let mut reached = passed;
    let mut told = Vec::new();
    for line in lines {
        reached = reached.max(line["sequence"].as_u64().unwrap_or(0));
        told.push(Told::Record(Passed {
            edge: edge.to_owned(),
            partition: line["partition"].as_i64().unwrap_or(-1),
            timestamp_ms: line["timestamp"].as_i64().unwrap_or(-1),
            key: line["key_hex"].as_str().and_then(bytes_of),
            value: line["value_hex"].as_str().and_then(bytes_of),
        }));
    }
    let shown = base::cast::u64_of(told.len());
    let missed = (reached - *after).saturating_sub(shown);
    *after = reached;
    if missed > 0 {
        told.push(Told::Missed(missed));
    }
    told
}

/// Bytes from hexadecimal digits.
pub(crate) fn bytes_of(hex: &str) -> Option<Bytes> {
    let digits: Option<Vec<u32>> = hex.chars().map(|digit| digit.to_digit(16)).collect();
    let digits = digits.filter(|digits| digits.len() % 2 == 0)?;
    let byte = |pair: &[u32]| u8::try_from(pair[0] * 16 + pair[1]).unwrap_or_default();
    Some(digits.chunks_exact(2).map(byte).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(key: &str) -> Told {
        let key = Some(Bytes::copy_from_slice(key.as_bytes()));
        let (edge, value) = ("a->b".to_owned(), Some(Bytes::from_static(b"\xff")));
        Told::Record(Passed { edge, partition: 1, timestamp_ms: 7, key, value })
    }

    fn line(sequence: u64, key_hex: &str) -> String {
        format!(
            "{{\"sequence\":{sequence},\"partition\":1,\"timestamp\":7,\"key_hex\":\"{key_hex}\",\
             \"value_hex\":\"ff\"}}\n"
        )
    }

    #[test]
    fn what_was_not_copied_is_counted_once() {
        let mut after = 0;
        let text = format!("{{\"passed\":5}}\n{}{}", line(1, "61"), line(2, "62"));
        assert_eq!(read("a->b", &text, &mut after), [record("a"), record("b"), Told::Missed(3)]);
        // One more came between the count and the copy.
        let text = format!("{{\"passed\":6}}\n{}{}", line(6, "61"), line(7, "62"));
        assert_eq!(read("a->b", &text, &mut after), [record("a"), record("b")]);
        assert_eq!((read("a->b", "{\"passed\":7}\n", &mut after), after), (vec![], 7));
        assert_eq!(
            read("a->b", &format!("{{\"passed\":1}}\n{}", line(1, "61")), &mut after).len(),
            1
        );
        assert!(matches!(&read("a->b", "?", &mut after)[..], [Told::Gone(_)]));
    }

    #[test]
    fn hexadecimal_digits_come_in_pairs() {
        assert_eq!(bytes_of("0aff").unwrap(), &b"\x0a\xff"[..]);
        assert!(bytes_of("0af").is_none() && bytes_of("0g").is_none());
    }
}
