//! The table and the JSON: medians of each side, ratios, and whether the targets are met.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use super::rows::{Check, Row, Target};

/// Figures of one run by name.
pub(super) type Values = BTreeMap<&'static str, f64>;

/// What became of a row.
#[derive(Debug)]
pub(super) enum Outcome {
    Measured { ours: Vec<Values>, theirs: Vec<Values> },
    Skipped(String),
    Failed(String),
}

/// One line of the table.
#[derive(Debug)]
struct Line {
    figure: &'static str,
    ours: f64,
    theirs: f64,
    ratio: f64,
    target: String,
    is_met: bool,
}

/// The middle figure; of an even number the mean of both.
fn median(taken: &[Values], figure: &str) -> Option<f64> {
    let mut values: Vec<f64> =
        taken.iter().filter_map(|values| values.get(figure).copied()).collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    let upper = *values.get(middle)?;
    if values.len() % 2 == 1 {
        return Some(upper);
    }
    values.get(middle.checked_sub(1)?).map(|lower| f64::midpoint(*lower, upper))
}

fn line(check: &Check, ours: &[Values], theirs: &[Values]) -> Option<Line> {
    let ours = median(ours, check.figure)?;
    let theirs = median(theirs, check.figure)?;
    let ratio = ours / theirs;
    let (target, is_met) = match check.target {
        Target::AtLeast(least) => (format!(">= {least}x"), ratio >= least),
        Target::AtMost(most) => (format!("<= {most}x"), ratio <= most),
        Target::Below(most) => (format!("<= {most}"), ours <= most),
    };
    Some(Line { figure: check.figure, ours, theirs, ratio, target, is_met })
}

/// A figure with about three digits that count.
pub(super) fn number(value: f64) -> String {
    match value.abs() {
        large if large >= 1_000.0 => format!("{value:.0}"),
        large if large >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.3}"),
    }
}

/// The table for people.
pub(super) fn table(outcomes: &[(Row, Outcome)]) -> String {
    let mut text = String::new();
    write_table(&mut text, outcomes).expect("writing into a text cannot fail");
    text
}

fn write_table(text: &mut String, outcomes: &[(Row, Outcome)]) -> std::fmt::Result {
    let head = ["row", "figure", "ours", "theirs", "ratio", "target"];
    let [row, figure, ours, theirs, ratio, target] = head;
    writeln!(text, "{row:<24}{figure:<22}{ours:>12}{theirs:>12}{ratio:>9}  {target:<10}")?;
    for (row, outcome) in outcomes {
        let name = row.name;
        match outcome {
            Outcome::Skipped(why) => writeln!(text, "{name:<24}skipped: {why}")?,
            Outcome::Failed(why) => writeln!(text, "{name:<24}FAILED: {why}")?,
            Outcome::Measured { ours, theirs } => {
                for check in &row.checks {
                    let Some(line) = line(check, ours, theirs) else {
                        writeln!(text, "{name:<24}{:<22}FAILED: no figure", check.figure)?;
                        continue;
                    };
                    let word = if line.is_met { "ok" } else { "MISSED" };
                    writeln!(
                        text,
                        "{name:<24}{:<22}{:>12}{:>12}{:>8.2}x  {:<10}{word}",
                        line.figure,
                        number(line.ours),
                        number(line.theirs),
                        line.ratio,
                        line.target,
                    )?;
                }
            }
        }
    }
    Ok(())
}

/// Writes every figure of every repetition.
///
/// # Errors
/// A file that cannot be written.
pub(super) fn write(path: &Path, outcomes: &[(Row, Outcome)], quick: bool) -> Result<(), String> {
    let rows: Vec<String> = outcomes.iter().map(|(row, outcome)| json(row, outcome)).collect();
    let text = format!("{{\"quick\":{quick},\"rows\":[\n{}\n]}}\n", rows.join(",\n"));
    fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))
}

fn json(row: &Row, outcome: &Outcome) -> String {
    let name = row.name;
    match outcome {
        Outcome::Skipped(why) => format!("{{\"row\":\"{name}\",\"skipped\":{}}}", quoted(why)),
        Outcome::Failed(why) => format!("{{\"row\":\"{name}\",\"failed\":{}}}", quoted(why)),
        Outcome::Measured { ours, theirs } => {
            let lines = row.checks.iter().filter_map(|check| line(check, ours, theirs));
            let checks: Vec<String> = lines
                .map(|line| {
                    format!(
                        "{{\"figure\":\"{}\",\"ours\":{},\"theirs\":{},\"ratio\":{:.4},\
                         \"target\":\"{}\",\"met\":{}}}",
                        line.figure,
                        number(line.ours),
                        number(line.theirs),
                        line.ratio,
                        line.target,
                        line.is_met
                    )
                })
                .collect();
            format!(
                "{{\"row\":\"{name}\",\"checks\":[{}],\"ours\":{},\"theirs\":{}}}",
                checks.join(","),
                runs(ours),
                runs(theirs)
            )
        }
    }
}

fn runs(taken: &[Values]) -> String {
    let one = |values: &Values| {
        let members: Vec<String> =
            values.iter().map(|(name, value)| format!("\"{name}\":{value:.4}")).collect();
        format!("{{{}}}", members.join(","))
    };
    let runs: Vec<String> = taken.iter().map(one).collect();
    format!("[{}]", runs.join(","))
}

fn quoted(text: &str) -> String {
    let escaped = |char: char| match char {
        '"' => "\\\"".to_owned(),
        '\\' => "\\\\".to_owned(),
        char if char.is_control() => " ".to_owned(),
        char => char.to_string(),
    };
    format!("\"{}\"", text.chars().map(escaped).collect::<String>())
}

/// Whether the command has succeeded: in a quick run, whether every row ran.
///
/// # Errors
/// The rows that failed or missed their targets.
pub(super) fn verdict(outcomes: &[(Row, Outcome)], quick: bool) -> Result<(), String> {
    let is_bad = |(row, outcome): &&(Row, Outcome)| match outcome {
        Outcome::Skipped(_) => false,
        Outcome::Failed(_) => true,
        Outcome::Measured { ours, theirs } => row
            .checks
            .iter()
            .any(|check| line(check, ours, theirs).is_none_or(|line| !quick && !line.is_met)),
    };
    let bad: Vec<&str> = outcomes.iter().filter(is_bad).map(|(row, _)| row.name).collect();
    if bad.is_empty() { Ok(()) } else { Err(format!("not reached: {}", bad.join(", "))) }
}

#[cfg(test)]
mod tests {
    use super::super::rows;
    use super::*;
    use crate::json::Json;

    fn values(figures: &[(&'static str, f64)]) -> Values {
        figures.iter().copied().collect()
    }

    fn outcomes() -> Vec<(Row, Outcome)> {
        let figures =
            |rate: f64, cpu: f64| values(&[(rows::figure::RATE, rate), (rows::figure::CPU, cpu)]);
        let row = |name: &str| rows::all().into_iter().find(|row| row.name == name).unwrap();
        let ours = vec![figures(10.0, 0.9), figures(30.0, 0.9), figures(20.0, 0.9)];
        let measured = Outcome::Measured { ours, theirs: vec![figures(10.0, 1.0)] };
        let skipped = Outcome::Skipped("no \"java\"".to_owned());
        vec![(row("produce-100"), measured), (row("start"), skipped)]
    }

    #[test]
    fn the_table_has_medians_and_says_what_was_missed() {
        let text = table(&outcomes());
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[1].contains("20.0") && lines[1].ends_with("ok"), "{text}");
        assert!(lines[2].contains("0.90x") && lines[2].ends_with("MISSED"), "{text}");
        assert!(lines[3].ends_with("skipped: no \"java\""), "{text}");
        assert!(verdict(&outcomes(), true).is_ok());
        assert_eq!(verdict(&outcomes(), false).unwrap_err(), "not reached: produce-100");
    }

    #[test]
    fn the_json_can_be_read() {
        for (row, outcome) in outcomes() {
            let json = Json::parse(&json(&row, &outcome)).unwrap();
            assert_eq!(json.at("row").text(), row.name);
        }
    }

    #[test]
    fn an_even_number_of_runs_has_a_median_too() {
        let taken = [values(&[("a", 1.0)]), values(&[("a", 3.0)])];
        assert_eq!(median(&taken, "a"), Some(2.0));
        assert_eq!(median(&taken, "b"), None);
    }
}
