//! The power goes at every operation of a workload; nothing that was promised is lost.

use std::path::Path;

use base::disk::{Disk, MemoryDisk};
use commitlog::{Cleanup, Durability};
use simulator::crash::generations::check_generations;
use simulator::crash::workload::JOURNAL_BYTES;
use simulator::crash::{Flushes, Workload, check_cuts_in_recovery, check_every_cut};

const FLUSHED: Workload = Workload {
    seed: 0,
    steps: 40,
    durability: Durability::Flush,
    cleanup: Cleanup::Delete,
    flushes: Flushes::AtOnce,
    journal_bytes: JOURNAL_BYTES,
};

fn check_flushed(seed: u64, cleanup: Cleanup) {
    let workload = Workload { seed, cleanup, ..FLUSHED };
    let checked = check_every_cut(&workload, 4);
    assert!(checked.cuts > 150 && checked.acknowledged > 20, "{checked:?}");
}

#[test]
fn a_flushed_log_keeps_every_promise_at_every_cut() {
    check_flushed(1, Cleanup::Delete);
}

#[test]
fn another_flushed_log_keeps_every_promise_at_every_cut() {
    check_flushed(2, Cleanup::Delete);
}

#[test]
fn a_log_that_leaves_flushing_to_the_system_still_is_a_prefix() {
    let workload = Workload { seed: 3, durability: Durability::Os, ..FLUSHED };
    let checked = check_every_cut(&workload, 4);
    assert!(checked.acknowledged > 20, "{checked:?}");
}

#[test]
fn rounds_that_are_written_while_others_are_flushed_keep_every_promise_at_every_cut() {
    let workloads = [
        (7, Cleanup::Delete, JOURNAL_BYTES),
        (21, Cleanup::Delete, JOURNAL_BYTES),
        (13, Cleanup::Delete, 0),
        (15, Cleanup::Delete, 0),
        (9, Cleanup::Compact, 400),
    ];
    for (seed, cleanup, journal_bytes) in workloads {
        let flushes = Flushes::Later;
        let workload = Workload { seed, cleanup, flushes, journal_bytes, ..FLUSHED };
        let checked = check_every_cut(&workload, 4);
        assert!(checked.cuts > 100 && checked.acknowledged > 20, "{checked:?}");
    }
}

#[test]
fn a_compacted_log_keeps_the_last_value_of_every_key_at_every_cut() {
    check_flushed(4, Cleanup::Compact);
}

#[test]
fn the_compacted_workload_is_compacted() {
    let disk = MemoryDisk::new();
    let workload = Workload { seed: 4, cleanup: Cleanup::Compact, ..FLUSHED };
    let sent = workload.run(&disk).acknowledged();
    let cleaned = disk.read(Path::new("log/cleaner-offset-checkpoint")).unwrap();
    let text = String::from_utf8(cleaned.to_vec()).unwrap();
    assert!(sent > 20 && text.lines().count() > 2, "{sent} appends, {text}");
}

#[test]
fn a_cut_during_recovery_takes_no_more_than_one_before() {
    for (seed, cleanup) in [(5, Cleanup::CompactDelete), (6, Cleanup::Delete)] {
        let workload = Workload { seed, cleanup, ..FLUSHED };
        let checked = check_cuts_in_recovery(&workload, 25);
        assert!(checked.images > 40, "{checked:?}");
    }
}

#[test]
fn a_cleaned_log_keeps_values_deletions_and_transactions_at_every_cut() {
    let checked = check_generations(1);
    assert!(checked.cuts > 300 && checked.acknowledged > 100, "{checked:?}");
}
