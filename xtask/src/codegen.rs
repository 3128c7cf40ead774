//! `cargo xtask codegen`: the messages of the protocol, generated from the schema files.
//!
//! The output is committed, so that reading and building the project needs no generator; `--check`
//! tells when somebody changed one without the other. It never edits anything but
//! `crates/protocol/src/messages*`.

mod emit;
mod schema;

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use schema::Message;

const SCHEMA_DIR: &str = "crates/protocol/schema";
const MESSAGES_DIR: &str = "crates/protocol/src/messages";
const MESSAGES_FILE: &str = "crates/protocol/src/messages.rs";

/// Generates the messages, or with `check` compares them with what is committed.
pub(crate) fn run(check: bool) -> Result<(), String> {
    let messages = read_schemas(Path::new(SCHEMA_DIR))?;
    let mut files = vec![(PathBuf::from(MESSAGES_FILE), emit::index(&messages))];
    for message in &messages {
        let path = Path::new(MESSAGES_DIR).join(format!("{}.rs", message.module));
        files.push((path, emit::module(message)));
    }
    let mut stale = Vec::new();
    for (path, text) in &files {
        let text = rustfmt(text)?;
        if fs::read_to_string(path).is_ok_and(|old| old == text) {
            continue;
        }
        if check {
            stale.push(path.display().to_string());
        } else {
            fs::create_dir_all(MESSAGES_DIR).map_err(|error| error.to_string())?;
            fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))?;
        }
    }
    stale.extend(orphans(&files)?);
    if stale.is_empty() {
        return Ok(());
    }
    Err(format!("not what codegen makes: {}; run cargo xtask codegen", stale.join(", ")))
}

fn read_schemas(dir: &Path) -> Result<Vec<Message>, String> {
    let mut paths: Vec<PathBuf> = fs::read_dir(dir)
        .map_err(|error| format!("{}: {error}", dir.display()))?
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "schema"))
        .collect();
    paths.sort();
    let mut messages = Vec::new();
    for path in paths {
        let text = fs::read_to_string(&path).map_err(|error| error.to_string())?;
        let module = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        let parsed = schema::parse(module, &text);
        messages.push(parsed.map_err(|error| format!("{}:{error}", path.display()))?);
    }
    Ok(messages)
}

/// Generated files whose schema is gone.
fn orphans(files: &[(PathBuf, String)]) -> Result<Vec<String>, String> {
    let entries = fs::read_dir(MESSAGES_DIR).map_err(|error| error.to_string())?;
    let paths = entries.filter_map(|entry| entry.ok().map(|entry| entry.path()));
    let unknown = paths.filter(|path| files.iter().all(|(known, _)| known != path));
    Ok(unknown.map(|path| path.display().to_string()).collect())
}

fn rustfmt(text: &str) -> Result<String, String> {
    let mut child = Command::new("rustfmt")
        .args(["--edition", "2024", "--emit", "stdout", "--quiet"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| format!("rustfmt: {error}"))?;
    let mut input = child.stdin.take().ok_or("rustfmt has no input")?;
    let text = text.to_owned();
    let feeder = std::thread::spawn(move || input.write_all(text.as_bytes()));
    let output = child.wait_with_output().map_err(|error| format!("rustfmt: {error}"))?;
    let fed = feeder.join().map_err(|_| "the feeder of rustfmt panicked")?;
    fed.map_err(|error| format!("rustfmt: {error}"))?;
    if !output.status.success() {
        return Err("rustfmt refused the generated code".to_owned());
    }
    String::from_utf8(output.stdout).map_err(|error| error.to_string())
}
