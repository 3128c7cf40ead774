//! `cargo xtask clients`: real Kafka clients against a broker that listens already.
//!
//! What they need is fetched once and lies under `target/clients/`. Each suite is a program that
//! takes `--bootstrap host:port`, prints `ok NAME` or `FAIL NAME` per case and exits 1 on failure.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{kafka, workspace};

const PYTHON_FOLDER: &str = "tests/clients/python";
const JAVA_FOLDER: &str = "tests/clients/java";

/// A language whose clients are tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Suite {
    Python,
    Java,
}

impl Suite {
    pub(crate) const ALL: [Self; 2] = [Self::Python, Self::Java];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Python => "python",
            Self::Java => "java",
        }
    }

    /// What keeps the suite from running on this machine.
    pub(crate) fn missing(self) -> Option<&'static str> {
        match self {
            Self::Python => (!workspace::is_installed("python3")).then_some("no python3"),
            Self::Java if !workspace::is_installed("javac") => Some("no javac"),
            Self::Java => kafka::missing(),
        }
    }

    /// Runs the cases whose names contain the text against a broker.
    ///
    /// # Errors
    /// That a case failed, or why the suite cannot be prepared.
    pub(crate) fn run(self, bootstrap: &str, cases: &str) -> Result<(), String> {
        match self {
            Self::Python => run_python(bootstrap, cases),
            Self::Java => run_java(bootstrap, cases),
        }
        .map_err(|error| format!("{} clients: {error}", self.name()))
    }
}

/// Runs the command.
pub(crate) fn run(words: &[&str]) -> Result<(), String> {
    let usage = "clients --bootstrap HOST:PORT [--only python|java] [--case TEXT]";
    let option = |name: &str| {
        words.chunks(2).find(|pair| pair[0] == name).and_then(|pair| pair.get(1)).copied()
    };
    let known = ["--bootstrap", "--only", "--case"];
    let bootstrap = option("--bootstrap").ok_or(usage)?;
    let (only, cases) = (option("--only"), option("--case").unwrap_or(""));
    let wanted = |suite: &Suite| only.is_none_or(|only| only == suite.name());
    let suites: Vec<Suite> = Suite::ALL.into_iter().filter(wanted).collect();
    if suites.is_empty() || !words.chunks(2).all(|pair| known.contains(&pair[0])) {
        return Err(usage.to_owned());
    }
    let mut failures = Vec::new();
    for suite in suites {
        match suite.missing() {
            Some(missing) => println!("skipped {} clients: {missing}", suite.name()),
            None => failures.extend(suite.run(bootstrap, cases).err()),
        }
    }
    if failures.is_empty() { Ok(()) } else { Err(failures.join("; ")) }
}

fn home() -> PathBuf {
    workspace::target().join("clients")
}

fn run_python(bootstrap: &str, cases: &str) -> Result<(), String> {
    let python = python()?;
    let suite = Path::new(PYTHON_FOLDER).join("suite.py");
    let mut command = workspace::command(&python.to_string_lossy());
    // No byte code beside the sources: a check never writes the tree.
    let command = command.env("PYTHONDONTWRITEBYTECODE", "1").arg("-u").arg(suite);
    workspace::run(command.args(["--bootstrap", bootstrap, "--only", cases]))
}

/// The interpreter of the suite's own environment, which is made when its requirements change.
///
/// # Errors
/// What pip said.
pub(crate) fn python() -> Result<PathBuf, String> {
    let environment = home().join("python");
    let python = environment.join("bin/python");
    let wanted_path = workspace::root().join(PYTHON_FOLDER).join("requirements.txt");
    let wanted = fs::read_to_string(&wanted_path).map_err(|error| error.to_string())?;
    let stamp = environment.join("installed.txt");
    if fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted) {
        return Ok(python);
    }
    eprintln!("fetching the Python clients with pip");
    let mut create = workspace::command("python3");
    workspace::output_of(create.args(["-m", "venv", "--clear"]).arg(&environment))?;
    let mut install = workspace::command(&python.to_string_lossy());
    let install = install.args(["-m", "pip", "install", "-q", "--disable-pip-version-check", "-r"]);
    workspace::output_of(install.arg(&wanted_path))?;
    fs::write(&stamp, wanted).map_err(|error| error.to_string())?;
    Ok(python)
}

fn run_java(bootstrap: &str, cases: &str) -> Result<(), String> {
    let mut java = compiled_java()?;
    let java = java.arg("Suite").args(["--bootstrap", bootstrap, "--only", cases, "--scratch"]);
    workspace::run(java.arg(home().join("scratch")))
}

/// Asks a broker and Apache Kafka the same raw requests; their answers must be the same.
///
/// # Errors
/// That an answer differs, or why the program cannot be prepared.
pub(crate) fn compare(bootstrap: &str, oracle: &str, scripts: &str) -> Result<(), String> {
    let mut java = compiled_java()?;
    let java = java.args(["Compare", "--bootstrap", bootstrap, "--oracle", oracle]);
    workspace::run(java.args(["--only", scripts]))
}

/// Sends the same records through pipelines and through Kafka Streams, over one broker; what both
/// commit must be the same.
///
/// # Errors
/// That a result differs, or why the program cannot be prepared.
pub(crate) fn oracle(bootstrap: &str, program: &Path, seed: &str) -> Result<(), String> {
    let mut java = compiled_java()?;
    let java = java.args(["Oracle", "--bootstrap", bootstrap, "--seed", seed, "--program"]);
    workspace::run(java.arg(program).arg("--scratch").arg(home().join("oracle")))
}

/// Java with the programs of the suites.
fn compiled_java() -> Result<Command, String> {
    let libs = kafka::jars()?;
    let classes = home().join("java");
    fs::create_dir_all(&classes).map_err(|error| error.to_string())?;
    let mut compile = workspace::command("javac");
    let compile = compile.args(["-nowarn", "-encoding", "UTF-8", "-d"]).arg(&classes);
    let compile = compile.arg("-cp").arg(libs.join("*")).args(java_sources()?);
    workspace::output_of(compile)?;
    kafka::java_with(&classes)
}

fn java_sources() -> Result<Vec<PathBuf>, String> {
    let folder = workspace::root().join(JAVA_FOLDER);
    let entries = fs::read_dir(&folder).map_err(|error| format!("{JAVA_FOLDER}: {error}"))?;
    let paths = entries.filter_map(|entry| entry.ok().map(|entry| entry.path()));
    let mut sources: Vec<PathBuf> = paths
        .filter(|path| path.extension().is_some_and(|extension| extension == "java"))
        .collect();
    sources.sort();
    Ok(sources)
}
