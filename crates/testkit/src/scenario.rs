//! One list of scenarios for every cluster: our broker in memory and on TCP, and Apache Kafka.
//!
//! A scenario makes topics of its own, so that it can run beside others and twice on one cluster.
//! It asserts what must hold and returns the client's error where one call failed.

mod admin;
mod consume;
pub mod faulty;
mod group;
mod produce;
mod transact;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use base::clock::{Clock, SystemClock};
use base::rng::{Random, SystemRandom};
use bytes::Bytes;
use client::admin::TopicSpec;
use client::options::ConsumerOptions;
use client::{Client, ClientError, ClientOptions, Consumer};
use runtime::timer;

/// Where a scenario runs.
#[derive(Debug, Clone)]
pub struct Cluster {
    /// How it is reached.
    pub options: ClientOptions,
}

/// What a scenario comes to.
pub type Outcome = Pin<Box<dyn Future<Output = Result<(), ClientError>> + Send>>;

/// A scenario and its name.
#[derive(Clone, Copy)]
pub struct Scenario {
    /// What it shows, as a sentence.
    pub name: &'static str,
    /// Runs it.
    pub run: fn(Cluster) -> Outcome,
}

impl std::fmt::Debug for Scenario {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

macro_rules! scenarios {
    ($($module:ident: $($name:ident),+ ;)+) => {
        vec![$($(Scenario {
            name: stringify!($name),
            run: |cluster| Box::pin($module::$name(cluster)),
        }),+),+]
    };
}

/// All scenarios.
#[must_use]
pub fn all() -> Vec<Scenario> {
    scenarios![
        admin:
            topics_are_created_described_altered_and_deleted,
            a_topic_that_exists_is_told_apart,
            offsets_are_found_by_time_and_at_both_ends,
            records_can_be_deleted_up_to_an_offset,
            committed_offsets_come_back_and_a_group_can_be_deleted;
        produce:
            records_of_every_codec_come_back_in_order,
            keys_go_where_java_puts_them,
            deliveries_tell_offsets_without_a_gap,
            large_records_and_many_partitions_arrive,
            acknowledgements_can_be_waived;
        consume:
            a_position_outside_the_log_is_an_error_and_a_seek_helps,
            a_paused_partition_rests_and_goes_on,
            an_empty_poll_returns_in_time,
            a_long_wait_at_the_broker_ends_with_a_record_and_with_a_change_of_mind;
        transact:
            an_issued_identity_writes_until_the_next_one_is_issued,
            committed_records_are_seen_and_aborted_ones_are_not,
            offsets_count_with_the_transaction_and_stable_reads_wait,
            a_newer_producer_fences_the_older_one,
            an_empty_transaction_costs_nothing,
            many_small_transactions_keep_their_order,
            whole_batches_are_passed_on,
            a_fence_aborts_what_was_open,
            a_transaction_that_is_too_slow_is_given_up;
        group:
            members_share_the_partitions_and_take_over_from_who_leaves,
            a_group_goes_on_where_it_stopped;
        faulty:
            records_arrive_once_and_in_order_though_connections_break,
            transactions_count_once_though_connections_break;
    ]
}

impl Cluster {
    /// A client of the cluster.
    ///
    /// # Errors
    /// Why it cannot be reached.
    pub async fn client(&self) -> Result<Client, ClientError> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        Client::connect(self.options.clone(), clock, Arc::new(SystemRandom)).await
    }
}

/// A name that no other scenario uses.
pub(crate) fn fresh(prefix: &str) -> String {
    format!("{prefix}-{:016x}", SystemRandom.next_u64())
}

/// A timestamp of a moment ago: brokers delete what is older than a week.
pub(crate) fn recent() -> i64 {
    SystemClock::new().unix_ms() - 60_000
}

/// A topic that no other scenario uses.
pub(crate) async fn fresh_topic(client: &Client, partitions: i32) -> Result<String, ClientError> {
    let name = fresh("scenario");
    client.admin().create_topics(&[TopicSpec::new(&name, partitions)]).await?;
    Ok(name)
}

/// A record that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Read {
    pub(crate) partition: i32,
    pub(crate) offset: i64,
    pub(crate) timestamp: i64,
    pub(crate) key: Option<Bytes>,
    pub(crate) value: Option<Bytes>,
    pub(crate) headers: Vec<(Bytes, Option<Bytes>)>,
}

/// Decompressed bytes of a batch that the scenarios accept.
const DECOMPRESSED_BYTES_MAX: usize = 64 << 20;

/// How long a scenario waits for records that it knows to be there.
const PATIENCE: Duration = Duration::from_secs(30);

/// Polls until there are at least `count` records; gives what there is when patience ends.
pub(crate) async fn read(consumer: &mut Consumer, count: usize) -> Result<Vec<Read>, ClientError> {
    let deadline = timer::now() + PATIENCE;
    let mut records = Vec::new();
    while records.len() < count && timer::now() < deadline {
        read_once(consumer, Duration::from_millis(500), &mut records).await?;
    }
    Ok(records)
}

/// Polls once.
pub(crate) async fn read_once(
    consumer: &mut Consumer,
    wait: Duration,
    records: &mut Vec<Read>,
) -> Result<(), ClientError> {
    for fetched in consumer.poll(wait).await? {
        for batch in &fetched.batches {
            let decoded = batch.decode(DECOMPRESSED_BYTES_MAX).expect("the batch is sound");
            for record in &decoded {
                let record = record.expect("the record is sound");
                if record.offset < fetched.from {
                    continue;
                }
                let share = |part: &[u8]| Bytes::copy_from_slice(part);
                records.push(Read {
                    partition: fetched.partition,
                    offset: record.offset,
                    timestamp: record.timestamp,
                    key: record.key.map(share),
                    value: record.value.map(share),
                    headers: record
                        .headers
                        .iter()
                        .map(|(name, value)| (share(name), value.map(share)))
                        .collect(),
                });
            }
        }
    }
    Ok(())
}

/// A consumer of all partitions of a topic from their start.
pub(crate) async fn reader(
    client: &Client,
    topic: &str,
    options: ConsumerOptions,
) -> Result<Consumer, ClientError> {
    let count = client.topic(topic).await?.partition_count();
    let mut consumer = client.consumer(options);
    consumer.assign((0..count).map(|partition| (topic, partition, 0)));
    Ok(consumer)
}
