//! The commands of the README, run as a reader would: line by line, in their order.
//!
//! What stands in its `sh` blocks is run in a folder that holds the examples and the program,
//! where the reader has the clone. `cargo run --release --` is the program that is built already;
//! 127.0.0.1:9092 is a free port; `up` and `run` go on until the next of them begins.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::{kafka, workspace};

const README: &str = "README.md";

/// What a reader types to build and run at once.
const BUILD_AND_RUN: &str = "cargo run --release -- ";

/// Where the program lies in a clone.
const PROGRAM: &str = "target/release/millstream";

/// The address that the README speaks of.
const ADDRESS: &str = "127.0.0.1:9092";

/// The check that runs these lines; it does not run itself.
const CHECK: &str = "cargo xtask test";

/// A window lasts 5 s; this allows for a busy machine.
const LINE_TIME_MAX: Duration = Duration::from_secs(60);
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// What a service says once a reader may go on.
const READY_WORDS: [&str; 2] = [" is ready ", " running "];

/// A program that runs until the next one is started.
struct Service {
    line: String,
    child: Child,
    /// What it says on standard output.
    said: PathBuf,
}

/// Builds the program and runs every line.
///
/// # Errors
/// The first line that failed, and what it said.
pub(crate) fn run() -> Result<(), String> {
    let lines = lines(&fs::read_to_string(README).map_err(|error| error.to_string())?);
    if !lines.iter().any(|line| line.starts_with(BUILD_AND_RUN)) {
        return Err(format!("{README} has no `sh` block that starts with `{BUILD_AND_RUN}`"));
    }
    workspace::run(workspace::cargo().args(["build", "-p", "millstream", "-q", "--locked"]))?;
    let folder = clone_of_a_reader()?;
    let address = SocketAddr::from(([127, 0, 0, 1], kafka::free_port()?));
    let mut service = None;
    let result = lines.iter().try_for_each(|line| run_line(line, &folder, address, &mut service));
    service.map_or(Ok(()), stop).and(result)
}

/// The lines of the `sh` blocks.
fn lines(readme: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let mut is_inside = false;
    for line in readme.lines() {
        if line.starts_with("```") {
            is_inside = line == "```sh";
        } else if is_inside && !line.trim().is_empty() {
            lines.push(line.to_owned());
        }
    }
    lines
}

/// A folder with what the lines name.
fn clone_of_a_reader() -> Result<PathBuf, String> {
    let folder = workspace::target().join("readme");
    let told = |error: std::io::Error| format!("{}: {error}", folder.display());
    if folder.is_dir() {
        fs::remove_dir_all(&folder).map_err(told)?;
    }
    let program = folder.join(PROGRAM);
    fs::create_dir_all(program.parent().unwrap_or(&folder)).map_err(told)?;
    let built = workspace::root().join(workspace::target()).join("debug/millstream");
    symlink(built, program).map_err(told)?;
    symlink(workspace::root().join("examples"), folder.join("examples")).map_err(told)?;
    Ok(folder)
}

fn run_line(
    line: &str,
    folder: &Path,
    address: SocketAddr,
    service: &mut Option<Service>,
) -> Result<(), String> {
    if line == CHECK {
        return Ok(());
    }
    println!("$ {line}");
    let typed = line.replace(BUILD_AND_RUN, &format!("{PROGRAM} "));
    let typed = typed.replace(ADDRESS, &address.to_string());
    if !is_service(&typed) {
        return to_its_end(&typed, folder, address).map_err(|error| format!("`{line}`: {error}"));
    }
    service.take().map_or(Ok(()), stop)?;
    let said = folder.join("said.txt");
    // What the service before has said must not speak for this one.
    fs::write(&said, "").map_err(|error| error.to_string())?;
    let child = Command::new("sh")
        .args(["-c", &format!("exec {typed} > said.txt")])
        .current_dir(folder)
        .env("MILLSTREAM_LISTEN", address.to_string())
        .stdin(Stdio::null())
        .spawn()
        .map_err(|error| error.to_string())?;
    wait_until_ready(service.insert(Service { line: line.to_owned(), child, said }))
}

/// Whether the line goes on until somebody ends it.
fn is_service(line: &str) -> bool {
    let mut words = line.split_whitespace();
    words.next() == Some(PROGRAM)
        && matches!(words.next(), Some("up" | "run"))
        && !words.any(|word| word == "--until-end" || word == "--duration")
}

/// Runs a line that ends by itself, and has something to say.
fn to_its_end(line: &str, folder: &Path, address: SocketAddr) -> Result<(), String> {
    let mut child = Command::new("sh")
        .args(["-c", line])
        .current_dir(folder)
        .env("MILLSTREAM_BROKERS", address.to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| error.to_string())?;
    let status = end_of(&mut child)?;
    let Output { stdout, stderr, .. } =
        child.wait_with_output().map_err(|error| error.to_string())?;
    let said = [stdout, stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    if !status.success() {
        return Err(format!("{status}: {}", said.trim()));
    }
    if said.trim().is_empty() { Err("it said nothing".to_owned()) } else { Ok(()) }
}

/// Waits for the end, but not for ever. What a line of the README says fits into a pipe.
fn end_of(child: &mut Child) -> Result<ExitStatus, String> {
    let began = Instant::now();
    while began.elapsed() < LINE_TIME_MAX {
        if let Some(status) = child.try_wait().map_err(|error| error.to_string())? {
            return Ok(status);
        }
        thread::sleep(POLL_INTERVAL);
    }
    child.kill().map_err(|error| error.to_string())?;
    Err(format!("it did not end within {} s", LINE_TIME_MAX.as_secs()))
}

fn wait_until_ready(service: &mut Service) -> Result<(), String> {
    let began = Instant::now();
    while began.elapsed() < LINE_TIME_MAX {
        let said = fs::read_to_string(&service.said).unwrap_or_default();
        if READY_WORDS.iter().any(|word| said.contains(word)) {
            return Ok(());
        }
        if let Ok(Some(status)) = service.child.try_wait() {
            return Err(format!("`{}` ended with {status}", service.line));
        }
        thread::sleep(POLL_INTERVAL);
    }
    Err(format!("`{}` does not say that it is ready", service.line))
}

/// Ends a service as an operator would; it must end in order.
fn stop(mut service: Service) -> Result<(), String> {
    if matches!(service.child.try_wait(), Ok(None)) {
        workspace::run(workspace::command("kill").arg(service.child.id().to_string()))?;
    }
    let status =
        end_of(&mut service.child).map_err(|error| format!("{}: {error}", service.line))?;
    if status.success() { Ok(()) } else { Err(format!("`{}` ended with {status}", service.line)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page() -> String {
        fs::read_to_string(workspace::root().join(README)).unwrap()
    }

    #[test]
    fn only_sh_blocks_are_run() {
        let text = "a\n```sh\none\n\ntwo\n```\n```console\n$ three\n```\n```sh\nfour\n```\n";
        assert_eq!(lines(text), ["one", "two", "four"]);
    }

    #[test]
    fn a_service_is_what_nobody_told_when_to_end() {
        assert!(is_service("target/release/millstream run a.yaml"));
        assert!(is_service("target/release/millstream up"));
        assert!(!is_service("target/release/millstream run a.yaml --until-end"));
        assert!(!is_service("echo up | target/release/millstream produce run"));
    }

    #[test]
    fn the_page_shows_the_two_commands_that_matter_first() {
        let lines = lines(&page());
        assert_eq!(lines[0], "cargo run --release -- run examples/machine-health.yaml");
        assert!(lines.iter().any(|line| line == CHECK));
    }

    /// Every cell of the table is a case of the clients' suites.
    #[test]
    fn what_the_table_promises_is_tested() {
        let sources: String = ["python/confluent_cases.py", "python/kafka_python_cases.py"]
            .into_iter()
            .chain(["java/Clients.java", "java/Tools.java", "java/Streams.java"])
            .map(|file| fs::read_to_string(workspace::root().join("tests/clients").join(file)))
            .collect::<Result<_, _>>()
            .unwrap();
        let mut cells = 0;
        let page = page();
        let rows: Vec<Vec<&str>> = page.lines().filter_map(row).collect();
        let clients = rows.iter().find(|row| row[0].is_empty()).unwrap();
        for row in rows.iter().filter(|row| row.len() == clients.len()) {
            for (client, _) in clients.iter().zip(row).filter(|(_, cell)| **cell == "yes") {
                // The codecs of the first row are put into its name by a loop.
                let name = match row[0].split_once(" none,") {
                    Some((name, _)) => format!("\"{client}: {name} "),
                    None => format!("\"{client}: {}\"", row[0]),
                };
                assert!(sources.contains(&name), "{name} is no case");
                cells += 1;
            }
        }
        for name in page.split('`').skip(1).step_by(2).filter(|it| it.starts_with("kafka-")) {
            assert!(sources.contains(&format!("\"{name}\"")), "{name} is no case");
            cells += 1;
        }
        assert!(cells > 60, "{cells} cells are too few to be the whole table");
    }

    fn row(line: &str) -> Option<Vec<&str>> {
        let inner = line.strip_prefix('|')?.strip_suffix('|')?;
        Some(inner.split('|').map(str::trim).collect())
    }
}
