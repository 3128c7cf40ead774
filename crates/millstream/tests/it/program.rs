//! The built program, a log that it runs, and folders that go away.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

static FOLDERS: AtomicU32 = AtomicU32::new(0);

/// A folder that is removed at the end.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new() -> Self {
        let number = FOLDERS.fetch_add(1, Ordering::Relaxed);
        let name = format!("millstream-it-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

/// The program, without anything that the environment of the test says about it.
pub(crate) fn program(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_millstream"));
    let ours = |name: &str| name.starts_with("MILLSTREAM_") || name.starts_with("KAFKA_");
    for (name, _) in std::env::vars().filter(|(name, _)| ours(name)) {
        command.env_remove(name);
    }
    for name in ["NO_COLOR", "FORCE_COLOR", "CLICOLOR_FORCE", "COLUMNS"] {
        command.env_remove(name);
    }
    command.args(args).current_dir(std::env::temp_dir()).stdin(Stdio::null());
    command
}

/// What a command printed and how it ended.
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) output: String,
    pub(crate) messages: String,
}

impl From<Output> for Ended {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            output: String::from_utf8(output.stdout).unwrap(),
            messages: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

/// Runs a command to its end.
pub(crate) fn run(args: &[&str]) -> Ended {
    program(args).output().unwrap().into()
}

/// A log that runs until it is dropped; one of others is only spoken to.
pub(crate) struct Log {
    child: Option<Child>,
    pub(crate) address: String,
    // Removed after the log has ended, because fields are dropped after `drop`.
    pub(crate) folder: Folder,
}

impl Log {
    pub(crate) fn start() -> Self {
        Self::start_with(&[])
    }

    pub(crate) fn start_with(args: &[&str]) -> Self {
        let folder = Folder::new();
        let data = folder.path().join("data");
        let mut command = program(&["up", "--listen", "127.0.0.1:0", "--json", "-q", "--data"]);
        let mut child = command
            .arg(&data)
            .args(args)
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let output = child.stdout.as_mut().unwrap();
        BufReader::new(output).read_line(&mut line).unwrap();
        let ready: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(ready["pid"], child.id());
        let address = ready["listening"].as_str().unwrap().to_owned();
        Self { child: Some(child), address, folder }
    }

    /// A log that somebody else runs.
    pub(crate) fn of_others(address: String) -> Self {
        Self { child: None, address, folder: Folder::new() }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.as_ref().unwrap().id()
    }

    /// A command that speaks to this log.
    pub(crate) fn program(&self, args: &[&str]) -> Command {
        let mut command = program(args);
        command.env("MILLSTREAM_BROKERS", &self.address);
        command
    }

    /// Runs a command that speaks to this log to its end.
    pub(crate) fn run(&self, args: &[&str]) -> Ended {
        self.program(args).output().unwrap().into()
    }

    /// Runs it, and expects it to end well; gives what it printed.
    pub(crate) fn ok(&self, args: &[&str]) -> String {
        let ended = self.run(args);
        assert_eq!(ended.code, Some(0), "{args:?}: {}", ended.messages);
        ended.output
    }

    /// Runs a command with this text as its input.
    pub(crate) fn feed(&self, args: &[&str], input: &str) -> Ended {
        let mut command = self.program(args);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut pipe = child.stdin.take().unwrap();
        let text = input.to_owned();
        // A command that ends early closes its input, which is its right.
        let writer = thread::spawn(move || drop(pipe.write_all(text.as_bytes())));
        let ended = child.wait_with_output().unwrap().into();
        writer.join().unwrap();
        ended
    }

    /// Asks the log to end, and waits for it.
    pub(crate) fn stop(&mut self, signal: &str) -> ExitStatus {
        send_signal(self.pid(), signal);
        self.child.as_mut().unwrap().wait().unwrap()
    }
}

/// A process that is killed when it is dropped.
pub(crate) struct Process(pub(crate) Child);

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            drop(child.kill());
            drop(child.wait());
        }
    }
}

/// Sends a signal to a process that the test has started.
pub(crate) fn send_signal(pid: u32, signal: &str) {
    let sent = Command::new("kill").args([signal, &pid.to_string()]).status().unwrap();
    assert!(sent.success());
}
