//! Windows of event time: hopping, late records, restarts in their middle.

use client::Client;
use pipeline::engine::{Mode, PipelineView};

use crate::harness::{check, plan, produce, read, run_to_end, start, values};

const HOPPING: &str = "
version: 1
name: hops
source: { topic: in, max_out_of_order: 0s }
tasks:
  - { id: seen, type: count, window: { size: 10s, every: 5s }, to: sink }
sink: { kafka: { topic: out } }
";

const TUMBLING: &str = "
version: 1
name: tumbles
source: { topic: in, max_out_of_order: 0s }
tasks:
  - { id: mean, type: average, value: n, window: 10s, to: sink }
sink: { kafka: { topic: out } }
";

/// Runs to the end and leaves windows open that are.
async fn run_on(client: &Client, text: &str) -> PipelineView {
    let mode = Mode::UntilEnd { close_windows: false };
    start(client, plan(text), mode).finished().await.unwrap()
}

fn average(mean: &str, count: u32, start_s: u32) -> String {
    let at = |second: u32| format!("\"1970-01-01T00:00:{second:02}.000Z\"");
    format!(
        "{{\"average\":{mean},\"count\":{count},\"window_start\":{},\"window_end\":{}}}",
        at(start_s),
        at(start_s + 10)
    )
}

#[test]
fn a_record_counts_in_every_hopping_window_that_holds_it() {
    check(async |_, client| {
        let records = [("a", "{}", 1_000), ("a", "{}", 7_000), ("a", "{}", 12_000)];
        produce(client, "in", &records).await;
        run_to_end(client, HOPPING).await.unwrap();
        let found = &read(client, "out").await["a"];
        let counts: Vec<(bool, i64)> =
            found.iter().map(|(value, time)| (value.starts_with("{\"count\":2,"), *time)).collect();
        let expected = [(false, 4_999), (true, 9_999), (true, 14_999), (false, 19_999)];
        assert_eq!(counts, expected, "{found:?}");
    });
}

#[test]
fn a_window_goes_on_over_restarts_and_gives_its_result_once() {
    check(async |_, client| {
        produce(client, "in", &[("a", "{\"n\":1}", 1_000), ("a", "{\"n\":2}", 2_000)]).await;
        assert_eq!(run_on(client, TUMBLING).await.open_windows, 1);
        produce(client, "in", &[("a", "{\"n\":6}", 3_000)]).await;
        assert_eq!(run_on(client, TUMBLING).await.open_windows, 1);
        assert!(read(client, "out").await.is_empty());
        produce(client, "in", &[("a", "{\"n\":9}", 11_000)]).await;
        run_to_end(client, TUMBLING).await.unwrap();
        run_to_end(client, TUMBLING).await.unwrap();
        let expected = [average("3.0", 3, 0), average("9.0", 1, 10)];
        assert_eq!(values(&read(client, "out").await, "a"), expected);
    });
}

#[test]
fn a_record_behind_closed_windows_is_late_also_after_a_restart() {
    check(async |_, client| {
        produce(client, "in", &[("a", "{\"n\":1}", 1_000), ("a", "{\"n\":5}", 25_000)]).await;
        let view = run_on(client, TUMBLING).await;
        assert_eq!(view.tasks["mean"].late, 0);
        assert_eq!(values(&read(client, "out").await, "a"), [average("1.0", 1, 0)]);
        produce(client, "in", &[("a", "{\"n\":7}", 2_000), ("a", "{\"n\":7}", 21_000)]).await;
        let view = run_to_end(client, TUMBLING).await.unwrap();
        assert_eq!(view.tasks["mean"].late, 1);
        let expected = [average("1.0", 1, 0), average("6.0", 2, 20)];
        assert_eq!(values(&read(client, "out").await, "a"), expected);
    });
}

#[test]
fn a_record_is_late_by_its_place_in_the_log_and_not_by_its_batch() {
    check(async |_, client| {
        // One batch: the second record closes the window that the third would have been in.
        let records =
            [("a", "{\"n\":1}", 1_000), ("b", "{\"n\":5}", 25_000), ("a", "{\"n\":7}", 2_000)];
        produce(client, "in", &records).await;
        let view = run_on(client, TUMBLING).await;
        assert_eq!(view.tasks["mean"].late, 1);
        assert_eq!(values(&read(client, "out").await, "a"), [average("1.0", 1, 0)]);
    });
}

#[test]
fn a_record_without_an_event_time_is_left_out_where_its_task_says_so() {
    check(async |_, client| {
        let timed = TUMBLING
            .replace("max_out_of_order: 0s", "max_out_of_order: 0s, event_time: at")
            .replace("value: n,", "value: n, on_error: skip,");
        let records = [("a", "{\"n\":1,\"at\":2000}", 9), ("a", "{\"n\":5}", 9)];
        produce(client, "in", &records).await;
        let view = run_to_end(client, &timed).await.unwrap();
        assert_eq!((view.tasks["mean"].records_in, view.tasks["mean"].skipped), (2, 1));
        assert_eq!(values(&read(client, "out").await, "a"), [average("1.0", 1, 0)]);
    });
}
