//! `millstream consume`: records of topics to standard output.

use std::time::Duration;

use clap::Args;
use client::Client;
use client::consumer::Fetched;
use client::options::{ConsumerOptions, Isolation};
use runtime::signal::Signals;

use crate::cli::Stage;
use crate::cluster::{ClusterArgs, World, executor};
use crate::config::Settings;
use crate::format::Format;
use crate::message::{Exit, Failure, codes, failed};
use crate::offset_spec::OffsetSpec;
use crate::terminal::Stream;

mod group;
mod print;
mod range;

use print::Printer;
use range::Ranges;

/// How long one poll waits, so that the ends of partitions without records are noticed.
const POLL_WAIT: Duration = Duration::from_millis(200);

/// Options of the command.
#[derive(Debug, Args)]
#[command(before_help = "Examples:
  millstream consume readings                       what comes from now on
  millstream consume readings -o start -e           all that there is, then end
  millstream consume readings -o @-1h -f '%d{rfc3339} %p/%o %k %v\\n'
  millstream consume readings -o -10 -e --json      the last ten of each partition
  millstream consume readings -g dashboard          as a member of a group

Formats (-f): %t topic, %k key, %v value, %h{%k=%v} headers, %p partition, %o offset, %d time,
  %e leader epoch, %i number, %a{..} attributes, %x %y producer id and epoch, %[ %| %] log start,
  last stable offset and high watermark, %T %K %V %H lengths; {hex} {base64} {json} behind texts,
  {rfc3339} {strftime[%F]} behind %d; \\n \\t \\xNN; %% is a percent sign.
Places (-o): start, end, N, -N before the end, +N after the start, N:M, @TIME, @TIME:TIME")]
pub(crate) struct ConsumeArgs {
    /// The topics.
    #[arg(required = true)]
    topics: Vec<String>,
    /// How a record is printed [default: '%v\n'].
    #[arg(long, short)]
    format: Option<String>,
    /// Print one JSON envelope per line.
    #[arg(long, conflicts_with = "format")]
    pub(crate) json: bool,
    /// Where to begin, and for ranges where to end [default: end].
    #[arg(long, short, allow_hyphen_values = true, value_name = "PLACE")]
    offset: Option<String>,
    /// End after so many records.
    #[arg(long = "num", short = 'n', value_name = "N")]
    records_max: Option<u64>,
    /// End when everything that was there at the start has been printed.
    #[arg(long = "end", short = 'e')]
    until_end: bool,
    /// Only these partitions.
    #[arg(long, short, value_delimiter = ',', value_name = "P,..")]
    partitions: Vec<i32>,
    /// Read as a member of this group, and commit what was printed.
    #[arg(long, short, conflicts_with = "partitions")]
    group: Option<String>,
    /// read_committed or read_uncommitted [default: read_committed].
    #[arg(long, value_name = "LEVEL")]
    isolation: Option<String>,
    #[command(flatten)]
    cluster: ClusterArgs,
}

impl ConsumeArgs {
    /// Puts the flags over the other settings.
    pub(crate) fn settle(&self, settings: &mut Settings) {
        self.cluster.settle(settings);
        settings.flag("group.id", "--group", self.group.clone());
        settings.flag("isolation.level", "--isolation", self.isolation.clone());
    }

    /// Whether the command ends by itself.
    fn is_bounded(&self) -> bool {
        self.until_end || self.records_max.is_some()
    }

    fn names(&self) -> Vec<&str> {
        self.topics.iter().map(String::as_str).collect()
    }
}

/// Consumes.
pub(crate) fn run(args: &ConsumeArgs, stage: &mut Stage) -> Result<Exit, Failure> {
    let world = World::new();
    let place = place(args, world.clock.unix_ms())?;
    let options = consumer_options(&stage.settings)?;
    let printer = Printer::new(format(args)?, args.records_max);
    let group = stage.settings.text("group.id").map(str::to_owned);
    executor()?.block_on(async {
        let signals = Signals::listen().map_err(|error| failed::machine(&error))?;
        let client = world.connect(&stage.settings, false).await?;
        if args.offset.is_none() && !args.is_bounded() && group.is_none() {
            hint_start(args, stage);
        }
        let asked = Asked { args, place, options };
        let mut hands = Hands { printer, stage, signals };
        let exit = match group {
            Some(group) => group::read(&client, &group, &asked, &mut hands).await,
            None => read(&client, &asked, &mut hands).await,
        };
        hands.stage.flush()?;
        exit
    })
}

/// What reading works with.
struct Hands<'a> {
    printer: Printer,
    stage: &'a mut Stage,
    signals: Signals,
}

impl Hands<'_> {
    /// Whether nobody wants to see more.
    fn is_done(&self) -> bool {
        self.printer.is_done() || self.stage.output.is_reader_gone()
    }

    /// Prints what was fetched of a partition, up to its end; gives the offset of the first
    /// record that was not wanted any more.
    fn print(&mut self, part: &Fetched, until: Option<i64>) -> Result<Option<i64>, Failure> {
        let printed = self.printer.print(part, until, &mut self.stage.output);
        printed.map_err(|error| match error {
            print::PrintError::Client(error) => failed::client(&error, &self.stage.settings),
            print::PrintError::Output(error) => failed::machine(&error),
        })
    }
}

/// What was asked for.
struct Asked<'a> {
    args: &'a ConsumeArgs,
    place: Option<OffsetSpec>,
    options: ConsumerOptions,
}

fn place(args: &ConsumeArgs, now_ms: i64) -> Result<Option<OffsetSpec>, Failure> {
    let parsed = args.offset.as_deref().map(|text| OffsetSpec::parse(text, now_ms)).transpose();
    parsed.map_err(|error| Failure::new(Exit::Usage, codes::BAD_OFFSET, format!("-o: {error}")))
}

fn format(args: &ConsumeArgs) -> Result<Option<Format>, Failure> {
    if args.json {
        return Ok(None);
    }
    let text = args.format.as_deref().unwrap_or("%v\\n");
    Format::parse(text).map(Some).map_err(|error| {
        Failure::new(Exit::Usage, codes::BAD_FORMAT, format!("-f {text}: {error}"))
    })
}

/// A consumer's options as the settings have them.
///
/// # Errors
/// A setting that cannot be read.
pub(crate) fn consumer_options(settings: &Settings) -> Result<ConsumerOptions, Failure> {
    let mut options = ConsumerOptions::default();
    let levels = "read_committed or read_uncommitted";
    let isolation = settings.read("isolation.level", levels, |text| match text {
        "read_committed" => Some(Isolation::ReadCommitted),
        "read_uncommitted" => Some(Isolation::ReadUncommitted),
        _ => None,
    })?;
    options.isolation = isolation.unwrap_or(options.isolation);
    let bytes = |name: &str, usual: usize| {
        settings.parse(name, "a number of bytes").map(|bytes| bytes.unwrap_or(usual))
    };
    options.fetch_bytes_min = bytes("fetch.min.bytes", options.fetch_bytes_min)?;
    options.fetch_bytes_max = bytes("fetch.max.bytes", options.fetch_bytes_max)?;
    options.partition_bytes_max = bytes("max.partition.fetch.bytes", options.partition_bytes_max)?;
    options.fetch_wait_max =
        settings.duration("fetch.max.wait.ms")?.unwrap_or(options.fetch_wait_max);
    Ok(options)
}

/// Nothing to see is the usual first experience with a consumer that starts at the end.
fn hint_start(args: &ConsumeArgs, stage: &Stage) {
    if stage.facts(Stream::Messages).is_terminal {
        let topics = args.topics.join(" ");
        stage.note(&format!(
            "reading what comes from now on; from the start: millstream consume {topics} -o start"
        ));
    }
}

/// Stopping what never ends by itself is how it is meant to end.
fn stopped(args: &ConsumeArgs) -> Exit {
    if args.is_bounded() { Exit::Interrupted } else { Exit::Success }
}

/// Reads without a group.
async fn read(client: &Client, asked: &Asked<'_>, hands: &mut Hands<'_>) -> Result<Exit, Failure> {
    let mut ranges = Ranges::resolve(client, asked)
        .await
        .map_err(|error| failed::client(&error, &hands.stage.settings))?;
    let mut consumer = client.consumer(asked.options.clone());
    consumer.assign(ranges.starts());
    loop {
        ranges.drop_finished(&mut consumer);
        if ranges.is_done() || hands.is_done() {
            return Ok(Exit::Success);
        }
        let fetched = runtime::select! {
            fetched = consumer.poll(POLL_WAIT) => fetched,
            _ = hands.signals.next() => return Ok(stopped(asked.args)),
        };
        let fetched = fetched.map_err(|error| failed::client(&error, &hands.stage.settings))?;
        for part in &fetched {
            hands.print(part, ranges.until(part))?;
        }
        hands.stage.flush()?;
    }
}
