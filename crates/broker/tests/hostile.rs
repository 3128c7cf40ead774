//! Requests that nobody sends in good faith: none of them may shake the broker.
//!
//! The seeds are the golden requests of every key and version; each is damaged at random, with a
//! liking for numbers at the ends of their ranges. A panic anywhere in the process fails the test.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use base::disk::{Disk as _, RealDisk};
use base::rng::{Random, SeededRandom};
use bytes::{Bytes, BytesMut};
use protocol::api::ApiKey;
use protocol::messages::api_versions::ApiVersionsRequest;
use runtime::boot::Executor;
use runtime::timer;
use testkit::broker::TestBroker;
use testkit::wire::{Wire, head};

/// Damaged requests; more find nothing new, and these take seconds.
const ROUNDS: u64 = 10_000;

/// How long an answer is waited for. A long poll has none, and is left behind.
const PATIENCE: Duration = Duration::from_millis(2);

static PANICS: AtomicU64 = AtomicU64::new(0);

/// A request as Kafka's own classes write it.
struct Seed {
    key: ApiKey,
    version: i16,
    body: Bytes,
}

fn seeds() -> Vec<Seed> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../protocol/tests/golden");
    let mut seeds = Vec::new();
    for key in ApiKey::ALL {
        let path = folder.join(format!("{}.txt", snake(key.name())));
        let text = RealDisk.read(&path).unwrap_or_else(|error| panic!("{key:?}: {error}"));
        let text = String::from_utf8(text.to_vec()).expect("golden files are text");
        for line in text.lines() {
            if let Some(["request", version, _, hex]) = split(line) {
                let version = version.parse().expect("golden lines name a version");
                seeds.push(Seed { key, version, body: unhex(hex) });
            }
        }
    }
    assert!(seeds.len() > 200, "every key has golden requests in each of its versions");
    seeds
}

fn split(line: &str) -> Option<[&str; 4]> {
    line.split(' ').collect::<Vec<_>>().try_into().ok()
}

fn snake(name: &str) -> String {
    let mut snake = String::new();
    for letter in name.chars() {
        if letter.is_uppercase() && !snake.is_empty() {
            snake.push('_');
        }
        snake.extend(letter.to_lowercase());
    }
    snake
}

fn unhex(text: &str) -> Bytes {
    let digit = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).expect("hex digits");
    (0..text.len()).step_by(2).map(digit).collect()
}

fn below(rng: &SeededRandom, bound: usize) -> usize {
    base::cast::usize_of(rng.below(base::cast::u64_of(bound)))
}

/// One or two kinds of damage.
fn damage(rng: &SeededRandom, frame: &mut BytesMut) {
    // The key stays, or most rounds would end at the door.
    let body = 8;
    for _ in 0..=rng.below(2) {
        if frame.len() <= body {
            return;
        }
        let at = body + below(rng, frame.len() - body);
        let end = (at + (1 << rng.below(4))).min(frame.len());
        match rng.below(6) {
            0 => frame[at] ^= 1 << rng.below(8),
            1 => frame[at..end].fill(0xff),
            2 => frame[at..end].fill(0),
            3 => {
                frame[at..end].fill(0xff);
                frame[at] = 0x7f;
            }
            4 => {
                frame[at..end].fill(0);
                frame[at] = 0x80;
            }
            _ => frame.truncate(at),
        }
    }
}

#[test]
fn damaged_requests_of_every_kind_leave_the_broker_unshaken() {
    let seed = SeededRandom::new(base::rng::SystemRandom.next_u64()).next_u64();
    println!("seed {seed}");
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        PANICS.fetch_add(1, Ordering::SeqCst);
        before(panic);
    }));
    Executor::new(2).unwrap().block_on(async {
        let rng = SeededRandom::new(seed);
        let seeds = seeds();
        let broker = TestBroker::start().await;
        let mut answered = 0;
        for round in 0..ROUNDS {
            let one = &seeds[below(&rng, seeds.len())];
            let mut frame = head(one.key, one.version, 1);
            frame.raw(&one.body);
            let mut frame = BytesMut::from(&frame.into_bytes()[..]);
            damage(&rng, &mut frame);
            let mut wire = Wire::new(broker.connect_memory().await);
            wire.send_bytes(frame.freeze()).await;
            if let Ok(Some(_)) = timer::timeout(PATIENCE, wire.frame()).await {
                answered += 1;
            }
            let panics = PANICS.load(Ordering::SeqCst);
            assert_eq!(panics, 0, "seed {seed} round {round} {:?} {}", one.key, one.version);
        }
        assert!(
            answered > ROUNDS / 10,
            "only {answered} requests were sound enough to be answered"
        );
        let mut wire = Wire::new(broker.connect().await);
        assert_eq!(wire.call(0, &ApiVersionsRequest::default()).await.error_code, 0);
        broker.stop().await;
    });
    assert_eq!(PANICS.load(Ordering::SeqCst), 0, "seed {seed}");
}
