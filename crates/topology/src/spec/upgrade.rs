//! A spec written out in the full form, so that people can leave the legacy one.

use super::full::usual_partitions;
use super::{
    Edges, Emit, Form, Format, OnError, Retry, Runtime, Spec, Task, TaskKind, Window,
    duration_text, schema_line,
};
use crate::json::{Number, write_number, write_text};

/// The text of a `version: 1` file that means the same as a spec of the legacy form.
///
/// Two things change, and the text says so in comments: results become JSON documents, and the
/// topics of arcs get the pipeline's name in front.
#[must_use]
pub fn upgrade(spec: &Spec) -> String {
    let mut out = schema_line();
    if spec.form == Form::Legacy {
        out.push_str("# Results are JSON documents in this form, such as {\"count\":3}, and the\n");
        out.push_str("# topics between tasks are called <pipeline>.<from>_<to>.\n");
    }
    out.push_str("version: 1\n");
    out.push_str(&format!("name: {}\n", scalar(&spec.name.value)));
    if let Some(brokers) = &spec.brokers {
        out.push_str(&format!("cluster: {{ brokers: {} }}\n", scalar(&brokers.value)));
    }
    runtime(&spec.runtime, &mut out);
    if spec.edges == Edges::Topics {
        out.push_str("edges: topics\n");
    }
    if spec.partitions != usual_partitions(&spec.runtime) {
        out.push_str(&format!("partitions: {}\n", spec.partitions));
    }
    for source in spec.sources.iter().take(1) {
        let format = match source.format {
            Format::Number => ", format: number",
            Format::Json { .. } => "",
        };
        out.push_str(&format!("source: {{ topic: {}{format} }}\n", scalar(&source.topic.value)));
    }
    out.push_str("tasks:\n");
    for written in &spec.tasks {
        task(written, Detail::Short, &mut out);
    }
    for sink in spec.sinks.iter().take(1) {
        if let Some(topic) = &sink.topic {
            out.push_str(&format!("sink: {{ kafka: {{ topic: {} }} }}\n", scalar(&topic.value)));
        }
    }
    out
}

fn runtime(runtime: &Runtime, out: &mut String) {
    let usual = Runtime::default();
    let mut parts = Vec::new();
    if runtime.task_managers != usual.task_managers {
        parts.push(format!("task_managers: {}", runtime.task_managers));
    }
    if runtime.parallelism != usual.parallelism {
        parts.push(format!("parallelism: {}", runtime.parallelism));
    }
    if runtime.commit_interval_ms != usual.commit_interval_ms {
        parts.push(format!("commit_interval: {}", duration_text(runtime.commit_interval_ms)));
    }
    if !parts.is_empty() {
        out.push_str(&format!("runtime: {{ {} }}\n", parts.join(", ")));
    }
}

/// How much of a task is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Detail {
    /// What is usual in the full form is left out.
    Short,
    /// All of it.
    All,
}

/// A task as an item of the list.
pub(crate) fn task(task: &Task, detail: Detail, out: &mut String) {
    let mut fields = vec![format!("type: {}", task.kind.word())];
    if let Some(key) = &task.key {
        fields.push(format!("key: {}", quoted(key.text())));
    }
    if let Some(time) = &task.event_time {
        fields.push(format!("event_time: {}", quoted(time.text())));
    }
    let from: Vec<String> = task.from.iter().map(|source| scalar(&source.value)).collect();
    if !from.is_empty() {
        fields.push(format!("from: [{}]", from.join(", ")));
    }
    kind(&task.kind, detail, &mut fields);
    if let Some(ttl_ms) = task.ttl_ms {
        fields.push(format!("ttl: {}", duration_text(ttl_ms)));
    }
    match &task.retry {
        Some(retry) => fields.extend(of_retry(retry)),
        None if task.on_error == OnError::Fail && detail == Detail::Short => {}
        None => fields.push(format!("on_error: {}", task.on_error.word())),
    }
    if let Some(count) = &task.partitions {
        fields.push(format!("partitions: {}", count.value));
    }
    let to: Vec<String> = task.to.iter().flatten().map(|target| scalar(&target.value)).collect();
    fields.push(match to.as_slice() {
        [] => "to: sink".to_owned(),
        [one] => format!("to: {one}"),
        several => format!("to: [{}]", several.join(", ")),
    });
    out.push_str(&format!("  - id: {}\n", scalar(&task.id.value)));
    for field in fields {
        out.push_str(&format!("    {field}\n"));
    }
}

fn kind(kind: &TaskKind, detail: Detail, fields: &mut Vec<String>) {
    match kind {
        TaskKind::Forward => {}
        TaskKind::Sum { field, add } => {
            if let Some(field) = field {
                fields.push(format!("field: {}", quoted(&field.to_string())));
            }
            if *add != Number::Int(1) || detail == Detail::All {
                fields.push(format!("add: {}", number(*add)));
            }
        }
        TaskKind::Count { window } => {
            fields.extend(window.iter().flat_map(|window| of_window(window, detail)));
        }
        TaskKind::Average { value, window } => {
            if let Some(value) = value {
                fields.push(format!("value: {}", quoted(value.text())));
            }
            fields.extend(of_window(window, detail));
        }
        TaskKind::Filter { condition } => {
            fields.push(format!("where: {}", quoted(condition.text())));
        }
        TaskKind::Map { set, unset } => {
            if !set.is_empty() {
                fields.push("set:".to_owned());
            }
            for (path, value) in set {
                let name = quoted(&path.to_string());
                fields.push(format!("  {name}: {}", quoted(value.text())));
            }
            if !unset.is_empty() {
                let paths: Vec<String> =
                    unset.iter().map(|path| quoted(&path.to_string())).collect();
                fields.push(format!("unset: [{}]", paths.join(", ")));
            }
        }
    }
}

fn of_retry(retry: &Retry) -> [String; 2] {
    let settings = format!(
        "retry: {{ limit: {}, backoff: {}, backoff_max: {}, then: {} }}",
        retry.limit,
        duration_text(retry.backoff_ms),
        duration_text(retry.backoff_max_ms),
        retry.then.word(),
    );
    ["on_error: retry".to_owned(), settings]
}

fn of_window(window: &Window, detail: Detail) -> Vec<String> {
    let size = duration_text(window.size_ms);
    let mut fields = vec![if window.every_ms == window.size_ms {
        format!("window: {size}")
    } else {
        format!("window: {{ size: {size}, every: {} }}", duration_text(window.every_ms))
    }];
    if window.grace_ms > 0 {
        fields.push(format!("grace: {}", duration_text(window.grace_ms)));
    }
    match (window.emit, detail) {
        (Emit::Update, _) => fields.push("emit: update".to_owned()),
        (Emit::Final, Detail::All) => fields.push("emit: final".to_owned()),
        (Emit::Final, Detail::Short) => {}
    }
    fields
}

fn number(number: Number) -> String {
    let mut out = Vec::new();
    write_number(&mut out, number);
    String::from_utf8_lossy(&out).into_owned()
}

/// A name as it may stand in YAML: quoted where it would be read as something else.
pub(crate) fn scalar(text: &str) -> String {
    let plain = text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | ':'))
        && !text.ends_with(':')
        && !matches!(
            text.to_ascii_lowercase().as_str(),
            "null" | "true" | "false" | "yes" | "no" | "on" | "off" | "y" | "n"
        );
    if plain { text.to_owned() } else { quoted(text) }
}

/// Text in double quotes; JSON's escapes are YAML's. A `${` is kept from being a variable.
pub(crate) fn quoted(text: &str) -> String {
    let mut out = String::new();
    write_text(&mut out, &text.replace("${", "$${"));
    out
}
