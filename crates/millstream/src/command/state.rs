//! `millstream state`: what the tasks of a pipeline remember, from the topics alone.

use std::fmt::Write as _;

use clap::{Args, Subcommand};
use client::Client;
use pipeline::engine::inspect::{self, Content, Entry, Remembered};
use serde_json::{Value, json};
use topology::spec::timestamp_text;

use crate::cli::Stage;
use crate::cluster::{ClusterArgs, World, executor};
use crate::command::pipeline::tapped::bytes_of;
use crate::command::run::engine_failed;
use crate::config::Settings;
use crate::message::{Exit, Failure, codes};
use crate::render::table::{Align, Table};

const CELL_WIDTH_MAX: usize = 100;

/// Options of the command.
#[derive(Debug, Args)]
#[command(
    subcommand_required = true,
    arg_required_else_help = true,
    disable_help_subcommand = true,
    before_help = "Examples:
  millstream state keys orders seen              all that the task `seen` remembers
  millstream state keys orders seen --limit 20
  millstream state get orders seen a-17          what it remembers of one key"
)]
pub(crate) struct StateArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List the keys that a task remembers, with their values.
    Keys(KeysArgs),
    /// Show what a task remembers of a key.
    Get(GetArgs),
}

#[derive(Debug, Args)]
struct Whose {
    /// The pipeline's name.
    #[arg(value_name = "NAME")]
    pipeline: String,
    /// The task.
    #[arg(value_name = "TASK")]
    task: String,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    cluster: ClusterArgs,
}

#[derive(Debug, Args)]
struct KeysArgs {
    #[command(flatten)]
    whose: Whose,
    /// At most so many.
    #[arg(long, short = 'n', value_name = "N", default_value_t = 1_000)]
    limit: usize,
}

#[derive(Debug, Args)]
struct GetArgs {
    #[command(flatten)]
    whose: Whose,
    /// The key as text; what is no text is given in hexadecimal with --hex.
    #[arg(value_name = "KEY")]
    key: String,
    /// The key is hexadecimal.
    #[arg(long)]
    hex: bool,
}

impl StateArgs {
    fn whose(&self) -> &Whose {
        match &self.action {
            Action::Keys(args) => &args.whose,
            Action::Get(args) => &args.whose,
        }
    }

    /// Whether JSON was asked for.
    pub(crate) fn is_json(&self) -> bool {
        self.whose().json
    }

    /// Puts the flags over the other settings.
    pub(crate) fn settle(&self, settings: &mut Settings) {
        self.whose().cluster.settle(settings);
    }
}

/// Shows it.
pub(crate) fn run(args: &StateArgs, stage: &mut Stage) -> Result<Exit, Failure> {
    let key = match &args.action {
        Action::Keys(_) => None,
        Action::Get(args) => Some(key(args)?),
    };
    let whose = args.whose();
    let content = executor()?.block_on(async {
        let client = World::new().connect(&stage.settings, false).await?;
        let changelog = changelog(&client, whose, stage).await?;
        let read = inspect::read(&client, &changelog, key.as_deref()).await;
        read.map_err(|error| engine_failed(&error, stage))
    })?;
    if let (Some(key), true) = (&key, content.entries.is_empty()) {
        let (task, key) = (&whose.task, shown(key));
        let what = format!("the task `{task}` remembers nothing of the key {key}");
        return Err(Failure::new(Exit::Failed, codes::NO_STATE_OF_KEY, what)
            .help(format!("millstream state keys {} {task}", whose.pipeline)));
    }
    let limit = match &args.action {
        Action::Keys(args) => args.limit,
        Action::Get(_) => usize::MAX,
    };
    let entries = &content.entries[..content.entries.len().min(limit)];
    if whose.json {
        let all: Vec<Value> = entries.iter().map(data).collect();
        let entries = content.entries.len();
        let told = json!({ "pipeline": whose.pipeline, "task": whose.task,
            "changelog": content.changelog, "keys": entries, "left_out": content.left_out,
            "entries": all });
        stage.line(&told.to_string())?;
        return Ok(Exit::Success);
    }
    stage.put(text(&content, entries).as_bytes())?;
    if content.entries.len() > entries.len() {
        let more = content.entries.len() - entries.len();
        stage.note(&format!("{more} more; --limit shows them"));
    }
    Ok(Exit::Success)
}

fn key(args: &GetArgs) -> Result<Vec<u8>, Failure> {
    if !args.hex {
        return Ok(args.key.clone().into_bytes());
    }
    let bytes = bytes_of(&args.key).map(|bytes| bytes.to_vec());
    bytes.ok_or_else(|| Failure::usage(format!("{} is no hexadecimal text", args.key)))
}

/// The changelog of the task that is meant.
async fn changelog(client: &Client, whose: &Whose, stage: &Stage) -> Result<String, Failure> {
    let stores = inspect::stores(client, &whose.pipeline).await;
    let stores = stores.map_err(|error| engine_failed(&error, stage))?;
    let Some(stores) = stores else {
        let what = format!("the log has nothing of a pipeline `{}`", whose.pipeline);
        return Err(Failure::new(Exit::Failed, codes::NO_JOB, what)
            .help("`millstream pipeline list` shows those that there are"));
    };
    if let Some(changelog) = stores.get(&whose.task) {
        return Ok(changelog.clone());
    }
    let what = format!("the task `{}` keeps no state", whose.task);
    let known: Vec<&str> = stores.keys().map(String::as_str).collect();
    let help = match known.is_empty() {
        true => "no task of this pipeline does".to_owned(),
        false => format!("those that do: {}", known.join(", ")),
    };
    Err(Failure::new(Exit::Failed, codes::TASK_WITHOUT_STATE, what).help(help))
}

fn text(content: &Content, entries: &[Entry]) -> String {
    let mut columns = vec![("KEY", Align::Left)];
    if content.is_windowed {
        columns.push(("WINDOW END", Align::Left));
    }
    columns.extend([("VALUE", Align::Left), ("CHANGED", Align::Left), ("PARTITION", Align::Right)]);
    let mut table = Table::new(&columns);
    for entry in entries {
        let window = content.is_windowed.then_some(entry.window_end_ms);
        let window = window.map(|end| end.map(timestamp_text).unwrap_or_default());
        let rest = [value(&entry.value), timestamp_text(entry.changed_ms)];
        let cells = std::iter::once(shown(&entry.key)).chain(window).chain(rest);
        table.push(cells.chain([entry.partition.to_string()]));
    }
    table.text(CELL_WIDTH_MAX)
}

fn value(value: &Remembered) -> String {
    match value {
        Remembered::Count(count) => format!("count {count}"),
        Remembered::Mean { mean, count } => format!("average {mean} of {count}"),
    }
}

fn data(entry: &Entry) -> Value {
    let mut data = match std::str::from_utf8(&entry.key) {
        Ok(text) => json!({ "key": text }),
        Err(_) => json!({ "key_hex": shown(&entry.key) }),
    };
    match entry.value {
        Remembered::Count(count) => data["count"] = json!(count),
        Remembered::Mean { mean, count } => {
            data["average"] = json!(mean);
            data["count"] = json!(count);
        }
    }
    if let Some(end_ms) = entry.window_end_ms {
        data["window_end"] = json!(timestamp_text(end_ms));
    }
    data["changed"] = json!(timestamp_text(entry.changed_ms));
    data["partition"] = json!(entry.partition);
    data
}

/// The text, or hexadecimal digits of what is none.
fn shown(key: &[u8]) -> String {
    let hex = || {
        key.iter().fold(String::new(), |mut hex, byte| {
            write!(hex, "{byte:02x}").expect("writing into a text does not fail");
            hex
        })
    };
    std::str::from_utf8(key).map_or_else(|_| hex(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn get(key: &str, hex: bool) -> GetArgs {
        let cluster = ClusterArgs::default();
        let (pipeline, task) = ("p".to_owned(), "t".to_owned());
        GetArgs { whose: Whose { pipeline, task, json: false, cluster }, key: key.to_owned(), hex }
    }

    #[test]
    fn keys_are_text_or_hexadecimal() {
        assert_eq!(key(&get("0aff", false)).unwrap(), b"0aff");
        assert_eq!(key(&get("0aff", true)).unwrap(), [0x0a, 0xff]);
        assert!(key(&get("0af", true)).is_err() && key(&get("0ag0", true)).is_err());
        assert_eq!(shown(&[0x0a, 0xff]), "0aff");
    }
}
