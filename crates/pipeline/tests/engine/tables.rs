//! Tables: a database that has committed, and a log that does not know it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use base::clock::SystemClock;
use client::Client;
use client::admin::TopicSpec;
use pipeline::engine::{BoundSink, Engine, EngineError, EngineOptions, Mode, PipelineView};
use pipeline::sink::memory::{MemorySink, MemoryStore};
use pipeline::sink::{
    Cell, Claim, Opened, Position, Sink, SinkError, SinkRecord, TablePreview, Written,
};

use crate::harness::{Sent, check, claimant, plan, produce};

const ROWS: &str = "
version: 1
name: rows
source: { topic: in }
tasks:
  - { id: pass, type: forward, to: sink }
sink: { kafka: { topic: out }, sqlite: { file: rows.db, table: rows, key: [key] } }
";

/// A database whose holder may die behind its commit: what was written is there, and nobody hears
/// of it.
#[derive(Debug)]
struct Dying {
    sink: MemorySink,
    dies: Arc<AtomicBool>,
    upserted: Arc<AtomicU64>,
}

impl Sink for Dying {
    fn open(&mut self, claim: &Claim) -> Result<Opened, SinkError> {
        self.sink.open(claim)
    }

    fn write(
        &mut self,
        batch: &[SinkRecord],
        positions: &[Position],
    ) -> Result<Written, SinkError> {
        let written = self.sink.write(batch, positions)?;
        self.upserted.fetch_add(written.upserted, Ordering::SeqCst);
        if written.upserted > 0 && self.dies.load(Ordering::SeqCst) {
            let database = "rows.db".to_owned();
            return Err(SinkError::Database { database, doing: "commit", source: "killed".into() });
        }
        Ok(written)
    }

    fn preview(&mut self, rows_max: usize) -> Result<Vec<TablePreview>, SinkError> {
        self.sink.preview(rows_max)
    }
}

async fn run(
    client: &Client,
    store: &MemoryStore,
    (dies, upserted): (bool, &Arc<AtomicU64>),
) -> Result<PipelineView, EngineError> {
    let plan = plan(ROWS);
    let (dies, upserted) = (Arc::new(AtomicBool::new(dies)), Arc::clone(upserted));
    let sink = Dying { sink: store.sink(&["key"]), dies, upserted };
    let sinks = vec![BoundSink { table: plan.tables[0].clone(), sink: Box::new(sink) }];
    let mode = Mode::UntilEnd { close_windows: false };
    let options = EngineOptions { plan, claimant: claimant("main"), sinks, mode, state: None };
    Engine::start(client.clone(), Arc::new(SystemClock::new()), options).finished().await
}

#[test]
fn a_kill_between_the_commit_of_the_database_and_the_position_in_the_log_doubles_nothing() {
    check(async |_, client| {
        client.admin().create_topics(&[TopicSpec::new("in", 1)]).await.unwrap();
        let (store, upserted) = (MemoryStore::default(), Arc::new(AtomicU64::new(0)));
        let mut sent = 0;
        for _ in 0..4 {
            let values: Vec<String> = (sent..sent + 10).map(|n| format!("{{\"n\":{n}}}")).collect();
            let records: Vec<Sent<'_>> = values.iter().map(|it| ("a", it.as_str(), 0)).collect();
            produce(client, "in", &records).await;
            sent += 10;
            // Each start that dies has written something that the log knows nothing of.
            let ended = run(client, &store, (true, &upserted)).await;
            assert!(matches!(ended, Err(EngineError::Sink { .. })), "{ended:?}");
            run(client, &store, (false, &upserted)).await.unwrap();
            assert_eq!(upserted.load(Ordering::SeqCst), sent, "each record was a change once");
        }
        let rows = store.sink(&["key"]).preview(10).unwrap();
        let (columns, rows) = (&rows[0].columns, &rows[0].rows);
        let at = columns.iter().position(|column| column == "n").unwrap();
        assert_eq!(rows.iter().map(|row| &row[at]).collect::<Vec<_>>(), [&Cell::Integer(39)]);
    });
}
