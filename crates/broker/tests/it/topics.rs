//! Topics, partitions, records and configs as admin clients see them.

use protocol::error_code::ErrorCode;
use protocol::messages::create_partitions::{CreatePartitionsRequest, CreatePartitionsTopic};
use protocol::messages::create_topics::{
    CreatableReplicaAssignment, CreatableTopic, CreatableTopicConfig, CreateTopicsRequest,
};
use protocol::messages::delete_records::{
    DeleteRecordsPartition, DeleteRecordsRequest, DeleteRecordsTopic,
};
use protocol::messages::delete_topics::{DeleteTopicState, DeleteTopicsRequest};
use protocol::messages::describe_configs::{
    DescribeConfigsRequest, DescribeConfigsResource, DescribeConfigsResourceResult,
};
use protocol::messages::incremental_alter_configs::{
    AlterConfigsResource, AlterableConfig, IncrementalAlterConfigsRequest,
};
use protocol::messages::metadata::{
    MetadataRequest, MetadataRequestTopic, MetadataResponse, MetadataResponseTopic,
};
use testkit::broker::TestBroker;
use testkit::wire::Wire;

use crate::{batch, make, run, store};

/// Deletes a topic that is there.
pub(crate) async fn delete(wire: &mut Wire, name: &str) {
    let topic = DeleteTopicState { name: Some(name.to_owned()), ..DeleteTopicState::default() };
    let request = DeleteTopicsRequest { topics: vec![topic], ..DeleteTopicsRequest::default() };
    let answer = wire.call(6, &request).await;
    assert_eq!(answer.responses[0].error_code, 0, "{answer:?}");
}

/// What the broker knows of a topic.
pub(crate) async fn look(wire: &mut Wire, name: &str, create: bool) -> MetadataResponseTopic {
    let topic =
        MetadataRequestTopic { name: Some(name.to_owned()), ..MetadataRequestTopic::default() };
    let request = MetadataRequest {
        topics: Some(vec![topic]),
        allow_auto_topic_creation: create,
        ..MetadataRequest::default()
    };
    let mut answer: MetadataResponse = wire.call(12, &request).await;
    answer.topics.remove(0)
}

#[test]
fn asking_for_a_topic_makes_it_only_when_both_sides_agree() {
    run(async {
        let mut broker = TestBroker::start_with(|options| options.partitions_default = 3).await;
        let mut wire = Wire::new(broker.connect().await);
        let missing = ErrorCode::UNKNOWN_TOPIC_OR_PARTITION.0;
        assert_eq!(look(&mut wire, "t", false).await.error_code, missing);
        let made = look(&mut wire, "t", true).await;
        assert_eq!((made.error_code, made.partitions.len()), (0, 3));
        assert_eq!(look(&mut wire, "t", false).await.topic_id, made.topic_id);
        let wrong = look(&mut wire, "a b", true).await;
        assert_eq!(ErrorCode(wrong.error_code), ErrorCode::INVALID_TOPIC_EXCEPTION);
        broker.restart().await;
        let mut wire = Wire::new(broker.connect().await);
        assert_eq!(look(&mut wire, "t", false).await.topic_id, made.topic_id);
        broker.stop().await;

        let broker = TestBroker::start_with(|options| options.auto_create_topics = false).await;
        let mut wire = Wire::new(broker.connect().await);
        assert_eq!(look(&mut wire, "t", true).await.error_code, missing);
        broker.stop().await;
    });
}

#[test]
fn topics_that_cannot_be_made_are_refused_one_by_one() {
    run(async {
        let broker = TestBroker::start().await;
        let mut wire = Wire::new(broker.connect().await);
        make(&mut wire, "there", 1, &[]).await;
        let plain = |name: &str, num_partitions: i32, replication_factor: i16| CreatableTopic {
            name: name.to_owned(),
            num_partitions,
            replication_factor,
            ..CreatableTopic::default()
        };
        let config = |name: &str, value: Option<&str>| CreatableTopic {
            configs: vec![CreatableTopicConfig {
                name: name.to_owned(),
                value: value.map(str::to_owned),
            }],
            ..plain("c", 1, 1)
        };
        let assigned = |partition_index: i32, broker: i32| CreatableTopic {
            assignments: vec![CreatableReplicaAssignment {
                partition_index,
                broker_ids: vec![broker],
            }],
            ..plain("a", -1, -1)
        };
        for (topic, expected) in [
            (plain("there", 1, 1), ErrorCode::TOPIC_ALREADY_EXISTS),
            (plain("a b", 1, 1), ErrorCode::INVALID_TOPIC_EXCEPTION),
            (plain("zero", 0, 1), ErrorCode::INVALID_PARTITIONS),
            (plain("two", 1, 2), ErrorCode::INVALID_REPLICATION_FACTOR),
            (config("no.such", Some("1")), ErrorCode::INVALID_CONFIG),
            (config("retention.ms", Some("x")), ErrorCode::INVALID_CONFIG),
            (config("retention.ms", None), ErrorCode::INVALID_CONFIG),
            (assigned(1, 1), ErrorCode::INVALID_REPLICA_ASSIGNMENT),
            (assigned(0, 9), ErrorCode::INVALID_REPLICA_ASSIGNMENT),
            (assigned(0, 1), ErrorCode::NONE),
            (plain("default", -1, -1), ErrorCode::NONE),
        ] {
            let name = topic.name.clone();
            let request =
                CreateTopicsRequest { topics: vec![topic], ..CreateTopicsRequest::default() };
            let answer = wire.call(7, &request).await;
            let result = &answer.topics[0];
            assert_eq!(ErrorCode(result.error_code), expected, "{name}");
            assert_eq!(result.error_message.is_none(), expected.is_none(), "{name}");
        }
        let dry = CreateTopicsRequest {
            topics: vec![plain("dry", 1, 1)],
            validate_only: true,
            ..CreateTopicsRequest::default()
        };
        assert_eq!(wire.call(7, &dry).await.topics[0].error_code, 0);
        assert_ne!(look(&mut wire, "dry", false).await.error_code, 0);
        let twice = CreateTopicsRequest {
            topics: vec![plain("twice", 1, 1), plain("twice", 2, 1)],
            ..CreateTopicsRequest::default()
        };
        let answer = wire.call(7, &twice).await;
        let codes: Vec<_> = answer.topics.iter().map(|topic| topic.error_code).collect();
        assert_eq!(codes, [ErrorCode::INVALID_REQUEST.0]);
        broker.stop().await;
    });
}

#[test]
fn a_topic_made_again_under_its_old_name_is_empty_and_has_another_id() {
    run(async {
        let mut broker = TestBroker::start().await;
        let mut wire = Wire::new(broker.connect().await);
        make(&mut wire, "t", 1, &[]).await;
        let first = look(&mut wire, "t", false).await.topic_id;
        store(&mut wire, "t", batch(&["a"])).await;
        delete(&mut wire, "t").await;
        make(&mut wire, "t", 1, &[]).await;
        assert_ne!(look(&mut wire, "t", false).await.topic_id, first);
        assert_eq!(store(&mut wire, "t", batch(&["b"])).await.base_offset, 0);
        broker.restart().await;
        let mut wire = Wire::new(broker.connect().await);
        assert_eq!(store(&mut wire, "t", batch(&["c"])).await.base_offset, 1);
        broker.stop().await;
    });
}

#[test]
fn partitions_are_added() {
    run(async {
        let broker = TestBroker::start().await;
        let mut wire = Wire::new(broker.connect().await);
        make(&mut wire, "t", 1, &[]).await;
        for (name, count, expected) in [
            ("t", 1, ErrorCode::INVALID_PARTITIONS),
            ("none", 2, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION),
            ("t", 3, ErrorCode::NONE),
        ] {
            let topic = CreatePartitionsTopic { name: name.to_owned(), count, assignments: None };
            let request = CreatePartitionsRequest {
                topics: vec![topic],
                ..CreatePartitionsRequest::default()
            };
            let answer = wire.call(3, &request).await;
            assert_eq!(ErrorCode(answer.results[0].error_code), expected);
        }
        assert_eq!(look(&mut wire, "t", false).await.partitions.len(), 3);
        broker.stop().await;
    });
}

#[test]
fn deleted_records_are_no_longer_read() {
    run(async {
        let broker = TestBroker::start().await;
        let mut wire = Wire::new(broker.connect().await);
        make(&mut wire, "t", 1, &[]).await;
        for value in ["a", "b", "c"] {
            store(&mut wire, "t", batch(&[value])).await;
        }
        for (offset, expected) in [
            (2, (2, ErrorCode::NONE)),
            (1, (2, ErrorCode::NONE)),
            (4, (-1, ErrorCode::OFFSET_OUT_OF_RANGE)),
            (-1, (3, ErrorCode::NONE)),
        ] {
            let request = DeleteRecordsRequest {
                topics: vec![DeleteRecordsTopic {
                    name: "t".to_owned(),
                    partitions: vec![DeleteRecordsPartition { partition_index: 0, offset }],
                }],
                ..DeleteRecordsRequest::default()
            };
            let answer = wire.call(2, &request).await;
            let result = &answer.topics[0].partitions[0];
            assert_eq!((result.low_watermark, ErrorCode(result.error_code)), expected);
        }
        let answer = wire.call(4, &crate::fetching::fetch("t", 0, 0)).await;
        let code = ErrorCode(answer.responses[0].partitions[0].error_code);
        assert_eq!(code, ErrorCode::OFFSET_OUT_OF_RANGE);
        broker.stop().await;
    });
}

async fn describe(wire: &mut Wire, name: &str, key: &str) -> DescribeConfigsResourceResult {
    let resource = DescribeConfigsResource {
        resource_type: 2,
        resource_name: name.to_owned(),
        configuration_keys: Some(vec![key.to_owned()]),
    };
    let request = DescribeConfigsRequest {
        resources: vec![resource],
        include_synonyms: true,
        include_documentation: true,
    };
    let mut answer = wire.call(4, &request).await;
    answer.results.remove(0).configs.remove(0)
}

async fn alter(wire: &mut Wire, resource: (i8, &str), change: (&str, i8, &str)) -> ErrorCode {
    let (name, config_operation, value) = change;
    let config =
        AlterableConfig { name: name.to_owned(), config_operation, value: Some(value.to_owned()) };
    let request = IncrementalAlterConfigsRequest {
        resources: vec![AlterConfigsResource {
            resource_type: resource.0,
            resource_name: resource.1.to_owned(),
            configs: vec![config],
        }],
        ..IncrementalAlterConfigsRequest::default()
    };
    ErrorCode(wire.call(1, &request).await.responses[0].error_code)
}

#[test]
fn configs_are_changed_and_take_effect_at_once() {
    run(async {
        let mut broker = TestBroker::start().await;
        let mut wire = Wire::new(broker.connect().await);
        make(&mut wire, "t", 1, &[]).await;
        let topic = (2, "t");
        let size = "max.message.bytes";
        assert_eq!(alter(&mut wire, topic, (size, 0, "100")).await, ErrorCode::NONE);
        assert_eq!(alter(&mut wire, topic, (size, 0, "x")).await, ErrorCode::INVALID_CONFIG);
        assert_eq!(alter(&mut wire, topic, (size, 2, "1")).await, ErrorCode::INVALID_CONFIG);
        let large = batch(&["x".repeat(100).as_str()]);
        let refused = store(&mut wire, "t", large.clone()).await;
        assert_eq!(ErrorCode(refused.error_code), ErrorCode::MESSAGE_TOO_LARGE);
        broker.restart().await;
        let mut wire = Wire::new(broker.connect().await);
        let shown = describe(&mut wire, "t", size).await;
        assert_eq!((shown.value.as_deref(), shown.config_source), (Some("100"), 1));
        let sources: Vec<i8> = shown.synonyms.iter().map(|synonym| synonym.source).collect();
        assert_eq!((sources, shown.config_type), (vec![1, 5], 3));
        assert_eq!(alter(&mut wire, topic, (size, 1, "")).await, ErrorCode::NONE);
        assert_eq!(store(&mut wire, "t", large).await.error_code, 0);

        let policy = "cleanup.policy";
        assert_eq!(alter(&mut wire, topic, (policy, 2, "compact")).await, ErrorCode::NONE);
        let shown = describe(&mut wire, "t", policy).await;
        assert_eq!(shown.value.as_deref(), Some("delete,compact"));
        assert_eq!(alter(&mut wire, topic, (policy, 3, "delete")).await, ErrorCode::NONE);
        let shown = describe(&mut wire, "t", policy).await;
        assert_eq!(shown.value.as_deref(), Some("compact"));
        broker.stop().await;
    });
}

#[test]
fn the_brokers_configs_are_the_topics_defaults() {
    run(async {
        let broker = TestBroker::start().await;
        let mut wire = Wire::new(broker.connect().await);
        make(&mut wire, "t", 1, &[]).await;
        let node = (4, "1");
        let set = ("message.max.bytes", 0, "70");
        assert_eq!(alter(&mut wire, node, set).await, ErrorCode::NONE);
        let fixed = ("node.id", 0, "2");
        assert_eq!(alter(&mut wire, node, fixed).await, ErrorCode::INVALID_REQUEST);
        assert_eq!(alter(&mut wire, (4, "2"), set).await, ErrorCode::INVALID_REQUEST);
        let refused = store(&mut wire, "t", batch(&["a longer value"])).await;
        assert_eq!(ErrorCode(refused.error_code), ErrorCode::MESSAGE_TOO_LARGE);
        let shown = describe(&mut wire, "t", "max.message.bytes").await;
        assert_eq!((shown.value.as_deref(), shown.config_source), (Some("70"), 2));
        broker.stop().await;
    });
}

#[test]
fn a_topic_that_is_named_twice_is_not_deleted() {
    run(async {
        let broker = TestBroker::start().await;
        let mut wire = Wire::new(broker.connect().await);
        make(&mut wire, "t", 1, &[]).await;
        let topic = DeleteTopicState { name: Some("t".into()), ..DeleteTopicState::default() };
        let topics = vec![topic.clone(), topic];
        let request = DeleteTopicsRequest { topics, ..DeleteTopicsRequest::default() };
        let answer = wire.call(6, &request).await;
        let codes: Vec<_> = answer.responses.iter().map(|one| one.error_code).collect();
        assert_eq!(codes, [ErrorCode::INVALID_REQUEST.0]);
        assert_eq!(look(&mut wire, "t", false).await.error_code, 0);
        broker.stop().await;
    });
}
