//! Reading one task, in the words of its type.

use super::errors::{self, Rules};
use super::node::{Kind, Node};
use super::reader::{Fields, Reader, shortened};
use super::{Emit, Form, Task, TaskKind, Window};
use crate::diagnose::{Diagnostic, Located, Span, code, did_you_mean};
use crate::expression::Expression;
use crate::json::{Number, Path};
use crate::limits::{PARTITIONS_MAX, TASKS_MAX, WINDOWS_PER_RECORD_MAX};

/// The types of tasks.
pub(crate) const TYPES: [&str; 6] = ["forward", "sum", "count", "average", "filter", "map"];

/// The words of `emit`.
pub(crate) const EMIT_WORDS: [(&str, Emit); 2] = [("final", Emit::Final), ("update", Emit::Update)];

/// The window of an `average` that names none, in the legacy form.
const LEGACY_WINDOW_MS: u64 = 10_000;

/// Fields that only some types have, with their homes, for helpful messages.
const HOMES: [(&str, &str); 11] = [
    ("field", "`sum`"),
    ("add", "`sum`"),
    ("value", "`average`"),
    ("window", "`count` and `average`"),
    ("grace", "`count` and `average`"),
    ("emit", "`count` and `average`"),
    ("ttl", "`count`"),
    ("where", "`filter`"),
    ("set", "`map`"),
    ("unset", "`map`"),
    ("late", "no type yet"),
];

/// Reads the list of tasks.
pub(crate) fn read_all(
    reader: &mut Reader<'_>,
    node: &Node,
    form: Form,
    usual: Rules,
) -> Vec<Task> {
    let Kind::Sequence(items) = &node.kind else {
        reader.expected("`tasks`", "a list of tasks", node);
        return Vec::new();
    };
    if items.len() > TASKS_MAX {
        let title = format!("the pipeline has more than {TASKS_MAX} tasks");
        reader.report(Diagnostic::error(code::TOO_LARGE, title).at(node.span, ""));
        return Vec::new();
    }
    if items.is_empty() {
        let title = "the list of tasks is empty";
        let help = "add a task: - { id: copy, type: forward, to: sink }";
        reader.report(Diagnostic::error(code::MISSING_FIELD, title).at(node.span, "").help(help));
    }
    items.iter().filter_map(|item| read(reader, item, form, usual)).collect()
}

/// Reads one task; `None` when it is no mapping or has no usable id.
fn read(reader: &mut Reader<'_>, node: &Node, form: Form, usual: Rules) -> Option<Task> {
    let mut fields = reader.fields("a task", node);
    if !matches!(node.kind, Kind::Mapping(_)) {
        return None;
    }
    let id = fields.require(reader, "id", "id: my-task").and_then(|n| reader.name("the id", n));
    if let Some(id) = &id {
        fields.rename(format!("task `{}`", id.value));
    }
    let kind = kind(reader, &mut fields, form);
    let ttl_ms = kind.as_ref().and_then(|kind| ttl(reader, &mut fields, kind));
    let to = fields.take("to").and_then(|node| reader.texts("`to`", node));
    let from = fields.take("from").and_then(|node| reader.texts("`from`", node));
    let key = fields.take("key").and_then(|node| reader.expression("`key`", node));
    let event_time =
        fields.take("event_time").and_then(|node| reader.expression("`event_time`", node));
    let rules = errors::of_task(reader, &mut fields, usual);
    let partitions = fields.take("partitions").and_then(|node| {
        let count = reader.count("`partitions`", node, (1, PARTITIONS_MAX))?;
        Some(Located::new(count, node.span))
    });
    match &kind {
        Some(_) => fields.misplaced(reader, &HOMES),
        // The type decides which fields there are; without one, none of them is a mistake.
        None => {
            for (name, _) in HOMES {
                let _ = fields.take(name); // Taken only to count as known.
            }
        }
    }
    let span = fields.span();
    fields.finish(reader);
    Some(Task {
        id: id?,
        span,
        kind: kind.unwrap_or(TaskKind::Forward),
        key,
        to,
        from: from.unwrap_or_default(),
        on_error: rules.on_error(),
        retry: rules.retry(),
        partitions,
        event_time,
        ttl_ms,
    })
}

fn kind(reader: &mut Reader<'_>, fields: &mut Fields<'_>, form: Form) -> Option<TaskKind> {
    let node = fields.require(reader, "type", "type: forward")?;
    let word = reader.text("`type`", node)?;
    match word.value.as_str() {
        "forward" => Some(TaskKind::Forward),
        "sum" => Some(sum(reader, fields, form)),
        "count" => {
            let window = window(reader, fields, Emit::Final);
            Some(TaskKind::Count { window })
        }
        "average" => average(reader, fields, form, word.span),
        "filter" => {
            let node = fields.require(reader, "where", "where: value != null")?;
            let condition = reader.expression("`where`", node)?;
            report_unless_condition(reader, &condition, node.span);
            Some(TaskKind::Filter { condition })
        }
        "map" => Some(map(reader, fields)),
        other => {
            let title = format!("{} has unknown type `{}`", fields.owner(), shortened(other));
            let known = format!("known types: {}", TYPES.join(", "));
            let help = did_you_mean(other, TYPES).map_or_else(
                || known.clone(),
                |suggestion| format!("{suggestion} {}", capitalised(&known)),
            );
            let diagnostic = Diagnostic::error(code::UNKNOWN_TYPE, title)
                .at(word.span, "not a known task type")
                .help(help);
            reader.report(diagnostic);
            None
        }
    }
}

fn capitalised(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

/// A `where` that can never be true or false is found when the file is read.
fn report_unless_condition(reader: &mut Reader<'_>, condition: &Expression, span: Span) {
    if !condition.may_be_condition() {
        let title = "`where` must be true or false";
        let help = "compare something: value != null";
        reader.report(
            Diagnostic::error(code::EXPRESSION_TYPES, title)
                .at(span, format!("this is {}", condition.kind_word()))
                .help(help),
        );
    }
}

fn sum(reader: &mut Reader<'_>, fields: &mut Fields<'_>, form: Form) -> TaskKind {
    let written = fields.take("field").and_then(|node| reader.path("`field`", node));
    let field = match form {
        Form::Full => Some(written.unwrap_or_else(|| Path::field("value"))),
        Form::Legacy => written,
    };
    let add = fields.take("add").and_then(|node| reader.number("`add`", node));
    TaskKind::Sum { field, add: add.unwrap_or(Number::Int(1)) }
}

fn average(
    reader: &mut Reader<'_>,
    fields: &mut Fields<'_>,
    form: Form,
    type_span: Span,
) -> Option<TaskKind> {
    let written = fields.take("value").and_then(|node| reader.expression("`value`", node));
    let (value, emit) = match form {
        Form::Full => (Some(written.unwrap_or_else(|| Expression::field("value"))), Emit::Final),
        Form::Legacy => (written, Emit::Update),
    };
    let named = fields.take("window").is_some();
    let window = window(reader, fields, emit);
    let window = match (window, form) {
        (Some(window), _) => window,
        // A window that is there and wrong was reported already.
        (None, _) if named => return None,
        (None, Form::Legacy) => Window {
            size_ms: LEGACY_WINDOW_MS,
            every_ms: LEGACY_WINDOW_MS,
            grace_ms: 0,
            emit,
            implied: true,
        },
        (None, Form::Full) => {
            let title = format!("{} is an average without a window", fields.owner());
            let diagnostic = Diagnostic::error(code::BAD_WINDOW, title)
                .at(type_span, "the mean over which time?")
                .help("add `window: 10s`");
            reader.report(diagnostic);
            return None;
        }
    };
    Some(TaskKind::Average { value, window })
}

/// `window`, `grace` and `emit` together; `None` without a window.
fn window(reader: &mut Reader<'_>, fields: &mut Fields<'_>, emit: Emit) -> Option<Window> {
    let node = fields.take("window");
    let grace = fields.take_keyed("grace");
    let written = fields.take_keyed("emit");
    let sizes = node.map(|node| window_sizes(reader, node));
    let grace_ms = grace.and_then(|(_, node)| reader.duration("`grace`", node));
    let chosen = written.and_then(|(_, node)| reader.word("`emit`", node, &EMIT_WORDS));
    let Some(sizes) = sizes else {
        for (name, place) in [("grace", grace), ("emit", written)] {
            if let Some((span, _)) = place {
                let title = format!("{} has `{name}` without a window", fields.owner());
                let diagnostic = Diagnostic::error(code::BAD_WINDOW, title)
                    .at(span, "has no effect here")
                    .help("add `window: 10s`");
                reader.report(diagnostic);
            }
        }
        return None;
    };
    let (size_ms, every_ms) = sizes?;
    let (grace_ms, emit) = (grace_ms.unwrap_or(0), chosen.unwrap_or(emit));
    Some(Window { size_ms, every_ms, grace_ms, emit, implied: false })
}

/// How long a running count remembers a key; windows end by themselves.
fn ttl(reader: &mut Reader<'_>, fields: &mut Fields<'_>, kind: &TaskKind) -> Option<u64> {
    let TaskKind::Count { window } = kind else { return None };
    let (span, node) = fields.take_keyed("ttl")?;
    if window.is_some() {
        let title = format!("{} has `ttl` beside a window", fields.owner());
        let diagnostic = Diagnostic::error(code::BAD_WINDOW, title)
            .at(span, "has no effect here")
            .help("take `ttl` away: what a window remembers goes when it closes");
        reader.report(diagnostic);
        return None;
    }
    reader.positive_duration("`ttl`", node)
}

/// `10s`, or `{ size: 1m, every: 10s }`.
fn window_sizes(reader: &mut Reader<'_>, node: &Node) -> Option<(u64, u64)> {
    if !matches!(node.kind, Kind::Mapping(_)) {
        return reader.positive_duration("`window`", node).map(|size| (size, size));
    }
    let mut fields = reader.fields("`window`", node);
    let size = fields.require(reader, "size", "size: 1m");
    let size = size.and_then(|node| reader.positive_duration("`size`", node));
    let every = fields.take("every");
    let every_ms = every.and_then(|node| reader.positive_duration("`every`", node));
    fields.finish(reader);
    let size = size?;
    let Some(every) = every else { return Some((size, size)) };
    let every_ms = every_ms?;
    let title = if every_ms > size {
        "`every` is longer than the window, so that records would fall between windows"
    } else if size.div_ceil(every_ms) > WINDOWS_PER_RECORD_MAX {
        "each record would belong to more than 1,000 windows"
    } else {
        return Some((size, every_ms));
    };
    reader.report(Diagnostic::error(code::BAD_WINDOW, title).at(every.span, "here"));
    None
}

/// `set: { path: expression }` and `unset: [paths]`.
fn map(reader: &mut Reader<'_>, fields: &mut Fields<'_>) -> TaskKind {
    let mut set = Vec::new();
    let written = fields.take("set");
    if let Some(node) = written {
        let mut entries = reader.fields("`set`", node);
        for (name, value) in entries.take_all() {
            let path = reader.path_of("the field", &name);
            let expression = reader.expression("the value", value);
            if let (Some(path), Some(expression)) = (path, expression) {
                set.push((path, expression));
            }
        }
    }
    let removed = fields.take("unset");
    let mut unset: Vec<Path> = Vec::new();
    if let Some(node) = removed {
        let texts = reader.texts("`unset`", node).unwrap_or_default();
        unset.extend(texts.iter().filter_map(|text| reader.path_of("the field", text)));
    }
    if written.is_none() && removed.is_none() {
        let title = format!("{} sets nothing", fields.owner());
        let diagnostic = Diagnostic::error(code::MISSING_FIELD, title)
            .at(fields.span(), "")
            .help("add `set: { total: price * amount }`");
        reader.report(diagnostic);
    }
    TaskKind::Map { set, unset }
}
