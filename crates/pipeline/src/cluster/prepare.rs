//! From a pipeline's files to a job: what can be said before anything runs.

use std::collections::BTreeMap;
use std::fmt;

use client::Client;
use coordination::catalogue::{FORMAT, Goal, Job};
use topology::diagnose::{Look, Paint, Sources, render};
use topology::lint;
use topology::plan::{Change, Outline, Plan, Stage, compare};
use topology::spec::{Delivery, Form, Spec};

use crate::engine::EngineError;
use crate::engine::ledger::Ledger;
use crate::engine::topics::{self, tasks_of};

/// Why files are no job.
#[derive(Debug)]
pub enum PrepareError {
    /// They cannot be read here as they were read there.
    File {
        /// What is wrong, as lines.
        told: String,
    },
    /// They need what task managers do not do.
    Unsupported {
        /// What.
        what: String,
    },
    /// The log or the stored state does not fit.
    Engine(EngineError),
}

impl fmt::Display for PrepareError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { told } => f.write_str(told),
            Self::Unsupported { what } => write!(f, "task managers do not run {what}"),
            Self::Engine(error) => write!(f, "{error}"),
        }
    }
}

impl std::error::Error for PrepareError {}

/// A pipeline's files, as they are understood here.
fn spec(
    files: &[(String, String)],
    variables: &BTreeMap<String, String>,
) -> Result<Spec, PrepareError> {
    let mut sources = Sources::new();
    for (name, text) in files {
        sources.add(name, text);
    }
    let loaded = lint::load(&sources, &|name| variables.get(name).cloned());
    let loaded = loaded.map_err(|diagnostics| PrepareError::File {
        told: render(&diagnostics, &sources, Look::Plain, Paint::Off),
    })?;
    Ok(loaded.spec)
}

/// What differs between the files of a job and those that replace them, and whose state goes on.
pub(super) fn difference(before: &Job, prepared: &Prepared) -> Vec<String> {
    let after = &prepared.job;
    let mut told =
        match (spec(&before.files, &before.variables), spec(&after.files, &after.variables)) {
            (Ok(before), Ok(after)) => topology::spec::difference(&before, &after),
            // What an older version has taken need not be understood any more.
            _ => Vec::new(),
        };
    told.extend(prepared.changes.iter().map(ToString::to_string));
    if told.is_empty() {
        told.push("it means the same as the file before".to_owned());
    }
    if !prepared.kept.is_empty() {
        told.push(format!("the state of {} goes on", prepared.kept.join(", ")));
    }
    told
}

/// The plan of a pipeline's files.
///
/// # Errors
/// [`PrepareError::File`], [`PrepareError::Unsupported`].
pub fn read(
    files: &[(String, String)],
    variables: &BTreeMap<String, String>,
) -> Result<Plan, PrepareError> {
    let plan = Plan::of(&spec(files, variables)?);
    if let Some(gateway) = plan.gateways.first() {
        let what =
            format!("gateways such as `{}`: let `millstream run` feed a topic", gateway.name);
        return Err(PrepareError::Unsupported { what });
    }
    if let Some(table) = plan.tables.first() {
        let what =
            format!("tables such as `{}`: they write into a file of one machine", table.sink);
        return Err(PrepareError::Unsupported { what });
    }
    Ok(plan)
}

/// A job as it is before it is applied, and what changes against what ran before.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) job: Job,
    pub(crate) changes: Vec<Change>,
    /// Tasks whose state is gone on with.
    pub(crate) kept: Vec<String>,
}

/// Makes the topics of a plan, unless it is dry, and checks that stored state fits.
///
/// # Errors
/// [`PrepareError::Engine`].
pub(crate) async fn admit(
    client: &Client,
    plan: &Plan,
    (claim, applied_ms): (u64, i64),
    is_dry: bool,
) -> Result<Prepared, PrepareError> {
    let admitted = async {
        let counts = if is_dry {
            topics::existing(client, plan).await?
        } else {
            topics::prepare(client, plan).await?
        };
        let ledger = if counts.contains_key(&plan.plan_topic) {
            Ledger::read(client, &plan.plan_topic).await?
        } else {
            Ledger::default()
        };
        ledger.check(plan)?;
        Ok::<_, EngineError>((counts, ledger))
    };
    let (counts, ledger) = admitted.await.map_err(PrepareError::Engine)?;
    let before = ledger.newest.and_then(|claim| Outline::parse(&claim.outline).ok());
    let after = Outline::of(plan);
    let before = before.unwrap_or_default();
    let changes = if before == Outline::default() { Vec::new() } else { compare(&before, &after) };
    let kept = after.stores.into_keys().filter(|task| before.stores.contains_key(task)).collect();
    let stages: Vec<i32> =
        (0..plan.stages.len()).map(|stage| tasks_of(plan, stage, &counts)).collect();
    let job = Job {
        format: FORMAT,
        name: plan.pipeline.clone(),
        revision: 0,
        run: 0,
        goal: Goal::Running,
        claim,
        applied_ms,
        files: Vec::new(),
        variables: BTreeMap::new(),
        topics: counts,
        slots: slots_of(plan, &stages),
        stages,
        is_transactional: plan.delivery == Delivery::ExactlyOnce,
        note: None,
        standby: standby_of(plan),
    };
    Ok(Prepared { job, changes, kept })
}

/// The copies that a job wants of the state of each stage's tasks; nothing where it wants none.
fn standby_of(plan: &Plan) -> Vec<u32> {
    let copies = |stage: &Stage| if stage.stores.is_empty() { 0 } else { plan.state.standby };
    let of: Vec<u32> = plan.stages.iter().map(copies).collect();
    if of.iter().all(|copies| *copies == 0) { Vec::new() } else { of }
}

/// The slots that a job wants.
fn slots_of(plan: &Plan, stages: &[i32]) -> u32 {
    match plan.form {
        // Each instance of a processor has a thread of its own, as long as there are free ones.
        Form::Legacy => stages.iter().map(|count| u32::try_from(*count).unwrap_or(0)).sum(),
        Form::Full => plan.slots.saturating_mul(plan.task_managers),
    }
    .max(1)
}
