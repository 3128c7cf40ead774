//! A record as people see it: everything that a format or the JSON envelope may name.

use bytes::Bytes;

/// One header; keys may repeat, and their order is kept.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct ShownHeader {
    pub(crate) key: Bytes,
    pub(crate) value: Option<Bytes>,
}

/// A record that was read, with what is known of its batch and its partition.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct ShownRecord {
    pub(crate) topic: String,
    pub(crate) partition: i32,
    pub(crate) offset: i64,
    /// Milliseconds since 1970-01-01 UTC; -1 where the producer gave none.
    pub(crate) timestamp_ms: i64,
    /// The attributes of the record's batch, as in Kafka's record format.
    pub(crate) attributes: i16,
    pub(crate) leader_epoch: i32,
    pub(crate) producer_id: i64,
    pub(crate) producer_epoch: i16,
    pub(crate) key: Option<Bytes>,
    pub(crate) value: Option<Bytes>,
    pub(crate) headers: Vec<ShownHeader>,
    pub(crate) log_start_offset: i64,
    pub(crate) last_stable_offset: i64,
    pub(crate) high_watermark: i64,
}

const COMPRESSION_MASK: u16 = 0x07;
const LOG_APPEND_TIME: u16 = 0x08;
const TRANSACTIONAL: u16 = 0x10;
const CONTROL: u16 = 0x20;

impl ShownRecord {
    /// Kafka's name of the timestamp's type.
    pub(crate) fn timestamp_type(&self) -> &'static str {
        if self.has(LOG_APPEND_TIME) { "LogAppendTime" } else { "CreateTime" }
    }

    /// Kafka's name of the batch's compression.
    pub(crate) fn compression(&self) -> &'static str {
        match base::cast::bits_u16(self.attributes) & COMPRESSION_MASK {
            0 => "none",
            1 => "gzip",
            2 => "snappy",
            3 => "lz4",
            4 => "zstd",
            _ => "unknown",
        }
    }

    /// Whether the record's batch belongs to a transaction.
    pub(crate) fn is_transactional(&self) -> bool {
        self.has(TRANSACTIONAL)
    }

    /// Whether the record is a marker of the log itself.
    pub(crate) fn is_control(&self) -> bool {
        self.has(CONTROL)
    }

    fn has(&self, bit: u16) -> bool {
        base::cast::bits_u16(self.attributes) & bit != 0
    }
}

/// A record on its way to a producer; what is absent is chosen there.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct DraftRecord {
    pub(crate) topic: Option<String>,
    pub(crate) partition: Option<i32>,
    pub(crate) timestamp_ms: Option<i64>,
    pub(crate) key: Option<Bytes>,
    pub(crate) value: Option<Bytes>,
    pub(crate) headers: Vec<ShownHeader>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_have_names() {
        let record = |attributes| ShownRecord { attributes, ..ShownRecord::default() };
        let plain = record(0);
        assert_eq!((plain.compression(), plain.timestamp_type()), ("none", "CreateTime"));
        let marked = record(0x3c);
        assert_eq!((marked.compression(), marked.timestamp_type()), ("zstd", "LogAppendTime"));
        assert!(marked.is_transactional() && marked.is_control());
    }
}
