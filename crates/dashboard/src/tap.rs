//! `/tap`: the records between two tasks that run in one call.
//!
//! Somebody asks again and again, naming the last record that was seen; a tap that nobody asks for
//! any more ends by itself. The first line of an answer says how many have passed in all, so that
//! who asks can tell how many were not copied.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base::clock::Clock;
use pipeline::engine::tap::{Tap, Tapped};
use runtime::timer;
use serde::Deserialize;
use serde_json::json;

use crate::limits::{TAP_LOOK_MS, TAP_RATE_MAX, TAP_WAIT_MS_MAX, TAPS_MAX};
use crate::subject::Subject;

/// What is asked.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Wish {
    pipeline: String,
    from: String,
    to: String,
    /// The number of the last record that was seen; 0 at first.
    #[serde(default)]
    after: u64,
    /// Records that are copied in a second.
    #[serde(default = "usual_rate")]
    rate: u32,
}

fn usual_rate() -> u32 {
    100
}

/// Pipeline, from, to, and records in a second: who looks at the same shares a tap.
type Look = (String, String, String, u32);

/// The taps that are open.
#[derive(Debug, Default)]
pub(crate) struct Board {
    taps: Mutex<BTreeMap<Look, Arc<Tap>>>,
}

impl Board {
    /// Status and body.
    pub(crate) async fn answer(
        &self,
        wish: &Wish,
        subject: &dyn Subject,
        clock: &Arc<dyn Clock>,
    ) -> (u16, String) {
        let Some(tap) = self.tap(wish, clock) else {
            return (503, format!("{TAPS_MAX} taps are open already\n"));
        };
        tap.want();
        if subject.tap(&wish.pipeline, &tap) == 0 {
            return (404, format!("no slot of {} runs here\n", wish.pipeline));
        }
        let deadline = timer::now() + Duration::from_millis(TAP_WAIT_MS_MAX);
        while tap.passed() <= wish.after && timer::now() < deadline {
            timer::sleep(Duration::from_millis(TAP_LOOK_MS)).await;
        }
        let passed = tap.passed();
        let mut text = format!("{}\n", json!({ "passed": passed }));
        for record in tap.since(wish.after) {
            text.push_str(&format!("{}\n", line(&record)));
        }
        (200, text)
    }

    fn tap(&self, wish: &Wish, clock: &Arc<dyn Clock>) -> Option<Arc<Tap>> {
        let rate = wish.rate.clamp(1, TAP_RATE_MAX);
        let key = (wish.pipeline.clone(), wish.from.clone(), wish.to.clone(), rate);
        let mut taps = self.taps.lock().expect("no holder of the taps panics");
        taps.retain(|_, tap| tap.is_wanted());
        if let Some(tap) = taps.get(&key) {
            return Some(Arc::clone(tap));
        }
        if taps.len() >= TAPS_MAX {
            return None;
        }
        let tap = Tap::new((&wish.from, &wish.to), rate, Arc::clone(clock));
        taps.insert(key, Arc::clone(&tap));
        Some(tap)
    }
}

fn line(record: &Tapped) -> serde_json::Value {
    let hex = |bytes: &Vec<u8>| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    json!({ "sequence": record.sequence, "partition": record.partition,
        "timestamp": record.timestamp_ms, "key_hex": record.key.as_ref().map(hex),
        "value_hex": record.value.as_ref().map(hex) })
}

/// Whether a request comes from a page that a browser has loaded from elsewhere: records are for
/// who asks by address, not for who has made a browser ask.
pub(crate) fn is_foreign(host: Option<&str>, has_origin: bool) -> bool {
    let name = host.map(|host| host.rsplit_once(':').map_or(host, |(name, _)| name));
    let is_address = name.is_some_and(|name| {
        let bare = name.trim_start_matches('[').trim_end_matches(']');
        bare == "localhost" || bare.parse::<std::net::IpAddr>().is_ok()
    });
    has_origin || !is_address
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_of_browsers_are_foreign() {
        for host in ["127.0.0.1:6455", "localhost:6455", "[::1]:6455", "10.0.0.5:1"] {
            assert!(!is_foreign(Some(host), false), "{host}");
            assert!(is_foreign(Some(host), true), "{host}");
        }
        assert!(is_foreign(Some("rebound.example:6455"), false));
        assert!(is_foreign(None, false));
    }
}
