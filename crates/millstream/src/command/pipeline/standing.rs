//! `pipeline list` and `pipeline status`: how pipelines stand, from the topics alone.

use std::collections::BTreeMap;

use clap::Args;
use coordination::beat::{Beat, Phase, Run};
use coordination::catalogue::{Catalogue, Goal, Grant, Job};
use coordination::reader;
use coordination::topics;

use crate::cli::Stage;
use crate::cluster::{ClusterArgs, World, executor};
use crate::command::serve::coordination_failed;
use crate::config::Settings;
use crate::message::{Exit, Failure, codes};
use crate::render::table::{Align, Table};

/// Age of a beat after which its node no longer shows, in milliseconds.
const BEAT_AGE_MS_MAX: i64 = 4_000;

const CELL_WIDTH_MAX: usize = 200;

/// Options of `list` and `status`.
#[derive(Debug, Args)]
pub(super) struct StandingArgs {
    /// Only this pipeline.
    #[arg(value_name = "PIPELINE")]
    job: Option<String>,
    /// Print JSON.
    #[arg(long)]
    pub(super) json: bool,
    #[command(flatten)]
    cluster: ClusterArgs,
}

impl StandingArgs {
    /// Puts the flags over the other settings.
    pub(super) fn settle(&self, settings: &mut Settings) {
        self.cluster.settle(settings);
    }
}

/// What is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope {
    /// A line for each pipeline.
    Pipelines,
    /// A line for each slot.
    Slots,
}

/// What the topics say.
struct Standing {
    catalogue: Catalogue,
    beats: BTreeMap<String, Beat>,
    /// How far the log's clock is ahead of ours.
    apart_ms: Option<i64>,
}

/// Shows it.
pub(super) fn show(args: &StandingArgs, scope: Scope, stage: &mut Stage) -> Result<Exit, Failure> {
    let standing = executor()?.block_on(async {
        let world = World::new();
        let client = world.connect(&stage.settings, false).await?;
        let read = async {
            topics::prepare(&client).await?;
            let catalogue = reader::catalogue(&client).await?;
            let present = reader::present(&client, &*world.clock, BEAT_AGE_MS_MAX).await?;
            Ok(Standing { catalogue, beats: present.beats, apart_ms: present.apart_ms })
        };
        read.await.map_err(|error| coordination_failed(&error, stage))
    })?;
    for warning in standing.clocks() {
        stage.note(&format!("warning[{}]: {warning}", codes::CLOCKS_APART));
    }
    let jobs: Vec<&Job> = standing
        .catalogue
        .jobs
        .values()
        .filter(|job| args.job.as_ref().is_none_or(|name| *name == job.name))
        .collect();
    if let (Some(name), true) = (&args.job, jobs.is_empty()) {
        let what = format!("there is no pipeline `{name}`");
        return Err(Failure::new(Exit::Failed, codes::NO_JOB, what)
            .help("`millstream pipeline list` shows those that there are"));
    }
    if args.json {
        let shown: Vec<_> = jobs.iter().map(|job| standing.json(job)).collect();
        stage.line(&serde_json::Value::Array(shown).to_string())?;
        return Ok(Exit::Success);
    }
    if jobs.is_empty() {
        stage.note("no pipelines yet; run one: millstream pipeline apply FILE");
        return Ok(Exit::Success);
    }
    let text = match scope {
        Scope::Pipelines => standing.pipelines(&jobs),
        Scope::Slots => standing.slots(&jobs),
    };
    stage.put(text.as_bytes())?;
    Ok(Exit::Success)
}

impl Standing {
    /// What is to be told of clocks, a line each.
    fn clocks(&self) -> Vec<String> {
        let told = |whose: String, apart_ms: i64| {
            let word = if apart_ms > 0 { "ahead of" } else { "behind" };
            let seconds = apart_ms.unsigned_abs() / 1_000;
            format!("the clock of {whose} is {seconds} s {word} the log's; set it, best with NTP")
        };
        let ours = self.apart_ms.map(|apart_ms| told("this machine".to_owned(), -apart_ms));
        let of_node = |beat: &Beat| {
            let apart_ms = beat.apart_ms()?;
            Some(told(format!("{} on {}", beat.node, beat.host), apart_ms))
        };
        ours.into_iter().chain(self.beats.values().filter_map(of_node)).collect()
    }

    fn grants(&self, job: &Job) -> &[Grant] {
        let assigned = self.catalogue.assignments.get(&job.name);
        let current = assigned.filter(|it| it.run == job.run && job.goal == Goal::Running);
        current.map_or(&[], |assigned| assigned.grants.as_slice())
    }

    fn run(&self, job: &Job, grant: &Grant) -> Option<&Run> {
        let beat = self.beats.get(&grant.worker).filter(|beat| beat.nonce == grant.nonce)?;
        beat.run(&job.name, grant.slot, grant.since)
    }

    /// In a word how a pipeline is.
    fn state(&self, job: &Job) -> &'static str {
        let grants = self.grants(job);
        let runs =
            |grant: &Grant| self.run(job, grant).is_some_and(|run| run.phase == Phase::Running);
        match job.goal {
            Goal::Paused => "paused",
            Goal::Stopped => "stopped",
            Goal::Failed => "failed",
            Goal::Running if grants.is_empty() => "waiting",
            Goal::Running if grants.iter().all(runs) => "running",
            Goal::Running => "starting",
        }
    }

    fn sums(&self, job: &Job) -> (u64, i64) {
        let runs = self.grants(job).iter().filter_map(|grant| self.run(job, grant));
        runs.fold((0, 0), |(records, lag), run| (records + run.records_in, lag + run.lag))
    }

    fn pipelines(&self, jobs: &[&Job]) -> String {
        let mut table = Table::new(&[
            ("PIPELINE", Align::Left),
            ("STATE", Align::Left),
            ("SLOTS", Align::Right),
            ("TASKS", Align::Right),
            ("IN", Align::Right),
            ("LAG", Align::Right),
            ("NOTE", Align::Left),
        ]);
        for job in jobs {
            let (records, lag) = self.sums(job);
            table.push([
                job.name.clone(),
                self.state(job).to_owned(),
                format!("{}/{}", self.grants(job).len(), job.slots),
                job.tasks().count().to_string(),
                records.to_string(),
                lag.to_string(),
                job.note.clone().unwrap_or_default(),
            ]);
        }
        table.text(CELL_WIDTH_MAX)
    }

    fn slots(&self, jobs: &[&Job]) -> String {
        let mut table = Table::new(&[
            ("PIPELINE", Align::Left),
            ("TASK MANAGER", Align::Left),
            ("HOST", Align::Left),
            ("SLOT", Align::Right),
            ("STATE", Align::Left),
            ("TASKS", Align::Right),
            ("IN", Align::Right),
            ("LAG", Align::Right),
        ]);
        for job in jobs {
            for grant in self.grants(job) {
                let run = self.run(job, grant);
                let host = self.beats.get(&grant.worker).map(|beat| beat.host.clone());
                let number = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
                table.push([
                    job.name.clone(),
                    grant.worker.clone(),
                    number(host),
                    grant.slot.to_string(),
                    word(run).to_owned(),
                    grant.tasks.len().to_string(),
                    number(run.map(|run| run.records_in.to_string())),
                    number(run.map(|run| run.lag.to_string())),
                ]);
            }
        }
        let mut text = String::new();
        for job in jobs {
            let note = job.note.as_ref().map(|note| format!(": {note}")).unwrap_or_default();
            text.push_str(&format!("{}  {}{note}\n", job.name, self.state(job)));
        }
        if let Some(leader) = &self.catalogue.leader {
            let (node, host, pid) = (&leader.node, &leader.host, leader.pid);
            text.push_str(&format!(
                "led by  {node} (pid {pid} on {host}), epoch {}\n",
                leader.epoch
            ));
        }
        format!("{text}\n{}", table.text(CELL_WIDTH_MAX))
    }

    fn json(&self, job: &Job) -> serde_json::Value {
        let (records, lag) = self.sums(job);
        let slot = |grant: &Grant| {
            let run = self.run(job, grant);
            serde_json::json!({ "task_manager": grant.worker, "slot": grant.slot,
                "state": word(run), "since": grant.since, "tasks": grant.tasks,
                "records_in": run.map(|run| run.records_in), "lag": run.map(|run| run.lag) })
        };
        serde_json::json!({ "pipeline": job.name, "state": self.state(job), "note": job.note,
            "slots_wanted": job.slots, "records_in": records, "lag": lag,
            "slots": self.grants(job).iter().map(slot).collect::<Vec<_>>() })
    }
}

fn word(run: Option<&Run>) -> &'static str {
    match run.map(|run| &run.phase) {
        None => "not heard",
        Some(Phase::Starting) => "starting",
        Some(Phase::Running) => "running",
        Some(Phase::Ended { .. }) => "ended",
        Some(Phase::Failed { .. }) => "failed",
    }
}
