//! From the text of a format to its parts.

use super::{
    AttributeField, Format, FormatError, FormatProblem, NumberCoding, NumberField, Part,
    TextCoding, TextField, TimeCoding, TimePart,
};
use crate::calendar::Moment;

impl Format {
    /// Reads a format.
    ///
    /// # Errors
    /// The first problem, with its place.
    pub(crate) fn parse(text: &str) -> Result<Self, FormatError> {
        let mut parser = Parser { letters: text.chars().collect(), at: 0 };
        let parts = parser.parts(None)?;
        Ok(Self { parts })
    }
}

struct Parser {
    letters: Vec<char>,
    at: usize,
}

/// Where an inner format of headers began.
#[derive(Clone, Copy)]
struct InHeader;

impl Parser {
    /// Reads until the end, or until the brace that closes the format of a header.
    fn parts(&mut self, inside: Option<InHeader>) -> Result<Vec<Part>, FormatError> {
        let mut parts = Vec::new();
        let mut literal = Vec::new();
        loop {
            let start = self.at;
            let Some(letter) = self.next() else {
                if inside.is_some() {
                    return Err(self.problem(start, FormatProblem::Unfinished));
                }
                break;
            };
            match letter {
                '}' if inside.is_some() => break,
                '\\' => literal.extend(self.escape(start)?),
                '%' => match self.token(start, inside)? {
                    Part::Literal(bytes) => literal.extend(bytes),
                    part => {
                        flush(&mut literal, &mut parts);
                        parts.push(part);
                    }
                },
                plain => push_char(&mut literal, plain),
            }
        }
        flush(&mut literal, &mut parts);
        Ok(parts)
    }

    fn escape(&mut self, start: usize) -> Result<Vec<u8>, FormatError> {
        let unfinished = FormatProblem::Unfinished;
        let letter = self.next().ok_or_else(|| self.problem(start, unfinished))?;
        Ok(match letter {
            'n' => vec![b'\n'],
            't' => vec![b'\t'],
            'r' => vec![b'\r'],
            '\\' => vec![b'\\'],
            'x' => {
                let digit = |letter: Option<char>| letter.and_then(|letter| letter.to_digit(16));
                match (digit(self.next()), digit(self.next())) {
                    (Some(high), Some(low)) => {
                        vec![base::cast::low_u8(u64::from(high * 16 + low))]
                    }
                    _ => return Err(self.problem(start, FormatProblem::UnknownEscape('x'))),
                }
            }
            other => return Err(self.problem(start, FormatProblem::UnknownEscape(other))),
        })
    }

    fn token(&mut self, start: usize, inside: Option<InHeader>) -> Result<Part, FormatError> {
        let unfinished = FormatProblem::Unfinished;
        let token = self.next().ok_or_else(|| self.problem(start, unfinished))?;
        if inside.is_some() && !matches!(token, 'k' | 'v' | 'K' | 'V' | '%' | '{' | '}') {
            let place = "in the format of a header";
            return Err(self.problem(start, FormatProblem::Misplaced { token, place }));
        }
        Ok(match token {
            '%' | '{' | '}' => Part::Literal(vec![base::cast::low_u8(u64::from(token))]),
            't' => Part::Text(TextField::Topic, self.text_coding(token)?),
            'k' => Part::Text(TextField::Key, self.text_coding(token)?),
            'v' => Part::Text(TextField::Value, self.text_coding(token)?),
            'd' => Part::Timestamp(self.time_coding()?),
            'a' => Part::Attribute(self.attribute()?),
            'h' => {
                if self.next() != Some('{') {
                    return Err(self.problem(start, FormatProblem::HeadersWithoutFormat));
                }
                Part::Headers(Format { parts: self.parts(Some(InHeader))? })
            }
            other => {
                let field = number_field(other)
                    .ok_or_else(|| self.problem(start, FormatProblem::UnknownToken(other)))?;
                Part::Number(field, self.number_coding(token)?)
            }
        })
    }

    fn text_coding(&mut self, token: char) -> Result<TextCoding, FormatError> {
        let start = self.at;
        let Some(modifier) = self.modifier()? else { return Ok(TextCoding::Plain) };
        match modifier.as_str() {
            "hex" => Ok(TextCoding::Hex),
            "base64" => Ok(TextCoding::Base64),
            "json" => Ok(TextCoding::Json),
            _ => Err(self.unknown_modifier(start, token, modifier, "hex, base64 or json")),
        }
    }

    fn number_coding(&mut self, token: char) -> Result<NumberCoding, FormatError> {
        let start = self.at;
        let Some(modifier) = self.modifier()? else { return Ok(NumberCoding::Decimal) };
        match modifier.as_str() {
            "ascii" => Ok(NumberCoding::Decimal),
            "hex" => Ok(NumberCoding::Hex),
            _ => Err(self.unknown_modifier(start, token, modifier, "ascii or hex")),
        }
    }

    fn time_coding(&mut self) -> Result<TimeCoding, FormatError> {
        let start = self.at;
        let Some(modifier) = self.modifier()? else { return Ok(TimeCoding::UnixMs) };
        if modifier == "rfc3339" {
            return Ok(TimeCoding::Rfc3339);
        }
        let inner = modifier.strip_prefix("strftime[").and_then(|rest| rest.strip_suffix(']'));
        let Some(pattern) = inner else {
            return Err(self.unknown_modifier(start, 'd', modifier, "rfc3339 or strftime[...]"));
        };
        let mut parts = Vec::new();
        let mut letters = pattern.chars();
        while let Some(letter) = letters.next() {
            if letter != '%' {
                parts.push(TimePart::Literal(letter));
                continue;
            }
            let unfinished = FormatProblem::Unfinished;
            let letter = letters.next().ok_or_else(|| self.problem(start, unfinished))?;
            if Moment::from_unix_ms(0).letter(letter).is_none() {
                return Err(self.problem(start, FormatProblem::UnknownTimeLetter(letter)));
            }
            parts.push(TimePart::Letter(letter));
        }
        Ok(TimeCoding::Strftime(parts))
    }

    fn attribute(&mut self) -> Result<AttributeField, FormatError> {
        let start = self.at;
        let Some(modifier) = self.modifier()? else { return Ok(AttributeField::All) };
        match modifier.as_str() {
            "compression" => Ok(AttributeField::Compression),
            "timestamp-type" => Ok(AttributeField::TimestampType),
            "transactional" => Ok(AttributeField::Transactional),
            "control" => Ok(AttributeField::Control),
            _ => {
                let known = "compression, timestamp-type, transactional or control";
                Err(self.unknown_modifier(start, 'a', modifier, known))
            }
        }
    }

    /// What stands in braces behind a token, if anything does.
    fn modifier(&mut self) -> Result<Option<String>, FormatError> {
        if self.letters.get(self.at) != Some(&'{') {
            return Ok(None);
        }
        let start = self.at;
        self.at += 1;
        let mut modifier = String::new();
        loop {
            match self.next() {
                Some('}') => return Ok(Some(modifier)),
                Some(letter) => modifier.push(letter),
                None => return Err(self.problem(start, FormatProblem::Unfinished)),
            }
        }
    }

    fn next(&mut self) -> Option<char> {
        let letter = self.letters.get(self.at).copied();
        self.at += usize::from(letter.is_some());
        letter
    }

    fn problem(&self, at: usize, problem: FormatProblem) -> FormatError {
        FormatError { at, problem }
    }

    fn unknown_modifier(
        &self,
        at: usize,
        token: char,
        modifier: String,
        known: &'static str,
    ) -> FormatError {
        self.problem(at, FormatProblem::UnknownModifier { token, modifier, known })
    }
}

fn number_field(token: char) -> Option<NumberField> {
    Some(match token {
        'p' => NumberField::Partition,
        'o' => NumberField::Offset,
        'e' => NumberField::LeaderEpoch,
        'x' => NumberField::ProducerId,
        'y' => NumberField::ProducerEpoch,
        '[' => NumberField::LogStartOffset,
        '|' => NumberField::LastStableOffset,
        ']' => NumberField::HighWatermark,
        'i' => NumberField::RecordNumber,
        'T' => NumberField::TopicLength,
        'K' => NumberField::KeyLength,
        'V' => NumberField::ValueLength,
        'H' => NumberField::HeaderCount,
        _ => return None,
    })
}

fn push_char(bytes: &mut Vec<u8>, letter: char) {
    let mut buffer = [0; 4];
    bytes.extend_from_slice(letter.encode_utf8(&mut buffer).as_bytes());
}

fn flush(literal: &mut Vec<u8>, parts: &mut Vec<Part>) {
    if !literal.is_empty() {
        parts.push(Part::Literal(std::mem::take(literal)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complaint(text: &str) -> String {
        Format::parse(text).expect_err("no format").to_string()
    }

    #[test]
    fn literals_and_escapes_run_together() {
        let format = Format::parse("a%%b\\n\\x00%{\\\\").unwrap();
        assert_eq!(format.parts, [Part::Literal(b"a%b\n\0{\\".to_vec())]);
    }

    #[test]
    fn problems_are_named_with_their_place() {
        assert_eq!(complaint("ab%q"), "format, character 3: `%q` is no token");
        assert_eq!(complaint("%"), "format, character 1: the format ends in the middle of a token");
        assert_eq!(complaint("\\q"), "format, character 1: `\\q` is no escape");
        assert_eq!(complaint("\\xZ1"), "format, character 1: `\\x` is no escape");
        assert_eq!(
            complaint("%v{xml}"),
            "format, character 3: `%v` takes no `xml`, but hex, base64 or json"
        );
        assert_eq!(
            complaint("%h %k"),
            "format, character 1: `%h` needs a format for each header, as in %h{ %k=%v }"
        );
        assert_eq!(
            complaint("%h{%o}"),
            "format, character 4: `%o` means nothing in the format of a header"
        );
        assert!(complaint("%h{%k").contains("ends in the middle"));
        assert!(complaint("%v{hex").contains("ends in the middle"));
        assert!(complaint("%d{strftime[%Q]}").contains("no letter `%Q`"));
        assert!(complaint("%d{strftime[%]}").contains("ends in the middle"));
        assert!(complaint("%p{base64}").contains("but ascii or hex"));
        assert!(complaint("%a{x}").contains("but compression"));
    }
}
