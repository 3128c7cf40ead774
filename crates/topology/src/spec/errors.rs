//! Reading what becomes of records that fail: `on_error`, `retry` and `dead_letter`.

use super::node::{Kind, Node};
use super::reader::{Fields, Reader};
use super::{LetterOrder, OnError, Retry};
use crate::diagnose::{Diagnostic, Located, code};
use crate::limits::RETRIES_MAX;

/// The words for what becomes of a record at last.
pub(crate) const ON_ERROR_WORDS: [(&str, OnError); 3] = [
    (OnError::Fail.word(), OnError::Fail),
    (OnError::Skip.word(), OnError::Skip),
    (OnError::DeadLetter.word(), OnError::DeadLetter),
];

/// The words of `on_error`.
pub(crate) const RULE_WORDS: [(&str, Rule); 4] = [
    (OnError::Fail.word(), Rule::AtOnce(OnError::Fail)),
    (OnError::Skip.word(), Rule::AtOnce(OnError::Skip)),
    ("retry", Rule::Retry),
    (OnError::DeadLetter.word(), Rule::AtOnce(OnError::DeadLetter)),
];

/// The words of `order`.
pub(crate) const ORDER_WORDS: [(&str, LetterOrder); 2] = [
    (LetterOrder::Sequenced.word(), LetterOrder::Sequenced),
    (LetterOrder::Plain.word(), LetterOrder::Plain),
];

/// What `on_error` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rule {
    /// This becomes of a record that fails.
    AtOnce(OnError),
    /// It is tried again first.
    Retry,
}

/// What `on_error` and `retry` say together.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rules {
    rule: Rule,
    retry: Retry,
}

impl Default for Rules {
    fn default() -> Self {
        Self { rule: Rule::AtOnce(OnError::default()), retry: Retry::default() }
    }
}

impl Rules {
    /// What becomes of a record that cannot be worked on.
    pub(crate) fn on_error(&self) -> OnError {
        match self.rule {
            Rule::AtOnce(on_error) => on_error,
            Rule::Retry => self.retry.then,
        }
    }

    /// How it is tried again, if it is.
    pub(crate) fn retry(&self) -> Option<Retry> {
        match self.rule {
            Rule::AtOnce(_) => None,
            Rule::Retry => Some(self.retry),
        }
    }
}

/// The rules of the whole pipeline: what holds for tasks that say nothing.
pub(crate) fn usual(reader: &mut Reader<'_>, fields: &mut Fields<'_>) -> Rules {
    let mut rules = Rules::default();
    if let Some(node) = fields.take("on_error") {
        rules.rule = reader.word("`on_error`", node, &RULE_WORDS).unwrap_or(rules.rule);
    }
    if let Some(node) = fields.take("retry") {
        rules.retry = retry(reader, node, Retry::default());
    }
    rules
}

/// The rules of a task.
pub(crate) fn of_task(reader: &mut Reader<'_>, fields: &mut Fields<'_>, usual: Rules) -> Rules {
    let mut rules = usual;
    let written = fields.take("on_error");
    let word = written.and_then(|node| reader.word("`on_error`", node, &RULE_WORDS));
    rules.rule = word.unwrap_or(usual.rule);
    if let Some((span, node)) = fields.take_keyed("retry") {
        rules.retry = retry(reader, node, usual.retry);
        // A word that could not be read was told already.
        if rules.rule != Rule::Retry && written.is_some() == word.is_some() {
            let said = rules.on_error().word();
            let title = format!("{} has `retry`, and its `on_error` is {said}", fields.owner());
            let diagnostic = Diagnostic::error(code::CONFLICT, title)
                .at(span, "has no effect here")
                .help(format!("write `on_error: retry`, and `then: {said}` in `retry`"));
            reader.report(diagnostic);
        }
    }
    rules
}

/// `{ limit: 5, backoff: 100ms, backoff_max: 10s, then: fail }`.
fn retry(reader: &mut Reader<'_>, node: &Node, usual: Retry) -> Retry {
    let mut retry = usual;
    let mut fields = reader.fields("`retry`", node);
    if let Some(node) = fields.take("limit") {
        let limit = reader.count("`limit`", node, (1, RETRIES_MAX));
        retry.limit = limit.unwrap_or(retry.limit);
    }
    let first = fields.take("backoff");
    if let Some(node) = first {
        let ms = reader.positive_duration("`backoff`", node);
        retry.backoff_ms = ms.unwrap_or(retry.backoff_ms);
    }
    let longest = fields.take("backoff_max");
    if let Some(node) = longest {
        let ms = reader.positive_duration("`backoff_max`", node);
        retry.backoff_max_ms = ms.unwrap_or(retry.backoff_max_ms);
    }
    if let Some(node) = fields.take("then") {
        retry.then = reader.word("`then`", node, &ON_ERROR_WORDS).unwrap_or(retry.then);
    }
    fields.finish(reader);
    if let Some(node) = longest.or(first).filter(|_| retry.backoff_ms > retry.backoff_max_ms) {
        let title = "`backoff` is longer than `backoff_max`";
        reader.report(Diagnostic::error(code::OUT_OF_RANGE, title).at(node.span, "here"));
        retry.backoff_max_ms = retry.backoff_ms;
    }
    retry
}

/// `plain`, the name of a topic, or `{ topic, order }`.
pub(crate) fn dead_letter(
    reader: &mut Reader<'_>,
    node: &Node,
) -> (Option<Located<String>>, LetterOrder) {
    if let Kind::Scalar { .. } = node.kind {
        let word = node.scalar().and_then(|text| {
            ORDER_WORDS.iter().find(|(word, _)| *word == text).map(|(_, order)| *order)
        });
        return match word {
            Some(order) => (None, order),
            None => (reader.topic("the topic", node), LetterOrder::default()),
        };
    }
    let mut fields = reader.fields("`dead_letter`", node);
    let topic = fields.take("topic").and_then(|node| reader.topic("the topic", node));
    let order = fields.take("order");
    let order = order.and_then(|node| reader.word("`order`", node, &ORDER_WORDS));
    fields.finish(reader);
    (topic, order.unwrap_or_default())
}
