//! `cargo xtask bench-peers`: how fast we are beside Apache Kafka, its Streams and librdkafka.
//!
//! Both sides of a row run in turn on this machine, the same measurement on each; medians and
//! ratios count. What a machine lacks leaves its rows out by name. See docs/bench.md, and
//! docs/performance.md for the second table, `bench-peers pipeline`.

mod app;
mod broker;
mod disk;
mod idle;
mod ping;
mod pipeline_rows;
mod report;
mod rows;
mod state;
mod watcher;
mod work;

use std::fs;
use std::path::PathBuf;

use crate::{kafka, workspace};
use report::{Outcome, Values};
use rows::{Row, Run, figure};
use work::Bench;

const USAGE: &str = "bench-peers [pipeline] [--quick] [--times N] [--rows NAME,..] [--binary PATH]";

/// Repetitions of a row, each with both sides, unless another number is asked for.
const REPETITIONS: usize = 5;

/// Which rows there are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Table {
    /// Brokers, clients, and pipelines of one slot.
    #[default]
    Peers,
    /// Pipelines: slots, logs, state, and what happens when processes die.
    Pipeline,
}

impl Table {
    fn rows(self) -> Vec<Row> {
        match self {
            Self::Peers => rows::all(),
            Self::Pipeline => pipeline_rows::all(),
        }
    }

    /// The file that has every figure.
    const fn file(self) -> &'static str {
        match self {
            Self::Peers => "bench-peers.json",
            Self::Pipeline => "bench-peers-pipeline.json",
        }
    }
}

/// What was asked for.
#[derive(Debug, Default)]
struct Options {
    table: Table,
    /// Small loads and one repetition: whether a row runs, not how fast.
    quick: bool,
    /// Repetitions, where their number is not the usual one.
    times: Option<usize>,
    /// Pieces of names; none means every row.
    rows: Vec<String>,
    /// A program that is built already.
    binary: Option<PathBuf>,
}

impl Options {
    fn parse(words: &[&str]) -> Result<Self, String> {
        let mut options = Self::default();
        let mut words = words.iter().peekable();
        if words.next_if(|word| **word == "pipeline").is_some() {
            options.table = Table::Pipeline;
        }
        while let Some(word) = words.next() {
            match *word {
                "--quick" => options.quick = true,
                "--times" => {
                    let times = words.next().and_then(|text| text.parse().ok());
                    options.times = Some(times.filter(|times| *times > 0).ok_or(USAGE)?);
                }
                "--rows" => {
                    let names = words.next().ok_or(USAGE)?;
                    options.rows = names.split(',').map(str::to_owned).collect();
                }
                "--binary" => options.binary = Some(PathBuf::from(words.next().ok_or(USAGE)?)),
                _ => return Err(USAGE.to_owned()),
            }
        }
        Ok(options)
    }

    /// The rows of these names; where no row has a name, all whose names begin with it.
    fn wanted(&self) -> Result<Vec<Row>, String> {
        let all = self.table.rows();
        if self.rows.is_empty() {
            return Ok(all);
        }
        for name in &self.rows {
            if !all.iter().any(|row| row.name.starts_with(name.as_str())) {
                let names: Vec<&str> = all.iter().map(|row| row.name).collect();
                return Err(format!("no row is called {name}; there are {}", names.join(", ")));
            }
        }
        let names: Vec<&str> = all.iter().map(|row| row.name).collect();
        let exact = |name: &String| names.contains(&name.as_str());
        let matches = |row: &Row| {
            self.rows.iter().any(|name| {
                if exact(name) { row.name == name } else { row.name.starts_with(name.as_str()) }
            })
        };
        Ok(all.into_iter().filter(matches).collect())
    }
}

/// Runs the command.
///
/// # Errors
/// Wrong words, a program that cannot be built, or that a row failed or missed its target.
pub(crate) fn run(words: &[&str]) -> Result<(), String> {
    let options = Options::parse(words)?;
    let wanted = options.wanted()?;
    let home = workspace::target().join("bench-peers");
    fs::create_dir_all(&home).map_err(|error| format!("{}: {error}", home.display()))?;
    let home = home.canonicalize().map_err(|error| error.to_string())?;
    let binary = match &options.binary {
        Some(binary) => binary.canonicalize().map_err(|error| error.to_string())?,
        None => built()?,
    };
    let mut bench = Bench::new(home.clone(), binary, options.quick);
    let repetitions = options.times.unwrap_or(if options.quick { 1 } else { REPETITIONS });
    let mut outcomes = Vec::new();
    for row in wanted {
        eprintln!("== {}", row.name);
        let shared = shared(&row, &outcomes);
        let outcome = measured(&mut bench, &row, repetitions, shared);
        match &outcome {
            Outcome::Measured { .. } => {}
            Outcome::Skipped(why) => eprintln!("skipped {}: {why}", row.name),
            Outcome::Failed(why) => eprintln!("FAILED {}: {why}", row.name),
        }
        outcomes.push((row, outcome));
        // What was measured is kept, whatever becomes of the rest.
        report::write(&home.join(options.table.file()), &outcomes, options.quick)?;
    }
    let stopped = bench.brokers.stop();
    println!("{}\n{}", report::table(&outcomes), report::page(&outcomes));
    println!("written to {}", home.join(options.table.file()).display());
    stopped?;
    report::verdict(&outcomes, options.quick)
}

fn built() -> Result<PathBuf, String> {
    workspace::run(workspace::cargo().args(["build", "--release", "-q", "-p", "millstream"]))?;
    let binary = workspace::target().join("release/millstream");
    binary.canonicalize().map_err(|error| format!("{}: {error}", binary.display()))
}

/// What keeps a row from running on this machine.
fn missing(row: &Row) -> Option<String> {
    let runs: Vec<&Run> = [&row.ours].into_iter().chain(&row.theirs).collect();
    let needs_java = |run: &&Run| run.needs_java();
    if runs.iter().any(needs_java) {
        if let Some(missing) = kafka::missing() {
            return Some(missing.to_owned());
        }
        if !workspace::is_installed("javac") {
            return Some("no javac".to_owned());
        }
    }
    let needs_python = runs.iter().any(|run| run.needs_python());
    (needs_python && !workspace::is_installed("python3")).then(|| "no python3".to_owned())
}

/// Figures of the other side that an earlier row has taken by the same run.
fn shared(row: &Row, outcomes: &[(Row, Outcome)]) -> Option<Vec<Values>> {
    let name = row.shares?;
    outcomes.iter().find(|(other, _)| other.name == name).and_then(|(_, outcome)| match outcome {
        Outcome::Measured { theirs, .. } => Some(theirs.clone()),
        Outcome::Skipped(_) | Outcome::Failed(_) => None,
    })
}

fn measured(
    bench: &mut Bench,
    row: &Row,
    repetitions: usize,
    shared: Option<Vec<Values>>,
) -> Outcome {
    if let Some(missing) = missing(row) {
        return Outcome::Skipped(missing);
    }
    let other = row.theirs.as_ref().filter(|_| shared.is_none());
    let mut ours = Vec::new();
    let mut theirs = shared.unwrap_or_default();
    for turn in 0..repetitions {
        let mut sides = vec![(&row.ours, true)];
        sides.extend(other.map(|run| (run, false)));
        // Neither side always runs on the warmer machine.
        if turn % 2 == 1 {
            sides.reverse();
        }
        for (run, is_ours) in sides {
            let measured = bench.measure(run).and_then(|mut values| {
                if is_ours && row.asks_the_disk() {
                    values.insert(figure::CEILING, bench.ceiling()?);
                }
                Ok(values)
            });
            match measured {
                Ok(values) => {
                    let taken = if is_ours { &mut ours } else { &mut theirs };
                    note(row, run, &values, taken);
                }
                Err(error) => return Outcome::Failed(format!("{}: {error}", run.side.name())),
            }
        }
    }
    Outcome::Measured { ours, theirs }
}

fn note(row: &Row, run: &Run, values: &Values, taken: &mut Vec<Values>) {
    let shown: Vec<String> =
        values.iter().map(|(name, value)| format!("{name}={}", report::number(*value))).collect();
    eprintln!("{}  {}  {}", row.name, run.side.name(), shown.join(" "));
    taken.push(values.clone());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_chosen_by_name_and_by_beginning() {
        let chosen = |names: &[&str]| {
            let words = ["--quick", "--rows", &names.join(",")];
            let options = Options::parse(&words).unwrap();
            options.wanted().map(|rows| rows.iter().map(|row| row.name).collect::<Vec<_>>())
        };
        assert_eq!(chosen(&["produce-100"]).unwrap(), ["produce-100"]);
        assert_eq!(chosen(&["consume"]).unwrap(), ["consume-100", "consume-1000"]);
        assert!(chosen(&["nothing"]).is_err());
        assert!(chosen(&["forward-1"]).is_err());
        let words = ["pipeline", "--rows", "count,kafka-sum-2"];
        let options = Options::parse(&words).unwrap();
        let names: Vec<&str> = options.wanted().unwrap().iter().map(|row| row.name).collect();
        assert_eq!(names, ["kafka-sum-2", "count-1", "count-2"]);
        assert!(Options::parse(&["--quick", "pipeline"]).is_err());
        assert!(Options::parse(&["--rows"]).is_err());
        assert!(Options::parse(&["--times", "0"]).is_err());
        assert_eq!(Options::parse(&["--times", "3"]).unwrap().times, Some(3));
    }
}
