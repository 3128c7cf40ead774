//! What building, checking and walking small records costs, one line per step:
//! `cargo run --release -p protocol --example record_cost`.

use std::hint::black_box;
use std::io::{self, Write};

use base::cast;
use base::clock::{Clock, SystemClock};
use bytes::Bytes;
use protocol::record::{Batch, BatchBuilder, BatchOptions, Compression, validate_records};

const SIZES: [usize; 2] = [10, 1_000];
const RECORDS_PER_RUN: usize = 100_000;
const PLAIN_BYTES_MAX: usize = 1 << 20;
const VALUE: &[u8] = br#"{"sensor":"kitchen","temperature":21.5,"humidity":40}"#;

fn build(builder: &mut BatchBuilder, records: usize) -> Bytes {
    for index in 0..records {
        let timestamp = 1_700_000_000_000 + cast::i64_of(index);
        builder.append(timestamp, Some(b"kitchen-1"), Some(VALUE), &[]);
    }
    builder.build_and_reset().expect("so few small records fit a batch")
}

fn walk(batch: &Batch) -> usize {
    let decoded = batch.decode(PLAIN_BYTES_MAX).expect("our own batch is sound");
    let lengths = decoded.iter().map(|record| {
        let record = record.expect("our own record is sound");
        record.value.map_or(0, <[u8]>::len) + record.key.map_or(0, <[u8]>::len)
    });
    lengths.sum()
}

/// Nanoseconds per record of the best of five runs.
fn cost(records: usize, mut step: impl FnMut()) -> f64 {
    let clock = SystemClock::new();
    let mut best = u64::MAX;
    for _ in 0..5 {
        let start = clock.steady_us();
        for _ in 0..RECORDS_PER_RUN / records {
            step();
        }
        best = best.min(clock.steady_us() - start);
    }
    cast::f64_of(best * 1_000) / cast::f64_of(cast::u64_of(RECORDS_PER_RUN))
}

fn main() -> io::Result<()> {
    let mut out = io::stdout();
    writeln!(out, "records codec    build  check   walk   ns per record; bytes per record")?;
    for records in SIZES {
        for compression in Compression::ALL {
            writeln!(out, "{records:7} {}", line(compression, records))?;
        }
    }
    Ok(())
}

fn line(compression: Compression, records: usize) -> String {
    let options = BatchOptions { compression, capacity: 128 * 1024, ..Default::default() };
    let mut builder = BatchBuilder::new(options);
    let batch = Batch::parse(&build(&mut builder, records)).expect("our own batch is sound");
    let built = cost(records, || drop(black_box(build(&mut builder, records))));
    let checked = cost(records, || {
        let facts = validate_records(black_box(&batch), true, PLAIN_BYTES_MAX);
        black_box(facts).expect("our own batch is sound");
    });
    let walked = cost(records, || {
        black_box(walk(black_box(&batch)));
    });
    let bytes = cast::f64_of(cast::u64_of(batch.bytes().len()));
    let bytes = bytes / cast::f64_of(cast::u64_of(records));
    format!("{compression:7}{built:7.1} {checked:6.1} {walked:6.1}   {bytes:6.1}")
}
