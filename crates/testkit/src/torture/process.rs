//! The processes under test: started, killed with -9, stopped and continued, always by their id.

use std::fs;
use std::fs::File;
use std::io::{self, BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use runtime::{task, timer};

use super::failure::Failure;
use super::limits::{LOG_LINES_SHOWN_MAX, LOOK, START_ATTEMPTS_MAX, START_MAX};

/// Where the processes live.
#[derive(Debug, Clone)]
pub(super) struct Site {
    /// The program under test.
    pub(super) binary: PathBuf,
    /// The folder of everything that they write.
    pub(super) dir: PathBuf,
}

/// A running process; it dies with its handle.
#[derive(Debug)]
pub(super) struct Process {
    child: Child,
    log: PathBuf,
    /// Where its own words begin in the log.
    log_from: usize,
}

impl Drop for Process {
    fn drop(&mut self) {
        // Nothing is left to kill of a process that is gone already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Process {
    /// Kills it with -9 and waits until it is gone.
    pub(super) fn kill(mut self) -> Result<(), Failure> {
        let killed = self.child.kill().and_then(|()| self.child.wait());
        killed.map(drop).map_err(|error| Failure::Process { what: "kill -9", error })
    }

    /// Stops it where it stands.
    pub(super) fn pause(&self) -> Result<(), Failure> {
        self.signal("-STOP")
    }

    /// Lets it go on.
    pub(super) fn resume(&self) -> Result<(), Failure> {
        self.signal("-CONT")
    }

    /// Asks it to end in good order.
    pub(super) fn ask_to_end(&self) -> Result<(), Failure> {
        self.signal("-TERM")
    }

    fn signal(&self, name: &str) -> Result<(), Failure> {
        let status = Command::new("kill").args([name, &self.child.id().to_string()]).status();
        status.map(drop).map_err(|error| Failure::Process { what: "kill", error })
    }

    /// How it has ended, if it has.
    pub(super) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Waits for its end.
    pub(super) async fn wait(&mut self, patience: Duration) -> Option<ExitStatus> {
        let deadline = timer::now() + patience;
        loop {
            let ended = self.ended();
            if ended.is_some() || timer::now() > deadline {
                return ended;
            }
            timer::sleep(LOOK).await;
        }
    }

    /// Whether it has written this.
    pub(super) fn has_said(&self, words: &str) -> bool {
        self.words().contains(words)
    }

    fn words(&self) -> String {
        let text = fs::read(&self.log).unwrap_or_default();
        String::from_utf8_lossy(text.get(self.log_from..).unwrap_or_default()).into_owned()
    }

    /// The last lines that it wrote.
    pub(super) fn last_words(&self) -> String {
        let text = self.words();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(LOG_LINES_SHOWN_MAX)..].join("\n")
    }
}

impl Site {
    /// A file of the site.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    fn spawn(&self, log: &str, arguments: &[&str], talks: bool) -> Result<Process, Failure> {
        let log = self.path(log);
        let start = || -> io::Result<(Child, u64)> {
            let errors = File::options().create(true).append(true).open(&log)?;
            let log_from = errors.metadata()?.len();
            let output = if talks { Stdio::piped() } else { Stdio::from(errors.try_clone()?) };
            let mut command = Command::new(&self.binary);
            command.args(arguments).current_dir(&self.dir).env("NO_COLOR", "1");
            for (name, _) in std::env::vars_os() {
                // Settings of whoever runs the test are none of the test's.
                if name.to_string_lossy().starts_with("MILLSTREAM_") {
                    command.env_remove(name);
                }
            }
            let child = command.stdin(Stdio::null()).stdout(output).stderr(errors).spawn()?;
            Ok((child, log_from))
        };
        let started = start().map_err(|error| Failure::Process { what: "millstream", error });
        let (child, log_from) = started?;
        Ok(Process { child, log, log_from: base::cast::usize_of(log_from) })
    }

    /// Starts the broker without waiting for it.
    pub(super) fn spawn_broker(&self, listen: SocketAddr) -> Result<Process, Failure> {
        let listen = listen.to_string();
        let arguments = ["up", "--data", "data", "--listen", &listen, "--json"];
        self.spawn("broker.log", &arguments, true)
    }

    /// Starts the broker and waits until it listens.
    pub(super) async fn broker(
        &self,
        listen: SocketAddr,
    ) -> Result<(Process, SocketAddr), Failure> {
        let mut attempts = 1;
        loop {
            let mut broker = self.spawn_broker(listen)?;
            if let Some(address) = first_line(&mut broker).await.as_deref().and_then(address_in) {
                return Ok((broker, address));
            }
            if attempts == START_ATTEMPTS_MAX {
                return Err(Failure::BrokerDoesNotStart { said: broker.last_words() });
            }
            attempts += 1;
            timer::sleep(LOOK).await;
        }
    }

    /// Starts the pipeline; `to_the_end` lets it stop at the ends of its sources.
    pub(super) fn pipeline(&self, at: SocketAddr, to_the_end: bool) -> Result<Process, Failure> {
        let at = at.to_string();
        let mut arguments = vec!["run", "pipeline.yaml", "-b", &at, "--plain"];
        if to_the_end {
            arguments.extend(["--until-end", "--close-windows"]);
        }
        self.spawn("pipeline.log", &arguments, false)
    }

    /// Starts a node of a cluster, which keeps what it keeps in a folder of its own.
    pub(super) fn node(&self, role: &str, id: &str, at: SocketAddr) -> Result<Process, Failure> {
        let at = at.to_string();
        let mut arguments = vec![role, "-b", &at, "--id", id, "--data", id];
        if role == "taskmanager" {
            arguments.extend(["--slots", "2"]);
        }
        self.spawn(&format!("{id}.log"), &arguments, false)
    }

    /// Lets all keys go on that wait behind dead letters.
    pub(super) fn release(&self, at: SocketAddr) -> Result<Process, Failure> {
        let at = at.to_string();
        let arguments = ["dlq", "release", "pipeline.yaml", "--all", "-b", &at];
        self.spawn("dlq.log", &arguments, false)
    }

    /// Asks the cluster to run the pipeline.
    pub(super) fn apply(&self, at: SocketAddr) -> Result<Process, Failure> {
        let at = at.to_string();
        self.spawn("apply.log", &["pipeline", "apply", "pipeline.yaml", "-b", &at], false)
    }

    /// Asks the cluster to run a pipeline on so many slots.
    pub(super) fn scale(
        &self,
        pipeline: &str,
        slots: u32,
        at: SocketAddr,
    ) -> Result<Process, Failure> {
        let (slots, at) = (slots.to_string(), at.to_string());
        let command = ["pipeline", "scale", pipeline, "--slots", &slots, "-b", &at];
        self.spawn("scale.log", &command, false)
    }
}

/// The first line that a process says; nothing when it says none in time.
async fn first_line(process: &mut Process) -> Option<String> {
    let output = process.child.stdout.take()?;
    let read = task::blocking(move || {
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line).ok().map(|_| line)
    });
    timer::timeout(START_MAX, read).await.ok().flatten()
}

/// The address in `{"listening":"127.0.0.1:9092",...}`.
fn address_in(line: &str) -> Option<SocketAddr> {
    let (_, rest) = line.split_once("\"listening\":\"")?;
    rest.split_once('"')?.0.parse().ok()
}

/// Writes the pipeline's file.
pub(super) fn write_pipeline(path: &Path, text: &str) -> Result<(), Failure> {
    fs::write(path, text).map_err(|error| Failure::Process { what: "the pipeline's file", error })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_is_found_in_what_the_broker_says_first() {
        let address = SocketAddr::from(([127, 0, 0, 1], 34_567));
        let line = format!("{{\"data\":\"x\",\"listening\":\"{address}\",\"pid\":1}}\n");
        assert_eq!(address_in(&line), Some(address));
        assert_eq!(address_in("error"), None);
    }
}
