//! A small reader of JSON, for what `cargo metadata` prints.
//!
//! It is strict enough for machine-made text and knows nothing else; numbers are kept as text.

use std::collections::BTreeMap;
use std::iter::Peekable;
use std::str::Chars;

/// Nesting beyond this is refused: the reader recurses.
const DEPTH_MAX: usize = 64;

/// A value of JSON.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Json {
    Null,
    Bool(bool),
    Number(String),
    Text(String),
    Array(Vec<Json>),
    Object(BTreeMap<String, Json>),
}

impl Json {
    /// Reads one value.
    ///
    /// # Errors
    /// A sentence that says what was expected.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut reader = Reader { chars: text.chars().peekable() };
        let value = reader.value(DEPTH_MAX)?;
        reader.skip_space();
        match reader.chars.peek() {
            None => Ok(value),
            Some(char) => Err(format!("unexpected '{char}' behind the value")),
        }
    }

    /// The member of an object; null for what is absent or no object.
    pub(crate) fn at(&self, name: &str) -> &Self {
        match self {
            Self::Object(members) => members.get(name).unwrap_or(&Self::Null),
            _ => &Self::Null,
        }
    }

    /// The elements of an array; none for what is no array.
    pub(crate) fn items(&self) -> &[Self] {
        match self {
            Self::Array(items) => items,
            _ => &[],
        }
    }

    /// The text; empty for what is no text.
    pub(crate) fn text(&self) -> &str {
        match self {
            Self::Text(text) => text,
            _ => "",
        }
    }
}

struct Reader<'a> {
    chars: Peekable<Chars<'a>>,
}

impl Reader<'_> {
    fn skip_space(&mut self) {
        while self.chars.next_if(|char| char.is_ascii_whitespace()).is_some() {}
    }

    fn expect(&mut self, wanted: char) -> Result<(), String> {
        match self.chars.next() {
            Some(char) if char == wanted => Ok(()),
            Some(char) => Err(format!("expected '{wanted}', found '{char}'")),
            None => Err(format!("expected '{wanted}', found the end")),
        }
    }

    fn value(&mut self, depth: usize) -> Result<Json, String> {
        let depth = depth.checked_sub(1).ok_or("the value is nested too deeply")?;
        self.skip_space();
        match self.chars.peek() {
            Some('{') => self.object(depth),
            Some('[') => self.array(depth),
            Some('"') => self.string().map(Json::Text),
            Some(_) => self.word(),
            None => Err("expected a value, found the end".to_owned()),
        }
    }

    fn word(&mut self) -> Result<Json, String> {
        let mut word = String::new();
        let is_part = |char: &char| char.is_ascii_alphanumeric() || "+-.".contains(*char);
        while let Some(char) = self.chars.next_if(|char| is_part(char)) {
            word.push(char);
        }
        match word.as_str() {
            "null" => Ok(Json::Null),
            "true" => Ok(Json::Bool(true)),
            "false" => Ok(Json::Bool(false)),
            number if number.starts_with(|char: char| char == '-' || char.is_ascii_digit()) => {
                Ok(Json::Number(word))
            }
            other => Err(format!("expected a value, found '{other}'")),
        }
    }

    fn string(&mut self) -> Result<String, String> {
        self.expect('"')?;
        let mut text = String::new();
        loop {
            match self.chars.next().ok_or("a string has no end")? {
                '"' => return Ok(text),
                '\\' => text.push(self.escape()?),
                char => text.push(char),
            }
        }
    }

    fn escape(&mut self) -> Result<char, String> {
        Ok(match self.chars.next().ok_or("a string has no end")? {
            'n' => '\n',
            't' => '\t',
            'r' => '\r',
            'b' => '\u{8}',
            'f' => '\u{c}',
            'u' => {
                let digits: String = self.chars.by_ref().take(4).collect();
                let code = u32::from_str_radix(&digits, 16).map_err(|error| error.to_string())?;
                // Halves of surrogate pairs do not occur in what we read.
                char::from_u32(code).unwrap_or('?')
            }
            char => char,
        })
    }

    fn array(&mut self, depth: usize) -> Result<Json, String> {
        self.expect('[')?;
        let mut items = Vec::new();
        self.skip_space();
        if self.chars.next_if_eq(&']').is_some() {
            return Ok(Json::Array(items));
        }
        loop {
            items.push(self.value(depth)?);
            self.skip_space();
            if self.chars.next_if_eq(&']').is_some() {
                return Ok(Json::Array(items));
            }
            self.expect(',')?;
        }
    }

    fn object(&mut self, depth: usize) -> Result<Json, String> {
        self.expect('{')?;
        let mut members = BTreeMap::new();
        self.skip_space();
        if self.chars.next_if_eq(&'}').is_some() {
            return Ok(Json::Object(members));
        }
        loop {
            self.skip_space();
            let name = self.string()?;
            self.skip_space();
            self.expect(':')?;
            let value = self.value(depth)?;
            // The last of two equal names wins, as everywhere.
            let _ = members.insert(name, value);
            self.skip_space();
            if self.chars.next_if_eq(&'}').is_some() {
                return Ok(Json::Object(members));
            }
            self.expect(',')?;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nested_values_are_read() {
        let json =
            Json::parse(r#" {"a": [1, -2.5e3, "x\n\u0041\"", null], "b": {"c": true}} "#).unwrap();
        assert_eq!(json.at("a").items().len(), 4);
        assert_eq!(json.at("a").items()[1], Json::Number("-2.5e3".to_owned()));
        assert_eq!(json.at("a").items()[2].text(), "x\nA\"");
        assert_eq!(*json.at("b").at("c"), Json::Bool(true));
        assert_eq!(*json.at("absent"), Json::Null);
    }

    #[test]
    fn broken_text_is_refused() {
        for text in ["", "{", "[1,", "{\"a\" 1}", "[1] x", "nul", "\"a"] {
            assert!(Json::parse(text).is_err(), "{text}");
        }
        assert!(Json::parse(&"[".repeat(100)).is_err());
    }
}
