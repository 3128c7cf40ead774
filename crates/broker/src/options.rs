//! What a broker is told when it starts.

use std::net::SocketAddr;
use std::path::PathBuf;

/// When an append counts as done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// When it is on disk.
    Flush,
    /// When the operating system has it; a power cut may lose what was acknowledged.
    Os,
}

/// Options of a broker.
#[derive(Debug, Clone)]
pub struct BrokerOptions {
    /// The data folder; `log/` and `lock` are made inside.
    pub data_dir: PathBuf,
    /// Where to listen; port 0 takes a free one, `None` serves the memory connector alone.
    pub listen: Option<SocketAddr>,
    /// Host and port that clients are told; `None` tells the address listened on.
    pub advertise: Option<(String, u16)>,
    /// When an append counts as done.
    pub durability: Durability,
    /// This broker's id.
    pub node_id: i32,
    /// Whether asking for the metadata of a missing topic makes it, where the client agrees.
    pub auto_create_topics: bool,
    /// Partitions of a topic that is made without a number.
    pub partitions_default: i32,
    /// Partitions of `__consumer_offsets`.
    pub offsets_topic_partitions: i32,
    /// Partitions of `__transaction_state`.
    pub transaction_topic_partitions: i32,
    /// How long the first rebalance of an empty group waits for more members, in milliseconds.
    pub group_initial_rebalance_delay_ms: u64,
    /// Largest transaction timeout that a producer may ask for, in milliseconds.
    pub transaction_timeout_ms_max: i32,
    /// Free bytes of the disk below which clients' appends are refused.
    pub free_bytes_min: u64,
    /// Time between two rounds of retention, cleaning and checkpoints, in milliseconds.
    pub maintenance_interval_ms: u64,
}

impl BrokerOptions {
    /// Kafka's defaults where it has them, over this folder, reached through memory only.
    #[must_use]
    pub fn new(data_dir: PathBuf) -> Self {
        Self {
            data_dir,
            listen: None,
            advertise: None,
            durability: Durability::Flush,
            node_id: 1,
            auto_create_topics: true,
            partitions_default: 1,
            offsets_topic_partitions: 50,
            transaction_topic_partitions: 50,
            group_initial_rebalance_delay_ms: 0,
            transaction_timeout_ms_max: 15 * 60 * 1000,
            free_bytes_min: 64 << 20,
            maintenance_interval_ms: 1_000,
        }
    }
}
