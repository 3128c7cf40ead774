//! The log of the process, on standard error: lines for people on a terminal, JSON otherwise.

use std::io::IsTerminal as _;
use std::str::FromStr as _;

use tracing::Level;
use tracing_subscriber::Layer as _;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::config::{Settings, bad_value};
use crate::message::Failure;

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum LogFormat {
    /// For people.
    Text,
    /// One JSON document per line.
    Json,
}

/// Starts the log; what `MILLSTREAM_LOG` does not say is shown from `level` on.
///
/// # Errors
/// A setting that cannot be read.
pub(crate) fn start(settings: &Settings, level: Level, is_colour: bool) -> Result<(), Failure> {
    let targets = targets(settings, level)?;
    let format = settings.read("log-format", "text or json", |text| match text {
        "text" => Some(LogFormat::Text),
        "json" => Some(LogFormat::Json),
        _ => None,
    })?;
    let usual = match std::io::stderr().is_terminal() {
        true => LogFormat::Text,
        false => LogFormat::Json,
    };
    let registry = tracing_subscriber::registry();
    let layer = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let started = match format.unwrap_or(usual) {
        LogFormat::Text => {
            registry.with(layer.with_ansi(is_colour).with_filter(targets)).try_init()
        }
        LogFormat::Json => {
            let json = layer.json().flatten_event(true).with_current_span(false);
            registry.with(json.with_span_list(false).with_filter(targets)).try_init()
        }
    };
    // Only a test that starts a second log in its process can fail here.
    drop(started);
    Ok(())
}

fn targets(settings: &Settings, level: Level) -> Result<Targets, Failure> {
    let Some(found) = settings.found("log") else {
        // The variable that all of Rust's programs read; what is wrong in it is not our affair.
        let usual = std::env::var("RUST_LOG").ok().and_then(|text| text.parse().ok());
        return Ok(usual.unwrap_or_else(|| Targets::new().with_default(level)));
    };
    Targets::from_str(&found.value)
        .map_err(|_| bad_value("log", "levels such as info,broker=debug", found))
}
