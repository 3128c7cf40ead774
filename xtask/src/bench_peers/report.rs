//! The table and the JSON: medians of each side, ratios, and whether the targets are met.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use super::rows::{Check, DISK_SHARE, Row, Target, figure};

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
    /// Absent where nobody is compared with.
    theirs: Option<f64>,
    target: String,
    is_met: bool,
}

impl Line {
    fn ratio(&self) -> Option<f64> {
        self.theirs.map(|theirs| self.ours / theirs)
    }
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

/// What share of the disk's ceiling we write.
fn disk_share(ours: &[Values]) -> Option<f64> {
    Some(median(ours, figure::DISK)? / median(ours, figure::CEILING)?)
}

fn line(check: &Check, taken: &[Values], theirs: &[Values]) -> Option<Line> {
    let ours = median(taken, check.figure)?;
    let theirs = median(theirs, check.figure);
    let (target, is_met) = match (check.target, theirs) {
        (Target::AtLeast(least), Some(theirs)) => (format!(">= {least}x"), ours / theirs >= least),
        (Target::AtLeastOrDisk(least), Some(theirs)) => {
            let share = disk_share(taken)?;
            let target = format!(">= {least}x or >= {DISK_SHARE} of the disk ({share:.2})");
            (target, ours / theirs >= least || share >= DISK_SHARE)
        }
        (Target::AtMost(most), Some(theirs)) => (format!("<= {most}x"), ours / theirs <= most),
        (Target::Below(most), _) => (format!("<= {most}"), ours <= most),
        (_, None) => return None,
    };
    Some(Line { figure: check.figure, ours, theirs, target, is_met })
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
                    let theirs = line.theirs.map_or_else(|| "-".to_owned(), number);
                    let ratio = line.ratio().map_or_else(|| "-".to_owned(), times);
                    writeln!(
                        text,
                        "{name:<24}{:<22}{:>12}{theirs:>12}{ratio:>9}  {:<10}{word}",
                        line.figure,
                        number(line.ours),
                        line.target,
                    )?;
                }
            }
        }
    }
    Ok(())
}

fn times(value: f64) -> String {
    format!("{value:.2}x")
}

/// The same as a table of a page; what was missed is bold.
pub(super) fn page(outcomes: &[(Row, Outcome)]) -> String {
    let mut text =
        "| row | figure | ours | theirs | ratio | target |\n|---|---|---|---|---|---|\n".to_owned();
    for (row, outcome) in outcomes {
        let Outcome::Measured { ours, theirs } = outcome else { continue };
        let lines = row.checks.iter().filter_map(|check| line(check, ours, theirs));
        for (at, line) in lines.enumerate() {
            let name = if at == 0 { format!("{} ", row.name) } else { String::new() };
            let theirs = line.theirs.map_or_else(String::new, people);
            text += &format!("| {name}| {} | {} | {theirs} |", line.figure, people(line.ours));
            // Where our own figure alone counts a ratio says nothing.
            let is_own = line.target.ends_with(|last: char| last.is_ascii_digit());
            let shown = line.ratio().filter(|_| !is_own).map_or_else(String::new, times);
            let shown = if is_own && !line.is_met { "missed".to_owned() } else { shown };
            let shown = if line.is_met { shown } else { format!("**{shown}**") };
            text += &format!(" {shown} | {} |\n", line.target);
        }
    }
    text
}

/// A figure with three digits that count, thousands apart.
fn people(value: f64) -> String {
    let digits = match value.abs() {
        large if large >= 100.0 => 0,
        large if large >= 10.0 => 1,
        _ => 2,
    };
    let text = format!("{value:.digits$}");
    let (whole, fraction) = text.find('.').map_or((text.as_str(), ""), |at| text.split_at(at));
    let mut apart = String::new();
    for (at, digit) in whole.chars().enumerate() {
        if at > 0 && (whole.len() - at).is_multiple_of(3) {
            apart.push(',');
        }
        apart.push(digit);
    }
    apart + fraction
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
                    let null = || "null".to_owned();
                    format!(
                        "{{\"figure\":\"{}\",\"ours\":{},\"theirs\":{},\"ratio\":{},\
                         \"target\":\"{}\",\"met\":{}}}",
                        line.figure,
                        number(line.ours),
                        line.theirs.map_or_else(null, number),
                        line.ratio().map_or_else(null, |ratio| format!("{ratio:.4}")),
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
    fn a_page_has_thousands_apart_and_what_was_missed_in_bold() {
        let text = page(&outcomes());
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[2], "| produce-100 | records/s | 20.0 | 10.0 | 2.00x | >= 1x |");
        assert_eq!(lines[3], "| | cpu s/M | 0.90 | 1.00 | **0.90x** | <= 0.7x |");
        assert_eq!(lines.len(), 4, "{text}");
        assert_eq!((people(1_234_567.8), people(999.0)), ("1,234,568".into(), "999".into()));
        assert_eq!((people(0.456), people(12.34)), ("0.46".into(), "12.3".into()));
    }

    #[test]
    fn a_row_without_another_side_is_held_to_its_own_figure() {
        let row = || super::super::pipeline_rows::all().pop().unwrap();
        let figures = |cpu: f64| {
            let own = [(rows::figure::IDLE_CPU, cpu), (rows::figure::IDLE_BROKER_CPU, 0.5)];
            let mut values = values(&own);
            values.insert(rows::figure::MEMORY, 200.0);
            Outcome::Measured { ours: vec![values], theirs: Vec::new() }
        };
        assert!(verdict(&[(row(), figures(0.9))], false).is_ok());
        let missed = [(row(), figures(1.1))];
        assert!(verdict(&missed, false).is_err());
        assert!(table(&missed).contains("MISSED"));
        assert!(page(&missed).contains("| **missed** | <= 1 |"), "{}", page(&missed));
        let json = Json::parse(&json(&missed[0].0, &missed[0].1)).unwrap();
        assert_eq!(*json.at("checks").items()[0].at("theirs"), Json::Null);
    }

    #[test]
    fn a_row_that_is_held_up_by_the_disk_has_reached_its_target() {
        let row = || rows::all().into_iter().find(|row| row.name == "produce-1000").unwrap();
        let outcome = |rate: f64, disk: f64| {
            let own = [(figure::RATE, rate), (figure::USER_CPU, 0.1), (figure::DISK, disk)];
            let mut ours = values(&own);
            ours.insert(figure::CEILING, 200.0);
            let theirs = values(&[(figure::RATE, 10.0), (figure::USER_CPU, 1.0)]);
            Outcome::Measured { ours: vec![ours], theirs: vec![theirs] }
        };
        assert!(verdict(&[(row(), outcome(11.0, 20.0))], false).is_ok());
        assert!(verdict(&[(row(), outcome(9.0, 190.0))], false).is_ok());
        let missed = [(row(), outcome(9.0, 170.0))];
        assert!(verdict(&missed, false).is_err());
        let page = page(&missed);
        assert!(page.contains("| **0.90x** | >= 1x or >= 0.9 of the disk (0.85) |"), "{page}");
    }

    #[test]
    fn an_even_number_of_runs_has_a_median_too() {
        let taken = [values(&[("a", 1.0)]), values(&[("a", 3.0)])];
        assert_eq!(median(&taken, "a"), Some(2.0));
        assert_eq!(median(&taken, "b"), None);
    }
}
