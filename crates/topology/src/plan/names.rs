//! The names of groups and topics that a plan makes.

use crate::spec::{Form, Sink, Spec};

/// `ms.<pipeline>.<first task>`.
pub(crate) fn group(spec: &Spec, stage: &str) -> String {
    format!("ms.{}.{stage}", spec.name.value)
}

/// `p1_p2` in the legacy form, `<pipeline>.p1_p2` in the full one.
pub(crate) fn edge(spec: &Spec, from: &str, to: &str) -> String {
    match spec.form {
        Form::Legacy => format!("{from}_{to}"),
        Form::Full => format!("{}.{from}_{to}", spec.name.value),
    }
}

/// `__ms.<pipeline>.<stage>.<store>-changelog`.
pub(crate) fn changelog(spec: &Spec, stage: &str, store: &str) -> String {
    format!("__ms.{}.{stage}.{store}-changelog", spec.name.value)
}

/// `__ms.<pipeline>.<stage>-parked`.
pub(crate) fn parked(spec: &Spec, stage: &str) -> String {
    format!("__ms.{}.{stage}-parked", spec.name.value)
}

/// `__ms.<pipeline>.<stage>-orders`.
pub(crate) fn orders(spec: &Spec, stage: &str) -> String {
    format!("__ms.{}.{stage}-orders", spec.name.value)
}

/// `__ms.<pipeline>.plan`.
pub(crate) fn plan_topic(spec: &Spec) -> String {
    plan_topic_of(&spec.name.value)
}

/// The plan topic of the pipeline of this name.
#[must_use]
pub fn plan_topic_of(pipeline: &str) -> String {
    format!("__ms.{pipeline}.plan")
}

/// The topic that the file names, or `<pipeline>.<sink>`.
pub(crate) fn sink_topic(spec: &Spec, sink: &Sink) -> String {
    let named = sink.topic.as_ref().map(|topic| topic.value.clone());
    named.unwrap_or_else(|| format!("{}.{}", spec.name.value, sink.name.value))
}

/// The topic that the file names, or `<pipeline>.dlq`.
pub(crate) fn dead_letter(spec: &Spec) -> String {
    let named = spec.dead_letter.as_ref().map(|topic| topic.value.clone());
    named.unwrap_or_else(|| format!("{}.dlq", spec.name.value))
}
