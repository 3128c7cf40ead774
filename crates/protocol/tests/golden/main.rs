//! The codec against the bytes that Apache Kafka itself makes (README.md beside this file).
//!
//! Each block is decoded, compared field by field with the values that Kafka was given, and
//! encoded again, which must give the same bytes.

#![expect(clippy::unwrap_used, reason = "a test that cannot read its own golden file must fail")]

mod block;
mod tree;

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::fs;
use std::path::PathBuf;

use bytes::Bytes;
use protocol::messages;
use protocol::wire::{DecodeError, Message, Reader, Writer};

use crate::block::{Block, Kind, Mode};
use crate::tree::Tree;

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

fn decode<T: Message>(bytes: &Bytes, version: i16) -> Result<T, DecodeError> {
    let mut reader = Reader::new(bytes);
    let message = T::decode(&mut reader, version)?;
    reader.finish()?;
    Ok(message)
}

/// Checks all blocks of one kind in a file, and that there were some.
fn check<T: Message + Debug + PartialEq + Default>(file: &str, kind: Kind) {
    let text = fs::read_to_string(folder().join(format!("{file}.txt"))).unwrap();
    let blocks = Block::parse_all(&text);
    let mut seen = 0;
    for block in blocks.iter().filter(|block| block.kind == kind) {
        check_block::<T>(file, block);
        seen += 1;
    }
    assert!(seen > 1, "{file} has no {kind:?}");
}

fn check_block<T: Message + Debug + PartialEq + Default>(file: &str, block: &Block) {
    let place = format!("{file} {:?} v{} {:?}", block.kind, block.version, block.mode);
    let message: T = decode(&block.bytes, block.version).unwrap_or_else(|e| panic!("{place}: {e}"));
    match block.mode {
        Mode::Values => {
            let found = Tree::of_debug(&format!("{message:?}"));
            let differences = block.values.differences(&found);
            assert!(differences.is_empty(), "{place}: {differences:?} in {message:?}");
        }
        Mode::Defaults => assert_eq!(message, T::default(), "{place}"),
        Mode::Nulls => {}
    }
    let mut writer = Writer::new();
    message.encode(&mut writer, block.version).unwrap_or_else(|e| panic!("{place}: {e}"));
    assert_eq!(hex(&writer.into_bytes()), hex(&block.bytes), "{place}: {message:?}");
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

macro_rules! apis {
    ($($module:ident: $request:ident, $response:ident;)*) => {
        const APIS: &[&str] = &[$(stringify!($module)),*];
        $(
            #[test]
            fn $module() {
                check::<messages::$module::$request>(stringify!($module), Kind::Request);
                check::<messages::$module::$response>(stringify!($module), Kind::Response);
            }
        )*
    };
}

macro_rules! records {
    ($($module:ident: $record:ident;)*) => {
        const RECORDS: &[&str] = &[$(stringify!($module)),*];
        $(
            #[test]
            fn $module() {
                check::<messages::$module::$record>(stringify!($module), Kind::Record);
            }
        )*
    };
}

apis! {
    add_offsets_to_txn: AddOffsetsToTxnRequest, AddOffsetsToTxnResponse;
    add_partitions_to_txn: AddPartitionsToTxnRequest, AddPartitionsToTxnResponse;
    api_versions: ApiVersionsRequest, ApiVersionsResponse;
    create_partitions: CreatePartitionsRequest, CreatePartitionsResponse;
    create_topics: CreateTopicsRequest, CreateTopicsResponse;
    delete_groups: DeleteGroupsRequest, DeleteGroupsResponse;
    delete_records: DeleteRecordsRequest, DeleteRecordsResponse;
    delete_topics: DeleteTopicsRequest, DeleteTopicsResponse;
    describe_cluster: DescribeClusterRequest, DescribeClusterResponse;
    describe_configs: DescribeConfigsRequest, DescribeConfigsResponse;
    describe_groups: DescribeGroupsRequest, DescribeGroupsResponse;
    end_txn: EndTxnRequest, EndTxnResponse;
    fetch: FetchRequest, FetchResponse;
    find_coordinator: FindCoordinatorRequest, FindCoordinatorResponse;
    heartbeat: HeartbeatRequest, HeartbeatResponse;
    incremental_alter_configs: IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse;
    init_producer_id: InitProducerIdRequest, InitProducerIdResponse;
    join_group: JoinGroupRequest, JoinGroupResponse;
    leave_group: LeaveGroupRequest, LeaveGroupResponse;
    list_groups: ListGroupsRequest, ListGroupsResponse;
    list_offsets: ListOffsetsRequest, ListOffsetsResponse;
    metadata: MetadataRequest, MetadataResponse;
    offset_commit: OffsetCommitRequest, OffsetCommitResponse;
    offset_delete: OffsetDeleteRequest, OffsetDeleteResponse;
    offset_fetch: OffsetFetchRequest, OffsetFetchResponse;
    offset_for_leader_epoch: OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse;
    produce: ProduceRequest, ProduceResponse;
    sasl_authenticate: SaslAuthenticateRequest, SaslAuthenticateResponse;
    sasl_handshake: SaslHandshakeRequest, SaslHandshakeResponse;
    sync_group: SyncGroupRequest, SyncGroupResponse;
    txn_offset_commit: TxnOffsetCommitRequest, TxnOffsetCommitResponse;
}

records! {
    consumer_protocol_assignment: ConsumerProtocolAssignment;
    consumer_protocol_subscription: ConsumerProtocolSubscription;
    end_txn_marker: EndTxnMarker;
    group_metadata_key: GroupMetadataKey;
    group_metadata_value: GroupMetadataValue;
    offset_commit_key: OffsetCommitKey;
    offset_commit_value: OffsetCommitValue;
    producer_snapshot: ProducerSnapshot;
    transaction_log_key: TransactionLogKey;
    transaction_log_value: TransactionLogValue;
}

#[test]
fn every_golden_file_is_read_and_every_api_has_one() {
    let named: BTreeSet<String> = APIS.iter().chain(RECORDS).map(|&name| name.to_owned()).collect();
    let stem = |path: PathBuf| path.file_stem().unwrap().to_str().unwrap().to_owned();
    let present: BTreeSet<String> = fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "txt"))
        .map(stem)
        .collect();
    assert_eq!(present, named);
    assert_eq!(APIS.len(), 31);
}

#[test]
fn every_version_that_the_codec_speaks_is_pinned() {
    for key in messages::ApiKey::ALL {
        let file = snake(&format!("{key:?}"));
        let text = fs::read_to_string(folder().join(format!("{file}.txt"))).unwrap();
        let blocks = Block::parse_all(&text);
        for version in key.version_min()..=key.version_max() {
            for kind in [Kind::Request, Kind::Response] {
                let pins = |block: &&Block| {
                    block.kind == kind && block.version == version && block.mode == Mode::Values
                };
                assert!(blocks.iter().any(|block| pins(&block)), "{file} {kind:?} v{version}");
            }
        }
    }
}

fn snake(name: &str) -> String {
    let mut snake = String::new();
    for char in name.chars() {
        if char.is_ascii_uppercase() && !snake.is_empty() {
            snake.push('_');
        }
        snake.push(char.to_ascii_lowercase());
    }
    snake
}
