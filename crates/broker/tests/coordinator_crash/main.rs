//! The power goes at every single operation of the disk while both coordinators work, and what
//! they acknowledged is still there.
//!
//! A group and a transactional producer go on until the power goes; then a broker starts over
//! what a disk may look like afterwards, is asked for all of it, and does the same work again.

mod check;
mod session;
mod work;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use base::clock::SystemClock;
use base::disk::MemoryDisk;
use base::rng::SystemRandom;
use broker::{BrokerOptions, Running};
use runtime::boot::Executor;

use crate::session::Session;
use crate::work::Told;

/// Ways in which each cut may leave the disk.
const IMAGES: u64 = 3;

/// Operations of the start over an image between two cuts of the power there.
const SECOND_CUT_STRIDE: usize = 7;

async fn start(disk: &MemoryDisk) -> Result<Running, broker::Error> {
    let mut options = BrokerOptions::new(PathBuf::from("/data"));
    options.free_bytes_min = 0;
    // Fewer files, so that more of the cuts fall into the work itself.
    options.offsets_topic_partitions = 2;
    options.transaction_topic_partitions = 2;
    let clock = Arc::new(SystemClock::new());
    Running::start(options, clock, Arc::new(disk.clone()), Arc::new(SystemRandom)).await
}

/// Works until the power goes at this operation of the disk, or to the end; whether it got there.
async fn work_until_cut(disk: &MemoryDisk, operation: usize, told: &mut Told) -> bool {
    disk.cut_power_at(operation);
    let Ok(running) = start(disk).await else {
        return false;
    };
    let mut session = Session::until_cut(&running, disk, operation).await;
    let is_complete = work::run(&mut session, told).await.is_some();
    // The end of a broker without power is as bad as it can be.
    let _ = running.stop().await;
    is_complete
}

/// A broker over the image knows all that was told, and works. Tells what else was found out.
async fn check_image(image: &MemoryDisk, mut told: Told, context: &str) -> Told {
    let running = start(image).await.unwrap_or_else(|error| panic!("{context}: {error}"));
    let mut session = Session::new(&running).await;
    check::all(&mut session, &mut told, context).await;
    let again = work::run(&mut session, &mut told).await;
    assert_eq!(again, Some(()), "{context}: the work goes on, {told:?}");
    check::all(&mut session, &mut told, context).await;
    running.stop().await.unwrap_or_else(|error| panic!("{context}: {error}"));
    told
}

/// Runs the work over a disk that loses power at this operation; whether it came to its end.
async fn crash_at(operation: usize, outcomes: &mut BTreeSet<bool>) -> bool {
    let disk = MemoryDisk::new();
    let mut told = Told::default();
    let is_complete = work_until_cut(&disk, operation, &mut told).await;
    for seed in 0..IMAGES {
        let context = format!("operation {operation} seed {seed}");
        let found = check_image(&disk.crash_image(seed), told.clone(), &context).await;
        outcomes.extend(found.outcomes);
    }
    is_complete
}

#[test]
fn a_power_cut_at_any_operation_keeps_groups_and_transactions_whole() {
    Executor::new(2).unwrap().block_on(async {
        let mut operation = 0;
        let mut outcomes = BTreeSet::new();
        while !crash_at(operation, &mut outcomes).await {
            operation += 1;
        }
        assert!(operation > 50, "the work ends after {operation} operations");
        assert_eq!(outcomes.len(), 2, "commits without an answer turn out both ways");
        println!("{operation} operations, {IMAGES} images each");
    });
}

#[test]
fn a_second_power_cut_while_the_first_is_repaired_loses_nothing_either() {
    Executor::new(2).unwrap().block_on(async {
        let mut first = 0;
        loop {
            let disk = MemoryDisk::new();
            let mut told = Told::default();
            if work_until_cut(&disk, first, &mut told).await {
                break;
            }
            let image = disk.crash_image(2);
            // The second life is cut as well, each time somewhat later.
            let second = first % 31;
            let mut told = told.clone();
            work_until_cut(&image, second, &mut told).await;
            for seed in 0..2 {
                let context = format!("operations {first} and {second} seed {seed}");
                check_image(&image.crash_image(seed), told.clone(), &context).await;
            }
            first += SECOND_CUT_STRIDE;
        }
    });
}
