//! Cutting input into records by a format: `%k %v\n` reads `d1 20.5` as a key and a value.
//!
//! A field reaches up to the literal behind it, or for the last field up to the end of input. It
//! never reaches over the end of its record: a line without the separator is an error, not a
//! record glued from two lines.

use std::fmt;

use bytes::Bytes;

use super::{Format, FormatError, FormatProblem, NumberField, Part, TextCoding, TextField};
use crate::shown::{DraftRecord, ShownHeader};
use crate::{base64, envelope};

/// Bytes of one record of input; more is rather a wrong separator than a record, and no broker
/// takes it with its usual settings.
pub(crate) const INPUT_RECORD_BYTES_MAX: usize = 64 << 20;

/// A format for reading.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct InputFormat {
    fields: Vec<InputField>,
    /// What stands before the first field.
    lead: Vec<u8>,
    /// What ends a record.
    end: Vec<u8>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct InputField {
    target: Target,
    coding: TextCoding,
    /// What stands behind the field.
    until: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Target {
    Text(TextField),
    Partition,
    Timestamp,
}

/// What a look at the input gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Cut {
    /// A record, and the bytes that it took.
    Record { draft: DraftRecord, bytes_taken: usize },
    /// The record is not whole yet.
    More,
    /// The input is over.
    End,
}

/// Why the input is no record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum InputError {
    /// The input does not go on as the format says.
    Missing { literal: String, before: bool },
    /// A field that cannot be read.
    Field { token: char, reason: String },
    /// A record without an end.
    TooLong,
}

impl fmt::Display for InputError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing { literal, before: true } => {
                write!(f, "the record does not begin with {literal}")
            }
            Self::Missing { literal, before: false } => {
                write!(f, "the record ends before {literal}")
            }
            Self::Field { token, reason } => write!(f, "%{token}: {reason}"),
            Self::TooLong => {
                write!(f, "no end of the record within {} MiB", INPUT_RECORD_BYTES_MAX >> 20)
            }
        }
    }
}

impl std::error::Error for InputError {}

impl InputFormat {
    /// Reads a format for input: `%t %k %v %p %d` with something between them.
    ///
    /// # Errors
    /// The first problem.
    pub(crate) fn parse(text: &str) -> Result<Self, FormatError> {
        let format = Format::parse(text)?;
        let problem = |problem| FormatError { at: 0, problem };
        let mut lead = Vec::new();
        let mut fields: Vec<InputField> = Vec::new();
        for part in format.parts {
            let (target, coding) = match part {
                Part::Literal(bytes) => {
                    fields.last_mut().map_or(&mut lead, |field| &mut field.until).extend(bytes);
                    continue;
                }
                Part::Text(field, coding) => (Target::Text(field), coding),
                Part::Number(NumberField::Partition, _) => (Target::Partition, TextCoding::Plain),
                Part::Timestamp(_) => (Target::Timestamp, TextCoding::Plain),
                Part::Number(..) | Part::Attribute(_) | Part::Headers(_) => {
                    let place = "on input; use %t, %k, %v, %p and %d, or --json for the rest";
                    let token = token_of(&part);
                    return Err(problem(FormatProblem::Misplaced { token, place }));
                }
            };
            if let Some(before) = fields.last().filter(|field| field.until.is_empty()) {
                let (first, second) = (before.target.token(), target.token());
                return Err(problem(FormatProblem::NothingBetween { first, second }));
            }
            if fields.iter().any(|field| field.target == target) {
                return Err(problem(FormatProblem::Twice(target.token())));
            }
            fields.push(InputField { target, coding, until: Vec::new() });
        }
        let end = fields.last().ok_or_else(|| problem(FormatProblem::NoTokens))?.until.clone();
        Ok(Self { fields, lead, end })
    }

    /// Takes the first record off the input; `is_end` says that no more bytes will come.
    ///
    /// # Errors
    /// When the input does not follow the format.
    pub(crate) fn cut(&self, input: &[u8], is_end: bool) -> Result<Cut, InputError> {
        if input.is_empty() && is_end {
            return Ok(Cut::End);
        }
        let Some(record) = self.whole_record(input, is_end)? else { return Ok(Cut::More) };
        let bytes_taken = record.len();
        let body = record.strip_suffix(self.end.as_slice()).unwrap_or(record);
        let missing =
            |literal: &[u8], before| Err(InputError::Missing { literal: shown(literal), before });
        let Some(mut rest) = body.strip_prefix(self.lead.as_slice()) else {
            return missing(&self.lead, true);
        };
        let mut draft = DraftRecord::default();
        let (last, others) = self.fields.split_last().expect("a parsed format has a field");
        for field in others {
            let Some(at) = find(rest, &field.until) else { return missing(&field.until, false) };
            field.fill(&rest[..at], &mut draft)?;
            rest = &rest[at + field.until.len()..];
        }
        last.fill(rest, &mut draft)?;
        Ok(Cut::Record { draft, bytes_taken })
    }

    /// The bytes of the first record with its end. The last record may lack its end.
    fn whole_record<'a>(
        &self,
        input: &'a [u8],
        is_end: bool,
    ) -> Result<Option<&'a [u8]>, InputError> {
        let found = if self.end.is_empty() { None } else { find(input, &self.end) };
        match found {
            Some(at) => Ok(Some(&input[..at + self.end.len()])),
            None if is_end => Ok(Some(input)),
            None if input.len() > INPUT_RECORD_BYTES_MAX => Err(InputError::TooLong),
            None => Ok(None),
        }
    }
}

impl Target {
    fn token(self) -> char {
        match self {
            Self::Text(field) => field.token(),
            Self::Partition => 'p',
            Self::Timestamp => 'd',
        }
    }
}

impl InputField {
    fn fill(&self, bytes: &[u8], draft: &mut DraftRecord) -> Result<(), InputError> {
        let token = self.target.token();
        let wrong = |reason: String| InputError::Field { token, reason };
        match self.target {
            Target::Text(TextField::Key) => draft.key = self.decoded(bytes)?,
            Target::Text(TextField::Value) => draft.value = self.decoded(bytes)?,
            Target::Text(TextField::Topic) => {
                let name = self.decoded(bytes)?.unwrap_or_default();
                let name = String::from_utf8(name.to_vec());
                draft.topic = Some(name.map_err(|_| wrong("no text in UTF-8".to_owned()))?);
            }
            Target::Partition => draft.partition = Some(number(bytes).map_err(wrong)?),
            Target::Timestamp => draft.timestamp_ms = Some(time(bytes).map_err(wrong)?),
        }
        Ok(())
    }

    fn decoded(&self, bytes: &[u8]) -> Result<Option<Bytes>, InputError> {
        let wrong = |reason: String| InputError::Field { token: self.target.token(), reason };
        match self.coding {
            TextCoding::Plain => Ok(Some(Bytes::copy_from_slice(bytes))),
            TextCoding::Hex => {
                hex(bytes).map(Some).ok_or_else(|| wrong("no hex digits in pairs".to_owned()))
            }
            TextCoding::Base64 => base64::decode(bytes)
                .map(|bytes| Some(Bytes::from(bytes)))
                .ok_or_else(|| wrong("no base64".to_owned())),
            TextCoding::Json => {
                envelope::read_content(bytes).map_err(|error| wrong(error.to_string()))
            }
        }
    }
}

fn number<T: std::str::FromStr>(bytes: &[u8]) -> Result<T, String> {
    let text = String::from_utf8_lossy(bytes);
    text.trim().parse().map_err(|_| format!("`{}` is no number", text.trim()))
}

fn time(bytes: &[u8]) -> Result<i64, String> {
    let text = String::from_utf8_lossy(bytes);
    let time = crate::calendar::parse(text.trim());
    time.map_or_else(|| number(bytes).map_err(|_| format!("`{text}` is no time")), Ok)
}

fn hex(bytes: &[u8]) -> Option<Bytes> {
    if !bytes.len().is_multiple_of(2) {
        return None;
    }
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let byte = |pair: &[u8]| {
        let value = digit(pair[0])? * 16 + digit(pair[1])?;
        Some(base::cast::low_u8(u64::from(value)))
    };
    bytes.chunks_exact(2).map(byte).collect::<Option<Vec<u8>>>().map(Bytes::from)
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    let first = *needle.first()?;
    let mut from = 0;
    while let Some(step) = haystack[from..].iter().position(|byte| *byte == first) {
        let at = from + step;
        if haystack[at..].starts_with(needle) {
            return Some(at);
        }
        from = at + 1;
    }
    None
}

fn shown(literal: &[u8]) -> String {
    format!("`{}`", literal.escape_ascii())
}

fn token_of(part: &Part) -> char {
    match part {
        Part::Attribute(_) => 'a',
        Part::Headers(_) => 'h',
        Part::Timestamp(_) => 'd',
        Part::Text(field, _) => field.token(),
        Part::Literal(_) => '%',
        Part::Number(field, _) => match field {
            NumberField::Partition => 'p',
            NumberField::Offset => 'o',
            NumberField::LeaderEpoch => 'e',
            NumberField::ProducerId => 'x',
            NumberField::ProducerEpoch => 'y',
            NumberField::LogStartOffset => '[',
            NumberField::LastStableOffset => '|',
            NumberField::HighWatermark => ']',
            NumberField::RecordNumber => 'i',
            NumberField::TopicLength => 'T',
            NumberField::KeyLength => 'K',
            NumberField::ValueLength => 'V',
            NumberField::HeaderCount => 'H',
        },
    }
}

/// Headers given on the command line as `key=value`; a key alone has no value.
pub(crate) fn header_argument(text: &str) -> ShownHeader {
    let copy = |text: &str| Bytes::copy_from_slice(text.as_bytes());
    match text.split_once('=') {
        Some((key, value)) => ShownHeader { key: copy(key), value: Some(copy(value)) },
        None => ShownHeader { key: copy(text), value: None },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(text: &str) -> Option<Bytes> {
        Some(Bytes::copy_from_slice(text.as_bytes()))
    }

    /// The keys and values of an input that is there as a whole.
    fn pairs(format: &str, mut input: &[u8]) -> Vec<(Option<Bytes>, Option<Bytes>)> {
        let format = InputFormat::parse(format).unwrap();
        let mut found = Vec::new();
        loop {
            match format.cut(input, true).unwrap() {
                Cut::Record { draft, bytes_taken } => {
                    found.push((draft.key, draft.value));
                    input = &input[bytes_taken..];
                }
                Cut::End => return found,
                Cut::More => panic!("the input is over"),
            }
        }
    }

    fn complaint(format: &str) -> String {
        InputFormat::parse(format).expect_err("no input format").to_string()
    }

    fn refusal(format: &str, input: &str) -> String {
        let format = InputFormat::parse(format).unwrap();
        format.cut(input.as_bytes(), true).expect_err("no record").to_string()
    }

    #[test]
    fn lines_are_keys_and_values() {
        let expected = [
            (bytes("d1"), bytes("{\"t\":20.5} x")),
            (bytes(""), bytes("")),
            (bytes("d2"), bytes("19")),
        ];
        assert_eq!(pairs("%k %v\\n", b"d1 {\"t\":20.5} x\n \nd2 19"), expected);
        assert_eq!(
            pairs("%v\\n", b"a\n\nb\n"),
            [(None, bytes("a")), (None, bytes("")), (None, bytes("b"))]
        );
        assert_eq!(pairs("%v", b"all\nof it"), [(None, bytes("all\nof it"))]);
        assert_eq!(
            pairs("<%k=>%v>;", b"<a=>1>;<b=>2>;"),
            [(bytes("a"), bytes("1")), (bytes("b"), bytes("2"))]
        );
    }

    #[test]
    fn a_record_waits_for_its_end() {
        let format = InputFormat::parse("%k %v\\r\\n").unwrap();
        assert_eq!(format.cut(b"", false).unwrap(), Cut::More);
        assert_eq!(format.cut(b"a b\r", false).unwrap(), Cut::More);
        let Cut::Record { bytes_taken, .. } = format.cut(b"a b\r\nc", false).unwrap() else {
            panic!("the record is whole");
        };
        assert_eq!(bytes_taken, 5);
        assert_eq!(format.cut(b"", true).unwrap(), Cut::End);
    }

    #[test]
    fn codings_are_read_back() {
        let input = "6431 /wA= \n";
        assert_eq!(
            pairs("%k{hex} %v{base64} \\n", input.as_bytes()),
            [(bytes("d1"), Some(Bytes::from_static(&[0xff, 0])))]
        );
        let input = b"null\t\"a\\nb\"\n{\"base64\":\"/w==\"}\tnull\n";
        let expected = [(None, bytes("a\nb")), (Some(Bytes::from_static(&[0xff])), None)];
        assert_eq!(pairs("%k{json}\\t%v{json}\\n", input), expected);
    }

    #[test]
    fn topic_partition_and_time_are_read() {
        let format = InputFormat::parse("%t %p %d %v\\n").unwrap();
        for time in ["1763707800250", "2025-11-21T06:50:00.250Z"] {
            let input = format!("readings 3 {time} x\n");
            let Cut::Record { draft, .. } = format.cut(input.as_bytes(), false).unwrap() else {
                panic!("the record is whole");
            };
            assert_eq!(draft.topic.as_deref(), Some("readings"));
            assert_eq!(draft.partition, Some(3));
            assert_eq!(draft.timestamp_ms, Some(1_763_707_800_250));
        }
    }

    #[test]
    fn a_line_without_the_separator_is_not_glued_to_the_next() {
        assert_eq!(refusal("%k %v\\n", "alone\nd1 1\n"), "the record ends before ` `");
        assert_eq!(refusal("<%v\\n", "x\n"), "the record does not begin with `<`");
        assert_eq!(refusal("%p %v\\n", "one 1\n"), "%p: `one` is no number");
        assert_eq!(refusal("%d %v\\n", "now 1\n"), "%d: `now` is no time");
        assert!(refusal("%v{hex}\\n", "abc\n").contains("no hex digits"));
        assert!(refusal("%v{hex}\\n", "zz\n").contains("no hex digits"));
        assert!(refusal("%v{base64}\\n", "?\n").contains("no base64"));
        assert!(refusal("%v{json}\\n", "{}\n").contains("quote a document"));
    }

    #[test]
    fn a_record_without_an_end_is_given_up() {
        let format = InputFormat::parse("%v\\n").unwrap();
        let long = vec![b'x'; INPUT_RECORD_BYTES_MAX + 1];
        assert_eq!(format.cut(&long[1..], false).unwrap(), Cut::More);
        assert_eq!(format.cut(&long, false).unwrap_err(), InputError::TooLong);
    }

    #[test]
    fn formats_that_cannot_be_read_back_are_refused() {
        assert!(complaint("%k%v\\n").contains("nothing between `%k` and `%v`"));
        assert!(complaint("%v %v\\n").contains("`%v` stands here a second time"));
        assert!(complaint("%o %v\\n").contains("`%o` means nothing on input"));
        assert!(complaint("%h{%k}%v").contains("`%h` means nothing on input"));
        assert!(complaint("text\\n").contains("no token"));
        assert!(complaint("").contains("no token"));
    }

    #[test]
    fn headers_are_written_as_key_and_value() {
        let header = header_argument("trace=a=b");
        assert_eq!((header.key, header.value), (Bytes::from_static(b"trace"), bytes("a=b")));
        assert_eq!(header_argument("flag").value, None);
    }
}
