//! Ids and topic names: none twice, none reserved, none too long, none colliding.

use std::collections::BTreeMap;

use crate::diagnose::{Diagnostic, Span, code};
use crate::graph::{Graph, Target};
use crate::limits::TOPIC_BYTES_MAX;
use crate::plan::{Plan, TopicRole, names};
use crate::spec::Spec;

/// The words that cannot name a task.
const RESERVED: [&str; 2] = ["source", "sink"];

/// Ids of tasks, and names of sources and sinks, share one space: `to` and `from` name them all.
pub(crate) fn check_ids(spec: &Spec, diagnostics: &mut Vec<Diagnostic>) {
    let mut seen: BTreeMap<&str, (&str, Span)> = BTreeMap::new();
    let sources = spec.sources.iter().map(|source| ("source", &source.name));
    let sinks = spec.sinks.iter().map(|sink| ("sink", &sink.name));
    let tasks = spec.tasks.iter().map(|task| ("task", &task.id));
    for (kind, name) in sources.chain(sinks).chain(tasks) {
        if kind == "task" && RESERVED.contains(&name.value.as_str()) {
            let title = format!("a task cannot be called `{}`", name.value);
            let diagnostic = Diagnostic::error(code::RESERVED_NAME, title)
                .at(name.span, "reserved")
                .help("the word means the ends of the pipeline; choose another id");
            diagnostics.push(diagnostic);
            continue;
        }
        let Some((other, first)) = seen.insert(&name.value, (kind, name.span)) else { continue };
        let title = if other == kind {
            format!("two {kind}s are called `{}`", name.value)
        } else {
            format!("a {other} and a {kind} are both called `{}`", name.value)
        };
        let diagnostic = Diagnostic::error(code::DUPLICATE, title)
            .at(name.span, "the second one")
            .at(first, "the first one");
        diagnostics.push(diagnostic);
    }
}

/// A topic with what uses it, for messages.
struct Use {
    name: String,
    what: String,
    span: Span,
}

/// Topics that are one although they should be two, and names that Kafka would refuse.
pub(crate) fn check_topics(spec: &Spec, graph: &Graph, diagnostics: &mut Vec<Diagnostic>) {
    let uses = uses(spec, graph);
    let mut seen: BTreeMap<String, &Use> = BTreeMap::new();
    for one in &uses {
        if one.name.len() > TOPIC_BYTES_MAX {
            let title = format!(
                "the topic of {} would have a name of {} bytes, more than {}",
                one.what,
                one.name.len(),
                TOPIC_BYTES_MAX
            );
            let diagnostic = Diagnostic::error(code::BAD_NAME, title).at(one.span, "too long");
            diagnostics.push(diagnostic.help("shorten the pipeline's name or the ids"));
        }
        // Kafka takes both characters for one in the names of its metrics.
        let Some(other) = seen.insert(one.name.replace('.', "_"), one) else { continue };
        let (code, title) = if other.name == one.name {
            let title = format!("{} and {} would share topic `{}`", other.what, one.what, one.name);
            (code::SAME_TOPIC, title)
        } else {
            let title = format!(
                "topics `{}` and `{}` differ only in `.` and `_`, which Kafka refuses",
                other.name, one.name
            );
            (code::COLLIDING_NAMES, title)
        };
        let diagnostic = Diagnostic::error(code, title)
            .at(one.span, one.what.clone())
            .at(other.span, other.what.clone())
            .help("rename one of them");
        diagnostics.push(diagnostic);
    }
    check_loops(spec, diagnostics);
}

/// Sources, sinks, arcs and internal topics; a source that is also a sink is another matter.
fn uses(spec: &Spec, graph: &Graph) -> Vec<Use> {
    let mut uses = Vec::new();
    let sink_topics: Vec<String> =
        spec.sinks.iter().map(|sink| names::sink_topic(spec, sink)).collect();
    for source in &spec.sources {
        if !sink_topics.contains(&source.topic.value) {
            let what = format!("source `{}`", source.name.value);
            uses.push(Use { name: source.topic.value.clone(), what, span: source.topic.span });
        }
    }
    for (sink, topic) in spec.sinks.iter().zip(&sink_topics) {
        let span = sink.topic.as_ref().map_or(sink.name.span, |topic| topic.span);
        let what = format!("sink `{}`", sink.name.value);
        uses.push(Use { name: topic.clone(), what, span });
    }
    for arc in &graph.arcs {
        let Target::Task(to) = arc.target else { continue };
        let (Some(from), Some(to)) = (spec.tasks.get(arc.from), spec.tasks.get(to)) else {
            continue;
        };
        let (from, to) = (&from.id.value, &to.id.value);
        let name = names::edge(spec, from, to);
        uses.push(Use { name, what: format!("the arc {from} -> {to}"), span: arc.span });
    }
    let plan = Plan::of(spec);
    for (name, topic) in &plan.topics {
        let what = match topic.role {
            TopicRole::Changelog => "the state of a task",
            TopicRole::DeadLetter => "the dead letters",
            TopicRole::Parked => "the parked keys",
            TopicRole::Orders => "the orders",
            TopicRole::Plan => "the plan",
            TopicRole::Edge if !uses.iter().any(|known| known.name == *name) => {
                "the way from a source"
            }
            TopicRole::Edge | TopicRole::Source | TopicRole::Sink => continue,
        };
        let written = spec.dead_letter.as_ref().filter(|topic| topic.value == *name);
        let span = written.map_or(spec.name.span, |topic| topic.span);
        uses.push(Use { name: name.clone(), what: what.to_owned(), span });
    }
    if let Some(dead) = plan.dead_letter.filter(|dead| plan.topics.contains_key(dead)) {
        let counted = uses.iter().any(|known| known.name == dead && known.what == DEAD_LETTERS);
        if !counted {
            let span = spec.dead_letter.as_ref().map_or(spec.name.span, |topic| topic.span);
            uses.push(Use { name: dead, what: DEAD_LETTERS.to_owned(), span });
        }
    }
    uses
}

const DEAD_LETTERS: &str = "the dead letters";

/// A topic that is written and read would feed the pipeline with its own output.
fn check_loops(spec: &Spec, diagnostics: &mut Vec<Diagnostic>) {
    for source in &spec.sources {
        for sink in &spec.sinks {
            if names::sink_topic(spec, sink) != source.topic.value {
                continue;
            }
            let title = format!("topic `{}` is read and written", source.topic.value);
            let written = sink.topic.as_ref().map_or(sink.name.span, |topic| topic.span);
            let diagnostic = Diagnostic::error(code::TOPIC_LOOP, title)
                .at(written, "written here")
                .at(source.topic.span, "read here")
                .help("every output would come back as an input; choose another topic");
            diagnostics.push(diagnostic);
        }
    }
}
