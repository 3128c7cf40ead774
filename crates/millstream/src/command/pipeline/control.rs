//! `pipeline apply`, `pause`, `resume`, `stop`, `restart`, `scale`: what is asked of the job
//! manager.

use std::path::PathBuf;

use base::rng::{Random as _, SystemRandom};
use clap::Args;
use coordination::ask::ask;
use coordination::request::{Ask, Kind, Reply};

use super::FileArgs;
use crate::cli::Stage;
use crate::cluster::{ClusterArgs, World, executor};
use crate::command::serve::coordination_failed;
use crate::config::Settings;
use crate::message::{Exit, Failure, codes};
use crate::pipeline_file::{self, ToApply};

/// Options of `apply`.
#[derive(Debug, Args)]
pub(super) struct ApplyArgs {
    #[command(flatten)]
    file: FileArgs,
    /// Say what would be done, and do nothing.
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    cluster: ClusterArgs,
}

/// Options of what is done to a pipeline that was applied.
#[derive(Debug, Args)]
pub(super) struct JobArgs {
    /// The pipeline's name.
    #[arg(value_name = "PIPELINE")]
    job: String,
    #[command(flatten)]
    cluster: ClusterArgs,
}

/// Options of `scale`.
#[derive(Debug, Args)]
pub(super) struct ScaleArgs {
    #[command(flatten)]
    job: JobArgs,
    /// Slots that the pipeline shall run on, at least 1; more than it has tasks give nothing.
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..))]
    slots: u32,
}

impl ScaleArgs {
    /// Puts the flags over the other settings.
    pub(super) fn settle(&self, settings: &mut Settings) {
        self.job.settle(settings);
    }

    pub(super) fn ask(&self) -> Ask {
        Ask::Scale { job: self.job.job(), slots: self.slots }
    }
}

impl ApplyArgs {
    /// Puts the flags over the other settings.
    pub(super) fn settle(&self, settings: &mut Settings) {
        self.cluster.settle(settings);
    }

    pub(super) fn files(&self) -> &[PathBuf] {
        &self.file.files
    }
}

impl JobArgs {
    /// Puts the flags over the other settings.
    pub(super) fn settle(&self, settings: &mut Settings) {
        self.cluster.settle(settings);
    }

    pub(super) fn job(&self) -> String {
        self.job.clone()
    }
}

/// Applies a file.
pub(super) fn apply(args: &ApplyArgs, stage: &mut Stage) -> Result<Exit, Failure> {
    let ToApply { files, variables, .. } = match pipeline_file::to_apply(args.files(), stage) {
        Ok(read) => read,
        Err(told) => return told,
    };
    put(Ask::Apply { files, variables, is_dry: args.dry_run }, stage)
}

/// Asks the job manager that leads, and tells its answer.
pub(super) fn put(what: Ask, stage: &mut Stage) -> Result<Exit, Failure> {
    executor()?.block_on(async {
        let world = World::new();
        let client = world.connect(&stage.settings, false).await?;
        let asked = ask(&client, what, SystemRandom.next_u64(), &*world.clock).await;
        let reply = asked.map_err(|error| coordination_failed(&error, stage))?;
        match reply {
            Reply::Done { notes } => {
                for note in &notes {
                    stage.line(note)?;
                }
                if notes.is_empty() {
                    stage.note("done");
                }
                Ok(Exit::Success)
            }
            Reply::Refused { kind, reason, facts } => Err(refused(kind, reason, facts)),
        }
    })
}

/// What a person is told of a request that was refused.
pub(crate) fn refused(kind: Kind, reason: String, facts: Vec<String>) -> Failure {
    let (code, help) = match kind {
        Kind::NoJob => (codes::NO_JOB, "`millstream pipeline list` shows those that there are"),
        Kind::Already => (codes::NOTHING_TO_DO, "`millstream pipeline status` shows how it is"),
        Kind::File => (codes::PIPELINE_FILE, "let all nodes run one version of the program"),
        Kind::PlanChanged => (
            codes::PLAN_CHANGED,
            "drop the state of a task with `millstream pipeline reset FILE --task ID`",
        ),
        Kind::TopicUnfit => {
            (codes::TOPIC_UNFIT, "see what there is with `millstream topic describe TOPIC`")
        }
        Kind::TopicLost => (
            codes::TOPIC_LOST,
            "begin anew with `millstream pipeline reset FILE`, or bring the topic back",
        ),
        Kind::Unsupported => {
            (codes::NOT_ON_TASK_MANAGERS, "`millstream run FILE -b HOST:PORT` runs it as it is")
        }
        Kind::Shared => (
            codes::ARC_SHARED,
            "give its processors other ids; a file that was renamed goes on under `name:`",
        ),
        Kind::TooMany => (codes::NO_JOB, "apply it to another cluster"),
        Kind::Log => (codes::REFUSED, "see what the job manager's log says"),
    };
    let failure = Failure::new(Exit::Failed, code, reason).help(help);
    facts.into_iter().fold(failure, Failure::fact)
}
