//! Whether the parts of a pipeline fit together, and what is worth knowing about it.
//!
//! `spec` has checked each part by itself; this module checks ids, arcs, topics and tables against
//! one another. All checks run, so that a person sees every problem at once.

mod ends;
mod names;
mod remarks;
mod routes;

use crate::diagnose::{Diagnostic, Sources, has_errors, sort};
use crate::graph::Graph;
use crate::limits::DIAGNOSTICS_MAX;
use crate::spec::{Lookup, Spec, parse};

/// A pipeline without errors.
#[derive(Debug, Clone, PartialEq)]
pub struct Loaded {
    /// The pipeline.
    pub spec: Spec,
    /// Warnings and notes in the order in which they are shown.
    pub remarks: Vec<Diagnostic>,
}

/// Reads and checks a pipeline.
///
/// # Errors
/// All errors, warnings and notes in the order in which they are shown; at least one error.
pub fn load(sources: &Sources, lookup: Lookup<'_>) -> Result<Loaded, Vec<Diagnostic>> {
    let parsed = parse(sources, lookup);
    let mut diagnostics = parsed.diagnostics;
    let unsound = has_errors(&diagnostics);
    if let Some(spec) = &parsed.spec {
        // What is missing because it could not be read must not be reported a second time.
        diagnostics.extend(if unsound { check_partly(spec) } else { check(spec) });
    }
    sort(&mut diagnostics);
    diagnostics.truncate(DIAGNOSTICS_MAX);
    match parsed.spec {
        Some(spec) if !has_errors(&diagnostics) => Ok(Loaded { spec, remarks: diagnostics }),
        _ => Err(diagnostics),
    }
}

/// All that is to be said about a spec that was read without errors.
#[must_use]
pub fn check(spec: &Spec) -> Vec<Diagnostic> {
    let graph = Graph::of(spec);
    let mut diagnostics = check_partly(spec);
    ends::check(spec, &graph, &mut diagnostics);
    names::check_topics(spec, &graph, &mut diagnostics);
    if !has_errors(&diagnostics) {
        remarks::check(spec, &graph, &mut diagnostics);
    }
    diagnostics
}

/// The checks that make sense although parts of the file could not be read.
fn check_partly(spec: &Spec) -> Vec<Diagnostic> {
    let graph = Graph::of(spec);
    let mut diagnostics = Vec::new();
    names::check_ids(spec, &mut diagnostics);
    routes::check(spec, &graph, &mut diagnostics);
    diagnostics
}
