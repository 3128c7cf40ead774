//! `pipeline init`: a first file for somebody who has none.

use std::fs::OpenOptions;
use std::io::{self, ErrorKind, Write as _};
use std::path::PathBuf;

use clap::Args;
use topology::diagnose::{Severity, Sources};
use topology::spec::Skeleton;

use crate::cli::Stage;
use crate::message::{Exit, Failure, codes};
use crate::pipeline_file;

/// The topic of the results, when none is named.
const SINK_TOPIC: &str = "results";

/// What a file is called that goes to standard output.
const USUAL_FILE: &str = "pipeline.yaml";

/// Options of the action.
#[derive(Debug, Args)]
pub(super) struct InitArgs {
    /// Where it is written; - is standard output.
    #[arg(value_name = "FILE", default_value = USUAL_FILE)]
    file: PathBuf,
    /// The topics that it reads, and the topic of its results [default topic: results].
    #[arg(long, value_name = "TOPIC,..[/SINKTOPIC]", default_value = "readings")]
    from: String,
    /// Write over a file that is there.
    #[arg(long)]
    force: bool,
}

/// Writes the file.
pub(super) fn run(args: &InitArgs, stage: &mut Stage) -> Result<Exit, Failure> {
    let is_output = args.file.as_os_str() == "-";
    let file = if is_output { USUAL_FILE.to_owned() } else { args.file.display().to_string() };
    let text = skeleton(args, &file).text();
    check(args, &file, &text)?;
    if is_output {
        stage.put(text.as_bytes())?;
        return Ok(Exit::Success);
    }
    write(args, &text).map_err(|error| unwritable(&file, &error))?;
    stage.note(&format!("{file} is written; next: millstream pipeline test {file}"));
    Ok(Exit::Success)
}

fn skeleton(args: &InitArgs, file: &str) -> Skeleton {
    let (sources, sink) = args.from.split_once('/').unwrap_or((&args.from, SINK_TOPIC));
    Skeleton {
        file: file.to_owned(),
        sources: sources.split(',').map(|topic| topic.trim().to_owned()).collect(),
        sink: sink.trim().to_owned(),
    }
}

/// Names of topics may be illegal or clash; nothing is written that `lint` would refuse.
fn check(args: &InitArgs, file: &str, text: &str) -> Result<(), Failure> {
    let Err(diagnostics) = pipeline_file::check(&Sources::single(file, text)) else {
        return Ok(());
    };
    let first = diagnostics.into_iter().find(|it| it.severity == Severity::Error);
    let (title, help) = first.map_or_else(Default::default, |it| (it.title, it.help));
    let failure =
        Failure::usage(format!("no pipeline can be made of --from {}: {title}", args.from));
    Err(match help {
        Some(help) => failure.help(help),
        None => failure,
    })
}

fn write(args: &InitArgs, text: &str) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true);
    if args.force {
        options.create(true).truncate(true);
    } else {
        options.create_new(true);
    }
    options.open(&args.file)?.write_all(text.as_bytes())
}

fn unwritable(file: &str, error: &io::Error) -> Failure {
    if error.kind() == ErrorKind::AlreadyExists {
        return Failure::usage(format!("{file} is there already"))
            .help("choose another name")
            .help("write over it with --force");
    }
    Failure::new(Exit::Failed, codes::MACHINE, format!("{file} cannot be written: {error}"))
}
