//! The `-f` option: how a record is printed, and how input is cut into records.
//!
//! A format is text with tokens. `%t` topic, `%k` key, `%v` value, `%h{...}` each header by a
//! format of its own, `%p` partition, `%o` offset, `%e` leader epoch, `%d` timestamp, `%a{...}`
//! attributes, `%x` producer id, `%y` producer epoch, `%[` log start offset, `%|` last stable
//! offset, `%]` high watermark, `%i` number of the record, `%T %K %V %H` lengths of topic, key,
//! value and count of headers; `%%`, `%{` and `%}` are the characters themselves. Escapes are
//! `\n \t \r \\ \xNN`. Texts take the modifiers `{hex}`, `{base64}` and `{json}`, numbers take
//! `{hex}`, the timestamp takes `{rfc3339}` and `{strftime[...]}`.

use std::fmt;

use crate::calendar::Moment;

pub(crate) mod input;
pub(crate) mod output;
mod parse;

/// A parsed format.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Format {
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Literal(Vec<u8>),
    Text(TextField, TextCoding),
    Number(NumberField, NumberCoding),
    Timestamp(TimeCoding),
    Attribute(AttributeField),
    Headers(Format),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum TextField {
    Topic,
    Key,
    Value,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum TextCoding {
    Plain,
    Hex,
    Base64,
    Json,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum NumberField {
    Partition,
    Offset,
    LeaderEpoch,
    ProducerId,
    ProducerEpoch,
    LogStartOffset,
    LastStableOffset,
    HighWatermark,
    RecordNumber,
    TopicLength,
    KeyLength,
    ValueLength,
    HeaderCount,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum NumberCoding {
    Decimal,
    Hex,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum TimeCoding {
    UnixMs,
    Rfc3339,
    /// Letters of `strftime` and the characters between them, all checked.
    Strftime(Vec<TimePart>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum TimePart {
    Literal(char),
    Letter(char),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum AttributeField {
    All,
    Compression,
    TimestampType,
    Transactional,
    Control,
}

/// Why a text is no format.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FormatError {
    /// Where, in characters from the start of the format.
    pub(crate) at: usize,
    /// What is wrong there.
    pub(crate) problem: FormatProblem,
}

/// What can be wrong with a format.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum FormatProblem {
    /// The text ends in the middle of a token or an escape.
    Unfinished,
    /// A token that is not known.
    UnknownToken(char),
    /// An escape that is not known.
    UnknownEscape(char),
    /// A modifier that the token does not take.
    UnknownModifier { token: char, modifier: String, known: &'static str },
    /// A letter that `strftime` does not know here.
    UnknownTimeLetter(char),
    /// `%h` without a format of its own.
    HeadersWithoutFormat,
    /// A token that means nothing there: in a header's format, or on input.
    Misplaced { token: char, place: &'static str },
    /// Two tokens of input without anything between them.
    NothingBetween { first: char, second: char },
    /// A token twice where once is meant.
    Twice(char),
    /// Input whose end cannot be told.
    NoTokens,
}

impl fmt::Display for FormatError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "format, character {}: ", self.at + 1)?;
        match &self.problem {
            FormatProblem::Unfinished => f.write_str("the format ends in the middle of a token"),
            FormatProblem::UnknownToken(token) => write!(f, "`%{token}` is no token"),
            FormatProblem::UnknownEscape(letter) => write!(f, "`\\{letter}` is no escape"),
            FormatProblem::UnknownModifier { token, modifier, known } => {
                write!(f, "`%{token}` takes no `{modifier}`, but {known}")
            }
            FormatProblem::UnknownTimeLetter(letter) => {
                write!(f, "strftime has no letter `%{letter}` here")
            }
            FormatProblem::HeadersWithoutFormat => {
                f.write_str("`%h` needs a format for each header, as in %h{ %k=%v }")
            }
            FormatProblem::Misplaced { token, place } => {
                write!(f, "`%{token}` means nothing {place}")
            }
            FormatProblem::NothingBetween { first, second } => write!(
                f,
                "nothing between `%{first}` and `%{second}` tells where the one ends; put a \
                 character between them"
            ),
            FormatProblem::Twice(token) => write!(f, "`%{token}` stands here a second time"),
            FormatProblem::NoTokens => f.write_str("no token takes anything from the input"),
        }
    }
}

impl std::error::Error for FormatError {}

impl TextField {
    fn token(self) -> char {
        match self {
            Self::Topic => 't',
            Self::Key => 'k',
            Self::Value => 'v',
        }
    }
}

impl TimePart {
    fn write(self, moment: &Moment, out: &mut Vec<u8>) {
        let mut buffer = [0; 4];
        match self {
            Self::Literal(letter) => {
                out.extend_from_slice(letter.encode_utf8(&mut buffer).as_bytes());
            }
            Self::Letter(letter) => {
                let text = moment.letter(letter).expect("the parser let only known letters in");
                out.extend_from_slice(text.as_bytes());
            }
        }
    }
}
