//! Answers to produce requests that wait for the owner of a transactional producer.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use protocol::messages::produce::{ProduceRequest, ProduceResponse};
use runtime::channel::Notify;

use crate::connection::decode;
use crate::error::ClientError;
use crate::producer::wire::Sent;

/// The answers; at most as many as requests are in flight.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    answers: Mutex<VecDeque<Answer>>,
    arrived: Notify,
}

/// The answer to one request.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) request: u64,
    pub(super) sent: Sent,
    version: i16,
    frame: Result<Bytes, ClientError>,
}

impl Answer {
    pub(super) fn new(request: u64, sent: Sent) -> Self {
        let frame = Err(ClientError::Disconnected { peer: String::new() });
        Self { request, sent, version: 0, frame }
    }

    pub(super) fn open(self) -> (u64, Sent, Result<ProduceResponse, ClientError>) {
        let response = self.frame.and_then(|frame| decode::<ProduceRequest>(&frame, self.version));
        (self.request, self.sent, response)
    }
}

/// Puts the answer into the inbox whatever happens, so that nothing is waited for in vain.
pub(super) struct Ticket {
    inbox: Arc<Inbox>,
    answer: Option<Answer>,
}

impl Ticket {
    pub(super) fn new(inbox: &Arc<Inbox>, answer: Answer) -> Self {
        Self { inbox: Arc::clone(inbox), answer: Some(answer) }
    }

    pub(super) fn redeem(mut self, frame: Result<Bytes, ClientError>, version: i16) {
        if let Some(answer) = &mut self.answer {
            answer.frame = frame;
            answer.version = version;
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if let Some(answer) = self.answer.take() {
            self.inbox.put(answer);
        }
    }
}

impl Inbox {
    fn put(&self, answer: Answer) {
        self.answers.lock().expect("no holder of the answers panics").push_back(answer);
        self.arrived.notify_one();
    }

    pub(super) fn take(&self) -> Option<Answer> {
        self.answers.lock().expect("no holder of the answers panics").pop_front()
    }

    pub(super) async fn arrival(&self) {
        self.arrived.notified().await;
    }
}
