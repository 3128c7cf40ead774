//! `pipeline list` and `pipeline status`: how pipelines stand, from the topics alone.
//!
//! Beats tell of what runs; of what does not, or runs in the foreground somewhere, positions and
//! inputs tell how far it is.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use clap::Args;
use client::Client;
use coordination::beat::{Beat, Phase, Run};
use coordination::catalogue::{Assignment, Catalogue, Goal, Grant, Job, Standby};
use coordination::reader;
use coordination::topics;
use pipeline::engine::standing::{self, Standing as InLog};

use super::figures::{self, Figures};
use crate::cli::Stage;
use crate::cluster::{ClusterArgs, World, executor};
use crate::command::run::engine_failed;
use crate::command::serve::coordination_failed;
use crate::config::Settings;
use crate::message::{Exit, Failure, codes, failed};
use crate::render::table::{Align, Table};

/// Age of a beat after which its node no longer shows, in milliseconds.
const BEAT_AGE_MS_MAX: i64 = 4_000;

const CELL_WIDTH_MAX: usize = 200;

/// Pipelines that nobody tells of and that are looked up in the log when none is named; each costs
/// some requests.
const LOOKED_UP_MAX: usize = 20;

/// The state of a pipeline that the cluster was never told of.
const UNAPPLIED: &str = "not applied";

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
    now_ms: i64,
    catalogue: Catalogue,
    beats: BTreeMap<String, Beat>,
    /// How far the log's clock is ahead of ours.
    apart_ms: Option<i64>,
    /// Pipelines of which the log alone tells.
    in_log: BTreeMap<String, InLog>,
    /// Pipelines that were never applied to the cluster.
    unapplied: BTreeSet<String>,
}

/// Shows it.
pub(super) fn show(args: &StandingArgs, scope: Scope, stage: &mut Stage) -> Result<Exit, Failure> {
    let standing = executor()?.block_on(async {
        let world = World::new();
        let client = world.connect(&stage.settings, false).await?;
        let now_ms = world.clock.unix_ms();
        let read = async {
            topics::prepare(&client).await?;
            let catalogue = reader::catalogue(&client).await?;
            let present = reader::present(&client, &*world.clock, BEAT_AGE_MS_MAX).await?;
            let (beats, apart_ms) = (present.beats, present.apart_ms);
            let (in_log, unapplied) = (BTreeMap::new(), BTreeSet::new());
            Ok(Standing { now_ms, catalogue, beats, apart_ms, in_log, unapplied })
        };
        let mut standing: Standing =
            read.await.map_err(|error| coordination_failed(&error, stage))?;
        standing.look(&client, args.job.as_deref(), scope, stage).await?;
        Ok(standing)
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
    let is_empty = jobs.is_empty() && standing.unapplied.is_empty();
    if let (Some(name), true) = (&args.job, is_empty) {
        let what = format!("there is no pipeline `{name}`");
        return Err(Failure::new(Exit::Failed, codes::NO_JOB, what)
            .help("`millstream pipeline list` shows those that there are"));
    }
    if args.json {
        let shown = jobs.iter().map(|job| standing.json(job));
        let unapplied = standing.unapplied.iter().map(|name| standing.unapplied_json(name));
        let shown: Vec<_> = shown.chain(unapplied).collect();
        stage.line(&serde_json::Value::Array(shown).to_string())?;
        return Ok(Exit::Success);
    }
    if is_empty {
        stage.note("no pipelines yet; run one: millstream pipeline apply FILE");
        return Ok(Exit::Success);
    }
    let text = match scope {
        Scope::Pipelines => standing.pipelines(&jobs),
        Scope::Slots => standing.status(&jobs),
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

    /// Asks the log for what nobody tells.
    async fn look(
        &mut self,
        client: &Client,
        name: Option<&str>,
        scope: Scope,
        stage: &Stage,
    ) -> Result<(), Failure> {
        let is_asked = |it: &str| name.is_none_or(|name| name == it);
        let known = standing::pipelines(client).await;
        let known = known.map_err(|error| failed::client(&error, &stage.settings))?;
        let jobs = &self.catalogue.jobs;
        let unapplied = known.into_iter().filter(|it| is_asked(it) && !jobs.contains_key(it));
        self.unapplied = unapplied.collect();
        if scope == Scope::Pipelines {
            return Ok(());
        }
        let silent = jobs.values().filter(|job| is_asked(&job.name));
        let silent = silent.filter(|job| self.figures(job).is_empty()).map(|job| job.name.clone());
        let silent: Vec<String> = silent.chain(self.unapplied.iter().cloned()).collect();
        for name in silent.into_iter().take(LOOKED_UP_MAX) {
            let looked = standing::look(client, &name).await;
            if let Some(found) = looked.map_err(|error| engine_failed(&error, stage))? {
                self.in_log.insert(name, found);
            }
        }
        Ok(())
    }

    fn figures(&self, job: &Job) -> Figures {
        let runs = self.grants(job).iter().filter_map(|grant| self.run(job, grant));
        Figures::of(runs.filter_map(|run| run.seen.as_ref()))
    }

    /// What is known, in three tables: slots, tasks, and what the log alone tells.
    fn status(&self, jobs: &[&Job]) -> String {
        let mut text = self.heads(jobs);
        let is_granted = |job: &&Job| !self.grants(job).is_empty();
        if jobs.iter().any(is_granted) {
            text.push_str(&format!("\n{}", self.slots(jobs)));
        }
        let mut tasks = figures::columns();
        let shown: Vec<(&str, Figures)> =
            jobs.iter().map(|job| (job.name.as_str(), self.figures(job))).collect();
        shown.iter().for_each(|(name, figures)| figures.table(name, &mut tasks));
        if shown.iter().any(|(_, figures)| !figures.is_empty()) {
            text.push_str(&format!("\n{}", tasks.text(CELL_WIDTH_MAX)));
        }
        let mut stages = figures::stage_columns();
        self.in_log.values().for_each(|it| figures::stages(it, self.now_ms, &mut stages));
        if !self.in_log.is_empty() {
            text.push_str(&format!("\n{}", stages.text(CELL_WIDTH_MAX)));
        }
        text
    }

    /// A line or two for each pipeline.
    fn heads(&self, jobs: &[&Job]) -> String {
        let mut text = String::new();
        for job in jobs {
            let note = job.note.as_ref().map(|note| format!(": {note}")).unwrap_or_default();
            text.push_str(&format!("{}  {}{note}\n", job.name, self.state(job)));
            let figures = self.figures(job);
            if !figures.is_empty() {
                text.push_str(&figures.line(self.now_ms));
            }
            let told: Vec<String> = self.copies(job).iter().map(ToString::to_string).collect();
            if !told.is_empty() {
                text.push_str(&format!("  copies of state: {}\n", told.join(", ")));
            }
        }
        for name in &self.unapplied {
            let last = self.in_log.get(name).map(|it| format!(": last run by {}", it.last));
            text.push_str(&format!("{name}  {UNAPPLIED}{}\n", last.unwrap_or_default()));
        }
        if let Some(leader) = &self.catalogue.leader {
            let (node, host, pid) = (&leader.node, &leader.host, leader.pid);
            text.push_str(&format!(
                "led by  {node} (pid {pid} on {host}), epoch {}\n",
                leader.epoch
            ));
        }
        text
    }

    fn unapplied_json(&self, name: &str) -> serde_json::Value {
        let in_log = self.in_log.get(name).map(|it| figures::stages_json(it, self.now_ms));
        serde_json::json!({ "pipeline": name, "state": UNAPPLIED, "in_log": in_log })
    }

    fn assigned(&self, job: &Job) -> Option<&Assignment> {
        let assigned = self.catalogue.assignments.get(&job.name);
        assigned.filter(|it| it.run == job.run && job.goal == Goal::Running)
    }

    fn grants(&self, job: &Job) -> &[Grant] {
        self.assigned(job).map_or(&[], |assigned| assigned.grants.as_slice())
    }

    /// Who copies the state of others' tasks.
    fn copies(&self, job: &Job) -> Vec<Copies<'_>> {
        let assigned = self.assigned(job).map_or(&[][..], |it| it.standby.as_slice());
        let copies = |standby: &'_ Standby| {
            let beat = self.beats.get(&standby.worker);
            let told = beat.into_iter().flat_map(|beat| &beat.copies);
            let told = told.filter(|it| it.job == job.name).flat_map(|it| &it.tasks);
            told.filter(|task| standby.tasks.contains(task)).count()
        };
        let of = assigned.iter().map(|standby| Copies {
            worker: &standby.worker,
            tasks: standby.tasks.len(),
            up_to_date: copies(standby),
        });
        of.collect()
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
        for name in &self.unapplied {
            let none = || "-".to_owned();
            let note = "it was run by `millstream run`".to_owned();
            let state = UNAPPLIED.to_owned();
            table.push([name.clone(), state, none(), none(), none(), none(), note]);
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
        table.text(CELL_WIDTH_MAX)
    }

    fn json(&self, job: &Job) -> serde_json::Value {
        let (records, lag) = self.sums(job);
        let slot = |grant: &Grant| {
            let run = self.run(job, grant);
            serde_json::json!({ "task_manager": grant.worker, "slot": grant.slot,
                "state": word(run), "since": grant.since, "tasks": grant.tasks,
                "records_in": run.map(|run| run.records_in), "lag": run.map(|run| run.lag) })
        };
        let mut shown = serde_json::json!({ "pipeline": job.name, "state": self.state(job),
            "note": job.note, "slots_wanted": job.slots, "records_in": records, "lag": lag,
            "slots": self.grants(job).iter().map(slot).collect::<Vec<_>>() });
        let copies = self.copies(job);
        if !copies.is_empty() {
            shown["copies"] = copies.iter().map(Copies::json).collect();
        }
        let figures = self.figures(job);
        if let (false, serde_json::Value::Object(more)) =
            (figures.is_empty(), figures.json(self.now_ms))
        {
            shown.as_object_mut().expect("it was made as an object").extend(more);
        }
        if let Some(in_log) = self.in_log.get(&job.name) {
            shown["in_log"] = figures::stages_json(in_log, self.now_ms);
        }
        shown
    }
}

/// The copies of a pipeline's state at a task manager.
struct Copies<'s> {
    worker: &'s str,
    tasks: usize,
    /// Those that lack the last records at most.
    up_to_date: usize,
}

impl fmt::Display for Copies<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { worker, tasks, up_to_date } = self;
        write!(f, "{up_to_date} of {tasks} up to date at {worker}")
    }
}

impl Copies<'_> {
    fn json(&self) -> serde_json::Value {
        serde_json::json!({ "task_manager": self.worker, "tasks": self.tasks,
            "up_to_date": self.up_to_date })
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
