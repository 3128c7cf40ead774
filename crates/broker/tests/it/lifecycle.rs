//! Starting, ending, and what lies in the folder in between.

use base::disk::{Disk as _, RealDisk};
use broker::Error;
use protocol::error_code::ErrorCode;
use testkit::broker::TestBroker;
use testkit::wire::Wire;

use crate::{batch, make, run, store};

#[test]
fn a_folder_in_use_names_its_holder() {
    run(async {
        let broker = TestBroker::start().await;
        let error = broker.try_run().await.unwrap_err();
        let Error::FolderInUse { dir, pid } = &error else { panic!("{error}") };
        assert_eq!((dir, *pid), (&broker.dir(), Some(std::process::id())));
        broker.stop().await;
    });
}

#[test]
fn a_clean_end_leaves_its_mark_and_every_record() {
    run(async {
        let mut broker = TestBroker::start().await;
        let mut wire = Wire::new(broker.connect().await);
        make(&mut wire, "t", 3, &[]).await;
        store(&mut wire, "t", batch(&["a", "b"])).await;
        let cluster = broker.running().view().cluster_id;
        broker.halt().await;
        let log = broker.dir().join("log");
        for name in [".kafka_cleanshutdown", "meta.properties", "t-0", "t-2"] {
            assert!(RealDisk.exists(&log.join(name)), "{name}");
        }
        broker.run().await;
        assert_eq!(broker.running().view().cluster_id, cluster);
        let mut wire = Wire::new(broker.connect().await);
        assert_eq!(store(&mut wire, "t", batch(&["c"])).await.base_offset, 2);
        broker.stop().await;
    });
}

#[test]
fn internal_topics_get_their_files_when_they_are_written() {
    run(async {
        let broker = TestBroker::start().await;
        let mut wire = Wire::new(broker.connect().await);
        let made = crate::topics::look(&mut wire, "__consumer_offsets", true).await;
        assert_eq!((made.partitions.len(), made.is_internal), (50, true));
        let folder = broker.dir().join("log").join("__consumer_offsets-0");
        assert!(!RealDisk.exists(&folder));
        broker.stop().await;
    });
}

#[test]
fn a_disk_that_is_nearly_full_refuses_records_and_keeps_the_rest_going() {
    run(async {
        let broker = TestBroker::start_with(|options| options.free_bytes_min = u64::MAX).await;
        let mut wire = Wire::new(broker.connect().await);
        make(&mut wire, "t", 1, &[]).await;
        let refused = store(&mut wire, "t", batch(&["a"])).await;
        assert_eq!(ErrorCode(refused.error_code), ErrorCode::KAFKA_STORAGE_ERROR);
        // The metadata log is written all the same.
        make(&mut wire, "u", 1, &[]).await;
        broker.stop().await;
    });
}
