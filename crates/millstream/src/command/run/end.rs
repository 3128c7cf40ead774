//! How a run ended, as a person is told.

use pipeline::engine::{EngineError, PipelineView};

use super::progress::Progress;
use super::{Handle, Outcome};
use crate::cli::Stage;
use crate::message::{Exit, Failure, codes, failed};
use crate::render::plain;

/// The outcome of an engine that has ended.
pub(super) fn outcome(
    result: Result<PipelineView, EngineError>,
    handle: &Handle,
    was_stopped: bool,
    stage: &Stage,
) -> Outcome {
    match result {
        Ok(_) if was_stopped => Outcome::Stopped(handle.view()),
        Ok(view) => Outcome::Done(view),
        Err(error) => Outcome::Failed(failure(&error, stage)),
    }
}

/// Tells the end and gives the exit.
pub(super) fn told(
    outcome: Outcome,
    progress: &Progress,
    stage: &mut Stage,
) -> Result<Exit, Failure> {
    let (view, word) = match outcome {
        Outcome::Done(view) => (view, "done"),
        Outcome::Stopped(view) => (view, "stopped"),
        Outcome::Failed(failure) => return Err(failure),
        Outcome::Abandoned => return Ok(Exit::Interrupted),
    };
    stage.put(plain::summary(&progress.summary(&view, word)).as_bytes())?;
    stage.flush()?;
    Ok(Exit::Success)
}

/// What a person is told of an engine that could not go on.
pub(crate) fn failure(error: &EngineError, stage: &Stage) -> Failure {
    let what = error.to_string();
    match error {
        EngineError::Client(error) | EngineError::OutOfRange(error) => {
            failed::client(error, &stage.settings)
        }
        EngineError::Record(record) => record_failed(record),
        EngineError::Fenced { .. } => Failure::new(Exit::TryAgain, codes::FENCED, what)
            .help("look at the other one; only one process runs a pipeline"),
        EngineError::PlanChanged(changes) => {
            let mut failure = Failure::new(
                Exit::Failed,
                codes::PLAN_CHANGED,
                "the file has changed in ways that stored state cannot follow",
            );
            for change in changes.iter().filter(|change| change.is_refused()) {
                failure = failure.fact(change.to_string());
            }
            failure.help("drop the state of a task with `millstream pipeline reset FILE --task ID`")
        }
        EngineError::SinkAhead { .. } => Failure::new(Exit::Failed, codes::SINK_AHEAD, what)
            .help("remove the database file to fill it anew, or bring the log back"),
        EngineError::Sink { sink, error } => sink_failed(sink, error),
        EngineError::Partitions { topic, expected, .. } => partitions(what, topic, *expected),
        EngineError::NoSource { .. } => Failure::new(Exit::Failed, codes::TOPIC_UNFIT, what)
            .help("see what there is with `millstream topic describe TOPIC`"),
        EngineError::GroupShared { owner, .. } => {
            Failure::new(Exit::Failed, codes::GROUP_SHARED, what)
                .fact("why: each would go on where the other stopped, and miss what it has read")
                .fact("nothing was read or written")
                .help("name another group with `group:` at the source")
                .help(format!("`millstream pipeline reset` `{owner}` if it is not to run again"))
        }
        EngineError::TopicGone { .. } => Failure::new(Exit::Failed, codes::TOPIC_GONE, what)
            .fact("state, results and positions are as of the last commit")
            .help("start the pipeline again: it makes the topic anew and goes on with its state"),
        EngineError::TopicLost { group, .. } => Failure::new(Exit::Failed, codes::TOPIC_LOST, what)
            .fact(format!("the positions of group {group} say that it was there"))
            .help("begin anew with `millstream pipeline reset FILE`, or for one task with --task"),
        EngineError::NoState { .. } => Failure::new(Exit::Failed, codes::TASK_WITHOUT_STATE, what)
            .help("`millstream pipeline graph FILE` shows the tasks"),
        EngineError::PlanFormat { .. }
        | EngineError::ChangelogUnreadable { .. }
        | EngineError::RestoreStuck { .. } => {
            Failure::new(Exit::Failed, codes::STATE_UNUSABLE, what)
        }
        EngineError::StateLimit(_) => Failure::new(Exit::Failed, codes::STATE_LIMIT, what)
            .fact("everything before is committed; the next start begins there")
            .help("keep it on disk with `runtime: { state: { spill: disk } }`")
            .help("give it more with `memory_limit: 4GiB`, or let silent keys go with a `ttl`"),
        EngineError::StateDisk { .. } => Failure::new(Exit::Failed, codes::STATE_DISK, what)
            .fact("everything before is committed; the next start begins there")
            .help("see whether the disk is full, or remove the folder: it is rebuilt"),
        EngineError::TooLarge(_) => Failure::new(Exit::Failed, codes::RESULT_TOO_LARGE, what)
            .fact("what was committed before stays; the next start begins there")
            .help("let the topic of the results take more with its config max.message.bytes")
            .help("make the results smaller, or leave such records out with a `filter` before"),
        EngineError::Thread(error) => failed::machine(error),
    }
}

fn partitions(what: String, topic: &str, expected: i32) -> Failure {
    Failure::new(Exit::Failed, codes::TOPIC_UNFIT, what)
        .fact("why: a key finds its state by the number of partitions, so that must not change")
        .fact("nothing was read or written; state and positions are as they were")
        .help(format!("make {topic} with {expected} partitions"))
        .help("forget the state with `millstream pipeline reset FILE`")
}

/// What a person is told of a table that cannot be written.
pub(crate) fn sink_failed(sink: &str, error: &pipeline::sink::SinkError) -> Failure {
    Failure::new(Exit::Failed, codes::SINK_FAILED, format!("sink {sink}: {error}"))
}

fn record_failed(record: &pipeline::engine::RecordFailure) -> Failure {
    let place = format!("{}-{} at offset {}", record.topic, record.partition, record.offset);
    let key = record.key.as_deref().unwrap_or("(none)");
    Failure::new(
        Exit::Failed,
        codes::RECORD_FAILED,
        format!("task `{}`: {}", record.task, record.reason),
    )
    .fact(format!("record {place}, key {key}"))
    .fact("everything before it is committed, nothing after it")
    .help("leave such records out with `on_error: skip`, or park them with `dead_letter`")
    .help("mend the record's producer and let the pipeline start behind it")
}
