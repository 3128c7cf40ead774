//! How a pipeline would run, in words.

use topology::plan::{InputKind, Output, Partitions, Plan, Stage, TopicPlan, TopicRole};
use topology::spec::{Spec, duration_text};

use crate::render::table::{Align, Table};

/// Columns that a cell may take.
const CELL_WIDTH_MAX: usize = 200;

/// The text of `pipeline explain`.
pub(super) fn text(spec: &Spec) -> String {
    let plan = Plan::of(spec);
    let mut text = format!(
        "{}  commits every {} at the latest, {} slots\n",
        plan.pipeline,
        duration_text(plan.commit_interval_ms),
        plan.slots.saturating_mul(plan.task_managers.max(1)),
    );
    for gateway in &plan.gateways {
        let every = duration_text(gateway.every_ms);
        text.push_str(&format!("\ngateway {}  every {every} -> {}\n", gateway.name, gateway.topic));
    }
    for stage in &plan.stages {
        text.push_str(&stage_text(stage));
    }
    text.push('\n');
    text.push_str(&topics(&plan));
    if !plan.tables.is_empty() {
        text.push('\n');
        text.push_str(&tables(&plan));
    }
    text
}

fn stage_text(stage: &Stage) -> String {
    let mut text = format!("\nstage {}  group {}\n", stage.id, stage.group);
    for input in &stage.inputs {
        let from = match &input.kind {
            InputKind::Source(source) => format!("source {}", source.name),
            InputKind::Edge { from, .. } => format!("from task {from}"),
        };
        text.push_str(&format!("  reads {} ({from})\n", input.topic));
    }
    for operator in &stage.operators {
        let targets: Vec<String> =
            operator.outputs.iter().map(|output| target(stage, output)).collect();
        let state = match operator.store.and_then(|at| stage.stores.get(at)) {
            Some(store) => format!("  [state in {}]", store.changelog),
            None => String::new(),
        };
        let (task, word) = (&operator.task, operator.kind.word());
        text.push_str(&format!("  {task} ({word}) -> {}{state}\n", targets.join(", ")));
    }
    text
}

fn target(stage: &Stage, output: &Output) -> String {
    match output {
        Output::Operator(at) => {
            let operator = stage.operators.get(*at);
            operator.map_or_else(|| "?".to_owned(), |operator| operator.task.clone())
        }
        Output::Edge { topic, to, .. } => format!("{to} through {topic}"),
        Output::Sink { topic, .. } => topic.clone(),
    }
}

fn topics(plan: &Plan) -> String {
    let columns = [("TOPIC", Align::Left), ("USE", Align::Left), ("PARTITIONS", Align::Left)];
    let mut table = Table::new(&columns);
    for (name, topic) in &plan.topics {
        table.push([name.clone(), role(topic).to_owned(), partitions(topic)]);
    }
    table.text(CELL_WIDTH_MAX)
}

fn role(topic: &TopicPlan) -> &'static str {
    match topic.role {
        TopicRole::Source => "read",
        TopicRole::Edge => "between stages",
        TopicRole::Sink => "written",
        TopicRole::Changelog => "state",
        TopicRole::DeadLetter => "failed records",
        TopicRole::Parked => "parked keys",
        TopicRole::Orders => "orders for parked keys",
        TopicRole::Plan => "plans",
    }
}

fn partitions(topic: &TopicPlan) -> String {
    match &topic.partitions {
        Partitions::Count(count) => format!("{count} when made"),
        Partitions::AsMostOf(topics) => format!("as {}", topics.join(", ")),
    }
}

fn tables(plan: &Plan) -> String {
    let columns = [
        ("TABLE", Align::Left),
        ("FILE", Align::Left),
        ("FROM", Align::Left),
        ("KEY", Align::Left),
    ];
    let mut table = Table::new(&columns);
    for row in &plan.tables {
        table.push([row.table.clone(), row.file.clone(), row.topic.clone(), row.key.join(", ")]);
    }
    table.text(CELL_WIDTH_MAX)
}
