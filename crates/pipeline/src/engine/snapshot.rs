//! State as a file, so that a restart reads the tail of a changelog and not all of it.
//!
//! ```text
//! "MSSTATE\0" | u32 format = 1 | u64 plan fingerprint | 16 changelog topic id | i32 partition
//! | i64 offset | i64 written, ms since 1970 | records | u32 CRC-32C of all before
//! record: u32 key length | key | u32 value length | value, as in the changelog; big-endian
//! ```
//!
//! The file holds all that the changelog says before `offset`. Anything that does not fit is
//! discarded, and the changelog is read from its start: a snapshot saves time, it is never needed.

pub(crate) mod keeper;
pub(crate) mod kept;

use std::fmt;

use base::cast;
use base::uuid::Uuid;
use protocol::record::checksum;

use super::changelog::{self, Unreadable};
use super::task::Task;
use crate::limits::SNAPSHOT_BYTES_MAX;

const MAGIC: [u8; 8] = *b"MSSTATE\0";
const FORMAT: u32 = 1;
const HEAD_BYTES: usize = 56;
const CRC_BYTES: usize = 4;

/// What a snapshot is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    pub(crate) fingerprint: u64,
    pub(crate) topic: Uuid,
    pub(crate) partition: i32,
    /// What the changelog holds before this offset is in the snapshot.
    pub(crate) offset: i64,
    pub(crate) written_ms: i64,
}

/// Why a snapshot is left alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reject {
    Foreign,
    Format(u32),
    Damaged,
    OtherPlan,
    OtherTopic,
    TooOld,
    BeyondTheLog,
}

impl fmt::Display for Reject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self {
            Self::Foreign => "it is no snapshot",
            Self::Format(format) => return write!(f, "its format {format} is not known"),
            Self::Damaged => "it is damaged",
            Self::OtherPlan => "it belongs to another plan",
            Self::OtherTopic => "it belongs to another changelog",
            Self::TooOld => "it is older than what the changelog remembers of deleted keys",
            Self::BeyondTheLog => "the changelog does not hold its offset",
        };
        f.write_str(what)
    }
}

/// The snapshot of a task's state; `None` when it would be larger than [`SNAPSHOT_BYTES_MAX`].
pub(crate) fn encode(stamp: &Stamp, task: &Task, node: usize) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(HEAD_BYTES + task.state_bytes() / 2);
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&FORMAT.to_be_bytes());
    out.extend_from_slice(&stamp.fingerprint.to_be_bytes());
    out.extend_from_slice(&stamp.topic.0);
    out.extend_from_slice(&stamp.partition.to_be_bytes());
    out.extend_from_slice(&stamp.offset.to_be_bytes());
    out.extend_from_slice(&stamp.written_ms.to_be_bytes());
    let closed_ms = task.committed_closed_ms(node);
    let written = changelog::each_live(&task.state, node, closed_ms, |record| {
        for part in [record.key, record.value.unwrap_or_default()] {
            out.extend_from_slice(&cast::u32_of(part.len()).to_be_bytes());
            out.extend_from_slice(part);
        }
        if out.len() <= SNAPSHOT_BYTES_MAX { Ok(()) } else { Err(()) }
    });
    written.ok()?;
    let crc = checksum(&out);
    out.extend_from_slice(&crc.to_be_bytes());
    Some(out)
}

/// When a snapshot was written, from its first bytes; none for any other file.
fn written_ms(head: &[u8; HEAD_BYTES]) -> Option<i64> {
    let written = head.last_chunk().copied()?;
    head.starts_with(&MAGIC).then_some(i64::from_be_bytes(written))
}

/// A snapshot that is whole.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Snapshot<'a> {
    pub(crate) stamp: Stamp,
    records: &'a [u8],
}

impl<'a> Snapshot<'a> {
    /// Reads a file.
    pub(crate) fn read(bytes: &'a [u8]) -> Result<Self, Reject> {
        let (content, crc) = bytes.split_last_chunk::<CRC_BYTES>().ok_or(Reject::Foreign)?;
        let mut rest = content;
        if take::<8>(&mut rest)? != MAGIC {
            return Err(Reject::Foreign);
        }
        let format = u32::from_be_bytes(take(&mut rest)?);
        if format != FORMAT {
            return Err(Reject::Format(format));
        }
        if checksum(content) != u32::from_be_bytes(*crc) {
            return Err(Reject::Damaged);
        }
        let stamp = Stamp {
            fingerprint: u64::from_be_bytes(take(&mut rest)?),
            topic: Uuid(take(&mut rest)?),
            partition: i32::from_be_bytes(take(&mut rest)?),
            offset: i64::from_be_bytes(take(&mut rest)?),
            written_ms: i64::from_be_bytes(take(&mut rest)?),
        };
        Ok(Self { stamp, records: rest })
    }

    /// Whether it fits what is to be restored: `wanted` says what and when, with the offset at
    /// which the changelog ends; `start` is where it begins, and `age_ms_max` the age from which on
    /// the changelog may have forgotten deleted keys.
    pub(crate) fn check(&self, wanted: &Stamp, start: i64, age_ms_max: i64) -> Result<(), Reject> {
        let stamp = &self.stamp;
        if stamp.topic != wanted.topic || stamp.partition != wanted.partition {
            return Err(Reject::OtherTopic);
        }
        if stamp.fingerprint != wanted.fingerprint {
            return Err(Reject::OtherPlan);
        }
        if stamp.offset < start || stamp.offset > wanted.offset {
            return Err(Reject::BeyondTheLog);
        }
        if wanted.written_ms.saturating_sub(stamp.written_ms) >= age_ms_max {
            return Err(Reject::TooOld);
        }
        Ok(())
    }

    /// Takes its state over; after an error the state is in between.
    pub(crate) fn apply(&self, task: &mut Task, node: usize) -> Result<(), Reject> {
        let mut rest = self.records;
        while !rest.is_empty() {
            let key = take_part(&mut rest)?;
            let value = take_part(&mut rest)?;
            changelog::apply(&mut task.state, node, key, Some(value))
                .map_err(|Unreadable| Reject::Damaged)?;
        }
        Ok(())
    }
}

fn take<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], Reject> {
    let (taken, after) = rest.split_first_chunk::<N>().ok_or(Reject::Damaged)?;
    *rest = after;
    Ok(*taken)
}

fn take_part<'a>(rest: &mut &'a [u8]) -> Result<&'a [u8], Reject> {
    let length = cast::usize_of_u32(u32::from_be_bytes(take(rest)?));
    let (part, after) = rest.split_at_checked(length).ok_or(Reject::Damaged)?;
    *rest = after;
    Ok(part)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::chain::NodeState;
    use crate::sample;

    const TEXT: &str = "
version: 1
name: p
source: { topic: in }
tasks:
  - { id: seen, type: count, window: 10ms, to: sink }
sink: { kafka: { topic: out } }
";

    fn task() -> Task {
        sample::first_task(&sample::plan(TEXT))
    }

    fn filled() -> Task {
        let mut task = task();
        let NodeState::WindowCount(windows) = &mut task.state.nodes[0] else {
            panic!("a count over windows")
        };
        *windows.change(10, b"21") = 258;
        task.state.closed_ms[0] = 7;
        task.settle(|_| None);
        task
    }

    const STAMP: Stamp = Stamp {
        fingerprint: 0x0102_0304_0506_0708,
        topic: Uuid([9; 16]),
        partition: 3,
        offset: 1000,
        written_ms: 5,
    };

    #[test]
    fn the_bytes_of_a_snapshot_are_pinned() {
        let bytes = encode(&STAMP, &filled(), 0).unwrap();
        let mut expected = b"MSSTATE\0\0\0\0\x01\x01\x02\x03\x04\x05\x06\x07\x08".to_vec();
        expected.extend_from_slice(&[9; 16]);
        expected.extend_from_slice(b"\0\0\0\x03\0\0\0\0\0\0\x03\xe8\0\0\0\0\0\0\0\x05");
        expected.extend_from_slice(b"\0\0\0\x0d\x01\x00\xec\0\0\0\0\0\0\0\x0a21");
        expected.extend_from_slice(b"\0\0\0\x09\x01\0\0\0\0\0\0\x01\x02");
        expected.extend_from_slice(b"\0\0\0\x07\x01\xff\xfftime");
        expected.extend_from_slice(b"\0\0\0\x09\x01\0\0\0\0\0\0\0\x07");
        assert_eq!(bytes[..bytes.len() - CRC_BYTES], expected);
        assert_eq!(bytes[bytes.len() - CRC_BYTES..], checksum(&expected).to_be_bytes());
    }

    #[test]
    fn state_comes_back_from_its_snapshot() {
        let bytes = encode(&STAMP, &filled(), 0).unwrap();
        let snapshot = Snapshot::read(&bytes).unwrap();
        assert_eq!(snapshot.stamp, STAMP);
        let mut restored = task();
        snapshot.apply(&mut restored, 0).unwrap();
        restored.restored();
        assert_eq!(encode(&STAMP, &restored, 0).unwrap(), bytes);
        assert_eq!(restored.open_windows(), 1);
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_found() {
        let bytes = encode(&STAMP, &filled(), 0).unwrap();
        for at in 0..bytes.len() {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1 << (at % 8);
            assert!(Snapshot::read(&flipped).is_err(), "bit flipped at {at}");
            assert!(Snapshot::read(&bytes[..at]).is_err(), "cut at {at}");
        }
        let mut newer = bytes;
        newer[11] = 2;
        assert_eq!(Snapshot::read(&newer).unwrap_err(), Reject::Format(2));
    }

    #[test]
    fn what_belongs_to_something_else_is_left_alone() {
        let bytes = encode(&STAMP, &filled(), 0).unwrap();
        let snapshot = Snapshot::read(&bytes).unwrap();
        let now = Stamp { offset: 1005, written_ms: 1000, ..STAMP };
        assert_eq!(snapshot.check(&now, 0, 1_000), Ok(()));
        assert_eq!(snapshot.check(&STAMP, 1000, 1_000), Ok(()));
        let reject = |wanted: Stamp, start: i64| snapshot.check(&wanted, start, 1_000).unwrap_err();
        assert_eq!(reject(now, 1001), Reject::BeyondTheLog);
        assert_eq!(reject(Stamp { offset: 999, ..now }, 0), Reject::BeyondTheLog);
        assert_eq!(reject(Stamp { fingerprint: 1, ..now }, 0), Reject::OtherPlan);
        assert_eq!(reject(Stamp { topic: Uuid([8; 16]), ..now }, 0), Reject::OtherTopic);
        assert_eq!(reject(Stamp { partition: 2, ..now }, 0), Reject::OtherTopic);
        let late = Stamp { written_ms: 5 + 1_000, ..now };
        assert_eq!(reject(late, 0), Reject::TooOld);
    }
}
