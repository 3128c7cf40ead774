//! Telling the appender of a record what became of it; one channel per batch, not per record.

use std::sync::Arc;

use base::cast;
use runtime::channel::{WatchReceiver, WatchSender, watch};

use crate::error::ClientError;

type BatchResult = Option<Result<i64, ClientError>>;

/// The sending end, which travels with a batch.
#[derive(Debug)]
pub(crate) struct Token {
    topic: Arc<str>,
    partition: usize,
    sender: WatchSender<BatchResult>,
}

/// Tells what becomes of one record.
#[derive(Debug)]
pub struct Delivery {
    topic: Arc<str>,
    partition: i32,
    index: i64,
    receiver: WatchReceiver<BatchResult>,
}

/// Where a record was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivered {
    /// Name of the topic.
    pub topic: Arc<str>,
    /// The partition.
    pub partition: i32,
    /// The offset; -1 where the broker does not tell (acks 0, or a repetition of an old batch).
    pub offset: i64,
}

impl Token {
    pub(crate) fn new(topic: Arc<str>, partition: usize) -> Self {
        let (sender, _) = watch(None);
        Self { topic, partition, sender }
    }

    pub(crate) fn topic(&self) -> &str {
        &self.topic
    }

    pub(crate) fn partition(&self) -> i32 {
        cast::i32_of(self.partition)
    }

    pub(crate) fn delivery(&self, index: i64) -> Delivery {
        Delivery {
            topic: Arc::clone(&self.topic),
            partition: self.partition(),
            index,
            receiver: self.sender.subscribe(),
        }
    }

    pub(crate) fn finish(self, result: Result<i64, ClientError>) {
        self.sender.send_replace(Some(result));
    }
}

impl Delivery {
    /// Waits until the record is written or has failed.
    ///
    /// # Errors
    /// Why it was not written; [`ClientError::Closed`] when the producer was dropped before.
    pub async fn wait(mut self) -> Result<Delivered, ClientError> {
        let result = match self.receiver.wait_for(Option::is_some).await {
            Ok(result) => result.clone(),
            Err(_) => None,
        };
        let base = result.unwrap_or(Err(ClientError::Closed))?;
        let offset = if base < 0 { -1 } else { base + self.index };
        Ok(Delivered { topic: self.topic, partition: self.partition, offset })
    }
}
