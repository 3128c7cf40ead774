//! Running an expression on a record's bytes.

use std::borrow::Cow;
use std::cell::Cell;
use std::cmp::Ordering;
use std::fmt;

use base::cast;

use super::syntax::{Fact, Kind, Node, Operator};
use super::{RecordFacts, Value};
use crate::json::{self, JsonError, Number, Path};

/// Why an expression has no value for a record; every text names paths and values as written.
#[derive(Debug, Clone, PartialEq)]
pub enum EvalError {
    /// The record's value is not JSON where the path looks.
    Json {
        /// The path.
        path: String,
        /// What is wrong.
        error: JsonError,
    },
    /// The operator cannot work on these two.
    Operands {
        /// Its sign.
        operator: &'static str,
        /// The left side as written, with its value.
        left: String,
        /// The right side as written, with its value.
        right: String,
    },
    /// The function or sign cannot work on this.
    Argument {
        /// The function.
        function: &'static str,
        /// The argument as written, with its value.
        argument: String,
    },
    /// A condition that is neither true nor false.
    NotACondition {
        /// The part as written, with its value.
        condition: String,
    },
    /// A division by zero.
    DivisionByZero {
        /// The divisor as written.
        divisor: String,
    },
    /// The result fits no number.
    Overflow {
        /// The operator or function.
        operation: &'static str,
    },
    /// A key or header that is no UTF-8 text.
    NotText {
        /// The fact.
        fact: String,
    },
}

impl EvalError {
    pub(crate) fn argument(function: &'static str, written: String, value: &Value<'_>) -> Self {
        Self::Argument { function, argument: described(&written, value) }
    }
}

impl fmt::Display for EvalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Json { path, error } => write!(f, "the value is no JSON at `{path}`: {error}"),
            Self::Operands { operator, left, right } => {
                write!(f, "`{operator}` cannot work on {left} and {right}")
            }
            Self::Argument { function, argument } => {
                write!(f, "`{function}` cannot work on {argument}")
            }
            Self::NotACondition { condition } => write!(f, "{condition} is no condition"),
            Self::DivisionByZero { divisor } => write!(f, "division by zero: `{divisor}` is 0"),
            Self::Overflow { operation } => write!(f, "the result of `{operation}` is too large"),
            Self::NotText { fact } => write!(f, "`{fact}` is not UTF-8"),
        }
    }
}

impl std::error::Error for EvalError {}

/// A part and its value for a message: `temp_c`, which is the text "warm".
fn described(written: &str, value: &Value<'_>) -> String {
    let mut json = Vec::new();
    value.write_json(&mut json);
    let shown = String::from_utf8_lossy(&json);
    let short: String = shown.chars().take(60).collect();
    let dots = if short.len() < shown.len() { "..." } else { "" };
    let kind = match value {
        Value::Null | Value::Bool(_) => "",
        Value::Int(_) | Value::Float(_) => "the number ",
        Value::Text(_) => "the text ",
        Value::Json(_) => "the JSON ",
    };
    if written == short {
        return format!("{kind}{short}{dots}");
    }
    format!("`{written}` (which is {kind}{short}{dots})")
}

/// Errors are rare and values are not: the box keeps what is handed around small.
type Evaluated<'a> = Result<Value<'a>, Box<EvalError>>;

/// One evaluation: the record, and the value that was looked up last, because conditions tend to
/// ask for one path twice (`a != null && a > 5`).
struct Run<'f, 'a> {
    facts: &'f RecordFacts<'a>,
    last: Cell<Option<(&'a Path, Raw<'a>)>>,
}

/// The bytes of a value and their place in the document; `None` for an absent one.
type Raw<'a> = Option<(&'a [u8], usize)>;

pub(crate) fn evaluate<'a>(
    node: &'a Node,
    facts: &RecordFacts<'a>,
) -> Result<Value<'a>, EvalError> {
    let run = Run { facts, last: Cell::new(None) };
    value_of(node, &run).map_err(|error| *error)
}

/// The value of a condition; null is false.
pub(crate) fn holds<'a>(node: &'a Node, facts: &RecordFacts<'a>) -> Result<bool, EvalError> {
    let run = Run { facts, last: Cell::new(None) };
    truth(node, &run).map_err(|error| *error)
}

fn value_of<'a>(node: &'a Node, run: &Run<'_, 'a>) -> Evaluated<'a> {
    match &node.kind {
        Kind::Null => Ok(Value::Null),
        Kind::Bool(truth) => Ok(Value::Bool(*truth)),
        Kind::Number(Number::Int(int)) => Ok(Value::Int(*int)),
        Kind::Number(Number::Float(float)) => Ok(Value::Float(*float)),
        Kind::Text(text) => Ok(Value::Text(Cow::Borrowed(text))),
        Kind::Path(path) => lookup(path, run),
        Kind::Fact(fact) => of_fact(fact, run.facts),
        Kind::Not(inner) => truth(inner, run).map(|truth| Value::Bool(!truth)),
        Kind::Negate(inner) => {
            let value = value_of(inner, run)?;
            negated(&value).ok_or_else(|| {
                Box::new(match value {
                    Value::Int(_) => EvalError::Overflow { operation: "-" },
                    _ => EvalError::argument("-", inner.to_string(), &value),
                })
            })
        }
        Kind::Binary(Operator::And, left, right) => {
            Ok(Value::Bool(truth(left, run)? && truth(right, run)?))
        }
        Kind::Binary(Operator::Or, left, right) => {
            Ok(Value::Bool(truth(left, run)? || truth(right, run)?))
        }
        Kind::Binary(operator, left, right) => binary(*operator, left, right, run),
        Kind::In(left, items) => {
            let value = value_of(left, run)?;
            for item in items {
                if same(&value, &value_of(item, run)?) {
                    return Ok(Value::Bool(true));
                }
            }
            Ok(Value::Bool(false))
        }
        Kind::Choose(parts) => {
            let [test, yes, no] = parts.as_ref();
            value_of(if truth(test, run)? { yes } else { no }, run)
        }
        Kind::Call(function, arguments) => {
            let mut values = Vec::with_capacity(arguments.len());
            for argument in arguments {
                values.push(value_of(argument, run)?);
            }
            function.apply(arguments, values).map_err(Box::new)
        }
    }
}

/// The value of a condition; null is false.
fn truth<'a>(node: &'a Node, run: &Run<'_, 'a>) -> Result<bool, Box<EvalError>> {
    match value_of(node, run)? {
        Value::Bool(truth) => Ok(truth),
        Value::Null => Ok(false),
        other => {
            let condition = described(&node.to_string(), &other);
            Err(Box::new(EvalError::NotACondition { condition }))
        }
    }
}

/// The value at a path of the record's JSON; absent is null.
fn lookup<'a>(path: &'a Path, run: &Run<'_, 'a>) -> Evaluated<'a> {
    let Some((bytes, at)) = raw(path, run)? else { return Ok(Value::Null) };
    from_json(bytes, at).map_err(|error| of_json(path, error))
}

/// Where a value stands; `None` for an absent one.
fn raw<'a>(path: &'a Path, run: &Run<'_, 'a>) -> Result<Raw<'a>, Box<EvalError>> {
    if let Some((known, raw)) = run.last.get()
        && known == path
    {
        return Ok(raw);
    }
    let Some(document) = run.facts.value else { return Ok(None) };
    let found = json::field_or_bare(document, path).map_err(|error| of_json(path, error))?;
    let raw = found.map(|found| (found.bytes, found.range.start));
    run.last.set(Some((path, raw)));
    Ok(raw)
}

#[cold]
fn of_json(path: &Path, error: JsonError) -> Box<EvalError> {
    Box::new(EvalError::Json { path: path.to_string(), error })
}

/// A JSON value of the record; `at` is its place in the document, for messages.
fn from_json(bytes: &[u8], at: usize) -> Result<Value<'_>, JsonError> {
    let bad = JsonError { kind: json::JsonErrorKind::BadScalar, at };
    match bytes.first() {
        Some(b'"') => {
            let text = json::text(bytes);
            text.map(Value::Text).map_err(|error| JsonError { at: at + error.at, ..error })
        }
        Some(b'{' | b'[') => Ok(Value::Json(bytes)),
        Some(b'n') if bytes == b"null" => Ok(Value::Null),
        Some(b't') if bytes == b"true" => Ok(Value::Bool(true)),
        Some(b'f') if bytes == b"false" => Ok(Value::Bool(false)),
        _ => match Number::parse(bytes) {
            Some(Number::Int(int)) => Ok(Value::Int(int)),
            Some(Number::Float(float)) => Ok(Value::Float(float)),
            None => Err(bad),
        },
    }
}

fn of_fact<'a>(fact: &Fact, facts: &RecordFacts<'a>) -> Evaluated<'a> {
    match fact {
        Fact::Key => as_text(facts.key, fact),
        Fact::Header(name) => as_text(facts.headers.last(name), fact),
        Fact::Timestamp => Ok(Value::Int(facts.timestamp_ms)),
        Fact::Topic => Ok(Value::Text(Cow::Borrowed(facts.topic))),
        Fact::Partition => Ok(Value::Int(i64::from(facts.partition))),
        Fact::Offset => Ok(Value::Int(facts.offset)),
        Fact::Value => {
            let Some(document) = facts.value else { return Ok(Value::Null) };
            let of_json = |error| EvalError::Json { path: "@value".to_owned(), error };
            let root = json::root(document);
            let value = root.and_then(|root| from_json(root.bytes, root.range.start));
            value.map_err(|error| Box::new(of_json(error)))
        }
    }
}

fn as_text<'a>(bytes: Option<&'a [u8]>, fact: &Fact) -> Evaluated<'a> {
    let Some(bytes) = bytes else { return Ok(Value::Null) };
    let text = std::str::from_utf8(bytes);
    text.map(|text| Value::Text(Cow::Borrowed(text)))
        .map_err(|_| Box::new(EvalError::NotText { fact: fact.to_string() }))
}

fn negated(value: &Value<'_>) -> Option<Value<'static>> {
    match value {
        Value::Int(int) => int.checked_neg().map(Value::Int),
        Value::Float(float) => Some(Value::Float(-float)),
        Value::Null | Value::Bool(_) | Value::Text(_) | Value::Json(_) => None,
    }
}

fn binary<'a>(
    operator: Operator,
    left_node: &'a Node,
    right_node: &'a Node,
    run: &Run<'_, 'a>,
) -> Evaluated<'a> {
    if let (Kind::Path(path), Kind::Null) = (&left_node.kind, &right_node.kind)
        && let Some(truth) = null_test(operator, path, run)?
    {
        return Ok(Value::Bool(truth));
    }
    let (left, right) = (value_of(left_node, run)?, value_of(right_node, run)?);
    let operands = |left: &Value<'_>, right: &Value<'_>| {
        Box::new(EvalError::Operands {
            operator: operator.sign(),
            left: described(&left_node.to_string(), left),
            right: described(&right_node.to_string(), right),
        })
    };
    match operator {
        Operator::Equal => return Ok(Value::Bool(same(&left, &right))),
        Operator::NotEqual => return Ok(Value::Bool(!same(&left, &right))),
        Operator::Less | Operator::LessOrEqual | Operator::Greater | Operator::GreaterOrEqual => {
            // Nothing is neither above nor below anything.
            if matches!(left, Value::Null) || matches!(right, Value::Null) {
                return Ok(Value::Bool(false));
            }
            let order = ordering(&left, &right).ok_or_else(|| operands(&left, &right))?;
            return Ok(Value::Bool(ordered(operator, order)));
        }
        _ => {}
    }
    if let (Operator::Add, Value::Text(start), Value::Text(end)) = (operator, &left, &right) {
        return Ok(Value::Text(Cow::Owned(format!("{start}{end}"))));
    }
    let (Some(a), Some(b)) = (left.number(), right.number()) else {
        return Err(operands(&left, &right));
    };
    let divides = matches!(operator, Operator::Divide | Operator::Remainder);
    if divides && b.as_f64() == 0.0 {
        return Err(Box::new(EvalError::DivisionByZero { divisor: right_node.to_string() }));
    }
    let overflow = || Box::new(EvalError::Overflow { operation: operator.sign() });
    arithmetic(operator, a, b).ok_or_else(overflow)
}

/// `path == null` and `path != null` need no value: only null itself begins like null.
fn null_test<'a>(
    operator: Operator,
    path: &'a Path,
    run: &Run<'_, 'a>,
) -> Result<Option<bool>, Box<EvalError>> {
    let is_null = match raw(path, run)? {
        None => true,
        Some((bytes, _)) if bytes == b"null" => true,
        Some(([b'n', ..], _)) => return Ok(None),
        Some(_) => false,
    };
    Ok(match operator {
        Operator::Equal => Some(is_null),
        Operator::NotEqual => Some(!is_null),
        _ => None,
    })
}

fn ordered(operator: Operator, order: Ordering) -> bool {
    match operator {
        Operator::Less => order.is_lt(),
        Operator::LessOrEqual => order.is_le(),
        Operator::Greater => order.is_gt(),
        _ => order.is_ge(),
    }
}

/// Integers stay integers, except in a division with a remainder; `None` on overflow.
fn arithmetic(operator: Operator, left: Number, right: Number) -> Option<Value<'static>> {
    if let (Number::Int(a), Number::Int(b)) = (left, right) {
        let exact = match operator {
            Operator::Add => a.checked_add(b),
            Operator::Subtract => a.checked_sub(b),
            Operator::Multiply => a.checked_mul(b),
            Operator::Remainder => a.checked_rem(b),
            Operator::Divide if a.checked_rem(b) == Some(0) => a.checked_div(b),
            _ => return finite(cast::f64_of_i64(a) / cast::f64_of_i64(b)),
        };
        return exact.map(Value::Int);
    }
    let (a, b) = (left.as_f64(), right.as_f64());
    finite(match operator {
        Operator::Add => a + b,
        Operator::Subtract => a - b,
        Operator::Multiply => a * b,
        Operator::Remainder => a % b,
        _ => a / b,
    })
}

fn finite(float: f64) -> Option<Value<'static>> {
    if float.is_finite() { Some(Value::Float(float)) } else { None }
}

/// Whether two values are equal; 1 and 1.0 are, different kinds never are.
fn same(left: &Value<'_>, right: &Value<'_>) -> bool {
    match (left, right) {
        (Value::Int(_), Value::Float(_)) | (Value::Float(_), Value::Int(_)) => {
            ordering(left, right) == Some(Ordering::Equal)
        }
        (Value::Json(a), Value::Json(b)) => {
            a == b || {
                let tree = |json: &[u8]| serde_json::from_slice::<serde_json::Value>(json).ok();
                tree(a).is_some_and(|a| Some(a) == tree(b))
            }
        }
        _ => left == right,
    }
}

/// The order of two numbers or two texts; `None` for anything else.
pub(crate) fn ordering(left: &Value<'_>, right: &Value<'_>) -> Option<Ordering> {
    match (left, right) {
        (Value::Int(a), Value::Int(b)) => Some(a.cmp(b)),
        (Value::Float(a), Value::Float(b)) => a.partial_cmp(b),
        (Value::Int(a), Value::Float(b)) => int_float(*a, *b),
        (Value::Float(a), Value::Int(b)) => int_float(*b, *a).map(Ordering::reverse),
        (Value::Text(a), Value::Text(b)) => Some(a.as_ref().cmp(b.as_ref())),
        _ => None,
    }
}

/// Exact, although a double cannot hold every integer.
fn int_float(int: i64, float: f64) -> Option<Ordering> {
    // Doubles from 2^63 on are beyond every integer.
    if float.abs() >= 9_223_372_036_854_775_808.0 {
        return 0.0.partial_cmp(&float);
    }
    let whole = float.trunc();
    let order = int.cmp(&cast::i64_of_f64(whole));
    if order == Ordering::Equal { whole.partial_cmp(&float) } else { Some(order) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::Expression;
    use super::*;
    use crate::diagnose::Span;

    const DOCUMENT: &str = r#"{"device":"d1","temp":21.5,"n":7,"deep":{"list":[1,"two",null]},
        "none":null,"ok":true,"big":9223372036854775807,"s":"a\"b"}"#;

    fn run(text: &str) -> String {
        run_on(text, DOCUMENT)
    }

    fn run_on(text: &str, document: &str) -> String {
        let expression = match Expression::compile(text, Span::default(), true) {
            Ok(expression) => expression,
            Err(problem) => return format!("compile: {}", problem.title),
        };
        let headers = vec![("trace".to_owned(), b"t-1".to_vec())];
        let facts = RecordFacts {
            key: Some(b"k1"),
            value: Some(document.as_bytes()),
            timestamp_ms: 1_000,
            topic: "readings",
            partition: 3,
            offset: 42,
            headers: &headers,
        };
        match expression.evaluate(&facts) {
            Ok(value) => {
                let mut out = Vec::new();
                value.write_json(&mut out);
                String::from_utf8(out).unwrap()
            }
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn paths_and_facts_give_values() {
        assert_eq!(run("device"), "\"d1\"");
        assert_eq!(run(".deep.list[1]"), "\"two\"");
        assert_eq!(run("deep['list'][2]"), "null");
        assert_eq!(run("deep.list"), "[1,\"two\",null]");
        assert_eq!(run("absent.field"), "null");
        assert_eq!(run("@key + '/' + @topic"), "\"k1/readings\"");
        assert_eq!(run("@offset + @partition * 2 + @timestamp"), "1048");
        assert_eq!(run("@headers.trace"), "\"t-1\"");
        assert_eq!(run("@headers.none"), "null");
        assert_eq!(run_on("value + 1", " 41 "), "42");
        assert_eq!(run_on("@value", "41"), "41");
    }

    #[test]
    fn operators_bind_as_usual() {
        assert_eq!(run("1 + 2 * 3 - 4 / 2"), "5");
        assert_eq!(run("(1 + 2) * 3"), "9");
        assert_eq!(run("7 / 2"), "3.5");
        assert_eq!(run("7 % 4"), "3");
        assert_eq!(run("-n + 1"), "-6");
        assert_eq!(run("- -3"), "3");
        assert_eq!(run("n > 5 && temp < 22 || false"), "true");
        assert_eq!(run("not (n > 5) or ok"), "true");
        assert_eq!(run("n in [1, 7] && device in ['x']"), "false");
        assert_eq!(run("n == 7.0 ? 'seven' : 'other'"), "\"seven\"");
        assert_eq!(run("1 < 2 == true"), "true");
        assert_eq!(run("n - 1 - 1"), "5");
    }

    #[test]
    fn null_may_be_compared_and_never_calculated_with() {
        assert_eq!(run("none == null && absent == null"), "true");
        assert_eq!(run("temp != null"), "true");
        assert_eq!(run("none > 5"), "false");
        assert_eq!(run("none + 1"), "`+` cannot work on `none` (which is null) and the number 1");
        assert_eq!(run("none && true"), "false");
    }

    #[test]
    fn runtime_errors_name_path_and_value() {
        assert_eq!(
            run("device < 5"),
            "`<` cannot work on `device` (which is the text \"d1\") and the number 5"
        );
        assert_eq!(run("big + 1"), "the result of `+` is too large");
        assert_eq!(run("n / (n - 7)"), "division by zero: `(n - 7)` is 0");
        assert_eq!(run("n ? 1 : 2"), "`n` (which is the number 7) is no condition");
        assert_eq!(run("lower(n)"), "`lower` cannot work on `n` (which is the number 7)");
        assert_eq!(
            run_on("a > 1", "{\"a\":nope}"),
            "the value is no JSON at `a`: a number or word is misspelt (byte 5)"
        );
    }

    #[test]
    fn functions_work() {
        assert_eq!(run("len(device) + len(deep.list)"), "5");
        assert_eq!(run("upper(device) + lower('X') + trim(' y ')"), "\"D1xy\"");
        assert_eq!(run("contains(s, '\"') && starts_with(s, 'a') && ends_with(s, 'b')"), "true");
        assert_eq!(run("abs(-3) + round(2.5) + floor(2.9) + ceil(2.1)"), "11");
        assert_eq!(run("round(2.345, 2)"), "2.35");
        assert_eq!(run("min(n, 3, 9) + max(1, temp)"), "24.5");
        assert_eq!(run("number('12.5') + number(ok)"), "13.5");
        assert_eq!(run("text(n) + text(temp) + text(true)"), "\"721.5true\"");
        assert_eq!(run("coalesce(none, absent, 'd')"), "\"d\"");
        assert_eq!(run("exists(none) || exists(n)"), "true");
    }

    #[test]
    fn integers_and_doubles_are_compared_exactly() {
        assert_eq!(run("big == 9223372036854775808.0"), "false");
        assert_eq!(run("big < 9223372036854775808.0"), "true");
        assert_eq!(run("big > 9223372036854774784.0"), "true");
        assert_eq!(run("-3 > -3.5 && 3 < 3.5"), "true");
    }

    proptest! {
        #[test]
        fn no_text_makes_the_compiler_panic(text in "\\PC{0,30}") {
            let _ = Expression::compile(&text, Span::default(), true); // Only a panic is wrong.
        }

        #[test]
        fn no_expression_panics_on_any_document(
            parts in prop::collection::vec(
                prop::sample::select(vec![
                    "a", "1", "-", "+", "(", ")", "'x'", "==", "<", "&&", "!", "null", "[0]",
                    ".b", "len(", "min(", ",", "?", ":", "in", "[", "]", "@key", "1.5", "%", "/",
                ]),
                1..12,
            ),
            document in prop::collection::vec(any::<u8>(), 0..30),
        ) {
            let text = parts.join(" ");
            if let Ok(expression) = Expression::compile(&text, Span::default(), true) {
                let facts = RecordFacts::of_value(&document);
                let _ = expression.evaluate(&facts); // Only a panic is wrong.
                let again = Expression::compile(&expression.canonical(), Span::default(), true);
                prop_assert_eq!(again.map(|e| e.canonical()).ok(), Some(expression.canonical()));
            }
        }
    }
}
