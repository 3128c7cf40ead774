//! What can go wrong, told apart by what a caller does about it.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use protocol::api::ApiKey;
use protocol::error_code::ErrorCode;
use protocol::record::RecordError;
use protocol::wire::{DecodeError, EncodeError};

/// An error of the client. It is cheap to clone: one failed batch fails many records.
#[derive(Debug, Clone)]
pub enum ClientError {
    /// Nobody answers at the address that was given (MS-2001).
    Unreachable {
        /// Host that was given.
        host: String,
        /// Port that was given.
        port: u16,
        /// What the operating system said.
        cause: Arc<io::Error>,
    },
    /// The broker sent us to an address that does not work (MS-2003).
    AdvertisedUnreachable {
        /// The broker's number.
        node: i32,
        /// Host that the broker advertises.
        host: String,
        /// Port that the broker advertises.
        port: u16,
        /// What the operating system said.
        cause: Arc<io::Error>,
    },
    /// The peer closed the connection at the first request; it probably wants TLS (MS-2004).
    ClosedAtOnce {
        /// Host that was tried.
        host: String,
        /// Port that was tried.
        port: u16,
    },
    /// Something listens there, but what it says is not Kafka's protocol.
    NotKafka {
        /// Host that was tried.
        host: String,
        /// Port that was tried.
        port: u16,
    },
    /// The connection broke while requests were in flight; they may or may not have worked.
    Disconnected {
        /// Address of the peer.
        peer: String,
    },
    /// No answer came within this time.
    TimedOut {
        /// What was waited for.
        what: &'static str,
        /// How long.
        after: Duration,
    },
    /// The broker does not speak this API in a version that we speak.
    Unsupported {
        /// The API.
        api: ApiKey,
    },
    /// The broker refused.
    Refused {
        /// The API.
        api: ApiKey,
        /// What the request was about: a topic, a group, a transactional id.
        subject: String,
        /// The broker's code.
        code: ErrorCode,
        /// The broker's words, where it had some.
        message: Option<String>,
    },
    /// The topic does not exist.
    UnknownTopic {
        /// Its name.
        topic: String,
    },
    /// The topic has no such partition.
    UnknownPartition {
        /// Name of the topic.
        topic: String,
        /// The partition.
        partition: i32,
    },
    /// The topic exists already.
    TopicExists {
        /// Its name.
        topic: String,
    },
    /// The position is not in the log any more, or not yet; nobody but the owner can choose
    /// another one without losing or repeating records.
    OffsetOutOfRange {
        /// Name of the topic.
        topic: String,
        /// The partition.
        partition: i32,
        /// The position that was asked for.
        offset: i64,
        /// First offset of the log, or -1 where the broker did not tell.
        log_start: i64,
        /// The high watermark, or -1 where the broker did not tell.
        high_watermark: i64,
    },
    /// The transaction failed and can only be aborted; the producer is good for the next one.
    Abortable {
        /// The transactional id.
        transactional_id: String,
        /// The broker's code.
        code: ErrorCode,
    },
    /// Somebody else took the transactional id over; this producer is at its end.
    Fenced {
        /// The transactional id.
        transactional_id: String,
    },
    /// The transactional producer is at its end for another reason than fencing.
    Fatal {
        /// The transactional id.
        transactional_id: String,
        /// The broker's code.
        code: ErrorCode,
    },
    /// A transactional producer was used out of order.
    NoTransaction {
        /// What was called.
        call: &'static str,
    },
    /// The record or batch is larger than one is allowed to be.
    TooLarge {
        /// Bytes that it takes.
        bytes: usize,
        /// Bytes that are allowed.
        bytes_max: usize,
    },
    /// The buffer of a transactional producer is full: drain it first.
    BufferFull,
    /// The batch could not be delivered in time; nobody knows whether it was written.
    DeliveryTimedOut {
        /// Name of the topic.
        topic: String,
        /// The partition.
        partition: i32,
    },
    /// The producer or consumer was closed.
    Closed,
    /// The broker's answer breaks the protocol.
    Malformed {
        /// The API.
        api: ApiKey,
        /// What is wrong with the bytes.
        cause: DecodeError,
    },
    /// Our request does not fit into the version that the broker speaks.
    Encode {
        /// The API.
        api: ApiKey,
        /// What does not fit.
        cause: EncodeError,
    },
    /// The answer is well formed but does not say what was asked.
    Incomplete {
        /// The API.
        api: ApiKey,
    },
    /// A record batch is damaged.
    Record {
        /// Name of the topic.
        topic: String,
        /// The partition.
        partition: i32,
        /// What is wrong with it.
        cause: RecordError,
    },
}

impl ClientError {
    /// A refusal with its subject.
    pub(crate) fn refused(api: ApiKey, subject: &str, code: ErrorCode) -> Self {
        Self::Refused { api, subject: subject.to_owned(), code, message: None }
    }

    /// The broker's code, where there is one.
    #[must_use]
    pub fn code(&self) -> Option<ErrorCode> {
        match self {
            Self::Refused { code, .. }
            | Self::Abortable { code, .. }
            | Self::Fatal { code, .. } => Some(*code),
            Self::UnknownTopic { .. } | Self::UnknownPartition { .. } => {
                Some(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)
            }
            Self::TopicExists { .. } => Some(ErrorCode::TOPIC_ALREADY_EXISTS),
            Self::OffsetOutOfRange { .. } => Some(ErrorCode::OFFSET_OUT_OF_RANGE),
            _ => None,
        }
    }

    /// Whether the way to the broker is at fault, so that another try may find it repaired.
    #[must_use]
    pub fn is_disconnect(&self) -> bool {
        matches!(
            self,
            Self::Disconnected { .. }
                | Self::TimedOut { .. }
                | Self::Unreachable { .. }
                | Self::AdvertisedUnreachable { .. }
                | Self::ClosedAtOnce { .. }
        )
    }

    /// Whether another try may help.
    #[must_use]
    pub fn is_retriable(&self) -> bool {
        self.is_disconnect() || matches!(self, Self::Refused { code, .. } if code.is_retriable())
    }
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable { host, port, cause } => {
                write!(f, "cannot reach Kafka at {host}:{port} ({cause})")
            }
            Self::AdvertisedUnreachable { node, host, port, cause } => {
                write!(f, "broker {node} advertises {host}:{port}, which does not work ({cause})")
            }
            Self::ClosedAtOnce { host, port } => {
                write!(f, "{host}:{port} closed the connection at once; it probably wants TLS")
            }
            Self::NotKafka { host, port } => {
                write!(f, "{host}:{port} does not speak Kafka's protocol")
            }
            Self::Disconnected { peer } => write!(f, "the connection to {peer} broke"),
            Self::TimedOut { what, after } => {
                write!(f, "no answer to {what} within {} ms", after.as_millis())
            }
            Self::Unsupported { api } => {
                write!(f, "the broker speaks no version of {} that we speak", api.name())
            }
            Self::Refused { api, subject, code, message } => {
                write!(f, "{} of {subject:?} was refused: {code}", api.name())?;
                message.as_ref().map_or(Ok(()), |message| write!(f, ": {message}"))
            }
            Self::DeliveryTimedOut { topic, partition } => {
                write!(f, "a batch for {topic}-{partition} was not acknowledged in time")
            }
            Self::OffsetOutOfRange { topic, partition, offset, log_start, high_watermark } => {
                write!(
                    f,
                    "offset {offset} of {topic}-{partition} is not in the log, \
                     which holds {log_start} to {high_watermark}"
                )
            }
            other => other.fmt_rest(f),
        }
    }
}

impl ClientError {
    fn fmt_rest(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownTopic { topic } => write!(f, "topic {topic:?} does not exist"),
            Self::UnknownPartition { topic, partition } => {
                write!(f, "topic {topic:?} has no partition {partition}")
            }
            Self::TopicExists { topic } => write!(f, "topic {topic:?} exists already"),
            Self::Abortable { transactional_id, code } => {
                write!(f, "the transaction of {transactional_id} must be aborted: {code}")
            }
            Self::Fenced { transactional_id } => {
                write!(f, "{transactional_id} was fenced: another producer has taken it over")
            }
            Self::Fatal { transactional_id, code } => {
                write!(f, "the producer {transactional_id} cannot go on: {code}")
            }
            Self::NoTransaction { call } => {
                write!(f, "{call} was called outside its place in a transaction")
            }
            Self::TooLarge { bytes, bytes_max } => {
                write!(f, "a record of {bytes} bytes exceeds the {bytes_max} bytes of a batch")
            }
            Self::BufferFull => f.write_str("the transaction's buffer is full"),
            Self::Closed => f.write_str("the client was closed"),
            Self::Malformed { api, cause } => {
                write!(f, "the answer to {} is malformed: {cause}", api.name())
            }
            Self::Encode { api, cause } => {
                write!(f, "{} cannot be encoded for this broker: {cause}", api.name())
            }
            Self::Incomplete { api } => {
                write!(f, "the answer to {} lacks what was asked for", api.name())
            }
            Self::Record { topic, partition, cause } => {
                write!(f, "a batch of {topic}-{partition} is damaged: {cause}")
            }
            _ => f.write_str("the client failed"),
        }
    }
}

impl std::error::Error for ClientError {}
