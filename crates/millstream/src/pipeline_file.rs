//! Reading a pipeline's file for a command, and telling all that is wrong with it.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use topology::diagnose::{Diagnostic, Look, Paint, Sources, has_errors, render};
use topology::lint::{self, Loaded};
use topology::spec::{Lookup, Parsed, Spec, parse_configuration};

use crate::cli::Stage;
use crate::message::{Exit, Failure, codes};
use crate::terminal::Stream;

/// Reads and checks a pipeline: one file, or a list of tasks and its configuration. What is wrong
/// has been told when this is `Err(Ok(exit))`.
///
/// # Errors
/// The exit after the problems were shown, or a file that cannot be read.
pub(crate) fn load(files: &[PathBuf], stage: &Stage) -> Result<Loaded, Result<Exit, Failure>> {
    let sources = read(files, stage).map_err(Err)?;
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
    for file in all_of(files, stage) {
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

/// A pipeline as a cluster is asked to run it.
pub(crate) struct ToApply {
    pub(crate) spec: Spec,
    /// Its files, by name.
    pub(crate) files: Texts,
    /// The variables that they name.
    pub(crate) variables: BTreeMap<String, String>,
}

/// Reads and checks a pipeline for a cluster, and takes the address of the log from it.
///
/// # Errors
/// As [`load`].
pub(crate) fn to_apply(
    files: &[PathBuf],
    stage: &mut Stage,
) -> Result<ToApply, Result<Exit, Failure>> {
    let variables = RefCell::new(BTreeMap::new());
    let noted = |name: &str| {
        let found = lookup(name)?;
        variables.borrow_mut().insert(name.to_owned(), found.clone());
        Some(found)
    };
    let (loaded, files) = load_with(files, &noted, stage)?;
    let spec = loaded.spec;
    let named = spec.brokers.as_ref().map(|brokers| brokers.value.clone());
    let named = named.filter(|brokers| brokers != "embedded");
    stage.settings.pipeline("brokers", "cluster.brokers", named);
    Ok(ToApply { spec, files, variables: variables.into_inner() })
}

/// Reads the file of --config where it is the configuration of a list of tasks: the log is at its
/// address, unless something stronger says otherwise.
///
/// # Errors
/// As [`load`].
pub(crate) fn configure(stage: &mut Stage) -> Result<(), Result<Exit, Failure>> {
    let Some(spec) = configuration(stage)? else { return Ok(()) };
    let named = spec.brokers.map(|brokers| brokers.value);
    stage.settings.pipeline("brokers", "broker", named.filter(|it| it != "embedded"));
    Ok(())
}

/// What the file of --config says where it is the configuration of a list of tasks.
///
/// # Errors
/// As [`load`].
pub(crate) fn configuration(stage: &Stage) -> Result<Option<Spec>, Result<Exit, Failure>> {
    let Some(path) = &stage.configuration else { return Ok(None) };
    let mut sources = Sources::new();
    sources.add(&path.display().to_string(), &text_of(path).map_err(Err)?);
    let Parsed { spec, diagnostics } = parse_configuration(&sources, &lookup);
    if has_errors(&diagnostics) {
        eprintln!("{}", shown(&diagnostics, &sources, stage));
        return Err(Ok(Exit::Failed));
    }
    Ok(spec)
}

/// The files that were named, and the configuration of --config beside them.
fn all_of<'a>(files: &'a [PathBuf], stage: &'a Stage) -> impl Iterator<Item = &'a PathBuf> {
    files.iter().chain(&stage.configuration)
}

/// Reads the files of a pipeline.
///
/// # Errors
/// A file that cannot be read.
pub(crate) fn read(files: &[PathBuf], stage: &Stage) -> Result<Sources, Failure> {
    let mut sources = Sources::new();
    for file in all_of(files, stage) {
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
