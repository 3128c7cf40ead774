//! The arcs: every target exists, nothing runs in a circle, everything begins and ends somewhere.

use std::collections::BTreeSet;

use crate::diagnose::{Diagnostic, code, did_you_mean, nearest};
use crate::graph::{Graph, Target, Unresolved};
use crate::spec::{Spec, TestCase, TestStep};

pub(crate) fn check(spec: &Spec, graph: &Graph, diagnostics: &mut Vec<Diagnostic>) {
    for (task, unresolved) in &graph.unresolved {
        diagnostics.extend(target_problem(spec, *task, unresolved));
    }
    for task in &spec.tasks {
        if task.to.as_ref().is_some_and(Vec::is_empty) {
            let title = format!("task `{}` sends to nobody", task.id.value);
            let diagnostic = Diagnostic::error(code::EMPTY_TARGETS, title)
                .at(task.id.span, "`to` is an empty list")
                .help("write `to: sink`, or leave `to` out");
            diagnostics.push(diagnostic);
        }
    }
    check_from(spec, graph, diagnostics);
    check_cases(spec, diagnostics);
    let cycle = graph.cycle();
    if cycle.is_empty() {
        return;
    }
    let id = |task: usize| spec.tasks.get(task).map_or("", |task| task.id.value.as_str());
    let mut walk: Vec<&str> = cycle.iter().map(|arc| id(arc.from)).collect();
    walk.extend(walk.first().copied());
    let title = format!("tasks form a loop: {}", walk.join(" -> "));
    let mut diagnostic = Diagnostic::error(code::LOOP, title);
    for arc in &cycle {
        if let Target::Task(to) = arc.target {
            diagnostic = diagnostic.at(arc.span, format!("{} -> {}", id(arc.from), id(to)));
        }
    }
    diagnostics.push(diagnostic.help("take one of these arrows away"));
    let members: BTreeSet<usize> = cycle.iter().map(|arc| arc.from).collect();
    check_ways(spec, graph, &members, diagnostics);
}

fn target_problem(spec: &Spec, task: usize, unresolved: &Unresolved) -> Option<Diagnostic> {
    let from = &spec.tasks.get(task)?.id.value;
    match unresolved {
        Unresolved::Unknown(name) if name.value == "source" => {
            let title = format!("task `{from}` sends to the source");
            let diagnostic = Diagnostic::error(code::UNKNOWN_TARGET, title);
            Some(diagnostic.at(name.span, "records come from there"))
        }
        Unresolved::Unknown(name) => {
            let title = format!("task `{from}` sends to `{}`, which does not exist", name.value);
            let ids = spec.tasks.iter().map(|task| task.id.value.as_str());
            let sinks = spec.sinks.iter().map(|sink| sink.name.value.as_str());
            let known = ids.chain(sinks).chain(["sink"]).filter(|id| id != from);
            let diagnostic = Diagnostic::error(code::UNKNOWN_TARGET, title)
                .at(name.span, "no task with this id")
                .help_opt(did_you_mean(&name.value, known));
            Some(diagnostic)
        }
        Unresolved::Ambiguous(name) => {
            let title = format!("task `{from}` does not say which sink it sends to");
            let names: Vec<&str> = spec.sinks.iter().map(|s| s.name.value.as_str()).collect();
            let diagnostic = Diagnostic::error(code::AMBIGUOUS_SINK, title)
                .at(name.span, "which sink?")
                .help(format!("name one or more of {}", names.join(", ")));
            Some(diagnostic)
        }
        // A pipeline without a sink was reported where it should stand.
        Unresolved::NoSink => None,
    }
}

/// `from` names sources, and with several sources nobody guesses.
fn check_from(spec: &Spec, graph: &Graph, diagnostics: &mut Vec<Diagnostic>) {
    let names = || spec.sources.iter().map(|source| source.name.value.as_str());
    for (index, task) in spec.tasks.iter().enumerate() {
        for name in &task.from {
            if names().any(|known| known == name.value) {
                continue;
            }
            let title = format!(
                "task `{}` reads from `{}`, which does not exist",
                task.id.value, name.value
            );
            let sender = spec.tasks.iter().find(|other| other.id.value == name.value);
            let help = match sender {
                Some(other) => Some(format!(
                    "`from` names sources; write `to: {}` in task `{}` instead",
                    task.id.value, other.id.value
                )),
                None => did_you_mean(&name.value, names()),
            };
            let diagnostic = Diagnostic::error(code::UNKNOWN_SOURCE, title)
                .at(name.span, "no source of this name")
                .help_opt(help);
            diagnostics.push(diagnostic);
        }
        let is_root = graph.parents(index).next().is_none();
        if is_root && task.from.is_empty() && spec.sources.len() > 1 {
            let title = format!("task `{}` does not say which source it reads", task.id.value);
            let known: Vec<&str> = names().collect();
            let diagnostic = Diagnostic::error(code::UNKNOWN_SOURCE, title)
                .at(task.id.span, "nobody sends to it")
                .help(format!("add `from: [{}]`, or one of them", known.join(", ")));
            diagnostics.push(diagnostic);
        }
    }
}

/// What the test cases name.
fn check_cases(spec: &Spec, diagnostics: &mut Vec<Diagnostic>) {
    let ids = || spec.tasks.iter().map(|task| task.id.value.as_str());
    for case in &spec.tests {
        let state = case.state.iter().map(|state| &state.task);
        let errors = case.errors.iter().flatten().filter_map(|error| error.task.as_ref());
        let named = case.at.iter().chain(state).chain(errors);
        for at in named.filter(|at| !ids().any(|id| id == at.value)) {
            let title =
                format!("test `{}` looks at `{}`, which is no task", case.name.value, at.value);
            let diagnostic = Diagnostic::error(code::UNKNOWN_TARGET, title)
                .at(at.span, "no task with this id")
                .help_opt(did_you_mean(&at.value, ids()));
            diagnostics.push(diagnostic);
        }
        check_state(spec, case, diagnostics);
        let records = case.input.iter().filter_map(TestStep::record);
        for topic in records.filter_map(|record| record.topic.as_ref()) {
            let topics = || spec.sources.iter().map(|source| source.topic.value.as_str());
            if topics().any(|known| known == topic.value) {
                continue;
            }
            let title =
                format!("test `{}` feeds `{}`, which is no source", case.name.value, topic.value);
            let near =
                nearest(&topic.value, topics()).map(|near| format!("did you mean `{near}`?"));
            let diagnostic = Diagnostic::error(code::UNKNOWN_SOURCE, title);
            diagnostics.push(diagnostic.at(topic.span, "not read by the pipeline").help_opt(near));
        }
    }
}

/// Only tasks that remember something have a state to look at.
fn check_state(spec: &Spec, case: &TestCase, diagnostics: &mut Vec<Diagnostic>) {
    for name in case.state.iter().map(|state| &state.task) {
        let task = spec.tasks.iter().find(|task| task.id.value == name.value);
        let Some(task) = task.filter(|task| !task.kind.is_stateful()) else { continue };
        let (case, id) = (&case.name.value, &name.value);
        let title = format!("test `{case}` looks at the state of `{id}`, which keeps none");
        let diagnostic = Diagnostic::error(code::FIELD_OF_OTHER_TYPE, title)
            .at(name.span, format!("this is a {}", task.kind.word()))
            .help("`count` and `average` keep state; outputs are compared with `at` and `expect`");
        diagnostics.push(diagnostic);
    }
}

/// Tasks beside a loop that are cut off by it: no way in, or no way out.
fn check_ways(
    spec: &Spec,
    graph: &Graph,
    members: &BTreeSet<usize>,
    diagnostics: &mut Vec<Diagnostic>,
) {
    let roots = (0..spec.tasks.len()).filter(|task| graph.parents(*task).next().is_none());
    let forwards = closure(roots.collect(), |task| {
        graph
            .leaving(task)
            .filter_map(|arc| match arc.target {
                Target::Task(to) => Some(to),
                Target::Sink(_) => None,
            })
            .collect()
    });
    let sinking = graph.arcs.iter().filter(|arc| matches!(arc.target, Target::Sink(_)));
    let unresolved = graph.unresolved.iter().map(|(task, _)| *task);
    let ends: Vec<usize> = sinking.map(|arc| arc.from).chain(unresolved).collect();
    let backwards = closure(ends, |task| graph.parents(task).collect());
    let near = members.iter().next().and_then(|task| spec.tasks.get(*task));
    for (index, task) in spec.tasks.iter().enumerate() {
        let empty = task.to.as_ref().is_some_and(Vec::is_empty);
        if members.contains(&index) || empty {
            continue;
        }
        let title = match (forwards.contains(&index), backwards.contains(&index)) {
            (true, true) => continue,
            (false, _) => format!("task `{}` is reached from no source", task.id.value),
            (true, false) => format!("task `{}` has no path to a sink", task.id.value),
        };
        let mut diagnostic =
            Diagnostic::error(code::NO_WAY_OUT, title).at(task.id.span, "this task");
        if let Some(member) = near {
            diagnostic = diagnostic.at(member.id.span, "the loop is in between");
        }
        diagnostics.push(diagnostic);
    }
}

/// All tasks that can be come to from the given ones, themselves included.
fn closure(start: Vec<usize>, next: impl Fn(usize) -> Vec<usize>) -> BTreeSet<usize> {
    let mut found: BTreeSet<usize> = BTreeSet::new();
    let mut open = start;
    while let Some(task) = open.pop() {
        if found.insert(task) {
            open.extend(next(task));
        }
    }
    found
}
