//! The live view on a terminal: one frame, drawn from a [`LiveView`] and nothing else.
//!
//! Everything important is a word, so that it can be read without colours, and the frame is
//! useful from 80 columns and 24 lines on; smaller terminals see its upper left part.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Paragraph};

use crate::render::numbers::{count, delay_ms, delay_or_dash, duration_ms, rate, value};
use crate::render::table::{Align, Table, cut, visible};
use crate::render::view::LiveView;

/// Columns that a name may take in a table.
const NAME_WIDTH_MAX: usize = 28;

/// Lines of tables and hints at the foot, and the frame around the parts above them.
const BORDER_LINES: u16 = 2;

/// How the frame may look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Look {
    /// Whether colours may be used.
    pub(crate) colour: bool,
    /// Whether lines may be drawn with box characters; otherwise with `+`, `-` and `|`.
    pub(crate) unicode: bool,
}

/// Draws the whole frame.
pub(crate) fn draw(frame: &mut Frame<'_>, view: &LiveView, look: Look) {
    let tasks = lines_of(view.tasks.len() + 1);
    let tables = lines_of(view.tables.len().max(1));
    let hints = lines_of(view.hints.len() + 1);
    let parts = [
        Constraint::Length(3),
        Constraint::Max(tasks + BORDER_LINES),
        Constraint::Min(BORDER_LINES + 1),
        Constraint::Max(tables + BORDER_LINES),
        Constraint::Length(hints),
    ];
    let [head, task_area, average_area, table_area, foot] =
        Layout::vertical(parts).areas(frame.area());
    frame.render_widget(Paragraph::new(header(view, head.width, look)), head);
    panel(frame, task_area, "tasks", look, task_lines(view));
    panel(frame, average_area, "latest averages", look, average_lines(view, average_area));
    panel(frame, table_area, "rows written", look, table_lines(view));
    frame.render_widget(Paragraph::new(footer(view, look)), foot);
}

fn header(view: &LiveView, width: u16, look: Look) -> Vec<Line<'static>> {
    let state = Span::styled(view.state.clone(), state_style(view, look));
    let name = cut(&visible(&view.pipeline), NAME_WIDTH_MAX);
    let left = format!(" millstream  {name}  ");
    let right = format!("up {}  {} ", duration_ms(view.uptime_ms), view.listen);
    let used = left.chars().count() + view.state.chars().count() + right.chars().count();
    let blanks = " ".repeat(usize::from(width).saturating_sub(used));
    let first = Line::from(vec![
        Span::styled(left, Style::new().add_modifier(Modifier::BOLD)),
        state,
        Span::raw(blanks),
        Span::raw(right),
    ]);
    let commit = view.commit_age_ms.map_or_else(|| "-".to_owned(), delay_ms);
    let records = format!(
        " in {}  out {}  lag {}  errors {}",
        count(view.records_in),
        count(view.records_out),
        count(view.lag()),
        count(view.errors()),
    );
    let times = format!(
        " last commit {commit} ago  end to end p50 {}  p99 {}",
        delay_or_dash(view.p50_ms),
        delay_or_dash(view.p99_ms),
    );
    vec![first, Line::from(records), Line::from(times)]
}

fn state_style(view: &LiveView, look: Look) -> Style {
    let style = Style::new().add_modifier(Modifier::BOLD);
    if !look.colour {
        return style;
    }
    match view.state.as_str() {
        "RUNNING" if view.errors() == 0 => style.green(),
        "FAILED" => style.red(),
        _ => style.yellow(),
    }
}

fn panel(frame: &mut Frame<'_>, area: Rect, title: &'static str, look: Look, text: String) {
    let block = Block::bordered().title(format!(" {title} "));
    let block = if look.unicode { block } else { block.border_set(ASCII_BORDER) };
    let lines: Vec<Line<'static>> =
        text.lines().map(|line| Line::from(format!(" {line}"))).collect();
    frame.render_widget(Paragraph::new(lines).block(block), area);
}

const ASCII_BORDER: ratatui::symbols::border::Set<'static> = ratatui::symbols::border::Set {
    top_left: "+",
    top_right: "+",
    bottom_left: "+",
    bottom_right: "+",
    vertical_left: "|",
    vertical_right: "|",
    horizontal_top: "-",
    horizontal_bottom: "-",
};

fn task_lines(view: &LiveView) -> String {
    let mut table = Table::new(&[
        ("TASK", Align::Left),
        ("TYPE", Align::Left),
        ("IN/s", Align::Right),
        ("OUT/s", Align::Right),
        ("LAG", Align::Right),
        ("ERRORS", Align::Right),
    ]);
    for task in &view.tasks {
        table.push([
            task.name.clone(),
            task.kind.clone(),
            rate(task.in_per_s),
            rate(task.out_per_s),
            task.lag.map_or_else(|| "-".to_owned(), count),
            count(task.errors),
        ]);
    }
    table.text(NAME_WIDTH_MAX)
}

fn average_lines(view: &LiveView, area: Rect) -> String {
    if view.averages.is_empty() {
        return "none yet: a window must end first\n".to_owned();
    }
    let mut table = Table::new(&[
        ("KEY", Align::Left),
        ("AVERAGE", Align::Right),
        ("COUNT", Align::Right),
        ("WINDOW END", Align::Left),
    ]);
    let room = usize::from(area.height.saturating_sub(BORDER_LINES + 1));
    for line in view.averages.iter().take(room) {
        let end = line.window_end.as_str();
        table.push([line.key.clone(), value(line.average), count(line.count), end.to_owned()]);
    }
    table.text(NAME_WIDTH_MAX)
}

fn table_lines(view: &LiveView) -> String {
    if view.tables.is_empty() {
        return "no database\n".to_owned();
    }
    let line = |table: &crate::render::view::TableLine| {
        let name = cut(&visible(&table.table), NAME_WIDTH_MAX);
        format!("{name:<28}  {:>12}  {}\n", count(table.rows), visible(&table.file))
    };
    view.tables.iter().map(line).collect()
}

fn footer(view: &LiveView, look: Look) -> Vec<Line<'static>> {
    let dim = if look.colour { Style::new().dim() } else { Style::new() };
    let mut lines: Vec<Line<'static>> = view
        .hints
        .iter()
        .map(|hint| Line::styled(format!(" try  {}", visible(hint)), dim))
        .collect();
    lines.push(Line::styled(" q or Ctrl-C  stop and commit", dim));
    lines
}

fn lines_of(count: usize) -> u16 {
    u16::try_from(count).unwrap_or(u16::MAX - BORDER_LINES)
}

#[cfg(test)]
mod tests {
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    use super::*;
    use crate::render::view::examples;

    fn drawn(view: &LiveView, (width, height): (u16, u16), look: Look) -> String {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| draw(frame, view, look)).unwrap();
        let buffer = terminal.backend().buffer();
        let mut text = String::new();
        for y in 0..height {
            let line: String = (0..width).map(|x| buffer[(x, y)].symbol()).collect();
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }

    const PLAIN: Look = Look { colour: false, unicode: false };

    #[test]
    fn a_frame_of_80_by_24_holds_everything() {
        let expected = "
 millstream  machine-health  RUNNING              up 1 min 02 s  localhost:9092
 in 3,224  out 3,361  lag 1,207  errors 0
 last commit 41 ms ago  end to end p50 6.4 ms  p99 19 ms
+ tasks -----------------------------------------------------------------------+
| TASK     TYPE      IN/s  OUT/s    LAG  ERRORS                                |
| present  filter      52     52      3       0                                |
| mean     average     52      3      -       0                                |
| seen     count    12.4k     52  1,204       0                                |
+------------------------------------------------------------------------------+
+ latest averages -------------------------------------------------------------+
| KEY          AVERAGE  COUNT  WINDOW END                                      |
| cpu.0         12.345     20  2026-11-21T06:50:05.000Z                        |
| memory.used    3.138     20  2026-11-21T06:50:05.000Z                        |
|                                                                              |
|                                                                              |
|                                                                              |
|                                                                              |
+------------------------------------------------------------------------------+
+ rows written ----------------------------------------------------------------+
| health                                 137  machine-health.db                |
| seen                                 3,224  machine-health.db                |
+------------------------------------------------------------------------------+
 try  millstream consume machine.health
 q or Ctrl-C  stop and commit
";
        let text = drawn(&examples::machine_health(), (80, 24), PLAIN);
        assert_eq!(format!("\n{text}"), expected);
    }

    #[test]
    fn an_empty_view_says_what_it_waits_for() {
        let text = drawn(&LiveView::default(), (80, 24), PLAIN);
        assert!(text.contains("a window must end first"), "{text}");
        assert!(text.contains("no database"), "{text}");
    }

    #[test]
    fn any_size_can_be_drawn() {
        let mut view = examples::machine_health();
        for _ in 0..6 {
            view.tasks.extend(view.tasks.clone());
            view.averages.extend(view.averages.clone());
            view.tables.extend(view.tables.clone());
        }
        view.pipeline = "\u{4f60}\u{1b}[31m".repeat(40);
        let look = Look { colour: true, unicode: true };
        for size in [(1, 1), (10, 3), (40, 10), (80, 24), (300, 100)] {
            assert!(!drawn(&view, size, look).contains('\u{1b}'));
        }
    }

    #[test]
    fn lines_are_drawn_as_the_terminal_can() {
        let unicode = Look { colour: true, unicode: true };
        let text = drawn(&examples::machine_health(), (80, 24), unicode);
        assert!(text.contains('\u{250c}') && text.contains("RUNNING"), "{text}");
    }
}
