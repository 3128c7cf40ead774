//! `millstream produce`: records from standard input into topics.

use std::collections::{BTreeMap, VecDeque};
use std::io::{IsTerminal as _, stdin};
use std::time::Duration;

use bytes::{Buf as _, BytesMut};
use clap::Args;
use client::options::{Acks, ProducerOptions};
use client::producer::{Delivered, Delivery, Record};
use client::{ClientError, Producer};
use protocol::record::{Compression, HeaderRef};
use runtime::signal::Signals;

use crate::cli::Stage;
use crate::cluster::{ClusterArgs, World, executor};
use crate::config::Settings;
use crate::envelope;
use crate::format::input::{Cut, INPUT_RECORD_BYTES_MAX, InputFormat, header_argument};
use crate::message::{Exit, Failure, codes, failed};
use crate::shown::{DraftRecord, ShownHeader};
use crate::standard_input::{self, Piece};

/// Deliveries that are waited for later; what is beyond waits now. A delivery takes some 50
/// bytes, and this many are several batches of every partition.
const DELIVERIES_MAX: usize = 65_536;

/// Partitions named in the closing line.
const PARTITIONS_NAMED_MAX: usize = 8;

/// Options of the command.
#[derive(Debug, Args)]
#[command(before_help = "Examples:
  echo hello | millstream produce greetings
  printf 'd1 20.5\\nd2 19\\n' | millstream produce readings -f '%k %v\\n'
  millstream produce readings -z lz4 -X linger.ms=50 < big.txt
  millstream consume a -o start -e --json | millstream produce b --json")]
pub(crate) struct ProduceArgs {
    /// The topic; may be left out where the input names it.
    topic: Option<String>,
    /// How a record is written in the input: %t %k %v %p %d, escapes and text [default: '%v\n'].
    #[arg(long, short)]
    format: Option<String>,
    /// Read one JSON envelope per line, as `consume --json` prints them; its partition counts only
    /// where its topic does.
    #[arg(long, conflicts_with = "format")]
    json: bool,
    /// The key of every record that has none of its own.
    #[arg(long, short)]
    key: Option<String>,
    /// The partition of every record that has none of its own; usually the key decides.
    #[arg(long, short, value_parser = clap::value_parser!(i32).range(0..))]
    partition: Option<i32>,
    /// A header of every record; may be repeated.
    #[arg(long = "header", short = 'H', value_name = "NAME=VALUE")]
    headers: Vec<String>,
    /// An empty value deletes the key (a null value) in a compacted topic.
    #[arg(long)]
    tombstone: bool,
    /// Compression: none, gzip, snappy, lz4 or zstd.
    #[arg(long, short = 'z', value_name = "CODEC")]
    compression: Option<String>,
    /// Which replicas must have a record: all, 1 or 0 [default: all].
    #[arg(long)]
    acks: Option<String>,
    #[command(flatten)]
    cluster: ClusterArgs,
}

impl ProduceArgs {
    /// Puts the flags over the other settings.
    pub(crate) fn settle(&self, settings: &mut Settings) {
        self.cluster.settle(settings);
        settings.flag("compression.type", "--compression", self.compression.clone());
        settings.flag("acks", "--acks", self.acks.clone());
    }
}

/// Produces.
pub(crate) fn run(args: &ProduceArgs, stage: &mut Stage) -> Result<Exit, Failure> {
    let reading = Reading::of(args)?;
    let options = producer_options(&stage.settings)?;
    let world = World::new();
    executor()?.block_on(async {
        let client = world.connect(&stage.settings, true).await?;
        if stdin().is_terminal() {
            stage.note("type records, one per line; Ctrl-D ends");
        }
        let producer = client.producer(options);
        let mut work = Work { args, producer, open: VecDeque::new(), done: BTreeMap::new() };
        let ended = work.produce(&reading, &stage.settings).await;
        // What was read before a failure is delivered all the same, and told.
        let drained = work.drain().await.map_err(|error| failed::client(&error, &stage.settings));
        work.tell(stage);
        let exit = ended?;
        drained?;
        Ok(exit)
    })
}

/// A producer's options as the settings have them.
///
/// # Errors
/// A setting that cannot be read.
pub(crate) fn producer_options(settings: &Settings) -> Result<ProducerOptions, Failure> {
    let mut options = ProducerOptions::default();
    let acks = settings.read("acks", "all, 1 or 0", |text| match text {
        "all" | "-1" => Some(Acks::All),
        "1" => Some(Acks::Leader),
        "0" => Some(Acks::None),
        _ => None,
    })?;
    options.acks = acks.unwrap_or(options.acks);
    let idempotent = settings.switch("enable.idempotence")?;
    options.idempotent = idempotent.unwrap_or(options.acks == Acks::All);
    let codecs = "none, gzip, snappy, lz4 or zstd";
    let compression = settings.parse::<Compression>("compression.type", codecs)?;
    options.compression = compression.unwrap_or(options.compression);
    let batch = settings.read("batch.size", "a number of bytes", bytes)?;
    options.batch_bytes_max = batch.unwrap_or(options.batch_bytes_max);
    options.linger = settings.duration("linger.ms")?.unwrap_or(options.linger);
    let delivery = settings.duration("delivery.timeout.ms")?;
    // Whoever sits before the command has given up long before two minutes are over.
    options.delivery_timeout = delivery.unwrap_or(Duration::from_secs(60));
    let name = "max.in.flight.requests.per.connection";
    let in_flight = settings.read(name, "a number from 1 to 5", |text| {
        text.parse().ok().filter(|count| (1..=5).contains(count))
    })?;
    options.in_flight_max = in_flight.unwrap_or(options.in_flight_max);
    Ok(options)
}

fn bytes(text: &str) -> Option<usize> {
    text.parse().ok().filter(|bytes| (1..=INPUT_RECORD_BYTES_MAX).contains(bytes))
}

/// How the input is cut into records.
enum Reading {
    Format(InputFormat),
    Envelopes,
}

impl Reading {
    fn of(args: &ProduceArgs) -> Result<Self, Failure> {
        if args.json {
            return Ok(Self::Envelopes);
        }
        let text = args.format.as_deref().unwrap_or("%v\\n");
        if args.topic.is_none() && !text.contains("%t") {
            let failure = Failure::usage("which topic? none was given");
            return Err(failure.help("name it: millstream produce TOPIC"));
        }
        let format = InputFormat::parse(text).map_err(|error| {
            Failure::new(Exit::Usage, codes::BAD_FORMAT, format!("-f {text}: {error}"))
        })?;
        Ok(Self::Format(format))
    }

    fn cut(&self, input: &[u8], is_end: bool) -> Result<Cut, String> {
        match self {
            Self::Format(format) => format.cut(input, is_end).map_err(|error| error.to_string()),
            Self::Envelopes => cut_envelope(input, is_end),
        }
    }
}

fn cut_envelope(input: &[u8], is_end: bool) -> Result<Cut, String> {
    if input.is_empty() && is_end {
        return Ok(Cut::End);
    }
    let line = input.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let is_whole = line.len() < input.len();
    if !is_whole && !is_end {
        let is_too_long = input.len() > INPUT_RECORD_BYTES_MAX;
        return if is_too_long { Err("the line has no end".to_owned()) } else { Ok(Cut::More) };
    }
    let bytes_taken = line.len() + usize::from(is_whole);
    let draft = envelope::read(line).map_err(|error| error.to_string())?;
    Ok(Cut::Record { draft, bytes_taken })
}

/// What was written to a partition.
struct Written {
    first_offset: i64,
    records: u64,
}

struct Work<'a> {
    args: &'a ProduceArgs,
    producer: Producer,
    open: VecDeque<Delivery>,
    done: BTreeMap<(String, i32), Written>,
}

impl Work<'_> {
    async fn produce(&mut self, reading: &Reading, settings: &Settings) -> Result<Exit, Failure> {
        let mut signals = Signals::listen().map_err(|error| failed::machine(&error))?;
        let mut input = standard_input::start().map_err(|error| failed::machine(&error))?;
        let mut buffer = BytesMut::new();
        let mut number = 0_u64;
        loop {
            let piece = runtime::select! {
                piece = input.recv() => piece,
                _ = signals.next() => return Ok(Exit::Interrupted),
            };
            let is_end = match piece {
                Some(Piece::Bytes(bytes)) => {
                    buffer.extend_from_slice(&bytes);
                    false
                }
                Some(Piece::Failed(error)) => return Err(failed::machine(&error)),
                None => true,
            };
            loop {
                let cut = reading.cut(&buffer, is_end).map_err(|reason| {
                    let what = format!("record {} of the input: {reason}", number + 1);
                    Failure::new(Exit::Failed, codes::BAD_INPUT, what)
                        .fact("the records before it were produced")
                })?;
                let Cut::Record { draft, bytes_taken } = cut else { break };
                number += 1;
                self.send(draft).await.map_err(|error| match error {
                    SendError::NoTopic => no_topic(number),
                    SendError::Client(error) => failed::client(&error, settings),
                })?;
                buffer.advance(bytes_taken);
            }
            if is_end {
                return Ok(Exit::Success);
            }
        }
    }

    async fn send(&mut self, draft: DraftRecord) -> Result<(), SendError> {
        let args = self.args;
        // An envelope's partition belongs to the topic that it names.
        let is_moved = args.json && args.topic.is_some();
        let own_partition = draft.partition.filter(|_| !is_moved);
        let topic = args.topic.as_ref().or(draft.topic.as_ref()).ok_or(SendError::NoTopic)?;
        let added: Vec<ShownHeader> =
            args.headers.iter().map(|text| header_argument(text)).collect();
        let headers: Vec<HeaderRef<'_>> = draft
            .headers
            .iter()
            .chain(&added)
            .map(|header| (header.key.as_ref(), header.value.as_deref()))
            .collect();
        let value = draft.value.as_deref().filter(|value| !(args.tombstone && value.is_empty()));
        let record = Record {
            topic,
            partition: args.partition.or(own_partition),
            timestamp: draft.timestamp_ms.filter(|ms| *ms >= 0),
            key: draft.key.as_deref().or_else(|| args.key.as_deref().map(str::as_bytes)),
            value,
            headers: &headers,
        };
        let delivery = self.producer.send(record).await.map_err(SendError::Client)?;
        self.open.push_back(delivery);
        if self.open.len() > DELIVERIES_MAX
            && let Some(oldest) = self.open.pop_front()
        {
            let delivered = oldest.wait().await.map_err(SendError::Client)?;
            self.note(&delivered);
        }
        Ok(())
    }

    async fn drain(&mut self) -> Result<(), ClientError> {
        let flushed = self.producer.flush().await;
        let mut first_error = flushed.err();
        for delivery in std::mem::take(&mut self.open) {
            match delivery.wait().await {
                Ok(delivered) => self.note(&delivered),
                Err(error) => first_error = first_error.or(Some(error)),
            }
        }
        first_error.map_or(Ok(()), Err)
    }

    fn note(&mut self, delivered: &Delivered) {
        let key = (delivered.topic.to_string(), delivered.partition);
        let first = Written { first_offset: delivered.offset, records: 0 };
        self.done.entry(key).or_insert(first).records += 1;
    }

    fn tell(&self, stage: &Stage) {
        let mut topics: BTreeMap<&str, Vec<(i32, &Written)>> = BTreeMap::new();
        for ((topic, partition), written) in &self.done {
            topics.entry(topic).or_default().push((*partition, written));
        }
        for (topic, partitions) in topics {
            let records: u64 = partitions.iter().map(|(_, written)| written.records).sum();
            let word = if records == 1 { "record" } else { "records" };
            let offset = |written: &Written| match written.first_offset {
                offset if offset < 0 => "offset unknown".to_owned(),
                offset => format!("offset {offset}"),
            };
            let mut places: Vec<String> = partitions
                .iter()
                .take(PARTITIONS_NAMED_MAX)
                .map(|(partition, written)| format!("p{partition}: {}", offset(written)))
                .collect();
            if partitions.len() > PARTITIONS_NAMED_MAX {
                places.push(format!("{} more", partitions.len() - PARTITIONS_NAMED_MAX));
            }
            let places = places.join(", ");
            stage.note(&format!("produced {records} {word} to {topic}  ({places})"));
        }
    }
}

enum SendError {
    NoTopic,
    Client(ClientError),
}

fn no_topic(number: u64) -> Failure {
    let what = format!("record {number} of the input names no topic");
    Failure::new(Exit::Failed, codes::BAD_INPUT, what)
        .help("name one for all records: millstream produce TOPIC")
}
