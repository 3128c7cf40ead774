//! What a node and its log spend on many pipelines that have nothing to do.

use std::collections::VecDeque;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use super::app::Processes;
use super::broker;
use super::report::Values;
use super::rows::{Amount, Side, figure};
use super::work::{Bench, json_of, resident_mb, wait_until_it_listens};

/// Pipelines of one task each.
const PIPELINES: Amount = Amount { full: 1_000, quick: 20 };
/// Seconds that are measured.
const MEASURED_S: Amount = Amount { full: 60, quick: 3 };
/// Seconds until everything has come to rest: a fetch that gives nothing waits twice as long as
/// the one before it, up to two minutes.
const REST_S: Amount = Amount { full: 240, quick: 2 };

/// Commands that hand in pipelines at a time.
const APPLYING_MAX: usize = 4;
/// All pipelines run by then.
const RUNNING_MAX: Duration = Duration::from_secs(600);
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// Ticks of processor time in a second, in /proc.
const TICKS_PER_S: f64 = 100.0;

impl Bench {
    /// Starts a log and a node of their own, hands in the pipelines, and looks at both processes.
    pub(super) fn idle(&self) -> Result<Values, String> {
        let folder = self.brokers.home.join("idle");
        broker::clear(Side::Ours, &folder)?;
        let broker = broker::start(Side::Ours, &folder.join("log"), &self.brokers.binary)?;
        let bootstrap = broker.bootstrap();
        let measured = wait_until_it_listens(&bootstrap)
            .and_then(|()| self.idle_on((&bootstrap, broker.pid()), &folder));
        broker.stop()?;
        let values = measured.map_err(|error| format!("{error}; see {}", folder.display()))?;
        broker::clear(Side::Ours, &folder)?;
        Ok(values)
    }

    fn idle_on(&self, (bootstrap, broker): (&str, u32), folder: &Path) -> Result<Values, String> {
        let count = PIPELINES.of(self.quick);
        let mut node = self.millstream("serve --id idle --http off --slots");
        node.args([&count.to_string(), "-b", bootstrap]).arg("--data").arg(folder.join("node"));
        let mut processes = Processes::default();
        let node = processes.start(&mut node, (folder, "node.log"))?;
        let begin = Instant::now();
        let files = written(count, &folder.join("files"))?;
        self.apply_all(bootstrap, &files)?;
        self.until_all_run(bootstrap, files.len())?;
        let apply_s = begin.elapsed().as_secs_f64();
        thread::sleep(Duration::from_secs(REST_S.of(self.quick).into()));
        let measured = Duration::from_secs(MEASURED_S.of(self.quick).into());
        let (node_cpu, broker_cpu) = percent_of_a_core((node, broker), measured)?;
        let values = Values::from([
            (figure::IDLE_CPU, node_cpu),
            (figure::IDLE_BROKER_CPU, broker_cpu),
            (figure::MEMORY, resident_mb(node)?),
            (figure::IDLE_BROKER_MEMORY, resident_mb(broker)?),
            (figure::APPLY, apply_s),
        ]);
        processes.stop().map(|()| values)
    }

    /// A command hands in one pipeline; some of them run at a time.
    fn apply_all(&self, bootstrap: &str, files: &[PathBuf]) -> Result<(), String> {
        let mut running: VecDeque<(&PathBuf, Child)> = VecDeque::new();
        let mut files = files.iter();
        loop {
            let next = files.next();
            if let Some(file) = next {
                let mut apply = self.millstream("pipeline apply --quiet");
                let apply = apply.arg(file).args(["-b", bootstrap]).stdout(Stdio::null()).spawn();
                running.push_back((file, apply.map_err(|error| error.to_string())?));
            }
            if running.len() < APPLYING_MAX && next.is_some() {
                continue;
            }
            let Some((file, mut apply)) = running.pop_front() else { return Ok(()) };
            let status = apply.wait().map_err(|error| error.to_string())?;
            if !status.success() {
                return Err(format!("{} was not applied: {status}", file.display()));
            }
        }
    }

    fn until_all_run(&self, bootstrap: &str, wanted: usize) -> Result<(), String> {
        let begin = Instant::now();
        loop {
            let listed = json_of(self.millstream("pipeline list --json").args(["-b", bootstrap]))?;
            let states = listed.items().iter().map(|pipeline| pipeline.at("state").text());
            let running = states.filter(|state| *state == "running").count();
            if running == wanted {
                return Ok(());
            }
            if begin.elapsed() > RUNNING_MAX {
                return Err(format!("{running} of {wanted} pipelines run"));
            }
            thread::sleep(LOOK_INTERVAL);
        }
    }
}

/// A file for each pipeline, which has topics of its own.
fn written(count: u32, folder: &Path) -> Result<Vec<PathBuf>, String> {
    fs::create_dir_all(folder).map_err(|error| error.to_string())?;
    let write = |number| {
        let file = folder.join(format!("idle-{number:04}.yaml"));
        let text = pipeline_file(number);
        fs::write(&file, text).map_err(|error| error.to_string()).map(|()| file)
    };
    (0..count).map(write).collect()
}

fn pipeline_file(number: u32) -> String {
    format!(
        "version: 1\n\
         name: idle-{number:04}\n\
         partitions: 1\n\
         source: {{ topic: idle-{number:04}-in }}\n\
         tasks:\n  - {{ id: work, type: forward, to: sink }}\n\
         sink: {{ kafka: {{ topic: idle-{number:04}-out }} }}\n"
    )
}

/// Processor time of both, in hundredths of one core, over so long.
fn percent_of_a_core((node, broker): (u32, u32), during: Duration) -> Result<(f64, f64), String> {
    let spent = || Ok::<_, String>((ticks(node)?, ticks(broker)?));
    let begin = Instant::now();
    let before = spent()?;
    thread::sleep(during);
    let (after, took_s) = (spent()?, begin.elapsed().as_secs_f64());
    let percent = |ticks: f64| ticks / TICKS_PER_S / took_s * 100.0;
    Ok((percent(after.0 - before.0), percent(after.1 - before.1)))
}

/// User and system time of a process so far.
fn ticks(pid: u32) -> Result<f64, String> {
    let path = format!("/proc/{pid}/stat");
    let stat = fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))?;
    ticks_of(&stat).ok_or_else(|| format!("{path} has no processor time"))
}

fn ticks_of(stat: &str) -> Option<f64> {
    // A name may have blanks; what is counted stands behind it.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(11);
    let mut ticks = || fields.next()?.parse::<f64>().ok();
    Some(ticks()? + ticks()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_found_behind_a_name_with_blanks() {
        let stat = "7 (a b) c) S 1 7 7 0 -1 4194560 1 2 3 4 250 50 0 0 20 0 9 0 1";
        assert_eq!(ticks_of(stat), Some(300.0));
        assert_eq!(ticks_of("7 (a) S 1"), None);
        assert!(ticks(std::process::id()).is_ok());
    }

    #[test]
    fn pipelines_share_neither_names_nor_topics() {
        assert!(pipeline_file(7).contains("name: idle-0007\n"));
        assert!(
            pipeline_file(7).contains("topic: idle-0007-in")
                && pipeline_file(7) != pipeline_file(8)
        );
    }
}
