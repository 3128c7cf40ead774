//! What differs between two files as they are understood, for whoever replaces one by the other.

use std::collections::BTreeSet;

use super::echo::echo;
use super::upgrade::{Detail, task};
use super::{Spec, Task};

/// The lines of what differs, `-` before what goes and `+` before what comes: settings, sources and
/// sinks first, then tasks by their ids. Test cases are no part of it. Empty where both mean the
/// same.
#[must_use]
pub fn difference(before: &Spec, after: &Spec) -> Vec<String> {
    let mut lines = changed(&settings(before), &settings(after), "");
    let find = |spec: &'_ Spec, id: &str| -> Option<String> {
        spec.tasks.iter().find(|task| task.id.value == id).map(text)
    };
    for gone in before.tasks.iter().filter(|it| find(after, &it.id.value).is_none()) {
        lines.push(format!("- task {}", gone.id.value));
    }
    for task in &after.tasks {
        let id = &task.id.value;
        match find(before, id) {
            None => lines.push(format!("+ task {id}: {}", task.kind.word())),
            Some(old) => lines.extend(changed(&old, &text(task), &format!("task {id}: "))),
        }
    }
    lines
}

/// All but the tasks and the test cases.
fn settings(spec: &Spec) -> String {
    echo(&Spec { tasks: Vec::new(), tests: Vec::new(), ..spec.clone() })
}

fn text(written: &Task) -> String {
    let mut out = String::new();
    task(written, Detail::All, &mut out);
    out
}

/// Lines that one text has and the other one has not, each after the place that it belongs to.
fn changed(before: &str, after: &str, place: &str) -> Vec<String> {
    let of = |text: &str, other: &str, sign: char| -> Vec<String> {
        let known: BTreeSet<String> = other.lines().map(str::to_owned).collect();
        let own = text.lines().filter(|line| !known.contains(*line));
        let shown = |line: &str| match place {
            "" => format!("{sign} {line}"),
            place => format!("{sign} {place}{}", line.trim()),
        };
        own.map(shown).collect()
    };
    let mut lines = of(before, after, '-');
    lines.extend(of(after, before, '+'));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::Sources;
    use crate::spec::parse;

    const BEFORE: &str = "
version: 1
name: rooms
source: { topic: readings }
tasks:
  - { id: warm, type: filter, where: temp_c > 25, to: often }
  - { id: old, type: forward, from: source, to: sink }
  - { id: often, type: count, key: room, to: sink }
sink: { kafka: { topic: rooms.warm } }
";

    fn spec(text: &str) -> Spec {
        let parsed = parse(&Sources::single("rooms.yaml", text), &|_| None);
        parsed.spec.expect("a text without problems has a spec")
    }

    #[test]
    fn what_goes_and_what_comes_is_told_by_task_and_by_setting() {
        let after = BEFORE
            .replace("temp_c > 25", "temp_c > 30")
            .replace("type: count,", "type: count, ttl: 30d,")
            .replace("id: old,", "id: new,")
            .replace("tasks:", "runtime: { parallelism: 2 }\ntasks:");
        let told = difference(&spec(BEFORE), &spec(&after));
        let expected = [
            "- runtime: { task_managers: 1, parallelism: 1,",
            "+ runtime: { task_managers: 1, parallelism: 2,",
            "- task old",
            "- task warm: where: \"temp_c > 25\"",
            "+ task warm: where: \"temp_c > 30\"",
            "+ task new: forward",
            "+ task often: ttl: 30d",
        ];
        assert_eq!(told.len(), expected.len(), "{told:#?}");
        for (line, begin) in told.iter().zip(expected) {
            assert!(line.starts_with(begin), "{told:#?}");
        }
        let quoted = BEFORE.replace("where: temp_c > 25", "where: 'temp_c > 25'");
        assert_eq!(difference(&spec(BEFORE), &spec(&quoted)), Vec::<String>::new());
    }
}
