//! A second implementation reads what we write, and we read what it writes.
//!
//! Only where it can: it has no compression here, loses duplicate headers and dies of hostile
//! bytes, so it sees plain batches with distinct header names.

use bytes::{Bytes, BytesMut};
use kafka_protocol::protocol::StrBytes;
use kafka_protocol::records as peer;
use protocol::record::{Batch, BatchBuilder, BatchOptions, ProducerIdentity, validate_records};

const PRODUCER: ProducerIdentity = ProducerIdentity { id: 12, epoch: 4 };
const NAMES: [&str; 3] = ["trace", "origin", "empty"];

fn sample(index: i64) -> peer::Record {
    let text = |name: &str| Bytes::from(format!("{name}-{index}"));
    let mut record = peer::Record {
        transactional: true,
        control: false,
        delete_horizon: false,
        partition_leader_epoch: -1,
        producer_id: PRODUCER.id,
        producer_epoch: PRODUCER.epoch,
        timestamp_type: peer::TimestampType::Creation,
        offset: index,
        sequence: i32::try_from(index).unwrap() + 100,
        timestamp: 1_700_000_000_000 + index * 37,
        key: (index % 3 > 0).then(|| text("key")),
        value: (index % 4 > 0).then(|| text("a value that is somewhat longer")),
        headers: Default::default(),
    };
    for name in NAMES.iter().take(usize::try_from(index % 4).unwrap()) {
        let value = (*name != "empty").then(|| text(name));
        record.headers.insert(StrBytes::from_static_str(name), value);
    }
    record
}

#[test]
fn the_peer_reads_what_we_write() {
    let records: Vec<_> = (0..200).map(sample).collect();
    let mut builder = BatchBuilder::new(BatchOptions {
        producer: PRODUCER,
        base_sequence: 100,
        transactional: true,
        ..Default::default()
    });
    for record in &records {
        let headers: Vec<_> = record
            .headers
            .iter()
            .map(|(name, value)| (name.as_bytes(), value.as_deref()))
            .collect();
        builder.append(record.timestamp, record.key.as_deref(), record.value.as_deref(), &headers);
    }
    let mut bytes = builder.build().unwrap();
    let sets = peer::RecordBatchDecoder::decode_all(&mut bytes).unwrap();
    assert_eq!(sets.len(), 1);
    assert_eq!(sets[0].records, records);
}

#[test]
fn we_read_what_the_peer_writes() {
    let records: Vec<_> = (0..200).map(sample).collect();
    let mut bytes = BytesMut::new();
    let options = peer::RecordEncodeOptions { version: 2, compression: peer::Compression::None };
    peer::RecordBatchEncoder::encode(&mut bytes, &records, &options).unwrap();
    let batch = Batch::parse(&bytes.freeze()).unwrap();
    let facts = validate_records(&batch, false, 0).unwrap();
    assert_eq!(facts.max_timestamp, records[199].timestamp);
    assert_eq!(batch.header().producer(), PRODUCER);
    assert_eq!((batch.header().base_sequence, batch.header().last_sequence()), (100, 299));
    let decoded = batch.decode(0).unwrap();
    assert_eq!(decoded.iter().count(), records.len());
    for (ours, theirs) in decoded.iter().map(Result::unwrap).zip(&records) {
        assert_eq!(ours.offset, theirs.offset);
        assert_eq!(ours.timestamp, theirs.timestamp);
        assert_eq!(ours.key, theirs.key.as_deref());
        assert_eq!(ours.value, theirs.value.as_deref());
        let headers = theirs.headers.iter().map(|(n, v)| (n.as_bytes(), v.as_deref()));
        assert!(ours.headers.iter().eq(headers));
    }
}
