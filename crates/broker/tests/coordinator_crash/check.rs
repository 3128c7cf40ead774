//! What a broker must know after the power was cut: everything that was told, and nothing torn.

use std::collections::BTreeSet;

use protocol::error_code::ErrorCode;
use protocol::messages::describe_groups::DescribeGroupsRequest;
use protocol::messages::fetch::{FetchPartition, FetchRequest, FetchTopic};
use protocol::messages::heartbeat::HeartbeatRequest;
use protocol::messages::list_offsets::{
    ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic,
};
use protocol::messages::offset_fetch::{OffsetFetchRequest, OffsetFetchRequestTopic};
use protocol::record::{Batches, ControlType, control_type};
use runtime::timer;

use crate::session::{PATIENCE, Session};
use crate::work::{
    self, Fate, PARTITIONS, READERS, RECORDS, SUMS, TOPIC, Told, add, end, fresh_id, init, store,
    value,
};

/// Room for everything that a test writes.
const BYTES_MAX: i32 = 1 << 20;

/// Asks for all of it.
pub(crate) async fn all(session: &mut Session, told: &mut Told, context: &str) {
    group(session, told, context).await;
    if told.has_topic {
        fenced(session, told, context).await;
        if told.is_ended {
            // An end that was acknowledged comes about without anybody asking for it.
            settled(session, context).await;
        }
        assert_eq!(init(session, told).await, Some(()), "{context}");
        fenced(session, told, context).await;
        settled(session, context).await;
        transactions(session, told, context).await;
    }
    assert_eq!(fresh_id(session, told).await, Some(()), "{context}");
}

/// The group is as it was, and so is what it has committed.
async fn group(session: &mut Session, told: &mut Told, context: &str) {
    if let Some(known) = &told.generation {
        let request = DescribeGroupsRequest {
            groups: vec![READERS.to_owned()],
            ..DescribeGroupsRequest::default()
        };
        let group = session.call(5, &request).await.groups.remove(0);
        assert_eq!(group.group_state, "Stable", "{context}");
        assert_eq!(group.members.len(), 1, "{context}");
        assert_eq!(group.members[0].member_id, known.member, "{context}");
        assert_eq!(group.members[0].member_assignment, known.assignment, "{context}");
        let request = HeartbeatRequest {
            group_id: READERS.to_owned(),
            generation_id: known.id,
            member_id: known.member.clone(),
            ..HeartbeatRequest::default()
        };
        assert_eq!(session.call(3, &request).await.error_code, 0, "{context}");
    }
    let found = committed(session, READERS, 0, context).await.unwrap_or(0);
    let allowed = told.committed..=told.tried;
    assert!(allowed.contains(&found), "{context}: {found} is committed, not {allowed:?}");
    told.committed = found;
}

/// Nobody who was replaced can do anything.
async fn fenced(session: &mut Session, told: &Told, context: &str) {
    let Some((_, old)) = told.identities.split_last() else {
        return;
    };
    for old in old {
        let code = add(session, *old).await.expect("the broker answers");
        assert!(work::is_fenced(code), "{context}: {old:?} adds partitions: {code}");
        let code = end(session, *old, true).await.expect("the broker answers");
        assert!(work::is_fenced(code), "{context}: {old:?} ends a transaction: {code}");
        let code = store(session, *old, 0, (0, "late")).await.expect("the broker answers");
        assert_ne!(code, ErrorCode::NONE, "{context}: {old:?} writes");
    }
}

/// Waits until no transaction is open in any partition.
async fn settled(session: &mut Session, context: &str) {
    let waiting = timer::timeout(PATIENCE, async {
        for partition in PARTITIONS {
            while end_of(session, partition, 1).await < end_of(session, partition, 0).await {}
        }
    });
    waiting.await.unwrap_or_else(|_| panic!("{context}: a transaction stays open"));
}

/// Every transaction is there with all that it has, or not at all, as its producer was told.
async fn transactions(session: &mut Session, told: &mut Told, context: &str) {
    let mut seen = Vec::new();
    for partition in PARTITIONS {
        seen.push(read_committed(session, partition).await);
    }
    let mut last = None;
    let mut expected = vec![Vec::new(); PARTITIONS.len()];
    for (number, fate) in told.fates.iter_mut().enumerate() {
        let first = value(number, 0, 0);
        let is_there = match *fate {
            Fate::Committed => true,
            Fate::CommitAsked => {
                let is_there = seen[0].contains(&first);
                told.outcomes.insert(is_there);
                is_there
            }
            Fate::Open | Fate::Aborted => false,
        };
        *fate = if is_there { Fate::Committed } else { Fate::Aborted };
        if is_there {
            last = Some(number);
            for (partition, expected) in PARTITIONS.into_iter().zip(&mut expected) {
                expected.extend((0..RECORDS).map(|nth| value(number, partition, nth)));
            }
        }
    }
    assert_eq!(seen, expected, "{context}: {told:?}");
    for partition in PARTITIONS {
        let expected = last.map(|number| work::offset(number, partition));
        let found = committed(session, SUMS, partition, context).await;
        assert_eq!(found, expected, "{context}: offset of {partition}, {told:?}");
    }
}

async fn end_of(session: &mut Session, partition_index: i32, isolation_level: i8) -> i64 {
    let partition =
        ListOffsetsPartition { partition_index, timestamp: -1, ..ListOffsetsPartition::default() };
    let topic = ListOffsetsTopic { name: TOPIC.to_owned(), partitions: vec![partition] };
    let request = ListOffsetsRequest {
        isolation_level,
        topics: vec![topic],
        ..ListOffsetsRequest::default()
    };
    let answer = session.call(5, &request).await.topics.remove(0).partitions.remove(0);
    assert_eq!(answer.error_code, 0);
    answer.offset
}

/// The committed offset that nothing will change any more; waits for the markers.
async fn committed(
    session: &mut Session,
    group: &str,
    partition: i32,
    context: &str,
) -> Option<i64> {
    let topic =
        OffsetFetchRequestTopic { name: TOPIC.to_owned(), partition_indexes: vec![partition] };
    let request = OffsetFetchRequest {
        group_id: group.to_owned(),
        topics: Some(vec![topic]),
        require_stable: true,
        ..OffsetFetchRequest::default()
    };
    let waiting = timer::timeout(PATIENCE, async {
        loop {
            let answer = session.call(7, &request).await.topics.remove(0).partitions.remove(0);
            if ErrorCode(answer.error_code) != ErrorCode::UNSTABLE_OFFSET_COMMIT {
                break answer;
            }
        }
    });
    let answer = waiting.await.unwrap_or_else(|_| panic!("{context}: offsets stay unstable"));
    assert_eq!(answer.error_code, 0, "{context}");
    Some(answer.committed_offset).filter(|offset| *offset >= 0)
}

/// What a consumer of committed records is given, in order.
async fn read_committed(session: &mut Session, partition: i32) -> Vec<String> {
    let partition =
        FetchPartition { partition, partition_max_bytes: BYTES_MAX, ..FetchPartition::default() };
    let topic = FetchTopic {
        topic: TOPIC.to_owned(),
        partitions: vec![partition],
        ..FetchTopic::default()
    };
    let request = FetchRequest {
        max_bytes: BYTES_MAX,
        isolation_level: 1,
        topics: vec![topic],
        ..FetchRequest::default()
    };
    let answer = session.call(4, &request).await.responses.remove(0).partitions.remove(0);
    assert_eq!(answer.error_code, 0);
    let mut aborted = answer.aborted_transactions.unwrap_or_default();
    let mut skipped = BTreeSet::new();
    let mut values = Vec::new();
    let bytes = answer.records.expect("there are records").to_bytes().expect("records can be read");
    for batch in Batches::new(bytes) {
        let batch = batch.expect("every batch is whole");
        let header = batch.header();
        aborted.retain(|it| {
            let begins = it.first_offset <= header.last_offset();
            if begins {
                skipped.insert(it.producer_id);
            }
            !begins
        });
        let decoded = batch.decode(1 << 20).expect("every batch can be read");
        for record in decoded.iter() {
            let record = record.expect("every record is whole");
            if header.is_control() {
                if control_type(&record) == Ok(ControlType::Abort) {
                    skipped.remove(&header.producer_id);
                }
            } else if !skipped.contains(&header.producer_id) {
                let value = record.value.expect("every record has a value");
                values.push(String::from_utf8_lossy(value).into_owned());
            }
        }
    }
    values
}
