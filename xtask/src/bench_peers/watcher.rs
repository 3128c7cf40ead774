//! A program that looks at others: it says when it is ready, is told what has been done, and says
//! what it has seen, a line each.

use std::io::{BufRead as _, BufReader, Lines, Write as _};
use std::process::{Child, ChildStdout, Command, Stdio};

use crate::json::Json;

/// The program.
#[derive(Debug)]
pub(super) struct Watcher {
    child: Child,
    printed: Lines<BufReader<ChildStdout>>,
}

impl Watcher {
    /// Starts it and waits until it is ready.
    ///
    /// # Errors
    /// That it cannot be started or ended before.
    pub(super) fn ready(command: &mut Command) -> Result<Self, String> {
        let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut child = child.map_err(|error| format!("java cannot be started: {error}"))?;
        let printed = child.stdout.take().ok_or("its output is not read")?;
        let mut watcher = Self { child, printed: BufReader::new(printed).lines() };
        match watcher.line() {
            Ok(_) => Ok(watcher),
            Err(error) => watcher.end().and(Err(error)),
        }
    }

    /// Tells it something, a line.
    ///
    /// # Errors
    /// That it has gone.
    pub(super) fn tell(&mut self, text: &str) -> Result<(), String> {
        let input = self.child.stdin.as_mut().ok_or("its input is not there")?;
        let told = input.write_all(format!("{text}\n").as_bytes());
        told.map_err(|error| format!("the program that looks has gone: {error}"))
    }

    /// Its next line.
    ///
    /// # Errors
    /// That it ended before.
    pub(super) fn line(&mut self) -> Result<String, String> {
        let line = self.printed.next().and_then(Result::ok);
        line.ok_or_else(|| "it has measured nothing".to_owned())
    }

    /// What it has seen.
    ///
    /// # Errors
    /// That it ended before, or what is wrong with its JSON.
    pub(super) fn json(&mut self) -> Result<Json, String> {
        Json::parse(&self.line()?)
    }

    /// Waits for its end, which comes by itself without its input.
    ///
    /// # Errors
    /// That it cannot be waited for.
    pub(super) fn end(mut self) -> Result<(), String> {
        drop(self.child.stdin.take());
        self.child.wait().map(drop).map_err(|error| error.to_string())
    }
}
