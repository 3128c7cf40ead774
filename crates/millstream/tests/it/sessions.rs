//! The `console` blocks of the pages, typed line by line, and what they show.
//!
//! A line that begins with `$ ` is typed; what stands below it is shown, each line of it, by the
//! command. Figures may be others: a number stands for any, and `-` for one that is not there
//! yet. What goes on until somebody ends it is started, says that it is ready, and goes on
//! until the end of the page.

use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use base::clock::{Clock as _, SystemClock};

use crate::paper::{Block, blocks, pipelines, repository};
use crate::program::{Log, Process, program, run};

const PATIENCE_MS: u64 = 60_000;

/// The addresses that the pages speak of.
const ADDRESSES: [&str; 2] = ["127.0.0.1:9092", "kafka-1:9092"];

/// The machine that the pages speak of.
const MACHINE: &str = "mill-1";

/// A page whose commands are typed in a folder that has its files.
struct Session {
    page: &'static str,
    services: Vec<Process>,
    // Ends after what speaks to it.
    log: Log,
}

impl Session {
    fn start(page: &'static str) -> Self {
        let session = Self { page, services: Vec::new(), log: Log::start() };
        for (name, text) in pipelines(page) {
            session.put(&format!("{name}.yaml"), &text);
        }
        session
    }

    fn put(&self, name: &str, text: &str) {
        fs::write(self.log.folder.path().join(name), self.here(text)).unwrap();
    }

    /// A file of the repository, where the reader has it.
    fn put_file(&self, from: &str, name: &str) {
        self.put(name, &fs::read_to_string(repository().join(from)).unwrap());
    }

    /// The text with the address of this log.
    fn here(&self, text: &str) -> String {
        let to_here = |text: String, address: &str| text.replace(address, &self.log.address);
        ADDRESSES.into_iter().fold(text.to_owned(), to_here)
    }

    /// A shell for one line, in the folder of the page.
    fn shell(&self, line: &str) -> Command {
        let mut shell = Command::new("sh");
        for (name, _) in program(&[]).get_envs() {
            shell.env_remove(name);
        }
        let typed = line.strip_prefix("millstream ").unwrap_or_else(|| panic!("{line}"));
        let typed = format!("exec {} {}", env!("CARGO_BIN_EXE_millstream"), self.here(typed));
        shell.args(["-c", &typed]).current_dir(self.log.folder.path());
        // Files name no address where a page leaves it out.
        shell.env("MILLSTREAM_BROKERS", &self.log.address).stdin(Stdio::null());
        shell
    }

    /// Starts what goes on, and waits until it says so.
    fn serve(&mut self, line: &str) {
        let said = self.log.folder.path().join(format!("said-{}.txt", self.services.len()));
        let mut shell = self.shell(line);
        shell.stdout(fs::File::create(&said).unwrap()).stderr(Stdio::null());
        let mut child: Child = shell.spawn().unwrap();
        let clock = SystemClock::new();
        while fs::read_to_string(&said).unwrap().lines().count() == 0 {
            assert_eq!(child.try_wait().unwrap(), None, "{line} has ended");
            assert!(clock.steady_ms() < PATIENCE_MS, "{line} says nothing");
            std::thread::sleep(Duration::from_millis(20));
        }
        self.services.push(Process(child));
    }

    /// Runs a line to its end; when it is to show something, until it does.
    fn command(&self, line: &str, shown: &[&str]) {
        let clock = SystemClock::new();
        while let Err(told) = self.look(line, shown) {
            assert!(clock.steady_ms() < PATIENCE_MS, "{told}");
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Runs a line to its end; what is missing of what it is to show.
    fn look(&self, line: &str, shown: &[&str]) -> Result<(), String> {
        let output = self.shell(line).output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        let (output, messages, code) =
            (text(output.stdout), text(output.stderr), output.status.code());
        if let Some(missing) = shown.iter().find(|line| !shows(&output, line)) {
            let page = self.page;
            return Err(format!("{page}: {line} does not show\n{missing}\n{output}{messages}"));
        }
        assert_eq!(code, Some(0), "{}: {line}: {output}{messages}", self.page);
        Ok(())
    }

    /// Types the blocks of the page.
    fn go(&mut self) {
        let is_typed = |block: &Block| block.language == "console";
        for block in blocks(self.page).into_iter().filter(is_typed) {
            let mut parts = block.text.split("$ ").filter(|part| !part.is_empty());
            assert!(block.text.starts_with("$ "), "{}:{} types nothing", self.page, block.line);
            for part in &mut parts {
                let (line, shown) = part.split_once('\n').unwrap();
                if is_service(line) {
                    self.serve(line);
                } else {
                    let shown = shown.lines().filter(|line| !line.is_empty());
                    self.command(line, &shown.collect::<Vec<_>>());
                }
            }
        }
    }

    /// Waits until all pipelines that were applied run.
    fn wait_until_running(&self, pipeline: &str) {
        let clock = SystemClock::new();
        let is_it = |line: &str| line.starts_with(pipeline) && line.contains(" running ");
        while !self.list().lines().any(is_it) {
            assert!(clock.steady_ms() < PATIENCE_MS, "{}", self.list());
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    fn list(&self) -> String {
        let ended = run(&["pipeline", "list", "-b", &self.log.address]);
        ended.output + &ended.messages
    }
}

/// Whether a line goes on until somebody ends it.
fn is_service(line: &str) -> bool {
    let verb = line.split(' ').nth(1).unwrap_or_default();
    let goes_on = ["up", "run", "serve", "jobmanager", "taskmanager"].contains(&verb);
    goes_on && !line.contains(" --until-end")
}

/// The words of a line with a zero for each number, whole or not.
fn words(line: &str) -> Vec<String> {
    let mut plain = String::new();
    let mut letters = line.chars().peekable();
    while let Some(letter) = letters.next() {
        let is_in_number = plain.ends_with('0');
        let is_point = letter == '.' && letters.peek().is_some_and(char::is_ascii_digit);
        let goes_on = is_point && is_in_number;
        if !letter.is_ascii_digit() && !goes_on {
            plain.push(letter);
        } else if !is_in_number {
            plain.push('0');
        }
    }
    plain.split_whitespace().map(str::to_owned).collect()
}

/// Whether an output has a line like this one.
fn shows(output: &str, line: &str) -> bool {
    let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    let is_here = |word: &str| word == host.trim() || word.trim_end_matches("),") == host.trim();
    let local = |line: &str| -> String {
        let each = line.split(' ').map(|word| {
            if is_here(word) { word.replace(host.trim(), MACHINE) } else { word.to_owned() }
        });
        each.collect::<Vec<_>>().join(" ")
    };
    let wanted = words(line);
    let is_like = |found: &str| {
        let found = words(&local(found));
        found.len() == wanted.len()
            && found.iter().zip(&wanted).all(|(found, wanted)| found == wanted || found == "-")
    };
    output.lines().any(is_like)
}

#[test]
fn a_line_is_like_another_when_only_figures_differ() {
    assert!(shows("x\na-1  count 12  0.5 s\n", "a-17 count 8 1.25 s"));
    assert!(shows("BUSY 0% -", "BUSY 31% log"));
    assert!(!shows("a-1  counts 12", "a-17 count 8"));
    assert!(!shows("a-1 count", "a-17 count 8"));
    assert!(!shows("", "a"));
}

#[test]
fn what_the_page_about_operating_shows_is_shown() {
    let mut session = Session::start("docs/operating.md");
    session.log.ok(&["topic", "create", "shop", "-p", "2"]);
    let orders = (0..40).map(|at| format!("a-{} {{\"amount\":{at}}}\n", 17 + at % 5));
    session.log.feed(&["produce", "shop", "-f", "%k %v\n"], &orders.collect::<String>());
    session.serve("millstream jobmanager --id jm-1");
    session.serve("millstream taskmanager --id tm-1 --slots 1");
    session.serve("millstream taskmanager --id tm-2 --slots 1");
    session.command("millstream pipeline apply orders.yaml", &[]);
    session.go();
}

#[test]
fn what_the_page_about_files_shows_of_dead_letters_is_shown() {
    let page = "docs/pipelines.md";
    let mut session = Session::start(page);
    let (_, text) = pipelines(page).remove(0);
    session.put("rooms.yaml", &format!("{text}on_error: dead_letter\n"));
    session.log.ok(&["topic", "create", "readings", "-p", "1"]);
    let values = ["26", "\"mild\"", "27"];
    let readings = values.map(|it| format!("hall {{\"room\":\"hall\",\"temp_c\":{it}}}\n"));
    session.log.feed(&["produce", "readings", "-f", "%k %v\n"], &readings.concat());
    session.command("millstream run rooms.yaml -b 127.0.0.1:9092 --until-end", &[]);
    session.go();
    session.command("millstream run rooms.yaml -b 127.0.0.1:9092 --until-end", &[]);
    assert_eq!(session.log.ok(&["dlq", "list", &session.path("rooms.yaml")]), "");
}

impl Session {
    fn path(&self, name: &str) -> String {
        self.log.folder.path().join(name).to_str().unwrap().to_owned()
    }
}

#[test]
fn what_the_page_about_guarantees_shows_is_shown() {
    let mut session = Session::start("docs/guarantees.md");
    let (name, text) = pipelines("docs/concepts.md").remove(0);
    session.put(&format!("{name}.yaml"), &text);
    session.go();
}

const ANY: &str = "version: 1
source: { topic: in }
tasks:
  - { id: seen, type: count, to: sink }
sink: { kafka: { topic: out } }
";

#[test]
fn the_nodes_of_the_page_about_clusters_run_what_they_are_given() {
    let mut session = Session::start("docs/cluster.md");
    session.put("orders.yaml", ANY);
    session.go();
    session.wait_until_running("orders");
}

#[test]
fn the_processes_of_the_page_about_lists_run_what_they_are_given() {
    let mut session = Session::start("docs/legacy.md");
    session.put_file("examples/legacy/pipeline.yaml", "pipeline.yaml");
    session.put_file("examples/legacy/config.yaml", "config.yaml");
    session.go();
    session.wait_until_running("pipeline");
}

#[test]
fn the_commands_of_the_readme_over_other_machines_run() {
    let mut session = Session::start("README.md");
    fs::create_dir(session.log.folder.path().join("examples")).unwrap();
    session.put_file("examples/machine-health.yaml", "examples/machine-health.yaml");
    session.put("pipeline.yaml", ANY);
    session.go();
    session.wait_until_running("pipeline");
}
