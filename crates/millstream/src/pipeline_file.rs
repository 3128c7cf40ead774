//! Reading a pipeline's file for a command, and telling all that is wrong with it.

use std::path::{Path, PathBuf};

use topology::diagnose::{Diagnostic, Look, Paint, Sources, render};
use topology::lint::{self, Loaded};
use topology::spec::Lookup;

use crate::cli::Stage;
use crate::message::{Exit, Failure, codes};
use crate::terminal::Stream;

/// Reads and checks a pipeline: one file, or a list of tasks and its configuration. What is wrong
/// has been told when this is `Err(Ok(exit))`.
///
/// # Errors
/// The exit after the problems were shown, or a file that cannot be read.
pub(crate) fn load(files: &[PathBuf], stage: &Stage) -> Result<Loaded, Result<Exit, Failure>> {
    let sources = read(files).map_err(Err)?;
    check(&sources).map_err(|diagnostics| {
        eprintln!("{}", shown(&diagnostics, &sources, stage));
        Ok(Exit::Failed)
    })
}

/// The texts of files, by name.
pub(crate) type Texts = Vec<(String, String)>;

/// As [`load`], with the texts of the files by name, and with a look-up of one's own.
///
/// # Errors
/// As [`load`].
pub(crate) fn load_with(
    files: &[PathBuf],
    lookup: Lookup<'_>,
    stage: &Stage,
) -> Result<(Loaded, Texts), Result<Exit, Failure>> {
    let mut sources = Sources::new();
    let mut texts = Texts::new();
    for file in files {
        let text = text_of(file).map_err(Err)?;
        let name = file.display().to_string();
        sources.add(&name, &text);
        texts.push((name, text));
    }
    let loaded = lint::load(&sources, lookup).map_err(|diagnostics| {
        eprintln!("{}", shown(&diagnostics, &sources, stage));
        Ok(Exit::Failed)
    })?;
    Ok((loaded, texts))
}

/// Reads the files of a pipeline.
///
/// # Errors
/// A file that cannot be read.
pub(crate) fn read(files: &[PathBuf]) -> Result<Sources, Failure> {
    let mut sources = Sources::new();
    for file in files {
        let text = text_of(file)?;
        sources.add(&file.display().to_string(), &text);
    }
    Ok(sources)
}

fn text_of(file: &Path) -> Result<String, Failure> {
    std::fs::read_to_string(file).map_err(|error| unreadable(file, &error))
}

/// Checks a pipeline.
///
/// # Errors
/// Everything that is wrong with it.
pub(crate) fn check(sources: &Sources) -> Result<Loaded, Vec<Diagnostic>> {
    lint::load(sources, &lookup)
}

/// Diagnostics as standard error can show them.
pub(crate) fn shown(diagnostics: &[Diagnostic], sources: &Sources, stage: &Stage) -> String {
    let facts = stage.facts(Stream::Messages);
    let look = match (facts.is_terminal, facts.unicode()) {
        (false, _) => Look::Plain,
        (true, true) => Look::Boxes,
        (true, false) => Look::Ascii,
    };
    let paint = if facts.colour() { Paint::Ansi } else { Paint::Off };
    render(diagnostics, sources, look, paint)
}

/// The value of `${NAME}`, or the content of the file of `${file:PATH}`.
pub(crate) fn lookup(name: &str) -> Option<String> {
    match name.strip_prefix("file:") {
        Some(path) => std::fs::read_to_string(path).ok().map(|text| text.trim_end().to_owned()),
        None => std::env::var(name).ok(),
    }
}

fn unreadable(file: &Path, error: &std::io::Error) -> Failure {
    let what = format!("{} cannot be read: {error}", file.display());
    Failure::new(Exit::Failed, codes::PIPELINE_FILE, what)
        .help("name a pipeline file, such as examples/machine-health.yaml")
}
