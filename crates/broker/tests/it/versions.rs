//! Every key in every version gets an answer that can be read in that version.

use protocol::api::{ApiKey, Request};
use protocol::error_code::ErrorCode;
use protocol::messages::api_versions::{ApiVersionsRequest, ApiVersionsResponse};
use protocol::messages::create_partitions::{CreatePartitionsRequest, CreatePartitionsTopic};
use protocol::messages::create_topics::{CreatableTopic, CreateTopicsRequest};
use protocol::messages::delete_records::{
    DeleteRecordsPartition, DeleteRecordsRequest, DeleteRecordsTopic,
};
use protocol::messages::delete_topics::{DeleteTopicState, DeleteTopicsRequest};
use protocol::messages::describe_cluster::DescribeClusterRequest;
use protocol::messages::describe_configs::{DescribeConfigsRequest, DescribeConfigsResource};
use protocol::messages::fetch::{FetchPartition, FetchRequest, FetchTopic};
use protocol::messages::incremental_alter_configs::{
    AlterConfigsResource, AlterableConfig, IncrementalAlterConfigsRequest,
};
use protocol::messages::list_offsets::{
    ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic,
};
use protocol::messages::metadata::{MetadataRequest, MetadataRequestTopic};
use protocol::messages::offset_for_leader_epoch::{
    OffsetForLeaderEpochRequest, OffsetForLeaderPartition, OffsetForLeaderTopic,
};
use protocol::messages::sasl_authenticate::SaslAuthenticateRequest;
use protocol::messages::sasl_handshake::SaslHandshakeRequest;
use protocol::wire::{Message as _, Reader};
use testkit::broker::TestBroker;
use testkit::wire::{Wire, head};

use crate::{batch, make, produce, run};

/// Sends what `make` gives in each version and reads the answer in the same.
async fn speak<R: Request>(wire: &mut Wire, mut request: impl FnMut(i16) -> R) {
    for version in R::KEY.version_min()..=R::KEY.version_max() {
        let _answer: R::Response = wire.call(version, &request(version)).await;
    }
}

fn name(text: &str, version: i16, until: i16) -> String {
    if version <= until { text.to_owned() } else { String::new() }
}

#[test]
fn what_is_written_and_read_is_answered_in_every_version() {
    run(async {
        let broker = TestBroker::start().await;
        let mut wire = Wire::new(broker.connect_memory().await);
        make(&mut wire, "t", 1, &[]).await;
        speak(&mut wire, |version| {
            let mut request = produce("t", 1, Some(batch(&["a"])));
            request.topic_data[0].name = name("t", version, 12);
            request
        })
        .await;
        speak(&mut wire, |version| FetchRequest {
            max_bytes: 1000,
            isolation_level: 1,
            topics: vec![FetchTopic {
                topic: name("t", version, 12),
                partitions: vec![FetchPartition {
                    partition_max_bytes: 1000,
                    ..FetchPartition::default()
                }],
                ..FetchTopic::default()
            }],
            ..FetchRequest::default()
        })
        .await;
        speak(&mut wire, |_| ListOffsetsRequest {
            topics: vec![ListOffsetsTopic {
                name: "t".to_owned(),
                partitions: vec![ListOffsetsPartition::default()],
            }],
            ..ListOffsetsRequest::default()
        })
        .await;
        speak(&mut wire, |_| OffsetForLeaderEpochRequest {
            topics: vec![OffsetForLeaderTopic {
                topic: "t".to_owned(),
                partitions: vec![OffsetForLeaderPartition::default()],
            }],
            ..OffsetForLeaderEpochRequest::default()
        })
        .await;
        speak(&mut wire, |_| DeleteRecordsRequest {
            topics: vec![DeleteRecordsTopic {
                name: "t".to_owned(),
                partitions: vec![DeleteRecordsPartition { partition_index: 0, offset: 1 }],
            }],
            ..DeleteRecordsRequest::default()
        })
        .await;
        broker.stop().await;
    });
}

#[test]
fn topics_and_configs_are_answered_in_every_version() {
    run(async {
        let broker = TestBroker::start().await;
        let mut wire = Wire::new(broker.connect_memory().await);
        speak(&mut wire, |version| CreateTopicsRequest {
            topics: vec![CreatableTopic {
                name: format!("t{version}"),
                num_partitions: 2,
                replication_factor: -1,
                ..CreatableTopic::default()
            }],
            ..CreateTopicsRequest::default()
        })
        .await;
        speak(&mut wire, |_| MetadataRequest {
            topics: Some(vec![MetadataRequestTopic {
                name: Some("t7".to_owned()),
                ..MetadataRequestTopic::default()
            }]),
            allow_auto_topic_creation: true,
            ..MetadataRequest::default()
        })
        .await;
        speak(&mut wire, |version| CreatePartitionsRequest {
            topics: vec![CreatePartitionsTopic {
                name: "t7".to_owned(),
                count: 3 + i32::from(version),
                assignments: None,
            }],
            ..CreatePartitionsRequest::default()
        })
        .await;
        speak(&mut wire, |_| DescribeConfigsRequest {
            resources: [(2, "t7"), (4, "1"), (4, ""), (2, "none")]
                .map(|(resource_type, name)| DescribeConfigsResource {
                    resource_type,
                    resource_name: name.to_owned(),
                    configuration_keys: None,
                })
                .into(),
            include_synonyms: true,
            ..DescribeConfigsRequest::default()
        })
        .await;
        speak(&mut wire, |_| IncrementalAlterConfigsRequest {
            resources: vec![AlterConfigsResource {
                resource_type: 2,
                resource_name: "t7".to_owned(),
                configs: vec![AlterableConfig {
                    name: "retention.ms".to_owned(),
                    config_operation: 0,
                    value: Some("5".to_owned()),
                }],
            }],
            ..IncrementalAlterConfigsRequest::default()
        })
        .await;
        speak(&mut wire, |version| DeleteTopicsRequest {
            topics: if version < 6 {
                Vec::new()
            } else {
                vec![DeleteTopicState { name: Some("t7".into()), ..DeleteTopicState::default() }]
            },
            topic_names: if version < 6 { vec![format!("t{version}")] } else { Vec::new() },
            ..DeleteTopicsRequest::default()
        })
        .await;
        broker.stop().await;
    });
}

#[test]
fn the_rest_is_answered_in_every_version() {
    run(async {
        let broker = TestBroker::start().await;
        let mut wire = Wire::new(broker.connect_memory().await);
        speak(&mut wire, |version| ApiVersionsRequest {
            client_software_name: if version < 3 { String::new() } else { "test".to_owned() },
            client_software_version: if version < 3 { String::new() } else { "1".to_owned() },
        })
        .await;
        speak(&mut wire, |_| DescribeClusterRequest::default()).await;
        for version in 0..=1 {
            let answer = wire.call(version, &SaslHandshakeRequest::default()).await;
            assert_eq!(answer.error_code, ErrorCode::ILLEGAL_SASL_STATE.0);
        }
        for version in 0..=2 {
            let answer = wire.call(version, &SaslAuthenticateRequest::default()).await;
            assert_eq!(answer.error_code, ErrorCode::ILLEGAL_SASL_STATE.0);
        }
        broker.stop().await;
    });
}

#[test]
fn an_unknown_version_of_api_versions_is_answered_in_version_0() {
    run(async {
        let broker = TestBroker::start().await;
        let mut wire = Wire::new(broker.connect_memory().await);
        wire.send_bytes(head(ApiKey::ApiVersions, 77, 5).into_bytes()).await;
        let frame = wire.frame().await.unwrap();
        let mut reader = Reader::new(&frame);
        assert_eq!(reader.int32(), Ok(5));
        let answer = ApiVersionsResponse::decode(&mut reader, 0).unwrap();
        reader.finish().unwrap();
        assert_eq!(answer.error_code, ErrorCode::UNSUPPORTED_VERSION.0);
        let range = &answer.api_keys[0];
        assert_eq!((range.api_key, range.min_version, range.max_version), (18, 0, 4));
        // The connection goes on: this is how clients of the future fall back.
        let request = ApiVersionsRequest::default();
        assert_eq!(wire.call(0, &request).await.api_keys.len(), 31);
        broker.stop().await;
    });
}

#[test]
fn an_unknown_key_or_version_ends_the_connection() {
    run(async {
        let broker = TestBroker::start().await;
        // Produce 2, Fetch 2, Metadata 50, StopReplica and a key that nobody has.
        for (key, version) in [(0, 2), (1, 2), (3, 50), (5, 0), (22, 6), (9999, 0)] {
            let mut wire = Wire::new(broker.connect().await);
            let mut frame = vec![];
            frame.extend(i16::to_be_bytes(key));
            frame.extend(i16::to_be_bytes(version));
            frame.extend([0, 0, 0, 1, 0xff, 0xff, 0, 0, 0, 0]);
            wire.send_bytes(frame.into()).await;
            assert_eq!(wire.frame().await, None, "key {key} version {version}");
        }
        broker.stop().await;
    });
}
