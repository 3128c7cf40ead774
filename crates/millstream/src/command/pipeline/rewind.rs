//! `pipeline reset --to`: letting a pipeline that does not run begin elsewhere in its sources.

use base::cast::u64_of_i64;
use client::Client;
use coordination::catalogue::Goal;
use coordination::reader;
use pipeline::engine::rewind::{Move, Rewind, To};
use topology::plan::Plan;

use super::reset::{ResetArgs, is_confirmed, told};
use super::which::Which;
use crate::cli::Stage;
use crate::cluster::{World, executor};
use crate::command::run::{WORKER, claimant, engine_failed, open_log_for_itself};
use crate::command::serve::coordination_failed;
use crate::message::{Exit, Failure, codes, failed};
use crate::offset_spec::OffsetSpec;
use crate::render::table::{Align, Table};

const CELL_WIDTH_MAX: usize = 100;

/// Rewinds, or moves on.
pub(super) fn run(args: &ResetArgs, to: &str, stage: &mut Stage) -> Result<Exit, Failure> {
    let [pipeline] = args.files() else {
        return Err(Failure::usage("--to takes one file, or a name"));
    };
    let world = World::new();
    let to = parse(to, world.clock.unix_ms())?;
    let which = match Which::read(&pipeline.display().to_string(), stage) {
        Ok(which) => which,
        Err(told) => return told,
    };
    executor()?.block_on(async {
        let Which::File(spec) = &which else {
            let client = world.connect(&stage.settings, false).await?;
            return rewind((args, to), &which, (&client, &world), stage).await;
        };
        let log = open_log_for_itself(spec, &stage.settings, &world).await?;
        let done = rewind((args, to), &which, (&log.client, &world), stage).await;
        log.close().await?;
        done
    })
}

async fn rewind(
    (args, to): (&ResetArgs, To),
    which: &Which,
    (client, world): (&Client, &World),
    stage: &mut Stage,
) -> Result<Exit, Failure> {
    let plan = which.plan(client, stage).await?;
    refuse_running(client, &plan.pipeline, stage).await?;
    let looked = Rewind::look(client, &plan, to).await;
    let rewind = looked.map_err(|error| engine_failed(&error, stage))?;
    refuse_foreground(&rewind, &plan)?;
    stage.put(format!("{}\n{}", told(&rewind.reset), moves(&rewind.moves)).as_bytes())?;
    stage.flush()?;
    if !args.is_sure() && !is_confirmed()? {
        stage.note("nothing was changed; --yes does it");
        return Ok(Exit::Success);
    }
    let done = rewind.perform(client, &plan, &claimant(world)).await;
    done.map_err(|error| engine_failed(&error, stage))?;
    stage.note("done");
    Ok(Exit::Success)
}

/// `earliest`, `latest`, an offset, or a time as `consume -o @TIME` takes it.
fn parse(text: &str, now_ms: i64) -> Result<To, Failure> {
    match text {
        "earliest" => return Ok(To::Earliest),
        "latest" => return Ok(To::Latest),
        _ => {}
    }
    if let Ok(offset) = text.parse::<i64>()
        && offset >= 0
    {
        return Ok(To::Offset(offset));
    }
    let time = text.strip_prefix('@').unwrap_or(text);
    match OffsetSpec::parse(&format!("@{time}"), now_ms) {
        Ok(OffsetSpec::Since { from_ms }) => Ok(To::Time(from_ms)),
        Ok(_) | Err(_) => {
            let what = format!("--to {text}: earliest, latest, an offset or a time was expected");
            Err(Failure::new(Exit::Usage, codes::BAD_OFFSET, what)
                .help("times are such as 2026-01-31T12:00:00Z, or -1h for an hour ago"))
        }
    }
}

/// A job that is to run would go on with what is taken from under it.
async fn refuse_running(client: &Client, name: &str, stage: &Stage) -> Result<(), Failure> {
    let topics = client.admin().topics().await;
    let topics = topics.map_err(|error| failed::client(&error, &stage.settings))?;
    if !topics.iter().any(|topic| &*topic.name == coordination::topics::CLUSTER) {
        return Ok(());
    }
    let catalogue = reader::catalogue(client).await;
    let catalogue = catalogue.map_err(|error| coordination_failed(&error, stage))?;
    let is_resting = |goal| matches!(goal, Goal::Stopped | Goal::Paused | Goal::Failed);
    match catalogue.jobs.get(name) {
        Some(job) if !is_resting(job.goal) => {
            Err(running(name, "the cluster runs it")
                .help(format!("millstream pipeline stop {name}")))
        }
        Some(_) | None => Ok(()),
    }
}

/// Of a foreground run elsewhere nobody knows; it is fenced, and ends. Of one here we do.
fn refuse_foreground(rewind: &Rewind, plan: &Plan) -> Result<(), Failure> {
    let Some(last) = &rewind.reset.last else {
        return Ok(());
    };
    // The claims of a cluster name the leader, who does not run it.
    let is_here = last.worker == WORKER && last.host == crate::host::name();
    if is_here && crate::host::is_ours(last.pid) {
        let what = format!("pid {} runs it on this machine", last.pid);
        return Err(running(&plan.pipeline, &what).help("end it with Ctrl-C first"));
    }
    Ok(())
}

fn running(name: &str, what: &str) -> Failure {
    let what = format!("the pipeline {name} must not run: {what}");
    Failure::new(Exit::Failed, codes::MUST_REST, what)
}

fn moves(moves: &[Move]) -> String {
    let mut table = Table::new(&[
        ("GROUP", Align::Left),
        ("TOPIC", Align::Left),
        ("PARTITION", Align::Right),
        ("NOW", Align::Right),
        ("NEW", Align::Right),
        ("RECORDS TO REPLAY", Align::Right),
        ("NOTE", Align::Left),
    ]);
    for it in moves {
        let replayed = it.from.map(|from| u64_of_i64((from - it.to).max(0)));
        let dash = || "-".to_owned();
        let note = if it.is_nearest { "the nearest that is left" } else { "" };
        table.push([
            it.group.clone(),
            it.topic.clone(),
            it.partition.to_string(),
            it.from.map_or_else(dash, |from| from.to_string()),
            it.to.to_string(),
            replayed.map_or_else(dash, |count| count.to_string()),
            note.to_owned(),
        ]);
    }
    table.text(CELL_WIDTH_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_words_offsets_and_times() {
        assert_eq!(parse("earliest", 0).unwrap(), To::Earliest);
        assert_eq!(parse("latest", 0).unwrap(), To::Latest);
        assert_eq!(parse("17", 0).unwrap(), To::Offset(17));
        assert_eq!(parse("1970-01-01T00:00:01Z", 0).unwrap(), To::Time(1_000));
        assert_eq!(parse("-1s", 5_000).unwrap(), To::Time(4_000));
        for bad in ["", "yesterday", "5:7"] {
            assert_eq!(parse(bad, 0).unwrap_err().exit, Exit::Usage, "{bad}");
        }
    }
}
