//! `pipeline history`: who has run a pipeline, when, and what was different.

use clap::Args;
use pipeline::engine::history::{self, Deployment};
use serde_json::{Value, json};
use topology::spec::timestamp_text;

use crate::cli::Stage;
use crate::cluster::{ClusterArgs, World, executor};
use crate::command::run::engine_failed;
use crate::config::Settings;
use crate::message::{Exit, Failure, codes};

/// Options of `history`.
#[derive(Debug, Args)]
pub(super) struct HistoryArgs {
    /// The pipeline's name.
    #[arg(value_name = "NAME")]
    pipeline: String,
    /// Print JSON.
    #[arg(long)]
    pub(super) json: bool,
    #[command(flatten)]
    cluster: ClusterArgs,
}

impl HistoryArgs {
    /// Puts the flags over the other settings.
    pub(super) fn settle(&self, settings: &mut Settings) {
        self.cluster.settle(settings);
    }
}

/// Tells it, the newest last.
pub(super) fn run(args: &HistoryArgs, stage: &mut Stage) -> Result<Exit, Failure> {
    let deployments = executor()?.block_on(async {
        let client = World::new().connect(&stage.settings, false).await?;
        let read = history::read(&client, &args.pipeline).await;
        read.map_err(|error| engine_failed(&error, stage))
    })?;
    let Some(deployments) = deployments else {
        let what = format!("the log has nothing of a pipeline `{}`", args.pipeline);
        return Err(Failure::new(Exit::Failed, codes::NO_JOB, what)
            .help("`millstream pipeline list` shows those that there are"));
    };
    if args.json {
        let all: Vec<Value> = deployments.iter().map(data).collect();
        stage.line(&Value::Array(all).to_string())?;
        return Ok(Exit::Success);
    }
    for deployment in &deployments {
        stage.put(text(deployment).as_bytes())?;
    }
    Ok(Exit::Success)
}

fn workers(deployment: &Deployment) -> String {
    let many = |slots: u32| if slots == 1 { "slot" } else { "slots" };
    let all = deployment.workers.iter();
    let all = all.map(|(worker, slots)| format!("{worker} ({slots} {})", many(*slots)));
    all.collect::<Vec<_>>().join(", ")
}

fn text(deployment: &Deployment) -> String {
    let (at, by) = (timestamp_text(deployment.at_ms), &deployment.by);
    let mut text = format!("{at}  {}  pid {} on {}\n", workers(deployment), by.pid, by.host);
    for change in &deployment.changes {
        text.push_str(&format!("    {change}\n"));
    }
    text
}

fn data(deployment: &Deployment) -> Value {
    let worker = |(id, slots): &(String, u32)| json!({ "worker": id, "slots": slots });
    json!({ "at": timestamp_text(deployment.at_ms), "host": deployment.by.host,
        "pid": deployment.by.pid, "changes": deployment.changes,
        "workers": deployment.workers.iter().map(worker).collect::<Vec<_>>() })
}
