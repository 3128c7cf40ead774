//! Plans and tasks of short texts, for the tests of this crate.

use std::sync::Arc;

use topology::diagnose::Sources;
use topology::plan::Plan;

use crate::engine::code::StageCode;
use crate::engine::task::Task;

/// The plan of a text in which nothing is wrong.
pub(crate) fn plan(text: &str) -> Plan {
    let parsed = topology::spec::parse(&Sources::single("test.yaml", text), &|_| None);
    assert!(parsed.diagnostics.is_empty(), "{:?}", parsed.diagnostics);
    Plan::of(&parsed.spec.expect("a text without problems has a spec"))
}

/// The only task of a plan's first stage, without state.
pub(crate) fn first_task(plan: &Plan) -> Task {
    let code = StageCode::all(plan).remove(0);
    Task::new(Arc::new(code), (0, 0, 1), vec![None], vec![1])
}
