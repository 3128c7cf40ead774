//! The command line: parses what was typed, runs it, and says how it ended.

mod base64;
mod bench;
mod calendar;
mod cli;
mod cluster;
mod command;
mod config;
mod console;
mod envelope;
mod format;
mod host;
mod logging;
mod message;
mod offset_spec;
mod pipeline_file;
mod render;
mod shown;
mod standard_input;
mod terminal;

use std::process::ExitCode;

use clap::Parser as _;

use crate::message::Exit;

fn main() -> ExitCode {
    let cli = match cli::Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return told_by_clap(&error),
    };
    match cli.run() {
        Ok(exit) => ExitCode::from(exit.code()),
        Err(failure) => {
            if cli.is_json() {
                eprintln!("{}", failure.json());
            } else {
                eprintln!("{failure}");
            }
            ExitCode::from(failure.exit.code())
        }
    }
}

/// Help and version are answers; everything else that clap says is wrong usage.
fn told_by_clap(error: &clap::Error) -> ExitCode {
    // A reader of the help that has left is no failure.
    drop(error.print());
    let exit = if error.use_stderr() { Exit::Usage } else { Exit::Success };
    ExitCode::from(exit.code())
}
