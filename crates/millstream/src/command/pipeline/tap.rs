//! `pipeline tap`: the records of an edge as they come, without disturbing anybody.
//!
//! An edge that is a topic is read as any consumer reads it: committed records, without a group.
//! Between tasks that run in one call the processes that run them are asked, over HTTP.

use std::collections::BTreeMap;
use std::time::Duration;

use clap::Args;
use client::admin::OffsetAt;
use client::consumer::Fetched;
use client::options::{ConsumerOptions, Isolation};
use client::{Client, ClientError, Consumer};
use pipeline::engine::WATERMARK_HEADER;
use runtime::channel::{self, Receiver};
use runtime::signal::Signals;
use topology::plan::{Arc, Plan};

use super::tapped::{self, Passed, Told};
use super::which::Which;
use crate::cli::Stage;
use crate::cluster::{ClusterArgs, World, executor};
use crate::command::serve::coordination_failed;
use crate::config::Settings;
use crate::envelope;
use crate::message::{Exit, Failure, codes, failed};
use crate::render::table::visible;
use crate::shown::{ShownHeader, ShownRecord};

const POLL_WAIT: Duration = Duration::from_millis(500);

/// Bytes of one batch after decompression: far more than a broker takes, far less than memory.
const BATCH_BYTES_MAX: usize = 256 << 20;

/// Records that processes have told of and that are not printed yet.
const TOLD_MAX: usize = 1_024;

/// Options of `tap`.
#[derive(Debug, Args)]
pub(super) struct TapArgs {
    /// The pipeline: its file, or its name in the cluster.
    #[arg(value_name = "FILE|NAME")]
    pipeline: String,
    /// The edge: from->to, or one of its ends; all edges when it is left out.
    #[arg(value_name = "EDGE")]
    edge: Option<String>,
    /// Stop after so many records.
    #[arg(long, short = 'n', value_name = "N")]
    limit: Option<u64>,
    /// Begin with the records that are there already.
    #[arg(long)]
    from_start: bool,
    /// Where processes answer that run the pipeline [default: as the cluster tells, or
    /// 127.0.0.1:6455].
    #[arg(long, value_name = "HOST:PORT,..", value_delimiter = ',')]
    http: Vec<String>,
    /// Records that each of them copies in a second, of edges that are no topics.
    #[arg(long, value_name = "N", default_value_t = 100)]
    rate: u32,
    /// Print each record as one line of JSON, as consume --json does.
    #[arg(long)]
    pub(super) json: bool,
    #[command(flatten)]
    cluster: ClusterArgs,
}

impl TapArgs {
    /// Puts the flags over the other settings.
    pub(super) fn settle(&self, settings: &mut Settings) {
        self.cluster.settle(settings);
    }
}

/// Shows records until somebody stops it, or there have been enough.
pub(super) fn run(args: &TapArgs, stage: &mut Stage) -> Result<Exit, Failure> {
    let which = match Which::read(&args.pipeline, stage) {
        Ok(which) => which,
        Err(told) => return told,
    };
    executor()?.block_on(async {
        let signals = Signals::listen().map_err(|error| failed::machine(&error))?;
        let world = World::new();
        let client = world.connect(&stage.settings, false).await?;
        let plan = which.plan(&client, stage).await?;
        let (fused, in_topics) = chosen(&plan, args.edge.as_deref())?;
        let consumer = if in_topics.is_empty() {
            None
        } else {
            let opened = open(&client, &in_topics, args.from_start).await;
            Some(opened.map_err(|error| failed::client(&error, &stage.settings))?)
        };
        let addresses = if fused.is_empty() || !args.http.is_empty() {
            args.http.clone()
        } else {
            let told = tapped::addresses(&client, &plan.pipeline, world.clock.unix_ms()).await;
            told.map_err(|error| coordination_failed(&error, stage))?
        };
        let (sender, told) = channel::mailbox(TOLD_MAX);
        let mut followers = 0;
        for arc in &fused {
            for address in &addresses {
                let what = (plan.pipeline.as_str(), arc, args.rate);
                // They end with the mailbox.
                drop(tapped::follow(what, address, sender.clone()));
                followers += 1;
            }
        }
        drop(sender);
        let mut tap = Tap {
            arcs: by_topic(&in_topics),
            left: args.limit,
            is_json: args.json,
            missed: 0,
            reasons: Vec::new(),
        };
        let sources = Sources { consumer, told, followers };
        tap.run(sources, signals, stage).await
    })
}

/// The edges that are meant: those between tasks that run in one call, and those in topics.
fn chosen(plan: &Plan, name: Option<&str>) -> Result<(Vec<Arc>, Vec<Arc>), Failure> {
    let all = plan.arcs();
    let listed = || all.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let named = all.iter().filter(|arc| name.is_none_or(|name| arc.is_named(name)));
    let named: Vec<Arc> = named.cloned().collect();
    if named.is_empty() {
        let name = name.unwrap_or_default();
        let what = format!("the pipeline {} has no edge `{name}`", plan.pipeline);
        return Err(Failure::new(Exit::Usage, codes::NO_EDGE, what)
            .help(format!("its edges are {}", listed())));
    }
    Ok(named.into_iter().partition(|arc| arc.topic.is_none()))
}

/// What is called how, by topic: several edges may lead into one.
fn by_topic(arcs: &[Arc]) -> BTreeMap<String, String> {
    let mut names: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for arc in arcs {
        let topic = arc.topic.clone().unwrap_or_default();
        names.entry(topic).or_default().push(arc.to_string());
    }
    names.into_iter().map(|(topic, names)| (topic, names.join(","))).collect()
}

async fn open(client: &Client, arcs: &[Arc], from_start: bool) -> Result<Consumer, ClientError> {
    let mut counts = BTreeMap::new();
    for topic in arcs.iter().filter_map(|arc| arc.topic.as_deref()) {
        counts.insert(topic, client.topic(topic).await?.partition_count());
    }
    let places = counts.iter().flat_map(|(topic, count)| (0..*count).map(|it| (*topic, it)));
    let places: Vec<(&str, i32)> = places.collect();
    let at = if from_start { OffsetAt::Earliest } else { OffsetAt::Latest };
    let isolation = Isolation::ReadCommitted;
    let found = client.admin().list_offsets(&places, at, isolation).await?;
    let mut consumer = client.consumer(ConsumerOptions { isolation, ..ConsumerOptions::default() });
    let found = found.iter();
    consumer.assign(found.map(|((topic, partition), at)| (topic.as_str(), *partition, at.offset)));
    Ok(consumer)
}

/// Where records come from.
struct Sources {
    consumer: Option<Consumer>,
    told: Receiver<Told>,
    /// Processes that are asked.
    followers: usize,
}

struct Tap {
    arcs: BTreeMap<String, String>,
    left: Option<u64>,
    is_json: bool,
    /// Records that passed without having been copied.
    missed: u64,
    /// Why processes cannot be asked.
    reasons: Vec<String>,
}

impl Tap {
    async fn run(
        &mut self,
        mut sources: Sources,
        mut signals: Signals,
        stage: &mut Stage,
    ) -> Result<Exit, Failure> {
        while self.left != Some(0) && !stage.output.is_reader_gone() {
            if sources.consumer.is_none() && self.reasons.len() == sources.followers {
                return Err(self.nobody());
            }
            runtime::select! {
                fetched = poll(&mut sources.consumer) => {
                    let fetched = fetched.map_err(|it| failed::client(&it, &stage.settings))?;
                    for part in &fetched {
                        self.show(part, stage)?;
                    }
                }
                Some(told) = sources.told.recv() => self.take(told, stage)?,
                _ = signals.next() => break,
            }
            stage.flush()?;
        }
        if self.missed > 0 {
            stage.note(&format!("{} more passed and were not copied; see --rate", self.missed));
        }
        Ok(Exit::Success)
    }

    /// Nobody is left who could tell.
    fn nobody(&self) -> Failure {
        let what = "nobody can be asked for the records of this edge: no topic lies on it";
        let failure = Failure::new(Exit::Failed, codes::FUSED_EDGE, what);
        let failure = self.reasons.iter().cloned().fold(failure, Failure::fact);
        failure
            .help("name the address at which the pipeline's process answers with --http")
            .help("with `edges: topics` in the file every edge is a topic; results are the same")
    }

    fn take(&mut self, told: Told, stage: &mut Stage) -> Result<(), Failure> {
        match told {
            Told::Missed(count) => self.missed += count,
            Told::Gone(reason) => self.reasons.push(reason),
            Told::Record(record) => {
                self.left = self.left.map(|left| left.saturating_sub(1));
                let mut line = Vec::new();
                self.write_passed(&record, &mut line);
                stage.put(&line)?;
            }
        }
        Ok(())
    }

    fn write_passed(&self, record: &Passed, line: &mut Vec<u8>) {
        let (edge, partition) = (&record.edge, record.partition);
        if !self.is_json {
            let (key, value) = (text(record.key.as_deref()), text(record.value.as_deref()));
            line.extend_from_slice(format!("{edge}  p{partition}  {key}  {value}\n").as_bytes());
            return;
        }
        let time = record.timestamp_ms;
        let head = format!("{{\"edge\":\"{edge}\",\"partition\":{partition},\"timestamp\":{time}");
        line.extend_from_slice(head.as_bytes());
        for (name, content) in [("key", &record.key), ("value", &record.value)] {
            line.extend_from_slice(format!(",\"{name}\":").as_bytes());
            match content {
                Some(bytes) => envelope::write_content(bytes, line),
                None => line.extend_from_slice(b"null"),
            }
        }
        line.extend_from_slice(b"}\n");
    }

    fn show(&mut self, part: &Fetched, stage: &mut Stage) -> Result<(), Failure> {
        let mut line = Vec::new();
        for batch in &part.batches {
            let decoded = batch.decode(BATCH_BYTES_MAX).map_err(|cause| {
                let (topic, partition) = (part.topic.to_string(), part.partition);
                let error = ClientError::Record { topic, partition, cause };
                failed::client(&error, &stage.settings)
            })?;
            for record in decoded.iter().filter_map(Result::ok) {
                let is_marker =
                    record.headers.iter().any(|(key, _)| key == WATERMARK_HEADER.as_bytes());
                if record.offset < part.from || is_marker {
                    continue;
                }
                if self.left == Some(0) {
                    return Ok(());
                }
                self.left = self.left.map(|left| left - 1);
                let headers = record.headers.iter().map(|(key, value)| ShownHeader {
                    key: decoded.slice_ref(key),
                    value: value.map(|value| decoded.slice_ref(value)),
                });
                let shown = ShownRecord {
                    topic: part.topic.to_string(),
                    partition: part.partition,
                    offset: record.offset,
                    timestamp_ms: record.timestamp,
                    attributes: batch.header().attributes,
                    key: record.key.map(|key| decoded.slice_ref(key)),
                    value: record.value.map(|value| decoded.slice_ref(value)),
                    headers: headers.collect(),
                    ..ShownRecord::default()
                };
                line.clear();
                self.write(&shown, &mut line);
                stage.put(&line)?;
            }
        }
        Ok(())
    }

    fn write(&self, record: &ShownRecord, line: &mut Vec<u8>) {
        if self.is_json {
            envelope::write(record, line);
            line.push(b'\n');
            return;
        }
        let edge = self.arcs.get(&record.topic).map_or("", String::as_str);
        let (key, value) = (text(record.key.as_deref()), text(record.value.as_deref()));
        let (partition, offset) = (record.partition, record.offset);
        let shown = format!("{edge}  p{partition}/{offset}  {key}  {value}\n");
        line.extend_from_slice(shown.as_bytes());
    }
}

/// What is fetched next; nothing ever, where nothing is to be fetched.
async fn poll(consumer: &mut Option<Consumer>) -> Result<Vec<Fetched>, ClientError> {
    match consumer {
        Some(consumer) => consumer.poll(POLL_WAIT).await,
        None => std::future::pending().await,
    }
}

/// What is there, for a terminal; a dash for what is not.
fn text(bytes: Option<&[u8]>) -> String {
    bytes.map_or_else(|| "-".to_owned(), readable)
}

/// Bytes as a terminal can show them: the text without its control characters, or hexadecimal.
fn readable(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => visible(text),
        Err(_) => bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
    }
}
