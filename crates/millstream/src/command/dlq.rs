//! `millstream dlq`: records that failed, and what becomes of the keys that wait behind them.

use std::collections::BTreeMap;
use std::io::{IsTerminal as _, stdin};
use std::path::PathBuf;

use clap::{Args, Subcommand};
use client::Client;
use pipeline::engine::EngineError;
use pipeline::engine::letters::{DeadLetter, ParkedKey, Verb, each_letter, order, parked};
use topology::plan::Plan;
use topology::spec::LetterOrder;

use super::run::{engine_failed, open_log_for_itself};
use crate::cli::Stage;
use crate::cluster::{World, executor};
use crate::config::Settings;
use crate::message::{Exit, Failure, codes, failed};
use crate::pipeline_file;
use crate::render::letters::{self, KeyLine, LetterLines, TaskLine};

/// Options of the command.
#[derive(Debug, Args)]
#[command(
    subcommand_required = true,
    arg_required_else_help = true,
    disable_help_subcommand = true,
    before_help = "Examples:
  millstream dlq list pipeline.yaml                 the keys that wait, and why
  millstream dlq show pipeline.yaml --key 4711
  millstream dlq release pipeline.yaml --key 4711   leave the bad record out, go on behind it
  millstream dlq replay pipeline.yaml --all         after the file was mended"
)]
pub(crate) struct DlqArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List the keys that are parked.
    List(ListArgs),
    /// Show the records that wait.
    Show(ShowArgs),
    /// Leave the first record of a key out, and let those behind it go on.
    Release(OrderArgs),
    /// Run the first record of a key again, and then those behind it.
    Replay(OrderArgs),
    /// Leave all records out that wait now, and let the key go on.
    Drop(DropArgs),
}

/// Which letters are meant, and where they are.
#[derive(Debug, Args)]
struct Which {
    /// The pipeline: one file, or a list of tasks and its configuration.
    #[arg(required = true, num_args = 1..=2, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Only this task.
    #[arg(long, value_name = "ID")]
    task: Option<String>,
    /// Only this key, as `list` shows it.
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    /// Addresses of the cluster, or the word embedded [default: as the file says].
    #[arg(long, short, value_name = "HOST:PORT", aliases = ["bootstrap-server", "broker-list"])]
    brokers: Option<String>,
    /// Data folder of the log in this process [default: ./.millstream].
    #[arg(long, value_name = "DIR")]
    data: Option<String>,
}

#[derive(Debug, Args)]
struct ListArgs {
    #[command(flatten)]
    which: Which,
}

#[derive(Debug, Args)]
struct ShowArgs {
    #[command(flatten)]
    which: Which,
    /// Also those that wait no more.
    #[arg(long)]
    history: bool,
}

#[derive(Debug, Args)]
struct OrderArgs {
    #[command(flatten)]
    which: Which,
    /// Every key that is parked.
    #[arg(long)]
    all: bool,
}

#[derive(Debug, Args)]
struct DropArgs {
    #[command(flatten)]
    order: OrderArgs,
    /// Do it; without this, and without an answer at the terminal, it is only told.
    #[arg(long, short)]
    yes: bool,
}

impl Action {
    fn which(&self) -> &Which {
        match self {
            Self::List(args) => &args.which,
            Self::Show(args) => &args.which,
            Self::Release(args) | Self::Replay(args) => &args.which,
            Self::Drop(args) => &args.order.which,
        }
    }
}

impl Which {
    /// Whether a letter or a key is meant.
    fn means(&self, task: &str, key: Option<&str>) -> bool {
        self.task.as_ref().is_none_or(|wanted| wanted == task)
            && self.key.as_ref().is_none_or(|wanted| Some(wanted.as_str()) == key)
    }
}

impl DlqArgs {
    /// Puts the flags over the other settings.
    pub(crate) fn settle(&self, settings: &mut Settings) {
        let which = self.action.which();
        settings.flag("brokers", "--brokers", which.brokers.clone());
        settings.flag("data", "--data", which.data.clone());
    }

    /// Whether JSON was asked for.
    pub(crate) fn is_json(&self) -> bool {
        self.action.which().json
    }
}

/// Does it.
pub(crate) fn run(args: &DlqArgs, stage: &mut Stage) -> Result<Exit, Failure> {
    let which = args.action.which();
    if let Action::Release(order) | Action::Replay(order) | Action::Drop(DropArgs { order, .. }) =
        &args.action
        && !order.all
        && which.key.is_none()
        && which.task.is_none()
    {
        let failure = Failure::usage("which keys are meant is not said");
        return Err(failure.help("name them with --key or --task, or all of them with --all"));
    }
    let loaded = match pipeline_file::load(&which.files, stage) {
        Ok(loaded) => loaded,
        Err(told) => return told,
    };
    let plan = Plan::of(&loaded.spec);
    executor()?.block_on(async {
        let world = World::new();
        let log = open_log_for_itself(&loaded.spec, &stage.settings, &world).await?;
        let desk = Desk { client: &log.client, plan: &plan, which };
        let done = match &args.action {
            Action::List(_) => desk.list(stage).await,
            Action::Show(args) => desk.show(args.history, stage).await,
            Action::Release(_) => desk.order((Verb::Release, "release"), &world, stage).await,
            Action::Replay(_) => desk.order((Verb::Replay, "replay"), &world, stage).await,
            Action::Drop(args) => desk.drop(args.yes, &world, stage).await,
        };
        log.close().await?;
        done
    })
}

/// What an action works with.
struct Desk<'a> {
    client: &'a Client,
    plan: &'a Plan,
    which: &'a Which,
}

/// What interrupts the reading of letters.
enum Trouble {
    Engine(EngineError),
    Told(Failure),
}

impl From<EngineError> for Trouble {
    fn from(error: EngineError) -> Self {
        Self::Engine(error)
    }
}

impl Trouble {
    fn failure(self, stage: &Stage) -> Failure {
        match self {
            Self::Engine(error) => engine_failed(&error, stage),
            Self::Told(failure) => failure,
        }
    }
}

impl Desk<'_> {
    async fn keys(&self, stage: &Stage) -> Result<Vec<ParkedKey>, Failure> {
        let keys = parked(self.client, self.plan).await;
        let mut keys = keys.map_err(|error| engine_failed(&error, stage))?;
        keys.retain(|key| self.which.means(&key.task, Some(&key.key)));
        Ok(keys)
    }

    async fn list(&self, stage: &mut Stage) -> Result<Exit, Failure> {
        if self.plan.letters == LetterOrder::Plain {
            return self.list_plain(stage).await;
        }
        let keys = self.keys(stage).await?;
        if self.which.json {
            let entries: Vec<serde_json::Value> = keys.iter().map(key_json).collect();
            stage.line(&serde_json::Value::Array(entries).to_string())?;
        } else if keys.is_empty() {
            stage.note("no key waits behind a dead letter");
        } else {
            let lines: Vec<KeyLine> = keys.into_iter().map(key_line).collect();
            stage.put(letters::keys(&lines).as_bytes())?;
        }
        Ok(Exit::Success)
    }

    /// Where nobody waits, letters are only counted.
    async fn list_plain(&self, stage: &mut Stage) -> Result<Exit, Failure> {
        let mut tasks: BTreeMap<String, (u64, String)> = BTreeMap::new();
        let counted = each_letter(self.client, self.plan, |letter| {
            if self.which.means(&letter.task, letter.key.as_deref()) {
                let known = tasks.entry(letter.task).or_default();
                *known = (known.0 + 1, letter.reason);
            }
            Ok::<(), Trouble>(())
        });
        counted.await.map_err(|trouble| trouble.failure(stage))?;
        if self.which.json {
            let entry = |(task, known): (&String, &(u64, String))| {
                let (count, reason) = known;
                serde_json::json!({ "task": task, "letters": count, "last_reason": reason })
            };
            let entries: Vec<serde_json::Value> = tasks.iter().map(entry).collect();
            stage.line(&serde_json::Value::Array(entries).to_string())?;
        } else if tasks.is_empty() {
            stage.note("there are no dead letters");
        } else {
            let line = |(task, (letters, reason))| TaskLine { task, letters, reason };
            let lines: Vec<TaskLine> = tasks.into_iter().map(line).collect();
            stage.put(letters::tasks(&lines).as_bytes())?;
        }
        Ok(Exit::Success)
    }

    async fn show(&self, history: bool, stage: &mut Stage) -> Result<Exit, Failure> {
        let is_plain = self.plan.letters == LetterOrder::Plain;
        let mut waiting = BTreeMap::new();
        for key in self.keys(stage).await? {
            let range = key.first..key.first.saturating_add(key.waiting);
            waiting.insert((key.place, key.key, key.partition), range);
        }
        let waits = |letter: &DeadLetter| {
            let (Some(place), Some(key)) = (&letter.place, &letter.key) else {
                return false;
            };
            let lot = waiting.get(&(place.clone(), key.clone(), letter.partition));
            letter.sequence.is_some_and(|at| lot.is_some_and(|range| range.contains(&at)))
        };
        let mut shown = 0_u64;
        let printed = each_letter(self.client, self.plan, |letter| {
            let is_meant = self.which.means(&letter.task, letter.key.as_deref())
                && (history || is_plain || waits(&letter));
            if !is_meant {
                return Ok(());
            }
            shown += 1;
            let text = if self.which.json {
                format!("{}\n", letter_json(&letter, waits(&letter)))
            } else {
                letters::letter(&letter_lines(letter))
            };
            stage.put(text.as_bytes()).map_err(Trouble::Told)
        });
        printed.await.map_err(|trouble| trouble.failure(stage))?;
        stage.flush()?;
        if shown == 0 {
            stage.note("there are no such dead letters");
        }
        Ok(Exit::Success)
    }

    /// The keys that an order is for.
    async fn meant(&self, stage: &Stage) -> Result<Vec<ParkedKey>, Failure> {
        if self.plan.letters == LetterOrder::Plain || self.plan.dead_letter.is_none() {
            let what = "no key of this pipeline ever waits behind a dead letter";
            return Err(Failure::new(Exit::Failed, codes::LETTERS_WITHOUT_ORDER, what)
                .help("see the letters with `millstream dlq show`")
                .help("leave `dead_letter: plain` out, and write `on_error: dead_letter`"));
        }
        let keys = self.keys(stage).await?;
        if !keys.is_empty() {
            return Ok(keys);
        }
        let what = match (&self.which.key, &self.which.task) {
            (Some(key), Some(task)) => format!("key {key} is not parked at task `{task}`"),
            (Some(key), None) => format!("key {key} is not parked"),
            (None, Some(task)) => format!("no key is parked at task `{task}`"),
            (None, None) => "no key is parked".to_owned(),
        };
        Err(Failure::new(Exit::Failed, codes::KEY_NOT_PARKED, what)
            .help("see those that are with `millstream dlq list`"))
    }

    async fn order(
        &self,
        (verb, word): (Verb, &str),
        world: &World,
        stage: &mut Stage,
    ) -> Result<Exit, Failure> {
        let keys = self.meant(stage).await?;
        self.tell(&keys, (verb, word), world, stage).await
    }

    async fn drop(&self, is_sure: bool, world: &World, stage: &mut Stage) -> Result<Exit, Failure> {
        let keys = self.meant(stage).await?;
        if !is_sure {
            let lines: Vec<KeyLine> = keys.iter().cloned().map(key_line).collect();
            stage.put(letters::keys(&lines).as_bytes())?;
            stage.flush()?;
            if !is_confirmed()? {
                stage.note("nothing was changed; --yes does it");
                return Ok(Exit::Success);
            }
        }
        self.tell(&keys, (Verb::Drop, "drop"), world, stage).await
    }

    async fn tell(
        &self,
        keys: &[ParkedKey],
        (verb, word): (Verb, &str),
        world: &World,
        stage: &mut Stage,
    ) -> Result<Exit, Failure> {
        let told = order(self.client, keys, verb, world.clock.unix_ms()).await;
        told.map_err(|error| engine_failed(&error, stage))?;
        if self.which.json {
            let entries: Vec<serde_json::Value> = keys.iter().map(key_json).collect();
            stage.line(&serde_json::json!({ "ordered": word, "keys": entries }).to_string())?;
        }
        let count = keys.len();
        let what = if count == 1 { "1 key".to_owned() } else { format!("{count} keys") };
        stage.note(&format!("{word} of {what} is ordered; the pipeline does it while it runs"));
        Ok(Exit::Success)
    }
}

fn key_line(key: ParkedKey) -> KeyLine {
    let ParkedKey { place, key, waiting, is_leaving, reason, .. } = key;
    KeyLine { place, key, waiting, is_leaving, reason }
}

fn key_json(key: &ParkedKey) -> serde_json::Value {
    serde_json::json!({ "task": key.task, "place": key.place, "key": key.key,
        "partition": key.partition, "first": key.first, "letters": key.waiting,
        "state": letters::state(key.is_leaving), "reason": key.reason })
}

fn letter_lines(letter: DeadLetter) -> LetterLines {
    LetterLines {
        place: letter.place.unwrap_or(letter.task),
        key: letter.key,
        sequence: letter.sequence,
        origin: format!("{}-{} offset {}", letter.topic, letter.partition, letter.offset),
        time: topology::spec::timestamp_text(letter.timestamp_ms),
        reason: letter.reason,
        value: letter.value,
    }
}

fn letter_json(letter: &DeadLetter, waits: bool) -> serde_json::Value {
    serde_json::json!({ "task": letter.task, "place": letter.place, "sequence": letter.sequence,
        "waits": waits, "reason": letter.reason, "topic": letter.topic,
        "partition": letter.partition, "offset": letter.offset, "key": letter.key,
        "value": letter.value, "timestamp_ms": letter.timestamp_ms })
}

/// A script has to say --yes; nobody can be asked there.
fn is_confirmed() -> Result<bool, Failure> {
    if !stdin().is_terminal() {
        return Ok(false);
    }
    eprint!("leave them out for good? [y/N] ");
    let mut answer = String::new();
    stdin().read_line(&mut answer).map_err(|error| failed::machine(&error))?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}
