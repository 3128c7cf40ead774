//! Watermarks that travel through edge topics, as records beside the data.
//!
//! A task writes one into every partition of each edge that it feeds, within the transaction that
//! holds the records before it. Our readers take them out; they never enter a topic that people
//! named.

use protocol::record::Record;

/// The header by which a marker is known.
pub const HEADER: &str = "millstream-watermark";

const VERSION: u8 = 1;
const BYTES: usize = 18;

/// What a task says of its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Marker {
    /// The task: the partition that it reads.
    pub(crate) task: i32,
    /// How many tasks write into the topic.
    pub(crate) tasks: i32,
    /// Its watermark in milliseconds.
    pub(crate) time_ms: i64,
    /// Whether it has nothing to read, and must not hold others back.
    pub(crate) is_idle: bool,
}

impl Marker {
    /// The header's value.
    pub(crate) fn encode(self) -> [u8; BYTES] {
        let mut bytes = [VERSION; BYTES];
        bytes[1..5].copy_from_slice(&self.task.to_be_bytes());
        bytes[5..9].copy_from_slice(&self.tasks.to_be_bytes());
        bytes[9..17].copy_from_slice(&self.time_ms.to_be_bytes());
        bytes[17] = u8::from(self.is_idle);
        bytes
    }

    /// Reads the header's value; `None` for another version.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let fixed = <[u8; BYTES]>::try_from(bytes).ok()?;
        if fixed[0] != VERSION {
            return None;
        }
        let int = |from: usize| fixed[from..].first_chunk::<4>().map(|it| i32::from_be_bytes(*it));
        Some(Self {
            task: int(1)?,
            tasks: int(5)?,
            time_ms: fixed[9..].first_chunk::<8>().map(|it| i64::from_be_bytes(*it))?,
            is_idle: fixed[17] != 0,
        })
    }

    /// The marker that a record is, if it is one.
    pub(crate) fn of(record: &Record<'_>) -> Option<Self> {
        if record.headers.is_empty() {
            return None;
        }
        let value = record.headers.last(HEADER.as_bytes()).flatten()?;
        Self::decode(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_marker_comes_back_and_another_version_is_none() {
        let marker = Marker { task: 3, tasks: 4, time_ms: -5, is_idle: true };
        let mut bytes = marker.encode();
        assert_eq!(Marker::decode(&bytes), Some(marker));
        assert_eq!(Marker::decode(&bytes[1..]), None);
        bytes[0] = 2;
        assert_eq!(Marker::decode(&bytes), None);
    }
}
