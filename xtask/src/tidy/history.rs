//! The history: what a commit is called.

use super::Report;
use crate::workspace;

const SUBJECT_COLUMNS_MAX: usize = 72;

/// Older commits were checked when they were new.
const COMMITS_MAX: &str = "-n500";

/// Words of a subject that tells about the author's troubles instead of the change.
const NOISE: &[&str] = &["wip", "fixup", "squash", "fix lint", "fix clippy", "fix ci"];

/// G: subjects read `area: imperative` and fit a line.
pub(super) fn check(report: &mut Report) -> Result<(), String> {
    let mut git = workspace::command("git");
    let log =
        workspace::output_of(git.args(["log", COMMITS_MAX, "--no-merges", "--format=%h %s"]))?;
    for (hash, subject) in log.lines().filter_map(|line| line.split_once(' ')) {
        if let Some(what) = flaw(subject) {
            report.add("G", &format!("commit {hash}"), 1, format!("`{subject}` {what}"));
        }
    }
    Ok(())
}

fn flaw(subject: &str) -> Option<&'static str> {
    let area = subject.split_once(": ").map(|(area, _)| area).unwrap_or("");
    let is_area =
        |char: char| char.is_ascii_lowercase() || char.is_ascii_digit() || "-_, ".contains(char);
    if area.is_empty() || !area.chars().all(is_area) {
        return Some("names no area, write `area: imperative`");
    }
    if subject.chars().count() > SUBJECT_COLUMNS_MAX {
        return Some("is longer than 72 columns, say the rest below");
    }
    let text = subject.to_ascii_lowercase();
    let noisy = NOISE.iter().any(|noise| text.contains(&format!(": {noise}")));
    noisy.then_some("says nothing about the change, name what it does")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_names_its_area_and_fits_a_line() {
        assert_eq!(flaw("broker: answer an unknown version with a v0 body"), None);
        assert!(flaw("answer an unknown version").is_some_and(|what| what.contains("area")));
        assert!(flaw("Broker Fix: x").is_some());
        assert!(flaw(&format!("broker: {}", "x".repeat(80))).is_some_and(|w| w.contains("72")));
        assert!(flaw("broker: wip").is_some_and(|what| what.contains("name what it does")));
    }
}
