//! Notes and warnings about a pipeline that can run.

use crate::diagnose::{Diagnostic, Span, code, nearest};
use crate::graph::Graph;
use crate::plan::{Plan, feeders};
use crate::spec::{Delivery, LetterOrder, OnError, Spec, Task, Window, duration_text};

pub(crate) fn check(spec: &Spec, graph: &Graph, diagnostics: &mut Vec<Diagnostic>) {
    for task in &spec.tasks {
        let id = &task.id.value;
        if task.to.is_none() {
            let title = format!("task `{id}` has no `to` and sends to the sink");
            let note = Diagnostic::note(code::IMPLICIT_SINK, title);
            diagnostics.push(note.at(task.id.span, "").help("write `to: sink` to make it visible"));
        }
        if let Some(window) = task.kind.window() {
            diagnostics.extend(of_window(id, window, task.id.span));
        }
        diagnostics.extend(of_retry(task));
    }
    unused(spec, graph, diagnostics);
    dead_letters(spec, diagnostics);
    guarantees(spec, diagnostics);
}

fn of_window(id: &str, window: &Window, span: Span) -> Option<Diagnostic> {
    if window.implied {
        let title =
            format!("task `{id}` has no window and takes {}", duration_text(window.size_ms));
        let note = Diagnostic::note(code::DEFAULT_WINDOW, title);
        return Some(note.at(span, "").help("write `window: 10s` to make it visible"));
    }
    if window.every_ms == window.size_ms {
        return None;
    }
    let times = window.size_ms.div_ceil(window.every_ms);
    let title = format!(
        "task `{id}` has window {} and every {}: each record is counted {times} times, \
         once per window",
        duration_text(window.size_ms),
        duration_text(window.every_ms)
    );
    Some(Diagnostic::note(code::HOPPING, title).at(span, ""))
}

/// No type that there is fails in a way that passes: each works on the record and its own state.
fn of_retry(task: &Task) -> Option<Diagnostic> {
    let retry = task.retry?;
    let then = retry.then.word();
    let title = format!(
        "task `{}` tries nothing again: what fails in a `{}` fails each time, so `then: {then}` \
         is done at once",
        task.id.value,
        task.kind.word()
    );
    Some(Diagnostic::note(code::RETRY_AT_ONCE, title).at(task.id.span, ""))
}

fn unused(spec: &Spec, graph: &Graph, diagnostics: &mut Vec<Diagnostic>) {
    let mut warn = |title: String, span: Span, help: Option<String>| {
        let warning = Diagnostic::warning(code::UNUSED, title).at(span, "never used");
        diagnostics.push(warning.help_opt(help));
    };
    for (index, source) in spec.sources.iter().enumerate() {
        if !graph.sources.iter().any(|read| read.contains(&index)) {
            warn(format!("no task reads source `{}`", source.name.value), source.name.span, None);
        }
    }
    for (index, sink) in spec.sinks.iter().enumerate() {
        if feeders(graph, index).next().is_none() {
            warn(format!("no task sends to sink `{}`", sink.name.value), sink.name.span, None);
        }
    }
    for gateway in &spec.ingest {
        let read = spec.sources.iter().any(|source| source.topic.value == gateway.topic.value);
        if !read {
            let title = format!("no source reads the topic of gateway `{}`", gateway.name.value);
            warn(title, gateway.topic.span, None);
        }
    }
    let plan = Plan::of(spec);
    for (topic, settings) in &spec.topics {
        if !plan.topics.contains_key(topic) {
            let near = nearest(topic, plan.topics.keys().map(String::as_str));
            let help = near.map(|near| format!("did you mean `{near}`?"));
            warn(format!("the pipeline has no topic `{topic}`"), settings.span, help);
        }
    }
    if let Some(topic) = spec.dead_letter.as_ref().filter(|_| plan.dead_letter.is_none()) {
        let help = "write `on_error: dead_letter` at the tasks whose failures go there";
        warn("no task sends records to the dead letters".to_owned(), topic.span, Some(help.into()));
    }
}

fn dead_letters(spec: &Spec, diagnostics: &mut Vec<Diagnostic>) {
    let parking: Vec<_> =
        spec.tasks.iter().filter(|task| task.on_error == OnError::DeadLetter).collect();
    let Some(first) = parking.first() else { return };
    let ids: Vec<String> = parking.iter().map(|task| format!("`{}`", task.id.value)).collect();
    let ids = ids.join(", ");
    let note = match spec.letters {
        LetterOrder::Plain => {
            let title = format!("a dead letter of {ids} leaves a gap in its key");
            Diagnostic::note(code::DEAD_LETTER_GAP, title)
                .at(first.id.span, "")
                .help("leave `plain` out where every record of a key must be counted")
        }
        LetterOrder::Sequenced => {
            let title = format!("behind a dead letter of {ids} later records of its key wait");
            Diagnostic::note(code::LETTERS_WAIT, title)
                .at(first.id.span, "")
                .help("see them with `millstream dlq list`; `dead_letter: plain` lets them go on")
        }
    };
    diagnostics.push(note);
}

/// What is promised of each way to where results go, and why.
fn guarantees(spec: &Spec, diagnostics: &mut Vec<Diagnostic>) {
    let plan = Plan::of(spec);
    if plan.delivery == Delivery::AtLeastOnce {
        let title = "`delivery: at_least_once`: after a crash some outputs come again";
        diagnostics.push(Diagnostic::warning(code::AT_LEAST_ONCE, title).at(spec.name.span, ""));
    }
    for path in plan.paths() {
        let sink = spec.sinks.iter().find(|sink| sink.name.value == path.sink);
        let at = sink.map_or(spec.name.span, |sink| sink.name.span);
        let title = format!("{} from `{}` to {}", path.guarantee, path.source, path.target);
        let note = Diagnostic::note(code::GUARANTEE, title).at(at, "");
        diagnostics.push(path.reasons.into_iter().fold(note, Diagnostic::also));
    }
}
