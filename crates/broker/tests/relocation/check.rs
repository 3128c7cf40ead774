//! What a broker must know after its folder was raised, however often that was cut off.

use base::disk::MemoryDisk;
use broker::Durability;
use protocol::error_code::ErrorCode;
use protocol::record::ProducerIdentity;

use crate::ask;
use crate::folder::{self, ABORTED, ANNOUNCED, COMPLETE, DECIDED, HELD, MEMBER, OPEN, PREPARED};

/// Starts a broker over the folder, asks for all of it, goes on with what is open, and looks at
/// what lies where; then the same of a second start.
pub(crate) async fn all(disk: &MemoryDisk, context: &str) {
    let running = crate::start(disk, Durability::Flush).await;
    let running = running.unwrap_or_else(|error| panic!("{context}: {error}"));
    let mut wire = ask::wire(&running).await;
    groups(&mut wire, context).await;
    let stays = ask::fetched(&mut wire, "orders").await;
    assert_eq!(stays, Err(ErrorCode::UNSTABLE_OFFSET_COMMIT), "{context}: it is open");

    assert_eq!(ask::end(&mut wire, OPEN, true).await, ErrorCode::NONE, "{context}");
    assert_eq!(ask::settled(&mut wire, "orders").await, HELD, "{context}");
    let sent = ask::commit_in(&mut wire, ANNOUNCED, "billing", 6).await;
    assert_eq!(sent, ErrorCode::NONE, "{context}");
    assert_eq!(ask::end(&mut wire, ANNOUNCED, true).await, ErrorCode::NONE, "{context}");
    assert_eq!(ask::settled(&mut wire, "billing").await, 6, "{context}");
    identities(&mut wire, context).await;
    ask::commit(&mut wire, "my-group", 12).await;
    running.stop().await.unwrap_or_else(|error| panic!("{context}: {error}"));

    let hanging = folder::hanging(disk);
    assert!(hanging.is_empty(), "{context}: transactions hang in {hanging:?}");
    assert_eq!(folder::strays(disk), 0, "{context}: something lives elsewhere");
    again(disk, context).await;
}

async fn groups(wire: &mut testkit::wire::Wire, context: &str) {
    let names = ["a", "billing", "machine-health", "my-group", "orders", "pipeline-0"];
    let found = ask::groups(wire).await;
    assert_eq!(found, names.map(str::to_owned).into(), "{context}");
    assert_eq!(ask::beat(wire, "billing", 4, MEMBER).await, ErrorCode::NONE, "{context}");
    let offsets = [
        ask::fetched_at(wire, "billing", 0).await,
        ask::fetched_at(wire, "billing", 1).await,
        ask::fetched_at(wire, "billing", 2).await,
    ];
    let expected = [Ok((5, "noted".to_owned())), Ok((8, String::new())), Ok((-1, String::new()))];
    assert_eq!(offsets, expected, "{context}: a newer one, another, and one that was deleted");
    assert_eq!(ask::fetched(wire, "a").await, Ok(1), "{context}");
    assert_eq!(ask::fetched(wire, "my-group").await, Ok(11), "{context}");
    assert_eq!(ask::settled(wire, "machine-health").await, PREPARED, "{context}: decided");
    assert_eq!(ask::settled(wire, "pipeline-0").await, 2, "{context}: aborted");
}

/// Transactional ids go on where they were, and those that are gone begin anew.
async fn identities(wire: &mut testkit::wire::Wire, context: &str) {
    // Whoever takes over is answered when what was under way has all of its markers.
    for (id, producer) in [OPEN, ANNOUNCED, DECIDED, ABORTED, COMPLETE] {
        let next = ProducerIdentity { epoch: producer.epoch + 1, ..producer };
        assert_eq!(ask::init(wire, id).await, next, "{context}: {id}");
    }
    let fenced = ask::end(wire, COMPLETE, true).await;
    assert_ne!(fenced, ErrorCode::NONE, "{context}");
    let (id, producer) = folder::FORGOTTEN;
    assert_ne!(ask::init(wire, id).await.id, producer.id, "{context}");
}

/// A second start finds the same.
async fn again(disk: &MemoryDisk, context: &str) {
    let running = crate::start(disk, Durability::Flush).await;
    let running = running.unwrap_or_else(|error| panic!("{context}: {error}"));
    let mut wire = ask::wire(&running).await;
    let groups = [
        ("billing", 6),
        ("orders", HELD),
        ("machine-health", PREPARED),
        ("pipeline-0", 2),
        ("a", 1),
        ("my-group", 12),
    ];
    for (group, offset) in groups {
        assert_eq!(ask::settled(&mut wire, group).await, offset, "{context}: {group} again");
    }
    let (id, producer) = OPEN;
    let next = ProducerIdentity { epoch: producer.epoch + 2, ..producer };
    assert_eq!(ask::init(&mut wire, id).await, next, "{context}");
    running.stop().await.unwrap_or_else(|error| panic!("{context}: {error}"));
}
