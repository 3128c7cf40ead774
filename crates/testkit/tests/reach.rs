//! What a client says of an address that does not lead to Kafka.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use base::chunk::Chunk;
use base::clock::SystemClock;
use base::rng::SystemRandom;
use bytes::Bytes;
use client::{Client, ClientError, ClientOptions};
use runtime::boot::Executor;
use runtime::stream::{Connection, Listener, MemoryConnector};
use runtime::task;
use testkit::broker::TestBroker;

fn run<F: Future>(future: F) -> F::Output {
    Executor::local().expect("a thread can wait").block_on(future)
}

async fn connect(options: ClientOptions) -> Result<Client, ClientError> {
    Client::connect(options, Arc::new(SystemClock::new()), Arc::new(SystemRandom)).await
}

fn hasty(options: ClientOptions) -> ClientOptions {
    ClientOptions {
        connect_timeout: Duration::from_millis(500),
        retry_total: Duration::from_millis(200),
        ..options
    }
}

async fn loopback() -> (Listener, u16) {
    let free = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let listener = Listener::tcp(free).await.expect("a port is free");
    let port = listener.address().expect("a socket has an address").port();
    (listener, port)
}

/// Answers each connection with what `serve` does.
fn listen<F>(mut listener: Listener, serve: impl Fn(Connection) -> F + Send + Sync + 'static)
where
    F: Future<Output = ()> + Send + 'static,
{
    task::spawn("peer", async move {
        while let Ok(Some(connection)) = listener.accept().await {
            task::spawn("peer-connection", serve(connection));
        }
    });
}

async fn peer<F>(serve: impl Fn(Connection) -> F + Send + Sync + 'static) -> MemoryConnector
where
    F: Future<Output = ()> + Send + 'static,
{
    let (connector, listener) = Listener::memory();
    listen(listener, serve);
    connector
}

#[test]
fn nobody_listens() {
    run(async {
        let (listener, port) = loopback().await;
        drop(listener);
        let error = connect(hasty(ClientOptions::tcp("127.0.0.1", port))).await.unwrap_err();
        assert!(matches!(&error, ClientError::Unreachable { .. }), "{error}");
        assert!(error.to_string().contains(&port.to_string()), "{error}");
    });
}

#[test]
fn the_second_address_is_tried_when_the_first_is_dead() {
    run(async {
        let broker = TestBroker::start().await;
        let (listener, dead) = loopback().await;
        drop(listener);
        let host = || "127.0.0.1".to_owned();
        let addresses = vec![(host(), dead), (host(), broker.address().port())];
        let bootstrap = client::Bootstrap::Tcp(addresses);
        assert!(connect(hasty(ClientOptions::new(bootstrap))).await.is_ok());
        broker.stop().await;
    });
}

#[test]
fn a_peer_that_hangs_up_at_once_probably_wants_tls() {
    run(async {
        let connector = peer(|connection| async move { drop(connection) }).await;
        let error = connect(hasty(ClientOptions::memory(connector))).await.unwrap_err();
        assert!(matches!(&error, ClientError::ClosedAtOnce { .. }), "{error}");
        let (listener, port) = loopback().await;
        listen(listener, |connection| async move {
            drop(connection.split().0.read(1000).await);
        });
        let error = connect(hasty(ClientOptions::tcp("127.0.0.1", port))).await.unwrap_err();
        assert!(matches!(&error, ClientError::ClosedAtOnce { .. }), "{error}");
    });
}

#[test]
fn a_peer_that_speaks_something_else_is_no_kafka() {
    run(async {
        let connector = peer(|connection| async move {
            let (mut reader, mut writer) = connection.split();
            while let Ok(Some(frame)) = reader.read(1000).await {
                // The right correlation id, and then nonsense.
                let mut answer = frame[4..8].to_vec();
                answer.extend_from_slice(b"HTTP/1.1 400 Bad Request");
                if writer.write(&[Chunk::Bytes(Bytes::from(answer))]).await.is_err() {
                    break;
                }
            }
        })
        .await;
        let error = connect(hasty(ClientOptions::memory(connector))).await.unwrap_err();
        assert!(matches!(&error, ClientError::NotKafka { .. }), "{error}");
    });
}

#[test]
fn a_peer_that_says_nothing_is_given_up_in_time() {
    run(async {
        let connector = peer(|connection| async move {
            let (mut reader, _writer) = connection.split();
            while let Ok(Some(_)) = reader.read(1000).await {}
        })
        .await;
        let error = connect(hasty(ClientOptions::memory(connector))).await.unwrap_err();
        assert!(matches!(&error, ClientError::TimedOut { .. }), "{error}");
    });
}

#[test]
fn an_advertised_address_that_does_not_work_is_named() {
    run(async {
        let (listener, dead) = loopback().await;
        drop(listener);
        let broker = TestBroker::start_with(|options| {
            options.advertise = Some(("127.0.0.1".to_owned(), dead));
        })
        .await;
        let options = ClientOptions::tcp("127.0.0.1", broker.address().port());
        let error = connect(hasty(options)).await.unwrap_err();
        let is_named = matches!(
            &error,
            ClientError::AdvertisedUnreachable { host, port, .. }
                if host == "127.0.0.1" && *port == dead
        );
        assert!(is_named, "{error}");
        broker.stop().await;
    });
}
