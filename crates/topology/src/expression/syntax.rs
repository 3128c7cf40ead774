//! The tree of an expression and the way from tokens to it.

use std::fmt;
use std::ops::Range;

use super::functions::Function;
use super::lexer::{Placed, Stop, Token};
use crate::diagnose::did_you_mean;
use crate::json::{Number, Path, Step, write_number, write_text};
use crate::limits::EXPRESSION_DEPTH_MAX;

/// A part of an expression; equality does not look at places.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) kind: Kind,
    /// The bytes of the expression's text.
    pub(crate) range: Range<usize>,
}

impl PartialEq for Node {
    fn eq(&self, other: &Self) -> bool {
        self.kind == other.kind
    }
}

/// What a part is.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Kind {
    Null,
    Bool(bool),
    Number(Number),
    Text(String),
    Path(Path),
    Fact(Fact),
    Not(Box<Node>),
    Negate(Box<Node>),
    Binary(Operator, Box<Node>, Box<Node>),
    In(Box<Node>, Vec<Node>),
    Choose(Box<[Node; 3]>),
    Call(Function, Vec<Node>),
}

/// A fact of the record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fact {
    Key,
    Value,
    Timestamp,
    Topic,
    Partition,
    Offset,
    Header(String),
}

/// An operator between two parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operator {
    Or,
    And,
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
}

impl Operator {
    pub(crate) fn sign(self) -> &'static str {
        match self {
            Self::Or => "||",
            Self::And => "&&",
            Self::Equal => "==",
            Self::NotEqual => "!=",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
            Self::Add => "+",
            Self::Subtract => "-",
            Self::Multiply => "*",
            Self::Divide => "/",
            Self::Remainder => "%",
        }
    }
}

/// Binding strengths, weakest first; each level is left-associative.
const LEVELS: [&[(&str, Operator)]; 6] = [
    &[("||", Operator::Or), ("or", Operator::Or)],
    &[("&&", Operator::And), ("and", Operator::And)],
    &[("==", Operator::Equal), ("!=", Operator::NotEqual)],
    &[
        ("<", Operator::Less),
        ("<=", Operator::LessOrEqual),
        (">", Operator::Greater),
        (">=", Operator::GreaterOrEqual),
    ],
    &[("+", Operator::Add), ("-", Operator::Subtract)],
    &[("*", Operator::Multiply), ("/", Operator::Divide), ("%", Operator::Remainder)],
];

/// The level at which `in` stands.
const IN_LEVEL: usize = 3;

/// Words that cannot name a field without quotes or a dot in front.
const WORDS: [&str; 7] = ["null", "true", "false", "and", "or", "not", "in"];

impl Node {
    pub(crate) fn path(path: Path) -> Self {
        Self { kind: Kind::Path(path), range: 0..0 }
    }

    pub(crate) fn is_record_key(&self) -> bool {
        self.kind == Kind::Fact(Fact::Key)
    }

    /// Shows all parts to `see`, outer ones first.
    pub(crate) fn visit<'n>(&'n self, see: &mut dyn FnMut(&'n Self)) {
        see(self);
        match &self.kind {
            Kind::Null
            | Kind::Bool(_)
            | Kind::Number(_)
            | Kind::Text(_)
            | Kind::Path(_)
            | Kind::Fact(_) => {}
            Kind::Not(inner) | Kind::Negate(inner) => inner.visit(see),
            Kind::Binary(_, left, right) => {
                left.visit(see);
                right.visit(see);
            }
            Kind::In(left, items) => {
                left.visit(see);
                items.iter().for_each(|item| item.visit(see));
            }
            Kind::Choose(parts) => parts.iter().for_each(|part| part.visit(see)),
            Kind::Call(_, arguments) => arguments.iter().for_each(|part| part.visit(see)),
        }
    }
}

/// Reads a whole expression.
pub(crate) fn parse(tokens: &[Placed], text_len: usize) -> Result<Node, Stop> {
    let mut parser = Parser { tokens, next: 0, end: text_len, depth: 0 };
    let node = parser.choice()?;
    match parser.peek() {
        None => Ok(node),
        Some(placed) => {
            let title = "the expression should end here, or go on with an operator";
            Err(Stop::new(title, placed.range.clone()))
        }
    }
}

struct Parser<'t> {
    tokens: &'t [Placed],
    next: usize,
    end: usize,
    depth: usize,
}

impl<'t> Parser<'t> {
    fn peek(&self) -> Option<&'t Placed> {
        self.tokens.get(self.next)
    }

    fn take_sign(&mut self, sign: &str) -> bool {
        let found = matches!(self.peek(), Some(Placed { token: Token::Sign(s), .. }) if *s == sign);
        self.next += usize::from(found);
        found
    }

    fn take_word(&mut self, word: &str) -> bool {
        let found = matches!(self.peek(), Some(Placed { token: Token::Name(n), .. }) if n == word);
        self.next += usize::from(found);
        found
    }

    fn require(&mut self, sign: &str) -> Result<(), Stop> {
        if self.take_sign(sign) {
            return Ok(());
        }
        Err(Stop::new(format!("`{sign}` is missing"), self.here()))
    }

    /// The next token's place, or the end of the text.
    fn here(&self) -> Range<usize> {
        self.peek().map_or(self.end..self.end, |placed| placed.range.clone())
    }

    fn descend(&mut self) -> Result<(), Stop> {
        self.depth += 1;
        if self.depth > EXPRESSION_DEPTH_MAX {
            return Err(Stop::new("the expression is nested too deeply", self.here()));
        }
        Ok(())
    }

    /// `condition ? one : other`.
    fn choice(&mut self) -> Result<Node, Stop> {
        self.descend()?;
        let condition = self.level(0)?;
        let node = if self.take_sign("?") {
            let yes = self.choice()?;
            self.require(":")?;
            let no = self.choice()?;
            let range = condition.range.start..no.range.end;
            Node { kind: Kind::Choose(Box::new([condition, yes, no])), range }
        } else {
            condition
        };
        self.depth -= 1;
        Ok(node)
    }

    fn level(&mut self, level: usize) -> Result<Node, Stop> {
        let Some(operators) = LEVELS.get(level) else { return self.unary() };
        let mut left = self.level(level + 1)?;
        // A chain of operators is a tree as deep as it is long.
        let depth_before = self.depth;
        loop {
            if level == IN_LEVEL && self.take_word("in") {
                left = self.list(left)?;
                continue;
            }
            let found = operators.iter().find(|(sign, _)| {
                if sign.starts_with(char::is_alphabetic) {
                    return self.take_word(sign);
                }
                self.take_sign(sign)
            });
            let Some((_, operator)) = found else { break };
            self.descend()?;
            let right = self.level(level + 1)?;
            let range = left.range.start..right.range.end;
            let kind = Kind::Binary(*operator, Box::new(left), Box::new(right));
            left = Node { kind, range };
        }
        self.depth = depth_before;
        Ok(left)
    }

    /// What follows `in`.
    fn list(&mut self, left: Node) -> Result<Node, Stop> {
        self.descend()?;
        if !self.take_sign("[") {
            let stop = Stop::new("`in` wants a list", self.here());
            return Err(stop.with_help("write `x in [1, 2]`"));
        }
        let items = self.arguments("]")?;
        self.depth -= 1;
        let range = left.range.start..self.before();
        Ok(Node { kind: Kind::In(Box::new(left), items), range })
    }

    /// The end of the token that was taken last.
    fn before(&self) -> usize {
        let last = self.next.checked_sub(1).and_then(|last| self.tokens.get(last));
        last.map_or(0, |placed| placed.range.end)
    }

    fn arguments(&mut self, close: &'static str) -> Result<Vec<Node>, Stop> {
        let mut items = Vec::new();
        if self.take_sign(close) {
            return Ok(items);
        }
        loop {
            items.push(self.choice()?);
            if self.take_sign(close) {
                return Ok(items);
            }
            if !self.take_sign(",") {
                return Err(Stop::new(format!("`,` or `{close}` is missing"), self.here()));
            }
        }
    }

    fn unary(&mut self) -> Result<Node, Stop> {
        let start = self.here().start;
        let not = self.take_sign("!") || self.take_word("not");
        if !not && !self.take_sign("-") {
            return self.primary();
        }
        self.descend()?;
        let inner = self.unary()?;
        self.depth -= 1;
        let range = start..inner.range.end;
        let kind = match (not, inner.kind) {
            (true, kind) => Kind::Not(Box::new(Node { kind, range: inner.range })),
            (false, Kind::Number(Number::Int(int))) => Kind::Number(Number::Int(-int)),
            (false, Kind::Number(Number::Float(float))) => Kind::Number(Number::Float(-float)),
            (false, kind) => Kind::Negate(Box::new(Node { kind, range: inner.range })),
        };
        Ok(Node { kind, range })
    }

    fn primary(&mut self) -> Result<Node, Stop> {
        let Some(placed) = self.peek() else {
            return Err(Stop::new("something is missing at the end", self.end..self.end));
        };
        self.next += 1;
        let range = placed.range.clone();
        let kind = match &placed.token {
            Token::Number(number) => Kind::Number(*number),
            Token::Text(text) => Kind::Text(text.clone()),
            Token::Fact(name) => return self.fact(name, range),
            Token::Name(name) => match name.as_str() {
                "null" => Kind::Null,
                "true" => Kind::Bool(true),
                "false" => Kind::Bool(false),
                _ if WORDS.contains(&name.as_str()) => {
                    return Err(Stop::new(format!("a value is missing before `{name}`"), range));
                }
                _ if self.take_sign("(") => return self.call(name, range),
                _ => return self.path_after(vec![Step::Field(name.clone())], range),
            },
            Token::Sign("(") => {
                let node = self.choice()?;
                self.require(")")?;
                return Ok(node);
            }
            Token::Sign(".") => {
                let name = self.step_name()?;
                return self.path_after(vec![Step::Field(name)], range);
            }
            Token::Sign(sign) => {
                return Err(Stop::new(format!("a value is missing before `{sign}`"), range));
            }
        };
        Ok(Node { kind, range })
    }

    /// The further steps of a path.
    fn path_after(&mut self, mut steps: Vec<Step>, range: Range<usize>) -> Result<Node, Stop> {
        loop {
            if self.take_sign(".") {
                steps.push(Step::Field(self.step_name()?));
            } else if self.take_sign("[") {
                steps.push(self.bracket()?);
            } else {
                break;
            }
        }
        let path = Path::of(steps).ok_or_else(|| Stop::new("a path is empty", range.clone()))?;
        Ok(Node { kind: Kind::Path(path), range: range.start..self.before() })
    }

    fn step_name(&mut self) -> Result<String, Stop> {
        let range = self.here();
        match self.peek() {
            Some(Placed { token: Token::Name(name), .. }) => {
                self.next += 1;
                Ok(name.clone())
            }
            _ => Err(Stop::new("a field's name is missing after `.`", range)),
        }
    }

    fn bracket(&mut self) -> Result<Step, Stop> {
        let range = self.here();
        let step = match self.peek().map(|placed| &placed.token) {
            Some(Token::Text(name)) => Some(Step::Field(name.clone())),
            Some(Token::Number(Number::Int(index))) => {
                usize::try_from(*index).ok().map(Step::Index)
            }
            _ => None,
        };
        let Some(step) = step else {
            return Err(Stop::new("brackets hold a number or a name in quotes", range));
        };
        self.next += 1;
        self.require("]")?;
        Ok(step)
    }

    fn fact(&mut self, name: &str, range: Range<usize>) -> Result<Node, Stop> {
        let fact = match name {
            "key" => Fact::Key,
            "value" => Fact::Value,
            "timestamp" => Fact::Timestamp,
            "topic" => Fact::Topic,
            "partition" => Fact::Partition,
            "offset" => Fact::Offset,
            "headers" => {
                let name = if self.take_sign("[") {
                    match self.bracket()? {
                        Step::Field(name) => name,
                        Step::Index(_) => return Err(Stop::new("headers have names", range)),
                    }
                } else if self.take_sign(".") {
                    self.step_name()?
                } else {
                    let stop = Stop::new("a header's name is missing", range);
                    return Err(stop.with_help("write `@headers.name`"));
                };
                let range = range.start..self.before();
                return Ok(Node { kind: Kind::Fact(Fact::Header(name)), range });
            }
            _ => {
                let known =
                    ["key", "value", "timestamp", "topic", "partition", "offset", "headers"];
                let near =
                    did_you_mean(name, known).map_or_else(String::new, |near| format!("; {near}"));
                let title = format!("records have no fact `@{name}`{near}");
                let stop = Stop::new(title, range);
                return Err(stop.with_help(
                    "facts: @key @value @timestamp @topic @partition @offset @headers.name",
                ));
            }
        };
        Ok(Node { kind: Kind::Fact(fact), range })
    }

    fn call(&mut self, name: &str, range: Range<usize>) -> Result<Node, Stop> {
        let arguments = self.arguments(")")?;
        let whole = range.start..self.before();
        let function = Function::named(name).ok_or_else(|| {
            let near = did_you_mean(name, Function::names())
                .map_or_else(String::new, |near| format!("; {near}"));
            let stop = Stop::new(format!("there is no function `{name}`{near}"), range);
            stop.with_help("`millstream explain MS-1021` lists the functions")
        })?;
        let (least, most) = function.arity();
        if arguments.len() < least || arguments.len() > most {
            let title =
                format!("`{name}` takes {}, not {}", function.arity_text(), arguments.len());
            return Err(Stop::new(title, whole));
        }
        Ok(Node { kind: Kind::Call(function, arguments), range: whole })
    }
}

impl fmt::Display for Node {
    /// The canonical spelling: every operation in brackets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            Kind::Null => f.write_str("null"),
            Kind::Bool(value) => write!(f, "{value}"),
            Kind::Number(number) => {
                let mut out = Vec::new();
                write_number(&mut out, *number);
                f.write_str(&String::from_utf8_lossy(&out))
            }
            Kind::Text(text) => {
                let mut out = String::new();
                write_text(&mut out, text);
                f.write_str(&out)
            }
            Kind::Path(path) => write!(f, "{path}"),
            Kind::Fact(fact) => write!(f, "{fact}"),
            Kind::Not(inner) => write!(f, "!{inner}"),
            Kind::Negate(inner) => write!(f, "-{inner}"),
            Kind::Binary(operator, left, right) => {
                write!(f, "({left} {} {right})", operator.sign())
            }
            Kind::In(left, items) => {
                write!(f, "({left} in [")?;
                write_list(f, items)?;
                f.write_str("])")
            }
            Kind::Choose(parts) => {
                let [condition, yes, no] = parts.as_ref();
                write!(f, "({condition} ? {yes} : {no})")
            }
            Kind::Call(function, arguments) => {
                write!(f, "{}(", function.name())?;
                write_list(f, arguments)?;
                f.write_str(")")
            }
        }
    }
}

fn write_list(f: &mut fmt::Formatter<'_>, items: &[Node]) -> fmt::Result {
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            f.write_str(", ")?;
        }
        write!(f, "{item}")?;
    }
    Ok(())
}

impl fmt::Display for Fact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key => f.write_str("@key"),
            Self::Value => f.write_str("@value"),
            Self::Timestamp => f.write_str("@timestamp"),
            Self::Topic => f.write_str("@topic"),
            Self::Partition => f.write_str("@partition"),
            Self::Offset => f.write_str("@offset"),
            Self::Header(name) => write!(f, "@headers['{name}']"),
        }
    }
}
