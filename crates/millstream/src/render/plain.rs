//! The live view for those who have no terminal, and the summary for everybody.

use pipeline::sink::TablePreview;

use crate::render::numbers::{count, delay_ms, delay_or_dash, duration_ms, rate, value};
use crate::render::table::{Table, cut, visible};
use crate::render::view::{LiveView, Summary};

/// Columns that a cell of a previewed row may take.
const PREVIEW_CELL_WIDTH_MAX: usize = 40;

/// Averages that a line names.
const AVERAGES_IN_LINE_MAX: usize = 2;

/// One line of progress: `time` is the time of day.
pub(crate) fn progress_line(view: &LiveView, time: &str) -> String {
    let mut parts = vec![
        format!("{time} {}", visible(&view.pipeline)),
        view.state.to_lowercase(),
        format!("{} rec/s", rate(view.in_per_s())),
        format!("in {}", count(view.records_in)),
        format!("out {}", count(view.records_out)),
        format!("lag {}", count(view.lag())),
    ];
    if let Some(age_ms) = view.commit_age_ms {
        parts.push(format!("commit {} ago", delay_ms(age_ms)));
    }
    parts.push(delays(view.p50_ms, view.p99_ms));
    let rows = view.tables.iter().map(|table| table.rows).fold(0, u64::saturating_add);
    parts.push(format!("rows {}", count(rows)));
    if view.errors() > 0 {
        parts.push(format!("errors {}", count(view.errors())));
    }
    for line in view.averages.iter().take(AVERAGES_IN_LINE_MAX) {
        parts.push(format!("{} {}", cut(&visible(&line.key), 24), value(line.average)));
    }
    parts.join("  ")
}

/// What is said at the end, each line ended.
pub(crate) fn summary(summary: &Summary) -> String {
    let mut text = format!(
        "{} {} after {}\n",
        visible(&summary.pipeline),
        summary.outcome,
        duration_ms(summary.uptime_ms)
    );
    let mut line = |name: &str, what: String| text.push_str(&format!("  {name:<10}{what}\n"));
    line(
        "records",
        format!("{} in, {} out", count(summary.records_in), count(summary.records_out)),
    );
    for table in &summary.tables {
        let rows = format!("{} in {}, table {}", count(table.rows), table.file, table.table);
        line("rows", visible(&rows));
    }
    line("delay", delays(summary.p50_ms, summary.p99_ms));
    if summary.open_windows > 0 {
        let many = if summary.open_windows == 1 { "window stays" } else { "windows stay" };
        line("windows", format!("{} {many} open", count(summary.open_windows)));
    }
    if summary.errors > 0 {
        line("errors", count(summary.errors));
    }
    for hint in &summary.hints {
        line("next", hint.clone());
    }
    text
}

/// The newest rows of tables, each line ended.
pub(crate) fn previews(tables: &[TablePreview]) -> String {
    let mut text = String::new();
    for preview in tables {
        if !text.is_empty() {
            text.push('\n');
        }
        let shown = base::cast::u64_of(preview.rows.len());
        let rows = if preview.rows_count == 1 { "row" } else { "rows" };
        let newest = match shown {
            0 => String::new(),
            _ if shown == preview.rows_count => ", newest first".to_owned(),
            _ => format!(", the newest {shown}"),
        };
        let name = visible(&preview.table);
        text.push_str(&format!("{name}: {} {rows}{newest}\n", count(preview.rows_count)));
        if preview.rows.is_empty() {
            continue;
        }
        let mut table = Table::with_names(&preview.columns);
        for row in &preview.rows {
            table.push(row.iter().map(ToString::to_string));
        }
        text.push_str(&table.text(PREVIEW_CELL_WIDTH_MAX));
    }
    text
}

fn delays(p50_ms: Option<f64>, p99_ms: Option<f64>) -> String {
    format!("p50 {}  p99 {}", delay_or_dash(p50_ms), delay_or_dash(p99_ms))
}

#[cfg(test)]
mod tests {
    use pipeline::sink::Cell;

    use super::*;
    use crate::render::view::examples;

    #[test]
    fn progress_is_one_line() {
        assert_eq!(
            progress_line(&examples::machine_health(), "06:51:02"),
            "06:51:02 machine-health  running  52 rec/s  in 3,224  out 3,361  lag 1,207  \
             commit 41 ms ago  p50 6.4 ms  p99 19 ms  rows 3,361  cpu.0 12.345  \
             memory.used 3.138"
        );
        let mut view = LiveView { pipeline: "p\n".to_owned(), ..LiveView::default() };
        view.state = "STARTING".to_owned();
        assert_eq!(
            progress_line(&view, "06:51:02"),
            "06:51:02 p\\n  starting  0 rec/s  in 0  out 0  lag 0  p50 -  p99 -  rows 0"
        );
    }

    #[test]
    fn the_summary_says_what_happened_and_what_to_do_next() {
        let expected = "\
machine-health stopped after 1 min 02 s
  records   3,224 in, 3,361 out
  rows      137 in machine-health.db, table health
  rows      3,224 in machine-health.db, table seen
  delay     p50 6.4 ms  p99 19 ms
  windows   13 windows stay open
  next      millstream sink preview machine-health.yaml
";
        assert_eq!(summary(&examples::summary()), expected);
    }

    #[test]
    fn previews_show_the_newest_rows() {
        let text = |value: &str| Cell::Text(value.to_owned());
        let health = TablePreview {
            table: "health".to_owned(),
            columns: vec!["key".to_owned(), "average".to_owned()],
            rows: vec![
                vec![text("cpu.0"), Cell::Real(12.5)],
                vec![text(&"long".repeat(20)), Cell::Null],
            ],
            rows_count: 1_370,
        };
        let empty = TablePreview {
            table: "seen".to_owned(),
            columns: vec!["key".to_owned()],
            rows: Vec::new(),
            rows_count: 0,
        };
        let expected = "\
health: 1,370 rows, the newest 2
key                                       average
cpu.0                                     12.5
longlonglonglonglonglonglonglonglonglo..  -

seen: 0 rows
";
        assert_eq!(previews(&[health, empty]), expected);
    }
}
