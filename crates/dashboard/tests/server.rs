//! Pages over a real log, and when that has gone away.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use base::clock::SystemClock;
use base::rng::SystemRandom;
use client::{Client, ClientOptions};
use dashboard::{Bound, NodeFigures, Server, ServerOptions, Subject};
use pipeline::engine::PipelineView;
use pipeline::engine::tap::Tap;
use runtime::boot::Executor;
use runtime::stream::plain::PlainStream;
use testkit::broker::TestBroker;

struct Quiet;

impl Subject for Quiet {
    fn ailments(&self) -> Vec<String> {
        Vec::new()
    }

    fn obstacles(&self) -> Vec<String> {
        Vec::new()
    }

    fn pipelines(&self) -> Vec<PipelineView> {
        Vec::new()
    }

    fn node(&self) -> Option<NodeFigures> {
        None
    }

    fn tap(&self, _pipeline: &str, _tap: &Arc<Tap>) -> usize {
        0
    }
}

async fn server(log: Client) -> Server {
    let bound = Bound::at("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let clock = Arc::new(SystemClock::new());
    bound.serve(ServerOptions { version: "1", subject: Arc::new(Quiet), log: Some(log), clock })
}

async fn page(address: SocketAddr, path: &str) -> String {
    let patience = Duration::from_secs(30);
    let mut stream = PlainStream::connect("127.0.0.1", address.port(), patience).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n");
    stream.send(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    while stream.receive(&mut answer).await.unwrap() > 0 {}
    String::from_utf8(answer).unwrap()
}

#[test]
fn a_log_that_is_gone_makes_the_process_unwell_and_the_page_short() {
    Executor::new(2).unwrap().block_on(async {
        let mut broker = TestBroker::start().await;
        let options = ClientOptions {
            retry_total: Duration::from_millis(200),
            ..ClientOptions::memory(broker.connector())
        };
        let (clock, rng) = (Arc::new(SystemClock::new()), Arc::new(SystemRandom));
        let client = Client::connect(options, clock, rng).await.unwrap();
        let server = server(client).await;
        let well = page(server.address(), "/healthz").await;
        assert!(well.starts_with("HTTP/1.1 200"), "{well}");
        let metrics = page(server.address(), "/metrics").await;
        assert!(metrics.contains("text/plain; version=0.0.4"), "{metrics}");
        assert!(metrics.contains("\nkafka_brokers 1.0\n"), "{metrics}");
        broker.halt().await;
        for path in ["/healthz", "/readyz"] {
            let unwell = page(server.address(), path).await;
            assert!(unwell.starts_with("HTTP/1.1 503"), "{unwell}");
            assert!(unwell.contains("the log does not answer"), "{unwell}");
        }
    });
}
