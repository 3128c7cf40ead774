//! Texts into tokens.

use std::ops::Range;

use crate::json::Number;

/// A token of the language.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Token {
    /// A name without quotes.
    Name(String),
    /// `@name`.
    Fact(String),
    /// A number.
    Number(Number),
    /// A text in quotes.
    Text(String),
    /// An operator or bracket.
    Sign(&'static str),
}

/// A token and the bytes it was written in.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Placed {
    pub(crate) token: Token,
    pub(crate) range: Range<usize>,
}

/// What stops the reading.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Stop {
    pub(crate) title: String,
    pub(crate) range: Range<usize>,
    pub(crate) help: Option<&'static str>,
}

impl Stop {
    pub(crate) fn new(title: impl Into<String>, range: Range<usize>) -> Self {
        Self { title: title.into(), range, help: None }
    }

    pub(crate) fn with_help(self, help: &'static str) -> Self {
        Self { help: Some(help), ..self }
    }
}

/// The signs, longer ones before their beginnings.
const SIGNS: [&str; 24] = [
    "==", "!=", "<=", ">=", "&&", "||", "<", ">", "!", "+", "-", "*", "/", "%", "(", ")", "[", "]",
    ",", ".", "?", ":", "=", "&",
];

/// All tokens of a text.
pub(crate) fn tokens(text: &str) -> Result<Vec<Placed>, Stop> {
    let mut placed = Vec::new();
    let mut at = 0;
    while let Some(c) = text.get(at..).and_then(|rest| rest.chars().next()) {
        if c.is_whitespace() {
            at += c.len_utf8();
            continue;
        }
        let (token, length) = next(text, at, c)?;
        placed.push(Placed { token, range: at..at + length });
        at += length;
    }
    Ok(placed)
}

fn next(text: &str, at: usize, first: char) -> Result<(Token, usize), Stop> {
    let rest = text.get(at..).unwrap_or("");
    if first == '\'' || first == '"' {
        return quoted(rest, at, first);
    }
    if first.is_ascii_digit() {
        return number(rest, at);
    }
    if first == '@' {
        let name = name(rest.get(1..).unwrap_or(""));
        return Ok((Token::Fact(name.to_owned()), name.len() + 1));
    }
    let name = name(rest);
    if !name.is_empty() {
        return Ok((Token::Name(name.to_owned()), name.len()));
    }
    for sign in SIGNS {
        if !rest.starts_with(sign) {
            continue;
        }
        let range = at..at + 1;
        return match sign {
            "=" => Err(Stop::new("`=` compares nothing", range).with_help("write `==`")),
            "&" => Err(Stop::new("`&` is no operator", range).with_help("write `&&` or `and`")),
            _ => Ok((Token::Sign(sign), sign.len())),
        };
    }
    let range = at..at + first.len_utf8();
    Err(Stop::new(format!("`{first}` means nothing in an expression"), range))
}

fn name(rest: &str) -> &str {
    let start = |c: char| c.is_alphabetic() || c == '_' || c == '$';
    if !rest.chars().next().is_some_and(start) {
        return "";
    }
    let end = rest.find(|c: char| !start(c) && !c.is_numeric()).unwrap_or(rest.len());
    rest.get(..end).unwrap_or("")
}

/// A text in single or double quotes; `\` escapes as in JSON, and `''` is not special.
fn quoted(rest: &str, at: usize, quote: char) -> Result<(Token, usize), Stop> {
    let mut out = String::new();
    let mut chars = rest.char_indices().skip(1);
    while let Some((offset, c)) = chars.next() {
        if c == quote {
            return Ok((Token::Text(out), offset + 1));
        }
        if c != '\\' {
            out.push(c);
            continue;
        }
        let Some((_, escaped)) = chars.next() else { break };
        out.push(match escaped {
            'n' => '\n',
            't' => '\t',
            'r' => '\r',
            '\\' | '\'' | '"' => escaped,
            _ => {
                let range = at + offset..at + offset + 1 + escaped.len_utf8();
                let title = format!("`\\{escaped}` is no escape");
                return Err(Stop::new(title, range).with_help("write `\\\\` for a backslash"));
            }
        });
    }
    Err(Stop::new("the text is not closed", at..at + rest.len()).with_help("add the quote"))
}

fn number(rest: &str, at: usize) -> Result<(Token, usize), Stop> {
    let mut end = 0;
    let mut previous = ' ';
    for c in rest.chars() {
        let exponent_sign = matches!(c, '+' | '-') && matches!(previous, 'e' | 'E');
        if !c.is_alphanumeric() && c != '.' && c != '_' && !exponent_sign {
            break;
        }
        end += c.len_utf8();
        previous = c;
    }
    let digits = rest.get(..end).unwrap_or("");
    let number = Number::parse(digits.replace('_', "").as_bytes());
    match number {
        Some(number) => Ok((Token::Number(number), end)),
        None => Err(Stop::new(format!("`{digits}` is no number"), at..at + end)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_become_tokens_with_places() {
        let placed = tokens("a.b>=1_000 && @key != 'x\\'y'").unwrap();
        let words: Vec<Token> = placed.iter().map(|placed| placed.token.clone()).collect();
        let expected = vec![
            Token::Name("a".to_owned()),
            Token::Sign("."),
            Token::Name("b".to_owned()),
            Token::Sign(">="),
            Token::Number(Number::Int(1_000)),
            Token::Sign("&&"),
            Token::Fact("key".to_owned()),
            Token::Sign("!="),
            Token::Text("x'y".to_owned()),
        ];
        assert_eq!(words, expected);
        assert_eq!(placed[3].range, 3..5);
    }

    #[test]
    fn what_is_no_token_says_what_to_write() {
        assert_eq!(tokens("a = 1").unwrap_err().help, Some("write `==`"));
        assert_eq!(tokens("'abc").unwrap_err().range, 0..4);
        assert!(tokens("12abc").is_err());
        assert!(tokens("a # b").is_err());
    }
}
