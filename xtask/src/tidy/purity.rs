//! Machines decide and do nothing else: facts in, effects out.

use super::source::{Source, find_word};
use super::{FileRule, Report};

pub(super) const RULES: &[FileRule] = &[FileRule { id: "C6", check }];

const PURE_FILES: &[&str] = &["machine.rs", "plan.rs", "check.rs"];

const IMPURE: &[&str] = &[
    "async",
    ".await",
    "tokio",
    "runtime::",
    "clock::",
    "SystemClock",
    "rng::",
    "tracing",
    "std::fs",
    "std::net",
    "std::thread",
    "Mutex",
    "disk::",
];

fn check(source: &Source, report: &mut Report) {
    if !PURE_FILES.contains(&source.name()) || source.crate_name == "xtask" {
        return;
    }
    for (number, line) in source.own_code() {
        if let Some(word) = IMPURE.iter().find(|word| find_word(line, word).is_some()) {
            let what = format!("`{word}` acts where only decisions are made, make it an effect");
            report.add("C6", &source.path, number, what);
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::tests::Proof;

    pub(in super::super) const PROOFS: &[Proof] = &[Proof {
        rule: "C6",
        path: "crates/broker/src/group/machine.rs",
        good: "pub fn step(&mut self, now: Millis, event: Event, effects: &mut Vec<Effect>) {\n}\n",
        bad: "pub async fn step(&mut self) {\n}\n",
        says: "make it an effect",
    }];
}
