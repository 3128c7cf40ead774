//! Dead letters and the keys that wait behind them, as text.

use crate::render::table::{Align, Table};

/// Columns that a cell may take: reasons are sentences.
const CELL_WIDTH_MAX: usize = 120;

/// A key in a list.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct KeyLine {
    /// The task, or `sender->task` for the way into it.
    pub(crate) place: String,
    pub(crate) key: String,
    pub(crate) waiting: u64,
    pub(crate) is_leaving: bool,
    pub(crate) reason: String,
}

/// The letters of a task where no key waits.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct TaskLine {
    pub(crate) task: String,
    pub(crate) letters: u64,
    /// Of the last one.
    pub(crate) reason: String,
}

/// A letter that is shown whole.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct LetterLines {
    pub(crate) place: String,
    pub(crate) key: Option<String>,
    /// Absent where nobody waits behind it.
    pub(crate) sequence: Option<u64>,
    pub(crate) origin: String,
    pub(crate) time: String,
    pub(crate) reason: String,
    pub(crate) value: Option<String>,
}

/// What a parked key does, in a word.
pub(crate) fn state(is_leaving: bool) -> &'static str {
    if is_leaving { "leaves" } else { "waits" }
}

/// `dlq list`.
pub(crate) fn keys(lines: &[KeyLine]) -> String {
    let mut table = Table::new(&[
        ("TASK", Align::Left),
        ("KEY", Align::Left),
        ("LETTERS", Align::Right),
        ("STATE", Align::Left),
        ("REASON", Align::Left),
    ]);
    for line in lines {
        table.push([
            line.place.clone(),
            line.key.clone(),
            line.waiting.to_string(),
            state(line.is_leaving).to_owned(),
            line.reason.clone(),
        ]);
    }
    table.text(CELL_WIDTH_MAX)
}

/// `dlq list` where no key waits.
pub(crate) fn tasks(lines: &[TaskLine]) -> String {
    let mut table = Table::new(&[
        ("TASK", Align::Left),
        ("LETTERS", Align::Right),
        ("LAST-REASON", Align::Left),
    ]);
    for line in lines {
        table.push([line.task.clone(), line.letters.to_string(), line.reason.clone()]);
    }
    table.text(CELL_WIDTH_MAX)
}

/// A letter of `dlq show`.
pub(crate) fn letter(letter: &LetterLines) -> String {
    let key = letter.key.as_deref().unwrap_or("(no key)");
    let number = letter.sequence.map(|at| format!("  letter {at}")).unwrap_or_default();
    let value = letter.value.as_deref().unwrap_or("(no value)");
    format!(
        "{}  {key}{number}  {}  {}\n  why    {}\n  value  {value}\n",
        letter.place, letter.origin, letter.time, letter.reason
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_and_letters_are_shown_with_their_reasons() {
        let line = KeyLine {
            place: "plus".to_owned(),
            key: "a".to_owned(),
            waiting: 12,
            is_leaving: false,
            reason: "`n` is no number".to_owned(),
        };
        let leaving = KeyLine { is_leaving: true, waiting: 3, ..line.clone() };
        let expected = "TASK  KEY  LETTERS  STATE   REASON\n\
                        plus  a         12  waits   `n` is no number\n\
                        plus  a          3  leaves  `n` is no number\n";
        assert_eq!(keys(&[line, leaving]), expected);
        let lines = LetterLines {
            place: "plus".to_owned(),
            sequence: Some(4),
            origin: "in-0 offset 7".to_owned(),
            time: "1970-01-01T00:00:00.000Z".to_owned(),
            reason: "`n` is no number".to_owned(),
            ..LetterLines::default()
        };
        let expected = "plus  (no key)  letter 4  in-0 offset 7  1970-01-01T00:00:00.000Z\n  \
                        why    `n` is no number\n  value  (no value)\n";
        assert_eq!(letter(&lines), expected);
    }
}
