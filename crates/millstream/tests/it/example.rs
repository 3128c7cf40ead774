//! The example of the README: both tables fill within ten seconds, and after an orderly end the
//! table of counts is what the topic says.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use base::clock::{Clock as _, SystemClock};
use pipeline::sink::Cell;
use sinks::sqlite::preview_file;

use crate::program::{Folder, program, run};

/// How long the first results may take, in milliseconds.
const FIRST_ROWS_WITHIN_MS: u64 = 10_000;

/// A command that runs until it is interrupted.
struct Background {
    child: Child,
    address: String,
}

impl Background {
    fn start(folder: &Path, args: &[&str]) -> Self {
        let mut command = program(args);
        command.current_dir(folder).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let address = lines.by_ref().map(Result::unwrap).find_map(|line| address_in(&line));
        // Whatever it prints later must not fill the pipe.
        thread::spawn(move || lines.for_each(drop));
        Self { child, address: address.expect("the program names its address") }
    }

    fn interrupt(mut self) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
        assert!(self.child.wait().unwrap().success(), "Ctrl-C is an end in order");
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        // It has ended already unless the test fails.
        drop(self.child.kill());
    }
}

/// `127.0.0.1:PORT` in a line.
fn address_in(line: &str) -> Option<String> {
    let from = line.find("127.0.0.1:")?;
    let address: String = line[from..].chars().take_while(|it| !it.is_whitespace()).collect();
    Some(address)
}

fn counts_in_database(folder: &Path) -> BTreeMap<String, i64> {
    let tables = preview_file(&folder.join("machine-health.db"), 10_000).unwrap_or_default();
    let counts = tables.into_iter().filter(|it| it.table == "counts");
    let rows = counts.flat_map(|table| table.rows);
    rows.filter_map(|row| match row.as_slice() {
        [Cell::Text(key), Cell::Integer(count), ..] => Some((key.clone(), *count)),
        _ => None,
    })
    .collect()
}

fn rows_of(folder: &Path, table: &str) -> u64 {
    let tables = preview_file(&folder.join("machine-health.db"), 1).unwrap_or_default();
    tables.into_iter().find(|it| it.table == table).map_or(0, |it| it.rows_count)
}

fn wait_for_rows(folder: &Path) {
    let clock = SystemClock::new();
    while rows_of(folder, "averages") == 0 || rows_of(folder, "counts") == 0 {
        assert!(clock.steady_ms() < FIRST_ROWS_WITHIN_MS, "no rows in both tables");
        thread::sleep(Duration::from_millis(50));
    }
}

/// The last count of each sensor in the topic.
fn counts_in_topic(address: &str) -> BTreeMap<String, i64> {
    let args = ["consume", "machine.counts", "-o", "start", "-e", "-f", "%k %v\n", "-b", address];
    let mut counts = BTreeMap::new();
    for record in run(&args).output.lines() {
        let (key, value) = record.split_once(' ').unwrap();
        let value: serde_json::Value = serde_json::from_str(value).unwrap();
        counts.insert(key.to_owned(), value["count"].as_i64().unwrap());
    }
    counts
}

#[test]
fn the_example_fills_its_tables_with_what_its_topics_say() {
    let folder = Folder::new();
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/machine-health.yaml");
    let example = example.display().to_string();
    let pipeline = Background::start(folder.path(), &["run", &example]);
    wait_for_rows(folder.path());
    pipeline.interrupt();

    let up = Background::start(folder.path(), &["up", "--listen", "127.0.0.1:0"]);
    let in_topic = counts_in_topic(&up.address);
    assert!(in_topic.len() > 3, "{in_topic:?}");
    assert_eq!(counts_in_database(folder.path()), in_topic);
    up.interrupt();
}
