//! The README's commands, run as they stand: every line of its `sh` blocks, in order, in a folder
//! with the examples. Only the program's place and the log's address differ from what a person
//! types, because another test may hold port 9092.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use base::clock::{Clock as _, SystemClock};
use pipeline::sink::Cell;
use sinks::sqlite::preview_file;

use crate::program::{Folder, program};

const README: &str = include_str!("../../../../README.md");
const PROGRAM: &str = "target/release/millstream";
const ADDRESS: &str = "127.0.0.1:9092";

/// How long the first results may take, in milliseconds.
const FIRST_ROWS_WITHIN_MS: u64 = 10_000;

/// The lines of the `sh` blocks.
fn commands() -> Vec<&'static str> {
    let mut commands = Vec::new();
    let mut is_inside = false;
    for line in README.lines() {
        match line {
            "```sh" => is_inside = true,
            "```" => is_inside = false,
            command if is_inside => commands.push(command),
            _ => {}
        }
    }
    commands
}

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

/// Runs a line of the README to its end, with the program and the address put in.
fn run_line(folder: &Path, line: &str, address: &str) -> String {
    let program = env!("CARGO_BIN_EXE_millstream");
    let line = line.replace(PROGRAM, program).replace(ADDRESS, address);
    let mut shell = Command::new("sh");
    shell.args(["-c", &line]).current_dir(folder).env("MILLSTREAM_BROKERS", address);
    let output = shell.output().unwrap();
    let messages = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{line}: {messages}");
    String::from_utf8(output.stdout).unwrap()
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
fn counts_in_topic(folder: &Path, address: &str) -> BTreeMap<String, i64> {
    let line = format!("{PROGRAM} consume machine.counts -o start -e -f '%k %v\\n'");
    let mut counts = BTreeMap::new();
    for record in run_line(folder, &line, address).lines() {
        let (key, value) = record.split_once(' ').unwrap();
        let value: serde_json::Value = serde_json::from_str(value).unwrap();
        counts.insert(key.to_owned(), value["count"].as_i64().unwrap());
    }
    counts
}

#[test]
fn the_commands_of_the_readme_do_what_it_says() {
    let commands = commands();
    let [first, looks @ .., _, _, _, _, _, _, _, _, _, _, _] = commands.as_slice() else {
        panic!("the README has fewer commands than this test knows");
    };
    assert_eq!(*first, "cargo run --release -- run examples/machine-health.yaml");
    let folder = Folder::new();
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples");
    std::os::unix::fs::symlink(examples, folder.path().join("examples")).unwrap();

    let run = Background::start(folder.path(), &["run", "examples/machine-health.yaml"]);
    wait_for_rows(folder.path());
    for line in looks {
        assert!(line.starts_with(PROGRAM), "{line}");
        assert_ne!(run_line(folder.path(), line, &run.address), "", "{line}");
    }
    run.interrupt();

    let rest = &commands[1 + looks.len()..];
    let [test, up, rest @ ..] = rest else { panic!("the README ends early") };
    assert_eq!((*test, *up), ("cargo xtask test", "target/release/millstream up"));
    let up = Background::start(folder.path(), &["up", "--listen", "127.0.0.1:0"]);
    let in_topic = counts_in_topic(folder.path(), &up.address);
    assert!(in_topic.len() > 3, "{in_topic:?}");
    assert_eq!(counts_in_database(folder.path()), in_topic, "the table is what the topic says");
    for line in rest {
        run_line(folder.path(), line, &up.address);
    }
    up.interrupt();
}
