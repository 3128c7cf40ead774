//! One test case on its way through all stages of a plan.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use protocol::record::{Headers, Record};
use topology::expression::RecordFacts;
use topology::plan::{InputKind, Plan};
use topology::spec::{TestCase, TestRecord, TestStep};

use super::{TestFailure, TestOutput};
use crate::engine::RecordFailure;
use crate::engine::chain::{Target, time_of};
use crate::engine::code::StageCode;
use crate::engine::flow::{Failed, Halt, Out, Outlet, OutletError, shown};
use crate::engine::marker::Marker;
use crate::engine::remembered;
use crate::engine::task::{Position, Task};

/// What came of a case.
pub(super) struct Played {
    /// What came out of the task that it looks at, or of all.
    pub(super) outputs: Vec<TestOutput>,
    /// What is remembered of each key that it looks at, in its order.
    pub(super) state: Vec<Vec<String>>,
    /// The records that failed.
    pub(super) failures: Vec<TestFailure>,
}

/// Runs a case. Records that name no topic are those of `first`.
///
/// # Errors
/// A record stops the pipeline, and the case does not say which records fail.
pub(super) fn play(plan: &Plan, case: &TestCase, first: &str) -> Result<Played, RecordFailure> {
    let mut rehearsal = Rehearsal::new(plan, case, first);
    let taken = rehearsal.take_steps(case, first);
    // A window that closes is forgotten, so state is looked at before.
    let state = rehearsal.remembered(case);
    let ended = taken.and_then(|()| rehearsal.close());
    match ended {
        Err(halt) if case.errors.is_none() || !matches!(halt, Halt::Record(_)) => {
            Err(failure_of(halt))
        }
        Ok(()) | Err(_) => {
            let Rehearsal { results, failures, .. } = rehearsal;
            Ok(Played { outputs: results, state, failures })
        }
    }
}

/// What waits at the input of a stage.
enum Waiting {
    Record(Written),
    Marker(Marker),
}

/// A record that a stage has written.
struct Written {
    output: usize,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    timestamp_ms: i64,
}

/// Keeps what a stage writes, and what fails in it.
#[derive(Default)]
struct Tray {
    written: Vec<Written>,
    failures: Vec<TestFailure>,
}

impl Outlet for Tray {
    fn emit(&mut self, output: usize, record: Out<'_>) -> Result<(), OutletError> {
        self.written.push(Written {
            output,
            key: record.key.map(<[u8]>::to_vec),
            value: record.value.map(<[u8]>::to_vec),
            timestamp_ms: record.timestamp_ms,
        });
        Ok(())
    }

    fn emit_to(&mut self, output: usize, _: i32, record: Out<'_>) -> Result<(), OutletError> {
        self.emit(output, record)
    }

    fn failed(&mut self, failed: &Failed<'_>) {
        self.failures.push(TestFailure {
            task: failed.task.to_owned(),
            reason: failed.reason.to_owned(),
            key: failed.key.map(shown),
            value: failed.value.map(shown),
            on_error: failed.on_error,
        });
    }
}

struct Rehearsal {
    tasks: Vec<Task>,
    /// What waits at each stage, with the input that it is for.
    waiting: Vec<VecDeque<(usize, Waiting)>>,
    /// The next offset of each topic.
    offsets: BTreeMap<String, i64>,
    scratch: Vec<Vec<u8>>,
    /// Whether one task is looked at, whose outputs go to an output of their own.
    has_tap: bool,
    results: Vec<TestOutput>,
    failures: Vec<TestFailure>,
    /// The latest event time so far.
    reached_ms: Option<i64>,
}

impl Rehearsal {
    fn new(plan: &Plan, case: &TestCase, first: &str) -> Self {
        let records = case.input.iter().filter_map(TestStep::record);
        let used: BTreeSet<&str> = records.map(|record| topic_of(record, first)).collect();
        let looked_at = case.at.as_ref().map(|task| task.value.as_str());
        let mut tasks = Vec::new();
        for (index, mut code) in StageCode::all(plan).into_iter().enumerate() {
            tap(&mut code, looked_at);
            let inputs = code.stage.inputs.iter();
            let positions = inputs.map(|input| match &input.kind {
                InputKind::Source(_) if !used.contains(input.topic.as_str()) => None,
                // A source that has records is never taken for silent.
                InputKind::Source(_) | InputKind::Edge { .. } => {
                    Some(Position { end: Some(i64::MAX), ..Position::at(0) })
                }
            });
            let positions = positions.collect();
            let reporters = vec![1; code.stage.inputs.len()];
            tasks.push(Task::new(Arc::new(code), (index, 0, 1), positions, reporters));
        }
        Self {
            waiting: tasks.iter().map(|_| VecDeque::new()).collect(),
            tasks,
            offsets: BTreeMap::new(),
            scratch: Vec::new(),
            has_tap: looked_at.is_some(),
            results: Vec::new(),
            failures: Vec::new(),
            reached_ms: None,
        }
    }

    /// Does what the case says, step by step.
    fn take_steps(&mut self, case: &TestCase, first: &str) -> Result<(), Halt> {
        let mut time_ms = 0;
        for step in &case.input {
            match step {
                TestStep::Record(record) => {
                    time_ms = record.timestamp_ms.unwrap_or(time_ms);
                    self.feed(topic_of(record, first), record, time_ms)?;
                }
                TestStep::Advance(by_ms) => {
                    let by_ms = i64::try_from(*by_ms).unwrap_or(i64::MAX);
                    let from_ms = self.reached_ms.unwrap_or(time_ms);
                    time_ms = time_ms.saturating_add(by_ms);
                    self.pass_time(from_ms.saturating_add(by_ms));
                }
            }
            for stage in 0..self.tasks.len() {
                self.advance(stage)?;
            }
        }
        Ok(())
    }

    /// Closes all windows.
    fn close(&mut self) -> Result<(), Halt> {
        for stage in 0..self.tasks.len() {
            self.take_waiting(stage)?;
            self.step(stage, |task, tray, scratch| task.close(i64::MAX, tray, scratch))?;
        }
        Ok(())
    }

    /// Lets event time come this far in every source that has records.
    fn pass_time(&mut self, time_ms: i64) {
        self.reached_ms = Some(time_ms);
        for task in &mut self.tasks {
            task.pass_time(time_ms);
        }
    }

    /// What the case asks for is remembered now.
    fn remembered(&mut self, case: &TestCase) -> Vec<Vec<String>> {
        let mut all = Vec::new();
        for state in &case.state {
            let id = &state.task.value;
            let mut of_task = self.tasks.iter_mut().find_map(|task| {
                let at = task.code.chain.nodes.iter().position(|node| node.id == *id)?;
                Some((task, at))
            });
            for key in &state.keys {
                let documents = of_task.as_mut().map(|(task, at)| {
                    let documents = remembered::documents(task, *at, key.key.value.as_bytes());
                    documents.iter().map(|document| shown(document)).collect()
                });
                all.push(documents.unwrap_or_default());
            }
        }
        all
    }

    /// Remembers how far event time has come with a record of a source.
    fn note_time(&mut self, (stage, input): (usize, usize), record: &Record<'_>, topic: &str) {
        let reading = self.tasks[stage].code.stage.inputs.get(input);
        let event_time = reading.and_then(|reading| match &reading.kind {
            InputKind::Source(source) => source.event_time.as_ref(),
            InputKind::Edge { .. } => None,
        });
        let facts = RecordFacts {
            key: record.key,
            value: record.value,
            timestamp_ms: record.timestamp,
            topic,
            partition: 0,
            offset: record.offset,
            headers: &record.headers,
        };
        let time_ms = match event_time {
            // A record without a time fails, and time stays where it is.
            Some(expression) => time_of(expression, &facts).ok(),
            None => Some(record.timestamp),
        };
        self.reached_ms = self.reached_ms.max(time_ms);
    }

    /// Gives a record to every stage that reads its topic.
    fn feed(&mut self, topic: &str, record: &TestRecord, time_ms: i64) -> Result<(), Halt> {
        let offset = next_offset(&mut self.offsets, topic);
        let record = Record {
            offset,
            timestamp: time_ms,
            key: record.key.as_deref().map(str::as_bytes),
            value: record.value.as_deref().map(str::as_bytes),
            headers: Headers::NONE,
        };
        for stage in 0..self.tasks.len() {
            for input in self.inputs(stage, topic) {
                self.note_time((stage, input), &record, topic);
                self.step(stage, |task, tray, scratch| task.take(input, &record, tray, scratch))?;
            }
        }
        Ok(())
    }

    /// Lets a stage do what waits for it, and time pass in it.
    fn advance(&mut self, stage: usize) -> Result<(), Halt> {
        self.take_waiting(stage)?;
        self.step(stage, |task, tray, scratch| task.advance_time(0, tray, scratch))?;
        self.tasks[stage].expire();
        let Some(told) = self.tasks[stage].marker() else {
            return Ok(());
        };
        let code = Arc::clone(&self.tasks[stage].code);
        for topic in code.edges.iter().filter_map(|edge| code.outputs.get(*edge)) {
            self.send(topic, || Waiting::Marker(told));
        }
        Ok(())
    }

    fn take_waiting(&mut self, stage: usize) -> Result<(), Halt> {
        while let Some((input, waiting)) = self.waiting[stage].pop_front() {
            let written = match waiting {
                Waiting::Marker(marker) => {
                    self.tasks[stage].take_marker(input, marker);
                    continue;
                }
                Waiting::Record(written) => written,
            };
            let code = Arc::clone(&self.tasks[stage].code);
            let topic = code.stage.inputs.get(input).map(|input| input.topic.as_str());
            let record = Record {
                offset: next_offset(&mut self.offsets, topic.unwrap_or_default()),
                timestamp: written.timestamp_ms,
                key: written.key.as_deref(),
                value: written.value.as_deref(),
                headers: Headers::NONE,
            };
            self.step(stage, |task, tray, scratch| task.take(input, &record, tray, scratch))?;
        }
        Ok(())
    }

    /// Lets a stage work, and takes what it has written to where it belongs.
    fn step(
        &mut self,
        stage: usize,
        work: impl FnOnce(&mut Task, &mut Tray, &mut Vec<Vec<u8>>) -> Result<(), Halt>,
    ) -> Result<(), Halt> {
        let mut tray = Tray::default();
        let done = work(&mut self.tasks[stage], &mut tray, &mut self.scratch);
        let code = Arc::clone(&self.tasks[stage].code);
        self.failures.append(&mut tray.failures);
        for written in tray.written {
            let output = written.output;
            let topic = code.outputs.get(output);
            match topic {
                Some(topic) if code.edges.contains(&output) => {
                    self.send_record(topic, &written);
                }
                // What is looked at is the one task, or else the sinks.
                Some(_) if self.has_tap || code.chain.dead_letter == Some(output) => {}
                Some(_) | None => self.results.push(TestOutput {
                    topic: topic.cloned(),
                    key: written.key.as_deref().map(shown),
                    value: written.value.as_deref().map(shown),
                    timestamp_ms: written.timestamp_ms,
                }),
            }
        }
        done
    }

    fn send_record(&mut self, topic: &str, written: &Written) {
        self.send(topic, || {
            Waiting::Record(Written {
                output: written.output,
                key: written.key.clone(),
                value: written.value.clone(),
                timestamp_ms: written.timestamp_ms,
            })
        });
    }

    /// Puts something at every input that reads a topic.
    fn send(&mut self, topic: &str, make: impl Fn() -> Waiting) {
        for stage in 0..self.tasks.len() {
            for input in self.inputs(stage, topic) {
                self.waiting[stage].push_back((input, make()));
            }
        }
    }

    fn inputs(&self, stage: usize, topic: &str) -> Vec<usize> {
        let inputs = self.tasks[stage].code.stage.inputs.iter().enumerate();
        inputs.filter(|(_, input)| input.topic == topic).map(|(index, _)| index).collect()
    }
}

/// Leads what a task gives to an output behind all others as well.
fn tap(code: &mut StageCode, looked_at: Option<&str>) {
    let Some(task) = looked_at else {
        return;
    };
    let output = code.outputs.len();
    let nodes = code.chain.nodes.iter_mut();
    for node in nodes.filter(|node| node.id == task) {
        node.to.insert(0, Target::Output(output));
    }
}

fn topic_of<'a>(record: &'a TestRecord, first: &'a str) -> &'a str {
    record.topic.as_ref().map_or(first, |topic| topic.value.as_str())
}

fn next_offset(offsets: &mut BTreeMap<String, i64>, topic: &str) -> i64 {
    let next = offsets.entry(topic.to_owned()).or_default();
    let offset = *next;
    *next += 1;
    offset
}

fn failure_of(halt: Halt) -> RecordFailure {
    match halt {
        Halt::Record(failure) => failure,
        Halt::Outlet(error) => RecordFailure {
            task: String::new(),
            reason: error.to_string(),
            topic: String::new(),
            partition: 0,
            offset: -1,
            key: None,
        },
    }
}
