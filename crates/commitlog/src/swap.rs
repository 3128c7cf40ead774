//! Putting a cleaned segment in the place of those it was made from, so that a crash at any
//! moment leaves either the old ones or the new one.
//!
//! `.cleaned` is being written; `.log.swap` is whole, flushed, and counts from the moment its
//! name is durable; then the old files go, and only then does it take their name.

use std::path::Path;

use base::disk::Disk;
use protocol::record::BatchHeader;

use crate::error::Error;
use crate::format::{self, CLEANED, LOG, OFFSET_INDEX, SNAPSHOT, SWAP, TIME_INDEX, TXN_INDEX};
use crate::load::remove;

/// Removes what a run has written, when it cannot be put in place.
pub(crate) fn discard(disk: &dyn Disk, dir: &Path, base: i64) {
    for kind in [TXN_INDEX, LOG] {
        let path = format::with_suffix(&format::file(dir, base, kind), CLEANED);
        // What stays here is overwritten by the next run, or removed by the next start.
        drop(remove(disk, &path));
    }
}

/// Lets a cleaned segment count, whose two `.cleaned` files are whole and flushed.
pub(crate) fn begin(disk: &dyn Disk, dir: &Path, base: i64) -> Result<(), Error> {
    sync(disk, dir)?;
    for kind in [TXN_INDEX, LOG] {
        let path = format::file(dir, base, kind);
        let (from, to) = (format::with_suffix(&path, CLEANED), format::with_suffix(&path, SWAP));
        disk.rename(&from, &to).map_err(Error::io("rename", &from))?;
        sync(disk, dir)?;
    }
    Ok(())
}

/// Removes the segments that a swap replaces and gives it its name. May be repeated.
pub(crate) fn finish(disk: &dyn Disk, dir: &Path, base: i64) -> Result<(), Error> {
    let log = format::file(dir, base, LOG);
    let swap = format::with_suffix(&log, SWAP);
    let end = next_offset(disk, &swap)?.unwrap_or(base + 1);
    for entry in format::list(disk, dir)? {
        for kind in [LOG, OFFSET_INDEX, TIME_INDEX, TXN_INDEX, SNAPSHOT] {
            let Some(offset) = format::offset_of(&entry.name, kind) else { continue };
            // The snapshot at the first offset belongs to what lies before it.
            let replaced = (base..end).contains(&offset) && !(kind == SNAPSHOT && offset == base);
            // A transaction index that has its name already is the new one.
            let done = kind == TXN_INDEX
                && offset == base
                && !disk.exists(&format::with_suffix(&format::file(dir, base, TXN_INDEX), SWAP));
            if replaced && !done {
                remove(disk, &dir.join(&entry.name))?;
            }
        }
    }
    sync(disk, dir)?;
    let txn = format::file(dir, base, TXN_INDEX);
    let txn_swap = format::with_suffix(&txn, SWAP);
    if disk.exists(&txn_swap) {
        disk.rename(&txn_swap, &txn).map_err(Error::io("rename", &txn_swap))?;
        sync(disk, dir)?;
    }
    disk.rename(&swap, &log).map_err(Error::io("rename", &swap))?;
    sync(disk, dir)
}

/// The offset behind the last batch of a file.
fn next_offset(disk: &dyn Disk, path: &Path) -> Result<Option<i64>, Error> {
    let file = disk.open(path, base::disk::OpenMode::Read).map_err(Error::io("open", path))?;
    let end = file.len().map_err(Error::io("measure", path))?;
    let stretch =
        crate::walk::Stretch { from: 0, end, window_bytes: crate::limits::HEADER_WINDOW_BYTES * 8 };
    let mut walk = crate::walk::Walk::new(&file, path, stretch);
    let mut last: Option<BatchHeader> = None;
    loop {
        match walk.next_header() {
            Ok(Some((_, header))) => last = Some(header),
            Ok(None) => return Ok(last.map(|header| header.next_offset())),
            Err(stop) => return Err(stop.into_error(path, walk.position())),
        }
    }
}

fn sync(disk: &dyn Disk, dir: &Path) -> Result<(), Error> {
    disk.sync_dir(dir).map_err(Error::io("flush", dir))
}
