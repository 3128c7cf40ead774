//! From text to a checked tree: all that can be known before a record comes.

use std::ops::Range;

use super::lexer::{Stop, tokens};
use super::syntax::{Fact, Kind, Node, Operator, parse};
use super::{Expression, Kinds};
use crate::diagnose::{Code, Diagnostic, Span, code};
use crate::limits::EXPRESSION_BYTES_MAX;

pub(crate) fn compile(text: &str, origin: Span, verbatim: bool) -> Result<Expression, Diagnostic> {
    let place = Place { text, origin, verbatim };
    if text.len() > EXPRESSION_BYTES_MAX {
        let title = format!("the expression has more than {EXPRESSION_BYTES_MAX} bytes");
        return Err(Diagnostic::error(code::BAD_EXPRESSION, title).at(origin, ""));
    }
    if text.trim().is_empty() {
        let title = "the expression is empty";
        return Err(Diagnostic::error(code::BAD_EXPRESSION, title).at(origin, ""));
    }
    let parsed = tokens(text).and_then(|tokens| parse(&tokens, text.len()));
    let root = parsed.map_err(|stop| {
        let of_function = stop.title.contains("function") || stop.title.contains(" takes ");
        let code = if of_function { code::UNKNOWN_FUNCTION } else { code::BAD_EXPRESSION };
        place.diagnostic(code, stop)
    })?;
    let kinds = kinds(&root).map_err(|stop| place.diagnostic(code::EXPRESSION_TYPES, stop))?;
    Ok(Expression { text: text.to_owned(), root, kinds, origin })
}

/// Where the expression stands in the file.
struct Place<'a> {
    text: &'a str,
    origin: Span,
    verbatim: bool,
}

impl Place<'_> {
    fn diagnostic(&self, code: Code, stop: Stop) -> Diagnostic {
        let label = if stop.range.is_empty() { "something is missing" } else { "here" };
        let diagnostic = Diagnostic::error(code, stop.title).help_opt(stop.help.map(str::to_owned));
        if self.verbatim {
            return diagnostic.at(self.span(&stop.range), label);
        }
        let part = self.text.get(stop.range).filter(|part| !part.is_empty());
        let label = part.map_or_else(|| label.to_owned(), |part| format!("at `{part}`"));
        diagnostic.at(self.origin, label)
    }

    fn span(&self, range: &Range<usize>) -> Span {
        let start = self.origin.start + range.start;
        Span::new(self.origin.file, start, self.origin.start + range.end)
    }
}

/// The kinds that a part may have, or the first part that can never work.
fn kinds(node: &Node) -> Result<Kinds, Stop> {
    match &node.kind {
        Kind::Null => Ok(Kinds::NULL),
        Kind::Bool(_) => Ok(Kinds::BOOL),
        Kind::Number(_) => Ok(Kinds::NUMBER),
        Kind::Text(_) => Ok(Kinds::TEXT),
        Kind::Path(_) => Ok(Kinds::ANY),
        Kind::Fact(fact) => Ok(fact_kinds(fact)),
        Kind::Not(inner) => {
            condition(inner)?;
            Ok(Kinds::BOOL)
        }
        Kind::Negate(inner) => {
            wanted(inner, Kinds::NUMBER, "`-`")?;
            Ok(Kinds::NUMBER)
        }
        Kind::Binary(operator, left, right) => binary(*operator, left, right),
        Kind::In(left, items) => {
            kinds(left)?;
            for item in items {
                kinds(item)?;
            }
            Ok(Kinds::BOOL)
        }
        Kind::Choose(parts) => {
            let [test, yes, no] = parts.as_ref();
            condition(test)?;
            Ok(kinds(yes)?.or(kinds(no)?))
        }
        Kind::Call(function, arguments) => {
            let (takes, gives) = function.kinds();
            for argument in arguments {
                wanted(argument, takes, &format!("`{}`", function.name()))?;
            }
            Ok(gives)
        }
    }
}

fn fact_kinds(fact: &Fact) -> Kinds {
    match fact {
        Fact::Key | Fact::Header(_) => Kinds::TEXT.or(Kinds::NULL),
        Fact::Value => Kinds::ANY,
        Fact::Topic => Kinds::TEXT,
        Fact::Timestamp | Fact::Partition | Fact::Offset => Kinds::NUMBER,
    }
}

fn wanted(node: &Node, kind: Kinds, by: &str) -> Result<(), Stop> {
    let found = kinds(node)?;
    if found.overlaps(kind) {
        return Ok(());
    }
    Err(Stop::new(format!("{by} works on {kind}, and this is {found}"), node.range.clone()))
}

fn condition(node: &Node) -> Result<(), Stop> {
    let found = kinds(node)?;
    if found.overlaps(Kinds::BOOL.or(Kinds::NULL)) {
        return Ok(());
    }
    let title = format!("a condition is true or false, and this is {found}");
    Err(Stop::new(title, node.range.clone()).with_help("compare it with something"))
}

fn binary(operator: Operator, left: &Node, right: &Node) -> Result<Kinds, Stop> {
    match operator {
        Operator::Or | Operator::And => {
            condition(left)?;
            condition(right)?;
            Ok(Kinds::BOOL)
        }
        Operator::Equal | Operator::NotEqual => {
            kinds(left)?;
            kinds(right)?;
            Ok(Kinds::BOOL)
        }
        Operator::Less | Operator::LessOrEqual | Operator::Greater | Operator::GreaterOrEqual => {
            pair(operator, left, right, Kinds::NUMBER.or(Kinds::TEXT))?;
            Ok(Kinds::BOOL)
        }
        Operator::Add => pair(operator, left, right, Kinds::NUMBER.or(Kinds::TEXT)),
        Operator::Subtract | Operator::Multiply | Operator::Divide | Operator::Remainder => {
            pair(operator, left, right, Kinds::NUMBER)
        }
    }
}

/// Both sides must be able to be of one kind that the operator takes.
fn pair(operator: Operator, left: &Node, right: &Node, takes: Kinds) -> Result<Kinds, Stop> {
    let (of_left, of_right) = (kinds(left)?, kinds(right)?);
    let null = Kinds::NULL;
    let ordered = !matches!(
        operator,
        Operator::Add
            | Operator::Subtract
            | Operator::Multiply
            | Operator::Divide
            | Operator::Remainder
    );
    // An order with null is false and allowed; arithmetic with it can never work.
    if ordered && (of_left == null || of_right == null) {
        return Ok(Kinds::BOOL);
    }
    let sign = operator.sign();
    for (node, found) in [(left, of_left), (right, of_right)] {
        if !found.overlaps(takes) {
            let title = format!("`{sign}` works on {takes}, and this is {found}");
            return Err(Stop::new(title, node.range.clone()));
        }
    }
    let mut common: Option<Kinds> = None;
    for kind in [Kinds::NUMBER, Kinds::TEXT] {
        if takes.overlaps(kind) && of_left.overlaps(kind) && of_right.overlaps(kind) {
            common = Some(common.map_or(kind, |known| known.or(kind)));
        }
    }
    common.ok_or_else(|| {
        let title = format!("`{sign}` between {of_left} and {of_right}");
        let stop = Stop::new(title, left.range.start..right.range.end);
        stop.with_help("convert one side: number(x) or text(x)")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(text: &str) -> (&'static str, String, Range<usize>) {
        let error = compile(text, Span::new(0, 0, text.len()), true).unwrap_err();
        let span = error.span().unwrap();
        (error.code.as_str(), error.title, span.start..span.end)
    }

    #[test]
    fn problems_are_found_before_any_record_comes() {
        let (code, title, range) = problem("value > ");
        assert_eq!((code, range), ("MS-1020", 8..8), "{title}");
        let (code, title, range) = problem("lenght(a) > 1");
        assert_eq!((code, range), ("MS-1021", 0..6));
        assert!(title.contains("did you mean `len`?") || title.contains("lenght"), "{title}");
        let (code, title, range) = problem("a > 1 && 'x' - 1 > 0");
        assert_eq!((code, range), ("MS-1022", 9..12), "{title}");
        let (code, title, _) = problem("contains(a)");
        assert_eq!((code, title.as_str()), ("MS-1021", "`contains` takes two arguments, not 1"));
        let (code, _, range) = problem("1 + 'a'");
        assert_eq!((code, range), ("MS-1022", 0..7));
        let (code, _, range) = problem("@keys == 'a'");
        assert_eq!((code, range), ("MS-1020", 0..5));
        let (code, title, _) = problem("5 and true");
        assert_eq!(
            (code, title.as_str()),
            ("MS-1022", "a condition is true or false, and this is a number")
        );
    }

    #[test]
    fn nesting_has_an_end() {
        let deep = format!("{}1{}", "(".repeat(5_000), ")".repeat(4_999));
        assert_eq!(problem(&deep).0, "MS-1020");
        let chain = vec!["1"; 5_000].join("+");
        assert_eq!(problem(&chain).0, "MS-1020");
        let signs = format!("{}1", "-".repeat(9_000));
        assert_eq!(problem(&signs).0, "MS-1020");
    }

    #[test]
    fn texts_that_are_not_verbatim_mark_their_origin() {
        let error = compile("a >", Span::new(0, 40, 50), false).unwrap_err();
        assert_eq!(error.span(), Some(Span::new(0, 40, 50)));
    }
}
