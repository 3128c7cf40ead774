//! `millstream version`.

use clap::Args;

use crate::cli::Stage;
use crate::message::{Exit, Failure};

/// Options of the command.
#[derive(Debug, Args)]
#[command(before_help = "Examples:\n  millstream version\n  millstream version --json")]
pub(crate) struct VersionArgs {
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Prints the version.
pub(crate) fn run(args: &VersionArgs, stage: &mut Stage) -> Result<Exit, Failure> {
    let version = env!("CARGO_PKG_VERSION");
    let text = if args.json {
        serde_json::json!({ "version": version, "os": std::env::consts::OS,
            "arch": std::env::consts::ARCH })
        .to_string()
    } else {
        format!("millstream {version}")
    };
    stage.line(&text)?;
    Ok(Exit::Success)
}
