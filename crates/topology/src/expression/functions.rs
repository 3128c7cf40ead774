//! The functions: names, arguments and what they compute.

use std::borrow::Cow;

use base::cast;

use super::evaluate::{EvalError, ordering};
use super::syntax::Node;
use super::{Kinds, Value};
use crate::json::{Number, write_number};

/// A function of the language.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Function {
    Len,
    Lower,
    Upper,
    Trim,
    Contains,
    StartsWith,
    EndsWith,
    Abs,
    Round,
    Floor,
    Ceil,
    Min,
    Max,
    Number,
    Text,
    Coalesce,
    Exists,
}

/// The most arguments of the functions that take any number of them.
const ARGUMENTS_MAX: usize = 16;

/// Name, function, least and most arguments.
const FUNCTIONS: [(&str, Function, usize, usize); 17] = [
    ("len", Function::Len, 1, 1),
    ("lower", Function::Lower, 1, 1),
    ("upper", Function::Upper, 1, 1),
    ("trim", Function::Trim, 1, 1),
    ("contains", Function::Contains, 2, 2),
    ("starts_with", Function::StartsWith, 2, 2),
    ("ends_with", Function::EndsWith, 2, 2),
    ("abs", Function::Abs, 1, 1),
    ("round", Function::Round, 1, 2),
    ("floor", Function::Floor, 1, 1),
    ("ceil", Function::Ceil, 1, 1),
    ("min", Function::Min, 1, ARGUMENTS_MAX),
    ("max", Function::Max, 1, ARGUMENTS_MAX),
    ("number", Function::Number, 1, 1),
    ("text", Function::Text, 1, 1),
    ("coalesce", Function::Coalesce, 1, ARGUMENTS_MAX),
    ("exists", Function::Exists, 1, 1),
];

impl Function {
    pub(crate) fn named(name: &str) -> Option<Self> {
        FUNCTIONS.iter().find(|row| row.0 == name).map(|row| row.1)
    }

    pub(crate) fn names() -> impl Iterator<Item = &'static str> {
        FUNCTIONS.iter().map(|row| row.0)
    }

    fn row(self) -> Option<&'static (&'static str, Self, usize, usize)> {
        FUNCTIONS.iter().find(|row| row.1 == self)
    }

    pub(crate) fn name(self) -> &'static str {
        self.row().map_or("", |row| row.0)
    }

    pub(crate) fn arity(self) -> (usize, usize) {
        self.row().map_or((0, 0), |row| (row.2, row.3))
    }

    pub(crate) fn arity_text(self) -> String {
        match self.arity() {
            (1, 1) => "one argument".to_owned(),
            (2, 2) => "two arguments".to_owned(),
            (least, most) => format!("{least} to {most} arguments"),
        }
    }

    /// What each argument must be able to be, and what comes out.
    pub(crate) fn kinds(self) -> (Kinds, Kinds) {
        let (number, text, any) = (Kinds::NUMBER, Kinds::TEXT, Kinds::ANY);
        match self {
            Self::Len => (text.or(Kinds::JSON), number),
            Self::Lower | Self::Upper | Self::Trim => (text, text),
            Self::Contains | Self::StartsWith | Self::EndsWith => (text, Kinds::BOOL),
            Self::Abs | Self::Round | Self::Floor | Self::Ceil => (number, number),
            Self::Min | Self::Max => (number.or(text), number.or(text)),
            Self::Number => {
                (number.or(text).or(Kinds::NULL).or(Kinds::BOOL), number.or(Kinds::NULL))
            }
            Self::Text => (any, text.or(Kinds::NULL)),
            Self::Coalesce => (any, any),
            Self::Exists => (any, Kinds::BOOL),
        }
    }

    /// Computes the value; `nodes` are the arguments as written, for messages.
    pub(crate) fn apply<'a>(
        self,
        nodes: &[Node],
        values: Vec<Value<'a>>,
    ) -> Result<Value<'a>, EvalError> {
        let wrong = |value: &Value<'_>, index: usize| {
            let node = nodes.get(index).map(ToString::to_string).unwrap_or_default();
            EvalError::argument(self.name(), node, value)
        };
        let mut values = values.into_iter();
        let first = values.next().unwrap_or(Value::Null);
        match self {
            Self::Exists => Ok(Value::Bool(first != Value::Null)),
            Self::Coalesce => {
                let mut all = std::iter::once(first).chain(values);
                Ok(all.find(|value| *value != Value::Null).unwrap_or(Value::Null))
            }
            Self::Len => length(&first).ok_or_else(|| wrong(&first, 0)),
            Self::Lower | Self::Upper | Self::Trim => {
                let Value::Text(text) = first else { return Err(wrong(&first, 0)) };
                Ok(Value::Text(self.recased(text)))
            }
            Self::Contains | Self::StartsWith | Self::EndsWith => {
                let second = values.next().unwrap_or(Value::Null);
                match (&first, &second) {
                    (Value::Text(text), Value::Text(part)) => {
                        Ok(Value::Bool(self.tests(text, part)))
                    }
                    (Value::Text(_), _) => Err(wrong(&second, 1)),
                    _ => Err(wrong(&first, 0)),
                }
            }
            Self::Abs | Self::Round | Self::Floor | Self::Ceil => {
                let number = first.number().ok_or_else(|| wrong(&first, 0))?;
                let places = match values.next() {
                    None => 0,
                    Some(Value::Int(places)) if (0..=15).contains(&places) => places,
                    Some(other) => return Err(wrong(&other, 1)),
                };
                let rounded = self.rounded(number, places);
                rounded.ok_or_else(|| EvalError::Overflow { operation: self.name() })
            }
            Self::Min | Self::Max => {
                let mut best = first;
                for (index, value) in values.enumerate() {
                    let order = ordering(&value, &best).ok_or_else(|| wrong(&value, index + 1))?;
                    let better = if self == Self::Min { order.is_lt() } else { order.is_gt() };
                    if better {
                        best = value;
                    }
                }
                let comparable = best.number().is_some() || matches!(best, Value::Text(_));
                if comparable { Ok(best) } else { Err(wrong(&best, 0)) }
            }
            Self::Number => to_number(&first).ok_or_else(|| wrong(&first, 0)),
            Self::Text => Ok(to_text(first)),
        }
    }

    fn recased(self, text: Cow<'_, str>) -> Cow<'_, str> {
        match self {
            Self::Lower => Cow::Owned(text.to_lowercase()),
            Self::Upper => Cow::Owned(text.to_uppercase()),
            _ => match text {
                Cow::Borrowed(text) => Cow::Borrowed(text.trim()),
                Cow::Owned(text) => Cow::Owned(text.trim().to_owned()),
            },
        }
    }

    fn tests(self, text: &str, part: &str) -> bool {
        match self {
            Self::StartsWith => text.starts_with(part),
            Self::EndsWith => text.ends_with(part),
            _ => text.contains(part),
        }
    }

    fn rounded(self, number: Number, places: i64) -> Option<Value<'static>> {
        let float = match (self, number) {
            (Self::Abs, Number::Int(int)) => return int.checked_abs().map(Value::Int),
            (_, Number::Int(int)) => return Some(Value::Int(int)),
            (Self::Abs, Number::Float(float)) => return Some(Value::Float(float.abs())),
            (_, Number::Float(float)) => float,
        };
        if places > 0 {
            let scale = 10_f64.powi(i32::try_from(places).ok()?);
            let scaled = (float * scale).round() / scale;
            return Some(Value::Float(if scaled.is_finite() { scaled } else { float }));
        }
        let whole = match self {
            Self::Floor => float.floor(),
            Self::Ceil => float.ceil(),
            _ => float.round(),
        };
        // Beyond 2^53 every double is whole already and may not fit an integer.
        if whole.abs() < 9e15 {
            return Some(Value::Int(cast::i64_of_f64(whole)));
        }
        Some(Value::Float(whole))
    }
}

/// Characters of a text, or entries of an object or list.
fn length(value: &Value<'_>) -> Option<Value<'static>> {
    let count = match value {
        Value::Text(text) => text.chars().count(),
        Value::Json(json) => {
            let tree: serde_json::Value = serde_json::from_slice(json).ok()?;
            tree.as_array().map(Vec::len).or_else(|| tree.as_object().map(serde_json::Map::len))?
        }
        Value::Null | Value::Bool(_) | Value::Int(_) | Value::Float(_) => return None,
    };
    Some(Value::Int(cast::i64_of(count)))
}

/// Texts that spell a number become it; null stays null, true is 1.
fn to_number(value: &Value<'_>) -> Option<Value<'static>> {
    match value {
        Value::Null => Some(Value::Null),
        Value::Bool(truth) => Some(Value::Int(i64::from(*truth))),
        Value::Int(int) => Some(Value::Int(*int)),
        Value::Float(float) => Some(Value::Float(*float)),
        Value::Text(text) => match Number::parse(text.trim().as_bytes())? {
            Number::Int(int) => Some(Value::Int(int)),
            Number::Float(float) => Some(Value::Float(float)),
        },
        Value::Json(_) => None,
    }
}

fn to_text(value: Value<'_>) -> Value<'_> {
    let number = match &value {
        Value::Null | Value::Text(_) => return value,
        Value::Bool(truth) => {
            return Value::Text(Cow::Borrowed(if *truth { "true" } else { "false" }));
        }
        Value::Json(json) => {
            return Value::Text(String::from_utf8_lossy(json));
        }
        Value::Int(int) => Number::Int(*int),
        Value::Float(float) => Number::Float(*float),
    };
    let mut out = Vec::new();
    write_number(&mut out, number);
    Value::Text(Cow::Owned(String::from_utf8_lossy(&out).into_owned()))
}
