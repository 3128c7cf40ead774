//! Tables and their keys, and fields that are never there.

use std::collections::BTreeMap;

use crate::diagnose::{Diagnostic, Located, Span, code, did_you_mean};
use crate::expression::Expression;
use crate::graph::Graph;
use crate::plan::{feeders, has_window_start};
use crate::spec::{Form, Sink, Spec, SqliteTable, TaskKind};

pub(crate) fn check(spec: &Spec, graph: &Graph, diagnostics: &mut Vec<Diagnostic>) {
    let fields = Fields::of(spec, graph);
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
            let ends = Ends { spec, graph, fields: &fields };
            check_key(&ends, (index, sink), table, diagnostics);
        }
    }
    for (index, task) in spec.tasks.iter().enumerate() {
        check_fields(spec, &fields, index, diagnostics);
        if let (TaskKind::Sum { field: Some(field), .. }, Some(known)) =
            (&task.kind, fields.coming(index))
        {
            let name = field.to_string();
            if !known.contains(&name.as_str()) {
                diagnostics.push(never_there(&task.id, &name, known, task.id.span));
            }
        }
    }
}

/// What the checks of a table look at.
struct Ends<'a> {
    spec: &'a Spec,
    graph: &'a Graph,
    fields: &'a Fields,
}

/// The key columns of a table against the documents that come to it.
fn check_key(
    ends: &Ends<'_>,
    sink: (usize, &Sink),
    table: &SqliteTable,
    diagnostics: &mut Vec<Diagnostic>,
) {
    let Ends { spec, graph, fields } = *ends;
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
        let Some(fields) = fields.going(*task) else { continue };
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

/// The fields that documents can have at each task; `None` where they depend on the source.
struct Fields {
    coming: Vec<Option<Vec<&'static str>>>,
    going: Vec<Option<Vec<&'static str>>>,
}

impl Fields {
    fn of(spec: &Spec, graph: &Graph) -> Self {
        let count = spec.tasks.len();
        let mut fields = Self { coming: vec![None; count], going: vec![None; count] };
        if spec.form == Form::Legacy {
            return fields;
        }
        // Tasks in and behind a loop have no first document; they stay unknown.
        for index in graph.order() {
            let Some(task) = spec.tasks.get(index) else { continue };
            let coming = fields.after_parents(graph, index);
            let going = match &task.kind {
                TaskKind::Count { window: None } => Some(vec!["count"]),
                TaskKind::Count { window: Some(_) } => {
                    Some(vec!["count", "window_end", "window_start"])
                }
                TaskKind::Average { .. } => {
                    Some(vec!["average", "count", "window_end", "window_start"])
                }
                TaskKind::Map { .. } => None,
                TaskKind::Forward | TaskKind::Filter { .. } | TaskKind::Sum { .. } => {
                    coming.clone()
                }
            };
            if let (Some(old), Some(new)) = (fields.coming.get_mut(index), coming) {
                *old = Some(new);
            }
            if let Some(old) = fields.going.get_mut(index) {
                *old = going;
            }
        }
        fields
    }

    /// The fields that any of the documents has that come to a task.
    fn after_parents(&self, graph: &Graph, task: usize) -> Option<Vec<&'static str>> {
        if graph.sources.get(task).is_some_and(|sources| !sources.is_empty()) {
            return None;
        }
        let mut all = Vec::new();
        for parent in graph.parents(task) {
            all.extend(self.going.get(parent)?.as_ref()?);
            all.sort_unstable();
            all.dedup();
        }
        if all.is_empty() { None } else { Some(all) }
    }

    fn coming(&self, task: usize) -> Option<&[&'static str]> {
        self.coming.get(task)?.as_deref()
    }

    fn going(&self, task: usize) -> Option<&[&'static str]> {
        self.going.get(task)?.as_deref()
    }
}

/// Expressions that look for fields which the documents cannot have.
fn check_fields(spec: &Spec, fields: &Fields, index: usize, diagnostics: &mut Vec<Diagnostic>) {
    let Some(task) = spec.tasks.get(index) else { return };
    let Some(known) = fields.coming(index) else { return };
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
                diagnostics.push(never_there(&task.id, name, known, expression.span()));
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
