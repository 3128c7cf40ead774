//! Typed reading of nodes: each method reports what is wrong and goes on with something harmless.

use std::collections::BTreeMap;

use super::Lookup;
use super::interpolate::{Missing, interpolate};
use super::names;
use super::node::{Kind, Node};
use super::units::{DurationError, SizeError, duration_ms, size_bytes, size_text};
use crate::diagnose::{Code, Diagnostic, Located, Span, code, did_you_mean, nearest};
use crate::expression::Expression;
use crate::json::{Number, Path};
use crate::limits::{DIAGNOSTICS_MAX, NAME_BYTES_MAX, TOPIC_BYTES_MAX};

/// Other names of fields, accepted for ever: written name, meant name.
pub(crate) const ALIASES: [(&str, &str); 7] = [
    ("checkpoint_interval", "commit_interval"),
    ("task_managers_number", "task_managers"),
    ("constant", "add"),
    ("broker", "brokers"),
    ("broker_address", "brokers"),
    ("bootstrap_servers", "brokers"),
    ("dlq", "dead_letter"),
];

/// The field that a written name means.
fn canonical(name: &str) -> &str {
    ALIASES.iter().find(|(written, _)| *written == name).map_or(name, |(_, meant)| meant)
}

/// Collects problems while nodes are read.
pub(crate) struct Reader<'l> {
    lookup: Lookup<'l>,
    diagnostics: Vec<Diagnostic>,
}

impl<'l> Reader<'l> {
    pub(crate) fn new(lookup: Lookup<'l>) -> Self {
        Self { lookup, diagnostics: Vec::new() }
    }

    pub(crate) fn into_diagnostics(self) -> Vec<Diagnostic> {
        self.diagnostics
    }

    /// Takes a problem; beyond the limit they are dropped, since nobody reads a hundred.
    pub(crate) fn report(&mut self, diagnostic: Diagnostic) {
        if self.diagnostics.len() < DIAGNOSTICS_MAX {
            self.diagnostics.push(diagnostic);
        }
    }

    fn problem(&mut self, code: Code, span: Span, title: String, help: Option<String>) {
        self.report(Diagnostic::error(code, title).at(span, "here").help_opt(help));
    }

    /// Says that a node is of the wrong kind.
    pub(crate) fn expected(&mut self, what: &str, wanted: &str, node: &Node) {
        let title = format!("{what} must be {wanted}, found {}", node.found());
        self.report(Diagnostic::error(code::WRONG_VALUE, title).at(node.span, "found here"));
    }

    /// The fields of a mapping; reports other kinds, keys that are no texts and duplicates.
    pub(crate) fn fields<'n>(&mut self, owner: &str, node: &'n Node) -> Fields<'n> {
        let mut fields = Fields {
            owner: owner.to_owned(),
            span: node.span,
            entries: Vec::new(),
            asked: Vec::new(),
        };
        let Kind::Mapping(entries) = &node.kind else {
            self.expected(owner, "a mapping", node);
            return fields;
        };
        let mut known: BTreeMap<&str, Span> = BTreeMap::new();
        for (key, value) in entries {
            let Some(name) = key.scalar() else {
                self.expected("the name of a field", "a text", key);
                continue;
            };
            let meant = canonical(name);
            if let Some(first) = known.get(meant) {
                let title = format!("{owner} has `{name}` twice");
                let diagnostic = Diagnostic::error(code::DUPLICATE, title)
                    .at(key.span, "again here")
                    .at(*first, "first here");
                self.report(diagnostic);
                continue;
            }
            known.insert(meant, key.span);
            fields.entries.push(Entry { meant, key, value, used: false });
        }
        fields
    }

    /// A text with its variables replaced; `None` (reported) for lists, mappings and nothing.
    pub(crate) fn text(&mut self, what: &str, node: &Node) -> Option<Located<String>> {
        let Some(text) = node.scalar().filter(|_| !node.is_null()) else {
            self.expected(what, "a text", node);
            return None;
        };
        self.interpolated(what, text, node.span).map(|text| Located::new(text, node.span))
    }

    fn interpolated(&mut self, what: &str, text: &str, span: Span) -> Option<String> {
        let missing = match interpolate(text, self.lookup) {
            Ok(text) => return Some(text),
            Err(missing) => missing,
        };
        let (title, help) = match missing {
            Missing::Value { name, reason } if name.starts_with("file:") => {
                (format!("{what} needs `{name}`, which cannot be read"), reason)
            }
            Missing::Value { name, reason: Some(reason) } => {
                (format!("{what} needs the variable `{name}`: {reason}"), None)
            }
            Missing::Value { name, reason: None } => (
                format!("{what} needs the variable `{name}`, which is not set"),
                Some(format!("set {name}, or give a default: ${{{name}:-value}}")),
            ),
            Missing::Unclosed => (
                format!("{what} has `${{` without `}}`"),
                Some("write `$${` for the characters themselves".to_owned()),
            ),
            Missing::NoName => (format!("{what} has `${{}}` without a name"), None),
        };
        self.problem(code::UNSET_VARIABLE, span, title, help);
        None
    }

    /// A name of a pipeline, task, sink or source.
    pub(crate) fn name(&mut self, what: &str, node: &Node) -> Option<Located<String>> {
        let text = self.text(what, node)?;
        self.checked_name(what, text, NAME_BYTES_MAX)
    }

    /// The name of a topic.
    pub(crate) fn topic(&mut self, what: &str, node: &Node) -> Option<Located<String>> {
        let text = self.text(what, node)?;
        self.checked_name(what, text, TOPIC_BYTES_MAX)
    }

    pub(crate) fn checked_name(
        &mut self,
        what: &str,
        name: Located<String>,
        bytes_max: usize,
    ) -> Option<Located<String>> {
        if names::is_legal(&name.value, bytes_max) {
            return Some(name);
        }
        let title = format!("{what} `{}` is no legal name", shortened(&name.value));
        let help = format!("use ASCII letters, digits, `.`, `_`, `-`; at most {bytes_max} of them");
        self.problem(code::BAD_NAME, name.span, title, Some(help));
        None
    }

    /// A whole number within bounds.
    pub(crate) fn whole(&mut self, what: &str, node: &Node, range: (u64, u64)) -> Option<u64> {
        let (least, most) = range;
        let wanted = format!("a whole number from {least} to {most}");
        let Some(text) = node.scalar().filter(|_| !node.is_null()) else {
            self.expected(what, &wanted, node);
            return None;
        };
        let text = self.interpolated(what, text, node.span)?;
        match text.replace('_', "").parse::<u64>() {
            Ok(number) if (least..=most).contains(&number) => Some(number),
            Ok(number) => {
                let title = format!("{what} must be {wanted}, found {number}");
                self.problem(code::OUT_OF_RANGE, node.span, title, None);
                None
            }
            Err(_) if text.parse::<f64>().is_ok() => {
                let title = format!("{what} must be {wanted}, found {text}");
                self.problem(code::OUT_OF_RANGE, node.span, title, None);
                None
            }
            Err(_) => {
                self.expected(what, &wanted, node);
                None
            }
        }
    }

    /// A count that fits 32 bits.
    pub(crate) fn count(&mut self, what: &str, node: &Node, range: (u64, u64)) -> Option<u32> {
        self.whole(what, node, range).and_then(|number| u32::try_from(number).ok())
    }

    /// A number of any kind.
    pub(crate) fn number(&mut self, what: &str, node: &Node) -> Option<Number> {
        let text = self.text(what, node)?;
        let number = Number::parse(text.value.as_bytes());
        if number.is_none() {
            self.expected(what, "a number", node);
        }
        number
    }

    /// Milliseconds of a duration with its unit; `what` is the field's name.
    pub(crate) fn duration(&mut self, what: &str, node: &Node) -> Option<u64> {
        let wanted = "a duration such as 500ms, 10s or 5m";
        let Some(text) = node.scalar().filter(|_| !node.is_null()) else {
            self.expected(what, wanted, node);
            return None;
        };
        let text = self.interpolated(what, text, node.span)?;
        match duration_ms(&text) {
            Ok(ms) => Some(ms),
            Err(DurationError::NoUnit) => {
                let field = what.rsplit(' ').next().unwrap_or(what).trim_matches('`');
                let title = format!("{field}: {text} has no unit");
                let help = format!("write {text}s, {text}m or {text}ms");
                self.report(
                    Diagnostic::error(code::NO_UNIT, title)
                        .at(node.span, format!("{text} what?"))
                        .help(help),
                );
                None
            }
            Err(DurationError::Malformed) => {
                self.expected(what, wanted, node);
                None
            }
            Err(DurationError::TooLong) => {
                let title = format!("{what} is longer than 10,000 days");
                self.problem(code::OUT_OF_RANGE, node.span, title, None);
                None
            }
        }
    }

    /// A duration that is longer than nothing.
    pub(crate) fn positive_duration(&mut self, what: &str, node: &Node) -> Option<u64> {
        let ms = self.duration(what, node)?;
        if ms == 0 {
            let title = format!("{what} must be longer than nothing");
            self.problem(code::OUT_OF_RANGE, node.span, title, None);
            return None;
        }
        Some(ms)
    }

    /// Bytes of a size with its unit, within bounds; `what` is the field's name.
    pub(crate) fn size(&mut self, what: &str, node: &Node, range: (u64, u64)) -> Option<u64> {
        let wanted = "a size such as 256MiB or 2GiB";
        let Some(text) = node.scalar().filter(|_| !node.is_null()) else {
            self.expected(what, wanted, node);
            return None;
        };
        let text = self.interpolated(what, text, node.span)?;
        match size_bytes(&text) {
            Ok(bytes) if (range.0..=range.1).contains(&bytes) => Some(bytes),
            Ok(_) => {
                let (least, most) = (size_text(range.0), size_text(range.1));
                let title = format!("{what} must be a size from {least} to {most}, found {text}");
                self.problem(code::OUT_OF_RANGE, node.span, title, None);
                None
            }
            Err(SizeError::NoUnit) => {
                let title = format!("{}: {text} has no unit", what.trim_matches('`'));
                let help = format!("write {text}MiB or {text}GiB");
                self.report(
                    Diagnostic::error(code::NO_UNIT, title)
                        .at(node.span, format!("{text} what?"))
                        .help(help),
                );
                None
            }
            Err(SizeError::Malformed) => {
                self.expected(what, wanted, node);
                None
            }
        }
    }

    /// True or false.
    pub(crate) fn truth(&mut self, what: &str, node: &Node) -> Option<bool> {
        match node.scalar() {
            Some("true" | "True" | "TRUE") => Some(true),
            Some("false" | "False" | "FALSE") => Some(false),
            _ => {
                self.expected(what, "true or false", node);
                None
            }
        }
    }

    /// One of a few words.
    pub(crate) fn word<T: Copy>(
        &mut self,
        what: &str,
        node: &Node,
        words: &[(&str, T)],
    ) -> Option<T> {
        let names: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        let Some(text) = node.scalar().filter(|_| !node.is_null()) else {
            self.expected(what, &format!("one of {}", names.join(", ")), node);
            return None;
        };
        let text = self.interpolated(what, text, node.span)?;
        let found = words.iter().find(|(word, _)| *word == text).map(|(_, meaning)| *meaning);
        if found.is_none() {
            let title =
                format!("{what} is one of {}, not `{}`", names.join(", "), shortened(&text));
            let help = did_you_mean(&text, names.iter().copied());
            self.problem(code::WRONG_VALUE, node.span, title, help);
        }
        found
    }

    /// A list of texts; a single one may stand without brackets.
    pub(crate) fn texts(&mut self, what: &str, node: &Node) -> Option<Vec<Located<String>>> {
        match &node.kind {
            Kind::Sequence(items) => {
                let mut texts = Vec::new();
                for item in items {
                    texts.extend(self.text(what, item));
                }
                Some(texts)
            }
            Kind::Scalar { .. } if !node.is_null() => self.text(what, node).map(|text| vec![text]),
            Kind::Scalar { .. } | Kind::Mapping(_) => {
                self.expected(what, "a text or a list of texts", node);
                None
            }
        }
    }

    /// An expression, compiled.
    pub(crate) fn expression(&mut self, what: &str, node: &Node) -> Option<Expression> {
        let text = self.text(what, node)?;
        // Only a plain scalar on one line has its characters at the places of the file.
        let verbatim = matches!(&node.kind, Kind::Scalar { text: raw, plain: true }
            if *raw == text.value && raw.len() == node.span.end - node.span.start);
        match Expression::compile(&text.value, node.span, verbatim) {
            Ok(expression) => Some(expression),
            Err(diagnostic) => {
                self.report(diagnostic);
                None
            }
        }
    }

    /// A path of the JSON value.
    pub(crate) fn path(&mut self, what: &str, node: &Node) -> Option<Path> {
        let text = self.text(what, node)?;
        self.path_of(what, &text)
    }

    pub(crate) fn path_of(&mut self, what: &str, text: &Located<String>) -> Option<Path> {
        match Path::parse(&text.value) {
            Ok(path) => Some(path),
            Err(reason) => {
                let title = format!("{what} `{}` is no path: {reason}", shortened(&text.value));
                let help = "write a.b, a[0] or a['odd name']".to_owned();
                self.problem(code::BAD_EXPRESSION, text.span, title, Some(help));
                None
            }
        }
    }
}

/// A text of the file for a message, cut when it is long.
pub(crate) fn shortened(text: &str) -> String {
    if text.chars().count() <= 60 {
        return text.to_owned();
    }
    let start: String = text.chars().take(57).collect();
    format!("{start}...")
}

/// One field of a mapping.
struct Entry<'n> {
    meant: &'n str,
    key: &'n Node,
    value: &'n Node,
    used: bool,
}

/// The fields of a mapping, taken one by one; what is left at the end is unknown.
pub(crate) struct Fields<'n> {
    owner: String,
    span: Span,
    entries: Vec<Entry<'n>>,
    asked: Vec<&'static str>,
}

impl<'n> Fields<'n> {
    /// The mapping's name for messages.
    pub(crate) fn owner(&self) -> &str {
        &self.owner
    }

    /// Gives the mapping the name that was found in it.
    pub(crate) fn rename(&mut self, owner: String) {
        self.owner = owner;
    }

    /// Where the mapping is written.
    pub(crate) fn span(&self) -> Span {
        self.span
    }

    /// The value of a field; a field without a value counts as absent.
    pub(crate) fn take(&mut self, name: &'static str) -> Option<&'n Node> {
        self.take_keyed(name).map(|(_, value)| value)
    }

    /// The same with the place of its name.
    pub(crate) fn take_keyed(&mut self, name: &'static str) -> Option<(Span, &'n Node)> {
        self.asked.push(name);
        let entry = self.entries.iter_mut().find(|entry| entry.meant == name)?;
        entry.used = true;
        if entry.value.is_null() { None } else { Some((entry.key.span, entry.value)) }
    }

    /// All fields in order as (name, value), for mappings whose names are free.
    pub(crate) fn take_all(&mut self) -> Vec<(Located<String>, &'n Node)> {
        let mut all = Vec::new();
        for entry in &mut self.entries {
            entry.used = true;
            let name = entry.key.scalar().unwrap_or_default().to_owned();
            all.push((Located::new(name, entry.key.span), entry.value));
        }
        all
    }

    /// The value of a field that must be there.
    pub(crate) fn require(
        &mut self,
        reader: &mut Reader<'_>,
        name: &'static str,
        example: &str,
    ) -> Option<&'n Node> {
        let found = self.take(name);
        if found.is_none() {
            let title = format!("{} has no `{name}`", self.owner);
            let diagnostic = Diagnostic::error(code::MISSING_FIELD, title)
                .at(self.span, "")
                .help(format!("add `{example}`"));
            reader.report(diagnostic);
        }
        found
    }

    /// Takes `x-` fields, which belong to the people who write them.
    pub(crate) fn allow_extensions(&mut self) {
        for entry in &mut self.entries {
            entry.used |= entry.meant.starts_with("x-");
        }
    }

    /// Reports fields that exist for others of its kind: field, and the one that has it.
    pub(crate) fn misplaced(&mut self, reader: &mut Reader<'_>, others: &[(&'static str, &str)]) {
        for (name, home) in others {
            if self.asked.contains(name) {
                continue;
            }
            let Some(entry) = self.entries.iter_mut().find(|entry| entry.meant == *name) else {
                continue;
            };
            entry.used = true;
            let title = format!("{} has `{name}`, which belongs to {home}", self.owner);
            let diagnostic = Diagnostic::error(code::FIELD_OF_OTHER_TYPE, title)
                .at(entry.key.span, "has no effect here");
            reader.report(diagnostic);
        }
    }

    /// Reports what nobody asked for.
    pub(crate) fn finish(self, reader: &mut Reader<'_>) {
        for entry in self.entries.iter().filter(|entry| !entry.used) {
            let written = entry.key.scalar().unwrap_or_default();
            let title = format!("{} has no field `{}`", self.owner, shortened(written));
            let known = || self.asked.iter().copied();
            let help = nearest(written, known())
                .map(|name| format!("did you mean `{name}`?"))
                .or_else(|| {
                    let names: Vec<&str> = known().collect();
                    (!names.is_empty()).then(|| format!("known fields: {}", names.join(", ")))
                });
            let diagnostic = Diagnostic::error(code::UNKNOWN_FIELD, title)
                .at(entry.key.span, "unknown field")
                .help_opt(help);
            reader.report(diagnostic);
        }
    }
}
