//! Crashing the log at every write, flush, rename and removal of a workload.
//!
//! A [`Workload`] is run on a memory disk whose power goes at operation n, for every n. What was
//! sent, answered and seen is noted ([`history`]). From the images of the disk that such a cut may
//! leave, the log is opened again and held against the notes ([`verdict`]). What a cleaner may do
//! to deletions and markers has a story of its own ([`generations`]).

pub mod generations;
pub mod history;
pub mod verdict;
pub mod workload;

use base::disk::MemoryDisk;

pub use history::History;
pub use workload::{Flushes, Workload};

/// How much was checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checked {
    /// Operations of the workload, at each of which the power went once.
    pub cuts: usize,
    /// Disks that were opened after a cut.
    pub images: usize,
    /// Appends that were answered in the run without a cut.
    pub acknowledged: usize,
}

/// Cuts the power at every operation of a workload and checks `seeds` images of each cut.
///
/// # Panics
/// When the log loses, invents, repeats or reorders anything; the message names the workload's
/// seed, the operation and the image's seed.
#[must_use]
pub fn check_every_cut(workload: &Workload, seeds: u64) -> Checked {
    let whole = MemoryDisk::new();
    let acknowledged = workload.run(&whole).acknowledged();
    let cuts = whole.operation_count();
    let mut images = 0;
    for cut in 0..cuts {
        let disk = MemoryDisk::new();
        disk.cut_power_at(cut);
        let history = workload.run(&disk);
        for seed in 0..seeds {
            let case = format!("workload {} cut at {cut} image {seed}", workload.seed);
            // Late seeds differ from cut to cut, so that more mixtures are met.
            let image = if seed < 2 { seed } else { seed + 1000 * base::cast::u64_of(cut) };
            verdict::check(&disk.crash_image(image), &history, &case);
            images += 1;
        }
    }
    Checked { cuts, images, acknowledged }
}

/// Cuts the power during a workload at every `stride`-th operation, and once more at every
/// operation of the recovery that follows.
///
/// # Panics
/// As [`check_every_cut`].
#[must_use]
pub fn check_cuts_in_recovery(workload: &Workload, stride: usize) -> Checked {
    let whole = MemoryDisk::new();
    let acknowledged = workload.run(&whole).acknowledged();
    let cuts = whole.operation_count();
    let mut images = 0;
    for cut in (0..cuts).step_by(stride) {
        let disk = MemoryDisk::new();
        disk.cut_power_at(cut);
        let history = workload.run(&disk);
        let image = disk.crash_image(base::cast::u64_of(cut) + 2);
        let recover = |disk: &MemoryDisk| {
            let options = workload::options(disk, workload.durability);
            // Whether it gets to the end does not matter here.
            drop(workload::Store::open(options, workload::config(workload.cleanup)));
            disk.operation_count()
        };
        // An image holds nothing that is not durable, so an image of it is a copy.
        let operations = recover(&image.crash_image(1));
        for second in 0..operations {
            let disk = image.crash_image(1);
            disk.cut_power_at(second);
            recover(&disk);
            let case = format!("workload {} cut at {cut} and at {second}", workload.seed);
            let seed = base::cast::u64_of(second) % 5;
            verdict::check(&disk.crash_image(seed), &history, &case);
            images += 1;
        }
    }
    Checked { cuts, images, acknowledged }
}
