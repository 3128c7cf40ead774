//! A record of the journal as bytes; LAYOUT.md describes it for people.

use base::cast;
use base::uuid::Uuid;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use protocol::record::checksum;

/// `MSJ1`
const MAGIC: u32 = 0x4d53_4a31;
/// Magic, checksum, mark, sequence, length of the entries.
const HEADER_BYTES: usize = 4 + 4 + 8 + 8 + 4;
/// Where the checksum begins to count.
const CHECKED_AT: usize = 8;
/// Length of the name, topic id, length of the batches.
const ENTRY_BYTES: usize = 2 + 16 + 4;

/// What a round wrote into one log.
#[derive(Debug)]
pub(crate) struct Entry<'a> {
    pub name: &'a str,
    pub topic_id: Uuid,
    /// Whole batches, as they are in the log's file.
    pub buffers: &'a [Bytes],
}

/// The same, read back.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub name: String,
    pub topic_id: Uuid,
    pub batches: Bytes,
}

fn batch_bytes(entry: &Entry<'_>) -> usize {
    entry.buffers.iter().map(Bytes::len).sum()
}

/// Bytes that a record of these entries takes.
pub(crate) fn bytes_of(entries: &[Entry<'_>]) -> u64 {
    let body = |entry| batch_bytes(entry) + entry.name.len() + ENTRY_BYTES;
    cast::u64_of(HEADER_BYTES + entries.iter().map(body).sum::<usize>())
}

/// A record.
pub(crate) fn encode(mark: u64, sequence: u64, entries: &[Entry<'_>]) -> BytesMut {
    let bytes = cast::usize_of(bytes_of(entries));
    let mut record = BytesMut::with_capacity(bytes);
    record.put_u32(MAGIC);
    record.put_u32(0);
    record.put_u64(mark);
    record.put_u64(sequence);
    record.put_u32(len_u32(bytes - HEADER_BYTES));
    for entry in entries {
        record.put_u16(u16::try_from(entry.name.len()).expect("names are checked at open"));
        record.put_slice(entry.name.as_bytes());
        record.put_slice(&entry.topic_id.0);
        record.put_u32(len_u32(batch_bytes(entry)));
        entry.buffers.iter().for_each(|buffer| record.put_slice(buffer));
    }
    let sum = checksum(&record[CHECKED_AT..]);
    record[4..8].copy_from_slice(&sum.to_be_bytes());
    record
}

fn len_u32(bytes: usize) -> u32 {
    u32::try_from(bytes).expect("a record is far below 4 GiB")
}

/// The entries of all records from the front on, up to the first that does not follow: it was
/// torn, or is of an earlier turn.
pub(crate) fn read_all(file: &Bytes) -> Vec<Found> {
    let mut found = Vec::new();
    let mut rest = file.clone();
    let mut last: Option<(u64, u64)> = None;
    while let Some((mark, sequence, body)) = next_record(&mut rest) {
        let follows = last.is_none_or(|(file, before)| file == mark && before + 1 == sequence);
        if !follows {
            break;
        }
        last = Some((mark, sequence));
        found.extend(entries_of(body));
    }
    found
}

fn next_record(rest: &mut Bytes) -> Option<(u64, u64, Bytes)> {
    let mut header = rest.get(..HEADER_BYTES)?;
    let (magic, sum) = (header.get_u32(), header.get_u32());
    let (mark, sequence) = (header.get_u64(), header.get_u64());
    let end = HEADER_BYTES.checked_add(cast::usize_of_u32(header.get_u32()))?;
    let checked = rest.get(CHECKED_AT..end)?;
    if magic != MAGIC || checksum(checked) != sum {
        return None;
    }
    let mut record = rest.split_to(end);
    Some((mark, sequence, record.split_off(HEADER_BYTES)))
}

fn entries_of(mut body: Bytes) -> Vec<Found> {
    let mut entries = Vec::new();
    // A checked record was written whole, so a break in it can only be our own mistake; what was
    // read up to there still counts.
    while let Some(entry) = next_entry(&mut body) {
        entries.push(entry);
    }
    entries
}

fn next_entry(body: &mut Bytes) -> Option<Found> {
    let name_bytes = usize::from(u16::from_be_bytes(*body.first_chunk()?));
    let mut fields = body.get(2 + name_bytes..ENTRY_BYTES + name_bytes)?;
    let name = std::str::from_utf8(&body[2..2 + name_bytes]).ok()?.to_owned();
    let topic_id = Uuid(*fields.first_chunk()?);
    fields.advance(16);
    let from = ENTRY_BYTES + name_bytes;
    let end = from.checked_add(cast::usize_of_u32(fields.get_u32()))?;
    body.get(from..end)?;
    let batches = body.split_to(end).split_off(from);
    Some(Found { name, topic_id, batches })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(sequence: u64, name: &str) -> BytesMut {
        let buffers = [Bytes::from_static(b"ab"), Bytes::from_static(b"cde")];
        let entry = Entry { name, topic_id: Uuid([9; 16]), buffers: &buffers };
        let encoded = encode(77, sequence, &[entry]);
        assert_eq!(encoded.len(), HEADER_BYTES + ENTRY_BYTES + name.len() + 5);
        encoded
    }

    fn names(file: &[u8]) -> Vec<String> {
        let found = read_all(&Bytes::copy_from_slice(file));
        assert!(found.iter().all(|entry| entry.batches == "abcde"), "{found:?}");
        found.into_iter().map(|entry| entry.name).collect()
    }

    #[test]
    fn records_are_read_as_long_as_they_follow_each_other() {
        let file = [record(4, "a-0"), record(5, "b-0"), record(7, "c-0")].concat();
        assert_eq!(names(&file), ["a-0", "b-0"]);
        let zeros = [&file[..], &[0; 100]].concat();
        assert_eq!(names(&zeros), ["a-0", "b-0"]);
        assert_eq!(names(&[]), [""; 0]);
    }

    #[test]
    fn a_record_of_another_file_does_not_follow() {
        let stranger = encode(78, 5, &[]);
        let behind = record(6, "b-0");
        let file = [&record(4, "a-0")[..], &stranger[..], &behind[..]].concat();
        assert_eq!(names(&file), ["a-0"]);
    }

    #[test]
    fn any_damage_ends_the_reading_before_it() {
        let first = record(1, "a-0");
        let whole = [&first[..], &record(2, "b-0")[..]].concat();
        for at in first.len()..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 0x10;
            assert_eq!(names(&damaged), ["a-0"], "flipped at {at}");
            assert_eq!(names(&whole[..at]), ["a-0"], "cut at {at}");
        }
    }
}
