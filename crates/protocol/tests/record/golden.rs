//! Batches that Kafka's own classes wrote, beside what Kafka's own classes read from them.
//!
//! `xtask/java/GoldenRecords.java` made them; Java is not needed to run this.

use std::fmt::Write;

use bytes::Bytes;
use protocol::record::{
    Batch, BatchBuilder, BatchHeader, BatchOptions, Batches, ControlType, ProducerIdentity, Record,
    RecordError, control_batch, control_type, empty_batch, set_delete_horizon, stamp,
    stamp_append_time, validate_records,
};

macro_rules! golden_files {
    ($($name:literal),* $(,)?) => {
        &[$(($name, include_str!(concat!("../golden_records/", $name, ".txt")))),*]
    };
}

/// Name and text of every file.
pub(crate) const FILES: &[(&str, &str)] = golden_files![
    "append_time",
    "compacted_gzip",
    "control_abort",
    "control_commit",
    "delete_horizon",
    "empty_kept",
    "far_timestamps",
    "idempotent_wrap",
    "large_gzip",
    "large_lz4",
    "large_snappy",
    "large_zstd",
    "mixed_gzip",
    "mixed_gzip_9",
    "mixed_lz4",
    "mixed_lz4_9",
    "mixed_none",
    "mixed_snappy",
    "mixed_zstd",
    "mixed_zstd_22",
    "no_timestamp",
    "transactional_lz4",
    "two_batches",
];

/// More than any golden batch decompresses to.
pub(crate) const PLAIN_BYTES_MAX: usize = 1 << 20;

/// The bytes behind the word `bytes` of a golden file.
pub(crate) fn bytes_of(text: &str) -> Bytes {
    let (_, hex) = text.split_once("\nbytes\n").expect("a golden file ends with its bytes");
    let digits: Vec<u8> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
    let byte = |pair: &[u8]| {
        let pair = std::str::from_utf8(pair).expect("hex digits are ASCII");
        u8::from_str_radix(pair, 16).expect("only hex digits were kept")
    };
    digits.chunks(2).map(byte).collect()
}

fn golden(name: &str) -> Bytes {
    let found = FILES.iter().find(|(file, _)| *file == name);
    bytes_of(found.expect("the golden file is listed").1)
}

fn spell(part: Option<&[u8]>) -> String {
    let Some(bytes) = part else { return "-".to_owned() };
    if bytes.len() > 64 {
        return format!("#{}:{:08x}", bytes.len(), crc32c::crc32c(bytes));
    }
    bytes.iter().fold("x".to_owned(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a string takes all that is written");
        text
    })
}

fn describe_header(header: &BatchHeader) -> String {
    let horizon = header.delete_horizon().map_or_else(|| "-".to_owned(), |at| at.to_string());
    format!(
        "batch offsets={}..{} epoch={} count={} max_timestamp={} compression={} append_time={} \
         transactional={} control={} producer={}/{} sequences={}..{} horizon={} bytes={}\n",
        header.base_offset,
        header.last_offset(),
        header.partition_leader_epoch,
        header.record_count,
        header.max_timestamp,
        header.compression().unwrap(),
        header.is_log_append_time(),
        header.is_transactional(),
        header.is_control(),
        header.producer_id,
        header.producer_epoch,
        header.base_sequence,
        header.last_sequence(),
        horizon,
        header.total_bytes(),
    )
}

fn describe_record(record: &Record<'_>) -> String {
    let (key, value) = (spell(record.key), spell(record.value));
    let mut text = format!("record {} {} {key} {value}", record.offset, record.timestamp);
    for (name, value) in record.headers {
        write!(text, " {}={}", spell(Some(name)), spell(value)).unwrap();
    }
    text.push('\n');
    text
}

fn describe(bytes: &Bytes) -> String {
    let mut text = String::new();
    let mut batches = Batches::new(bytes.clone());
    for batch in &mut batches {
        let batch = batch.unwrap();
        batch.verify_crc().unwrap();
        text.push_str(&describe_header(batch.header()));
        let decoded = batch.decode(PLAIN_BYTES_MAX).unwrap();
        for record in &decoded {
            text.push_str(&describe_record(&record.unwrap()));
        }
    }
    assert_eq!(batches.remainder(), 0, "nothing is left behind the last batch");
    text
}

#[test]
fn we_read_from_kafkas_bytes_what_kafka_reads() {
    for (name, text) in FILES {
        let (facts, _) = text.split_once("\nbytes\n").unwrap();
        let facts: String =
            facts.lines().filter(|line| !line.starts_with('#')).map(|l| format!("{l}\n")).collect();
        assert_eq!(describe(&bytes_of(text)), facts, "{name}");
    }
}

#[test]
fn plain_batches_are_rebuilt_byte_for_byte() {
    for name in ["mixed_none", "idempotent_wrap", "no_timestamp", "far_timestamps"] {
        let bytes = golden(name);
        let batch = Batch::parse(&bytes).unwrap();
        let header = batch.header();
        let mut builder = BatchBuilder::new(BatchOptions { capacity: 0, ..Default::default() });
        builder.set_producer(header.producer(), header.base_sequence);
        for record in &batch.decode(0).unwrap() {
            let record = record.unwrap();
            let headers: Vec<_> = record.headers.iter().collect();
            builder.append(record.timestamp, record.key, record.value, &headers);
        }
        assert_eq!(builder.bytes_len(), bytes.len());
        assert_eq!(builder.build_and_reset().unwrap(), bytes, "{name}");
        assert_eq!(builder.build(), Err(RecordError::EmptyBatch));
    }
}

#[test]
fn markers_are_written_byte_for_byte() {
    let producer = ProducerIdentity { id: 4711, epoch: 3 };
    let commit = control_batch(producer, ControlType::Commit, 11, 1_700_000_000_000);
    assert_eq!(commit, golden("control_commit"));
    let producer = ProducerIdentity { id: 0, epoch: 0 };
    let abort = control_batch(producer, ControlType::Abort, 0, 1_700_000_000_000);
    let mut abort = abort.to_vec();
    stamp(&mut abort, 12, 4);
    assert_eq!(abort, golden("control_abort"));
    let decoded = Batch::parse(&golden("control_abort")).unwrap().decode(0).unwrap();
    let record = decoded.iter().next().unwrap().unwrap();
    assert_eq!(control_type(&record), Ok(ControlType::Abort));
}

#[test]
fn a_batch_stamped_with_the_logs_time_reads_as_kafkas() {
    let mut builder = BatchBuilder::new(BatchOptions::default());
    for index in 0..3 {
        builder.append(1_700_000_000_000 + index, Some(b"k"), Some(b"v"), &[]);
    }
    let mut batch = builder.build().unwrap().to_vec();
    stamp(&mut batch, 100, 2);
    stamp_append_time(&mut batch, 1_800_000_000_000);
    let expected = golden("append_time");
    // Kafka's builder leaves all deltas 0 where the log's time counts; nobody reads them then.
    assert_eq!(batch[..17], expected[..17]);
    let (ours, kafkas) = (describe(&Bytes::from(batch)), describe(&expected));
    assert_eq!(
        ours.lines().skip(1).collect::<Vec<_>>(),
        kafkas.lines().skip(1).collect::<Vec<_>>()
    );
}

#[test]
fn a_broker_accepts_what_producers_send_and_refuses_what_cleaners_leave() {
    for (name, text) in FILES {
        let batch = Batch::parse(&bytes_of(text)).unwrap();
        let facts = validate_records(&batch, false, PLAIN_BYTES_MAX);
        match *name {
            "compacted_gzip" => assert_eq!(
                facts,
                Err(RecordError::CountMismatch { record_count: 2, last_offset_delta: 19 })
            ),
            "empty_kept" => assert_eq!(facts, Err(RecordError::EmptyBatch)),
            _ => {
                let facts = facts.unwrap();
                assert_eq!(facts.record_count, batch.header().record_count, "{name}");
                assert_eq!(facts.max_timestamp, batch.header().max_timestamp, "{name}");
            }
        }
    }
}

#[test]
fn a_compacted_topic_wants_keys() {
    let batch = Batch::parse(&golden("mixed_zstd")).unwrap();
    let refused = validate_records(&batch, true, PLAIN_BYTES_MAX);
    assert_eq!(refused, Err(RecordError::KeyMissing { index: 1 }));
    let batch = Batch::parse(&golden("large_zstd")).unwrap();
    let facts = validate_records(&batch, true, PLAIN_BYTES_MAX).unwrap();
    assert_eq!(facts.max_timestamp_offset(500), 502);
}

#[test]
fn an_empty_batch_is_kept_byte_for_byte() {
    let kept = golden("empty_kept");
    let header = BatchHeader::parse(&kept).unwrap();
    assert_eq!(empty_batch(&header), kept);
}

#[test]
fn a_delete_horizon_is_set_byte_for_byte() {
    let kept = golden("delete_horizon");
    let horizon = BatchHeader::parse(&kept).unwrap().delete_horizon().unwrap();
    let mut builder = BatchBuilder::new(BatchOptions::default());
    builder.append(1_700_000_000_001, Some(b"dead"), None, &[]);
    let mut plain = builder.build().unwrap().to_vec();
    stamp(&mut plain, 50, 1);
    let batch = Batch::parse(&Bytes::from(plain)).unwrap();
    assert_eq!(batch.header().delete_horizon(), None);
    assert_eq!(set_delete_horizon(&batch, PLAIN_BYTES_MAX, horizon).unwrap(), kept);
}
