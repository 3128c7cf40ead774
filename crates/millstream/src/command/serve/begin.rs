//! A pipeline that a job manager is given at its start: it calls the task managers, waits until
//! those that the configuration names have answered, and asks whoever leads to run it.

use std::path::PathBuf;
use std::time::Duration;

use base::rng::{Random as _, SystemRandom};
use client::Client;
use coordination::CoordinationError;
use coordination::ask::ask;
use coordination::catalogue::Goal;
use coordination::muster::{call, muster};
use coordination::node::Node;
use coordination::reader::catalogue;
use coordination::request::{Ask, Reply};

use super::coordination_failed;
use crate::cli::Stage;
use crate::cluster::World;
use crate::command::pipeline::refused;
use crate::message::{Exit, Failure};
use crate::pipeline_file::{self, ToApply};

/// Reads the pipeline: the files, the configuration of --config beside them, or the list in it.
/// There is none without files and without a list.
///
/// # Errors
/// As `pipeline_file::load`.
pub(super) fn read(
    files: &[PathBuf],
    stage: &mut Stage,
) -> Result<Option<ToApply>, Result<Exit, Failure>> {
    let inside = pipeline_file::configuration(stage)?.is_some_and(|spec| !spec.tasks.is_empty());
    if files.is_empty() && !inside {
        return Ok(None);
    }
    pipeline_file::to_apply(files, stage).map(Some)
}

/// Lets the pipeline run, and then has nothing more to do: it returns with what went wrong only.
pub(super) async fn begin(
    given: Option<ToApply>,
    (client, world, node): (&Client, &World, &Node),
    patience: Duration,
    stage: &mut Stage,
) -> Failure {
    if let Some(given) = given {
        let begun = hand_in(given, (client, world, node), patience, stage).await;
        if let Err(failure) = begun {
            return failure;
        }
    }
    std::future::pending().await
}

async fn hand_in(
    given: ToApply,
    (client, world, node): (&Client, &World, &Node),
    patience: Duration,
    stage: &mut Stage,
) -> Result<(), Failure> {
    let told = |error: CoordinationError, stage: &Stage| coordination_failed(&error, stage);
    let name = given.spec.name.value.clone();
    let known = catalogue(client).await.map_err(|error| told(error, stage))?;
    let texts = |files: &[(String, String)]| -> Vec<String> {
        files.iter().map(|(_, text)| text.clone()).collect()
    };
    let runs = known.jobs.get(&name).is_some_and(|job| {
        job.goal == Goal::Running
            && texts(&job.files) == texts(&given.files)
            && job.variables == given.variables
    });
    if runs {
        // A job manager that comes back, or a further one: the task managers work on.
        call(client, &node.id, &*world.clock).await.map_err(|error| told(error, stage))?;
        return stage.line(&format!("  {name} runs already, and goes on"));
    }
    let wanted = given.spec.runtime.task_managers;
    stage.line(&format!("  sos: {name} waits for {wanted} task managers"))?;
    let mustered = muster(client, (&node.id, wanted), patience, &*world.clock).await;
    let mustered = mustered.map_err(|error| told(error, stage))?;
    for (id, free) in mustered.present() {
        stage.line(&format!("  {id} answers: {free} free threads"))?;
    }
    let what = Ask::Apply { files: given.files, variables: given.variables, is_dry: false };
    let asked = ask(client, what, SystemRandom.next_u64(), &*world.clock).await;
    match asked.map_err(|error| told(error, stage))? {
        Reply::Done { notes } => {
            for note in &notes {
                stage.line(&format!("  {note}"))?;
            }
            Ok(())
        }
        Reply::Refused { kind, reason, facts } => Err(refused(kind, reason, facts)),
    }
}
