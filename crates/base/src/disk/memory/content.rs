//! The bytes of one file: as written, as durable, and what lies between.

use std::io;

use crate::cast;
use crate::rng::Random;

/// Bytes that a disk writes in one piece.
const SECTOR_BYTES: usize = 512;

#[derive(Debug, Clone, Default)]
pub(super) struct Content {
    written: Vec<u8>,
    durable: Vec<u8>,
    /// Changes since the last flush, in order.
    pending: Vec<Change>,
    /// Up to where room is set aside.
    reserved: usize,
}

#[derive(Debug, Clone)]
enum Change {
    Write { from: usize, bytes: Vec<u8> },
    SetLen(usize),
}

impl Content {
    pub(super) fn bytes(&self) -> &[u8] {
        &self.written
    }

    pub(super) fn write(&mut self, bytes: &[u8], from: u64) {
        let from = cast::usize_of(from);
        put(&mut self.written, from, bytes);
        self.pending.push(Change::Write { from, bytes: bytes.to_vec() });
    }

    pub(super) fn set_len(&mut self, len: usize) {
        self.written.resize(len, 0);
        self.reserved = 0;
        self.pending.push(Change::SetLen(len));
    }

    pub(super) fn reserve(&mut self, end: usize) {
        self.reserved = self.reserved.max(end);
    }

    pub(super) fn release(&mut self) {
        self.reserved = 0;
    }

    /// How much room is set aside behind the end.
    pub(super) fn reserved(&self) -> usize {
        self.reserved.saturating_sub(self.written.len())
    }

    pub(super) fn sync(&mut self) {
        self.durable.clone_from(&self.written);
        self.pending.clear();
    }

    pub(super) fn flip(&mut self, at: u64, bits: u8) -> io::Result<()> {
        let at = cast::usize_of(at);
        let byte = self.written.get_mut(at).ok_or(io::ErrorKind::NotFound)?;
        *byte ^= bits;
        if let Some(byte) = self.durable.get_mut(at) {
            *byte ^= bits;
        }
        Ok(())
    }

    /// The file as it may be found after a power cut; seed 0 loses all that was not flushed,
    /// seed 1 keeps it.
    pub(super) fn after_crash(&self, seed: u64, rng: &dyn Random) -> Self {
        let mut bytes = self.durable.clone();
        for change in &self.pending {
            match (seed, change) {
                (0, _) => {}
                (1, Change::SetLen(len)) => bytes.resize(*len, 0),
                (1, Change::Write { from, bytes: new }) => put(&mut bytes, *from, new),
                (_, Change::SetLen(len)) => {
                    if rng.below(2) == 0 {
                        bytes.resize(*len, 0);
                    }
                }
                (_, Change::Write { from, bytes: new }) => tear(&mut bytes, *from, new, rng),
            }
        }
        let written = bytes.clone();
        Self { written, durable: bytes, pending: Vec::new(), reserved: self.reserved }
    }
}

fn put(target: &mut Vec<u8>, from: usize, bytes: &[u8]) {
    let end = from + bytes.len();
    if target.len() < end {
        target.resize(end, 0);
    }
    target[from..end].copy_from_slice(bytes);
}

/// Keeps a write, loses it, keeps its first sectors, or keeps some sectors and not others.
fn tear(target: &mut Vec<u8>, from: usize, bytes: &[u8], rng: &dyn Random) {
    let sectors = split_at_sectors(from, bytes);
    let kept: Vec<bool> = match rng.below(4) {
        0 => return,
        1 => vec![true; sectors.len()],
        2 => {
            let whole = rng.below(cast::u64_of(sectors.len()) + 1);
            (0..sectors.len()).map(|at| cast::u64_of(at) < whole).collect()
        }
        _ => (0..sectors.len()).map(|_| rng.below(2) == 0).collect(),
    };
    for ((at, part), kept) in sectors.into_iter().zip(kept) {
        if kept {
            put(target, at, part);
        }
    }
}

fn split_at_sectors(from: usize, bytes: &[u8]) -> Vec<(usize, &[u8])> {
    let mut parts = Vec::new();
    let (mut at, mut rest) = (from, bytes);
    while !rest.is_empty() {
        let len = (SECTOR_BYTES - at % SECTOR_BYTES).min(rest.len());
        let (part, behind) = rest.split_at(len);
        parts.push((at, part));
        at += len;
        rest = behind;
    }
    parts
}
