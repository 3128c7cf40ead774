//! A folder of format 2 keeps groups and transactional ids where Kafka does not look for them.
//!
//! A start moves them, and the power goes at every single operation of the disk meanwhile. What
//! was committed, open or half ended before is so afterwards, and nothing is left elsewhere.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod ask;
mod check;
mod folder;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use base::cast;
use base::clock::SystemClock;
use base::disk::{Disk, MemoryDisk};
use base::rng::SystemRandom;
use broker::{BrokerOptions, Durability, Running};
use runtime::boot::Executor;

/// The ways in which a cut at this operation may leave the disk that are looked at: one of the two
/// extremes in turn, and a mixture that is another each time.
fn images(operation: usize) -> [u64; 2] {
    let operation = cast::u64_of(operation);
    [operation % 2, operation + 2]
}

async fn start(disk: &MemoryDisk, durability: Durability) -> Result<Running, broker::Error> {
    let mut options = BrokerOptions::new(PathBuf::from("/data"));
    options.free_bytes_min = 0;
    options.durability = durability;
    options.offsets_topic_partitions = folder::PARTITIONS;
    options.transaction_topic_partitions = folder::PARTITIONS;
    let clock = Arc::new(SystemClock::new());
    Running::start(options, clock, Arc::new(disk.clone()), Arc::new(SystemRandom)).await
}

/// How far a start got before the power went.
#[derive(Debug, PartialEq)]
enum Reached {
    /// Not to the end of the step.
    Step,
    /// Beyond it: the coordinators have begun to work.
    Work,
    /// To where it serves.
    End,
}

/// The power goes at this operation of the first start over the older folder.
async fn cut_at(older: &MemoryDisk, operation: usize, durability: Durability) -> Reached {
    // An image of what is durable is a copy of it.
    let disk = older.crash_image(1);
    disk.cut_power_at(operation);
    let reached = match start(&disk, durability).await {
        Ok(running) => {
            let is_started = disk.operation_count() <= operation;
            // The end of a broker without power is as bad as it can be.
            let _ = running.stop().await;
            if is_started { Reached::End } else { Reached::Work }
        }
        Err(_) => Reached::Step,
    };
    if durability == Durability::Os && reached != Reached::Step {
        // What the coordinators do is not sure to be kept then; what the step has done is.
        return reached;
    }
    for seed in images(operation) {
        let context = format!("operation {operation} seed {seed} {durability:?}");
        check::all(&disk.crash_image(seed), &context).await;
    }
    reached
}

#[test]
fn an_older_folder_keeps_everything_when_it_is_raised() {
    Executor::new(2).unwrap().block_on(async {
        let disk = folder::older().await;
        assert!(folder::strays(&disk) > 8, "the older folder is one");
        check::all(&disk, "no cut").await;
    });
}

#[test]
fn a_power_cut_at_any_operation_of_the_step_loses_nothing() {
    Executor::new(2).unwrap().block_on(async {
        let older = folder::older().await;
        let mut operation = 0;
        while cut_at(&older, operation, Durability::Flush).await != Reached::End {
            operation += 1;
        }
        assert!(operation > 60, "the start took {operation} operations");
        println!("{operation} operations");
    });
}

#[test]
fn a_broker_that_leaves_flushing_to_the_system_loses_nothing_either() {
    Executor::new(2).unwrap().block_on(async {
        let older = folder::older().await;
        let mut operation = 0;
        // Every third: the writes are the same, only what flushes them differs.
        while cut_at(&older, operation, Durability::Os).await == Reached::Step {
            operation += 3;
        }
        assert!(operation > 60, "the start took {operation} operations");
    });
}

#[test]
fn a_raised_folder_is_left_alone_and_says_so() {
    Executor::new(2).unwrap().block_on(async {
        let disk = folder::older().await;
        let meta = Path::new("/data/log/meta.properties");
        let read = |disk: &MemoryDisk| {
            String::from_utf8(disk.read(meta).unwrap().to_vec()).expect("the file is text")
        };
        assert!(read(&disk).contains("millstream.format=2\n"), "{}", read(&disk));
        let running = start(&disk, Durability::Flush).await.unwrap();
        let mut wire = ask::wire(&running).await;
        for (id, _) in [folder::DECIDED, folder::ABORTED] {
            // Answered when all markers are written, so that the next start finds nothing to do.
            ask::init(&mut wire, id).await;
        }
        running.stop().await.unwrap();
        let raised = read(&disk);
        assert!(raised.contains("millstream.format=3\n") && !raised.contains("from"), "{raised}");
        let first = folder::ends(&disk);
        let running = start(&disk, Durability::Flush).await.unwrap();
        running.stop().await.unwrap();
        assert_eq!(folder::ends(&disk), first, "nothing was written");
    });
}

#[test]
fn the_place_of_a_group_is_that_of_the_topic_and_not_of_the_option() {
    Executor::new(2).unwrap().block_on(async {
        let disk = MemoryDisk::new();
        let running = start(&disk, Durability::Flush).await.unwrap();
        let mut wire = ask::wire(&running).await;
        ask::make_topics(&mut wire).await;
        ask::commit(&mut wire, "orders", 5).await;
        running.stop().await.unwrap();
        let mut options = BrokerOptions::new(PathBuf::from("/data"));
        options.free_bytes_min = 0;
        options.offsets_topic_partitions = folder::PARTITIONS + 4;
        let clock = Arc::new(SystemClock::new());
        let running =
            Running::start(options, clock, Arc::new(disk.clone()), Arc::new(SystemRandom)).await;
        let running = running.unwrap();
        let mut wire = ask::wire(&running).await;
        assert_eq!(ask::fetched(&mut wire, "orders").await, Ok(5));
        ask::commit(&mut wire, "orders", 6).await;
        ask::commit(&mut wire, "billing", 7).await;
        running.stop().await.unwrap();
        let running = start(&disk, Durability::Flush).await.unwrap();
        let mut wire = ask::wire(&running).await;
        assert_eq!(ask::fetched(&mut wire, "orders").await, Ok(6));
        assert_eq!(ask::fetched(&mut wire, "billing").await, Ok(7));
        running.stop().await.unwrap();
        assert_eq!(folder::strays(&disk), 0);
    });
}
