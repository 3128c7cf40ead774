//! Reading and writing the primitive types of Kafka's protocol.
//!
//! "Classic" lengths are 16 or 32 bits with -1 for null; "compact" ones (KIP-482) are unsigned
//! varints of the length plus one, with 0 for null.

mod reader;
mod records;
mod writer;

use std::fmt;

pub use reader::Reader;
pub use records::Records;
pub use writer::Writer;

/// What is wrong with bytes that were to be decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DecodeError {
    /// The bytes end inside a value.
    Truncated,
    /// A length is negative where null is not allowed, or points beyond the end.
    Length,
    /// A varint is longer than its type.
    Varint,
    /// A string is not UTF-8.
    Utf8,
    /// The elements would take more memory than such a frame deserves.
    Budget,
    /// The message does not exist in this version.
    Version,
    /// Bytes are left behind the last field.
    Trailing,
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Truncated => "the bytes end inside a value",
            Self::Length => "a length is out of bounds",
            Self::Varint => "a varint is too long",
            Self::Utf8 => "a string is not UTF-8",
            Self::Budget => "the elements would take too much memory",
            Self::Version => "the message does not exist in this version",
            Self::Trailing => "bytes are left behind the last field",
        })
    }
}

impl std::error::Error for DecodeError {}

/// Why a message cannot be encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EncodeError {
    /// The field holds a value that this version has no room for.
    FieldNotInVersion {
        /// Name of the field.
        field: &'static str,
        /// Version that was asked for.
        version: i16,
    },
    /// The field is null where this version does not allow it.
    Null {
        /// Name of the field.
        field: &'static str,
        /// Version that was asked for.
        version: i16,
    },
    /// A string or array is longer than its length field can say.
    TooLong,
    /// The message does not exist in this version.
    Version,
}

impl fmt::Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FieldNotInVersion { field, version } => {
                write!(f, "version {version} has no room for field {field}")
            }
            Self::Null { field, version } => {
                write!(f, "field {field} must not be null in version {version}")
            }
            Self::TooLong => f.write_str("a string or array is too long"),
            Self::Version => f.write_str("the message does not exist in this version"),
        }
    }
}

impl std::error::Error for EncodeError {}

/// A message of the protocol, or a structure inside one.
pub trait Message: Sized {
    /// Reads the message in this version.
    ///
    /// # Errors
    /// [`DecodeError`]; the reader stands somewhere inside then.
    fn decode(reader: &mut Reader<'_>, version: i16) -> Result<Self, DecodeError>;

    /// Writes the message in this version.
    ///
    /// # Errors
    /// [`EncodeError`]; some bytes may have been written.
    fn encode(&self, writer: &mut Writer, version: i16) -> Result<(), EncodeError>;
}
