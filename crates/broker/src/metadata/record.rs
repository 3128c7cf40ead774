//! The records of the metadata log, as bytes: kind, version, fields, tagged fields.
//!
//! A cluster puts the same records through its consensus later, so each carries its version and
//! room for fields that do not exist yet. `docs/decisions/0004-metadata-log.md` has the table.

use base::uuid::Uuid;
use bytes::Bytes;
use protocol::wire::{DecodeError, EncodeError, Reader, Writer};

/// Version of every kind so far.
const VERSION: i8 = 0;

const KIND_TOPIC: i8 = 1;
const KIND_PARTITIONS: i8 = 2;
const KIND_TOPIC_CONFIG: i8 = 3;
const KIND_BROKER_CONFIG: i8 = 4;
const KIND_REMOVE_TOPIC: i8 = 5;
const KIND_PRODUCER_IDS: i8 = 6;

/// One change of the metadata.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum MetadataRecord {
    /// A topic begins.
    Topic {
        /// Its name.
        name: String,
        /// Its id.
        id: Uuid,
    },
    /// A topic has this many partitions from now on.
    Partitions {
        /// The topic.
        topic_id: Uuid,
        /// Number of partitions.
        count: i32,
    },
    /// A config of a topic is set, or goes back to its default.
    TopicConfig {
        /// The topic.
        topic_id: Uuid,
        /// The config's name.
        name: String,
        /// Its value.
        value: Option<String>,
    },
    /// A config of the broker is set, or goes back to its default.
    BrokerConfig {
        /// The config's name.
        name: String,
        /// Its value.
        value: Option<String>,
    },
    /// A topic ends.
    RemoveTopic {
        /// The topic.
        id: Uuid,
    },
    /// All producer ids below this one have been given out.
    ProducerIds {
        /// The first id that is free.
        next: i64,
    },
}

impl MetadataRecord {
    /// The record's bytes.
    ///
    /// # Errors
    /// [`EncodeError::TooLong`].
    pub(crate) fn encode(&self) -> Result<Bytes, EncodeError> {
        let mut writer = Writer::new();
        writer.int8(self.kind());
        writer.int8(VERSION);
        match self {
            Self::Topic { name, id } => {
                writer.string(Some(name), true)?;
                writer.uuid(*id);
            }
            Self::Partitions { topic_id, count } => {
                writer.uuid(*topic_id);
                writer.int32(*count);
            }
            Self::TopicConfig { topic_id, name, value } => {
                writer.uuid(*topic_id);
                writer.string(Some(name), true)?;
                writer.string(value.as_deref(), true)?;
            }
            Self::BrokerConfig { name, value } => {
                writer.string(Some(name), true)?;
                writer.string(value.as_deref(), true)?;
            }
            Self::RemoveTopic { id } => writer.uuid(*id),
            Self::ProducerIds { next } => writer.int64(*next),
        }
        writer.tagged_fields(&[])?;
        Ok(writer.into_bytes())
    }

    fn kind(&self) -> i8 {
        match self {
            Self::Topic { .. } => KIND_TOPIC,
            Self::Partitions { .. } => KIND_PARTITIONS,
            Self::TopicConfig { .. } => KIND_TOPIC_CONFIG,
            Self::BrokerConfig { .. } => KIND_BROKER_CONFIG,
            Self::RemoveTopic { .. } => KIND_REMOVE_TOPIC,
            Self::ProducerIds { .. } => KIND_PRODUCER_IDS,
        }
    }

    /// Reads a record.
    ///
    /// # Errors
    /// [`DecodeError::Version`] for a kind or version of a newer Millstream, else what is wrong.
    pub(crate) fn decode(bytes: &Bytes) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let (kind, version) = (reader.int8()?, reader.int8()?);
        if version != VERSION {
            return Err(DecodeError::Version);
        }
        let record = match kind {
            KIND_TOPIC => Self::Topic { name: reader.string(true)?, id: reader.uuid()? },
            KIND_PARTITIONS => {
                Self::Partitions { topic_id: reader.uuid()?, count: reader.int32()? }
            }
            KIND_TOPIC_CONFIG => Self::TopicConfig {
                topic_id: reader.uuid()?,
                name: reader.string(true)?,
                value: reader.nullable_string(true)?,
            },
            KIND_BROKER_CONFIG => Self::BrokerConfig {
                name: reader.string(true)?,
                value: reader.nullable_string(true)?,
            },
            KIND_REMOVE_TOPIC => Self::RemoveTopic { id: reader.uuid()? },
            KIND_PRODUCER_IDS => Self::ProducerIds { next: reader.int64()? },
            _ => return Err(DecodeError::Version),
        };
        reader.tagged_fields(|_, _| Ok(false))?;
        reader.finish()?;
        Ok(record)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Each kind with its bytes: what is on people's disks must stay readable.
    fn golden() -> Vec<(MetadataRecord, &'static str)> {
        let id = Uuid([7; 16]);
        let seven = "07070707070707070707070707070707";
        let leak = |text: String| -> &'static str { Box::leak(text.into_boxed_str()) };
        vec![
            (
                MetadataRecord::Topic { name: "ab".to_owned(), id },
                leak(format!("0100036162{seven}00")),
            ),
            (
                MetadataRecord::Partitions { topic_id: id, count: 3 },
                leak(format!("0200{seven}0000000300")),
            ),
            (
                MetadataRecord::TopicConfig {
                    topic_id: id,
                    name: "a".to_owned(),
                    value: Some("b".to_owned()),
                },
                leak(format!("0300{seven}0261026200")),
            ),
            (MetadataRecord::BrokerConfig { name: "a".to_owned(), value: None }, "040002610000"),
            (MetadataRecord::RemoveTopic { id }, leak(format!("0500{seven}00"))),
            (MetadataRecord::ProducerIds { next: 1000 }, "060000000000000003e800"),
        ]
    }

    #[test]
    fn the_bytes_of_every_kind_are_fixed_and_come_back() {
        for (record, expected) in golden() {
            let bytes = record.encode().unwrap();
            assert_eq!(hex(&bytes), expected, "{record:?}");
            assert_eq!(MetadataRecord::decode(&bytes), Ok(record));
        }
    }

    #[test]
    fn what_a_newer_version_wrote_is_named_as_such() {
        assert_eq!(
            MetadataRecord::decode(&Bytes::from_static(&[1, 1, 0])),
            Err(DecodeError::Version)
        );
        assert_eq!(
            MetadataRecord::decode(&Bytes::from_static(&[99, 0, 0])),
            Err(DecodeError::Version)
        );
    }

    #[test]
    fn a_record_cut_anywhere_is_refused() {
        for (record, _) in golden() {
            let bytes = record.encode().unwrap();
            for len in 0..bytes.len() {
                assert!(MetadataRecord::decode(&bytes.slice(..len)).is_err(), "{record:?} {len}");
            }
        }
    }
}
