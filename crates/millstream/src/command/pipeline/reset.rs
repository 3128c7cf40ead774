//! `pipeline reset`: forgetting what a pipeline has done.

use std::io::{IsTerminal as _, stdin};
use std::path::PathBuf;

use clap::Args;
use pipeline::engine::reset::Reset;
use topology::plan::Plan;

use super::{FileArgs, rewind};
use crate::cli::Stage;
use crate::cluster::{World, executor};
use crate::command::run::{Log, claimant, engine_failed, open_log_for_itself};
use crate::config::Settings;
use crate::message::{Exit, Failure, failed};
use crate::pipeline_file;

/// Options of the action.
#[derive(Debug, Args)]
pub(super) struct ResetArgs {
    #[command(flatten)]
    file: FileArgs,
    /// Only the state of this task; its sources are not read again.
    #[arg(long, value_name = "ID")]
    task: Option<String>,
    /// Let a pipeline that does not run begin elsewhere in its sources: earliest, latest, an
    /// offset, or a time such as 2026-01-31T12:00:00Z or -1h. Its state goes. FILE may be a name.
    #[arg(long, value_name = "PLACE", conflicts_with = "task", allow_hyphen_values = true)]
    to: Option<String>,
    /// Do it; without this, and without an answer at the terminal, it is only told.
    #[arg(long, short)]
    yes: bool,
    /// Addresses of the cluster, or the word embedded [default: as the file says].
    #[arg(long, short, value_name = "HOST:PORT", aliases = ["bootstrap-server", "broker-list"])]
    brokers: Option<String>,
    /// Data folder of the log in this process [default: ./.millstream].
    #[arg(long, value_name = "DIR")]
    data: Option<String>,
}

impl ResetArgs {
    /// Puts the flags over the other settings.
    pub(super) fn settle(&self, settings: &mut Settings) {
        settings.flag("brokers", "--brokers", self.brokers.clone());
        settings.flag("data", "--data", self.data.clone());
    }

    /// Whether nobody has to be asked.
    pub(super) fn is_sure(&self) -> bool {
        self.yes
    }

    pub(super) fn files(&self) -> &[PathBuf] {
        &self.file.files
    }
}

/// Resets.
pub(super) fn run(args: &ResetArgs, stage: &mut Stage) -> Result<Exit, Failure> {
    if let Some(to) = &args.to {
        return rewind::run(args, to, stage);
    }
    let loaded = match pipeline_file::load(args.files(), stage) {
        Ok(loaded) => loaded,
        Err(told) => return told,
    };
    let plan = Plan::of(&loaded.spec);
    executor()?.block_on(async {
        let world = World::new();
        let log = open_log_for_itself(&loaded.spec, &stage.settings, &world).await?;
        let done = reset(args, &plan, (&log, &world), stage).await;
        log.close().await?;
        done
    })
}

async fn reset(
    args: &ResetArgs,
    plan: &Plan,
    (log, world): (&Log, &World),
    stage: &mut Stage,
) -> Result<Exit, Failure> {
    let looked = Reset::look(&log.client, plan, args.task.as_deref()).await;
    let reset = looked.map_err(|error| engine_failed(&error, stage))?;
    if reset.is_empty() {
        stage.note("there is nothing to forget");
        return Ok(Exit::Success);
    }
    stage.put(told(&reset).as_bytes())?;
    stage.flush()?;
    if !args.yes && !is_confirmed()? {
        stage.note("nothing was changed; --yes does it");
        return Ok(Exit::Success);
    }
    let done = reset.perform(&log.client, plan, &claimant(world)).await;
    done.map_err(|error| engine_failed(&error, stage))?;
    stage.note("done");
    Ok(Exit::Success)
}

/// What will go, what stays, and whom it hits.
pub(super) fn told(reset: &Reset) -> String {
    let mut text = String::new();
    let mut list = |title: &str, names: &[String]| {
        for name in names {
            text.push_str(&format!("{title}  {name}\n"));
        }
    };
    list("delete topic          ", &reset.topics);
    list("forget positions of   ", &reset.groups);
    list("gets results again    ", &reset.repeated);
    if reset.is_known && reset.topics.is_empty() {
        text.push_str("forget state that is gone already\n");
    }
    if let Some(last) = &reset.last {
        text.push_str(&format!("fences, if it runs      {last}\n"));
    }
    text
}

/// A script has to say --yes; nobody can be asked there.
pub(super) fn is_confirmed() -> Result<bool, Failure> {
    if !stdin().is_terminal() {
        return Ok(false);
    }
    eprint!("do it? [y/N] ");
    let mut answer = String::new();
    stdin().read_line(&mut answer).map_err(|error| failed::machine(&error))?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}
