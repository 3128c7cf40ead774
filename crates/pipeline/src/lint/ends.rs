//! Tables and their keys, and fields that are never there.

use std::collections::BTreeMap;

use crate::diagnose::{Diagnostic, Located, Span, code, did_you_mean};
use crate::expression::Expression;
use crate::graph::Graph;
use crate::plan::{feeders, has_window_start};
use crate::spec::{Form, Sink, Spec, SqliteTable, TaskKind};

pub(crate) fn check(spec: &Spec, graph: &Graph, diagnostics: &mut Vec<Diagnostic>) {
    let mut tables: BTreeMap<(&str, String), Span> = BTreeMap::new();
    for (index, sink) in spec.sinks.iter().enumerate() {
        for table in &sink.tables {
            let name = (table.file.value.as_str(), table.table.value.to_lowercase());
            if let Some(first) = tables.insert(name, table.table.span) {
                let title = format!(
                    "table `{}` of {} is written by two sinks",
                    table.table.value, table.file.value
                );
                let diagnostic = Diagnostic::error(code::CONFLICT, title)
                    .at(table.table.span, "again here")
                    .at(first, "first here");
                diagnostics.push(diagnostic.help("send both to one sink, or choose two tables"));
            }
            check_key(spec, graph, (index, sink), table, diagnostics);
        }
    }
    for (index, task) in spec.tasks.iter().enumerate() {
        check_fields(spec, graph, index, diagnostics);
        if let (TaskKind::Sum { field: Some(field), .. }, Some(fields)) =
            (&task.kind, incoming_fields(spec, graph, index))
        {
            let name = field.to_string();
            if !fields.iter().any(|known| *known == name) {
                diagnostics.push(never_there(&task.id, &name, &fields, task.id.span));
            }
        }
    }
}

/// The key columns of a table against the documents that come to it.
fn check_key(
    spec: &Spec,
    graph: &Graph,
    sink: (usize, &Sink),
    table: &SqliteTable,
    diagnostics: &mut Vec<Diagnostic>,
) {
    let from: Vec<usize> = feeders(graph, sink.0).collect();
    let windowed: Vec<usize> =
        from.iter().copied().filter(|task| has_window_start(spec, graph, *task)).collect();
    let id = |task: usize| spec.tasks.get(task).map_or("", |task| task.id.value.as_str());
    let Some(columns) = &table.key else {
        if !windowed.is_empty() && windowed.len() < from.len() {
            let plain = from.iter().find(|task| !windowed.contains(task));
            let title = format!(
                "table `{}` gets rows with a window from `{}` and without one from `{}`",
                table.table.value,
                windowed.first().map_or("", |task| id(*task)),
                plain.map_or("", |task| id(*task))
            );
            let diagnostic = Diagnostic::error(code::SINK_KEY, title)
                .at(table.table.span, "one key cannot fit both")
                .help("give each its own sink and table");
            diagnostics.push(diagnostic);
        }
        return;
    };
    for task in &from {
        let Some(fields) = outgoing_fields(spec, graph, *task) else { continue };
        for column in columns {
            let known = || fields.iter().copied().chain(["key"]);
            if known().any(|known| known == column.value) {
                continue;
            }
            let title = format!("`{}` writes no column `{}`", id(*task), column.value);
            let names: Vec<&str> = known().collect();
            let help = did_you_mean(&column.value, known())
                .unwrap_or_else(|| format!("its columns are {}", names.join(", ")));
            let diagnostic = Diagnostic::error(code::SINK_KEY, title)
                .at(column.span, "not in its documents")
                .help(help);
            diagnostics.push(diagnostic);
        }
        let has_start = columns.iter().any(|column| column.value == "window_start");
        if windowed.contains(task) && !has_start {
            let title = format!("table `{}` keeps only the newest window", table.table.value);
            let span = columns.first().map_or(table.table.span, |column| column.span);
            let diagnostic = Diagnostic::note(code::REWRITTEN_ROWS, title)
                .at(span, "no `window_start` in the key")
                .help("write `key: [key, window_start]` to keep all windows");
            diagnostics.push(diagnostic);
        }
    }
}

/// The fields of the documents that a task makes; `None` when they depend on the input.
fn outgoing_fields(spec: &Spec, graph: &Graph, task: usize) -> Option<Vec<&'static str>> {
    if spec.form == Form::Legacy {
        return None;
    }
    match &spec.tasks.get(task)?.kind {
        TaskKind::Count { window: None } => Some(vec!["count"]),
        TaskKind::Count { window: Some(_) } => Some(vec!["count", "window_start", "window_end"]),
        TaskKind::Average { .. } => Some(vec!["average", "count", "window_start", "window_end"]),
        TaskKind::Map { .. } => None,
        TaskKind::Forward | TaskKind::Filter { .. } | TaskKind::Sum { .. } => {
            incoming_fields(spec, graph, task)
        }
    }
}

/// The fields that any of the documents has that come to a task.
fn incoming_fields(spec: &Spec, graph: &Graph, task: usize) -> Option<Vec<&'static str>> {
    if graph.sources.get(task).is_some_and(|sources| !sources.is_empty()) {
        return None;
    }
    // In a loop there is no first document.
    if !graph.order().contains(&task) {
        return None;
    }
    let mut all = Vec::new();
    for parent in graph.parents(task) {
        all.extend(outgoing_fields(spec, graph, parent)?);
    }
    all.sort_unstable();
    all.dedup();
    if all.is_empty() { None } else { Some(all) }
}

/// Expressions that look for fields which the documents cannot have.
fn check_fields(spec: &Spec, graph: &Graph, index: usize, diagnostics: &mut Vec<Diagnostic>) {
    let Some(task) = spec.tasks.get(index) else { return };
    let Some(known) = incoming_fields(spec, graph, index) else { return };
    let mut expressions: Vec<&Expression> = Vec::new();
    expressions.extend(&task.key);
    expressions.extend(&task.event_time);
    match &task.kind {
        TaskKind::Filter { condition } => expressions.push(condition),
        TaskKind::Average { value, .. } => expressions.extend(value),
        TaskKind::Map { set, .. } => expressions.extend(set.iter().map(|(_, value)| value)),
        TaskKind::Forward | TaskKind::Sum { .. } | TaskKind::Count { .. } => {}
    }
    for expression in expressions {
        for name in expression.fields() {
            if !known.contains(&name) {
                diagnostics.push(never_there(&task.id, name, &known, expression.span()));
            }
        }
    }
}

fn never_there(task: &Located<String>, name: &str, known: &[&str], span: Span) -> Diagnostic {
    let title = format!("task `{}` looks for `{name}`, which its input never has", task.value);
    let help = did_you_mean(name, known.iter().copied())
        .unwrap_or_else(|| format!("its input has {}; the key is `@key`", known.join(", ")));
    Diagnostic::warning(code::ALWAYS_NULL, title).at(span, "always null").help(help)
}
