//! Tables of text: columns as wide as their widest cell, as Kafka's tools print them.

use unicode_width::UnicodeWidthStr as _;

/// Blanks between two columns.
const GAP: &str = "  ";

/// How a column's cells stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Align {
    Left,
    Right,
}

/// A table on its way to text.
#[derive(Debug, Clone)]
pub(crate) struct Table {
    columns: Vec<(String, Align)>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these columns.
    pub(crate) fn new(columns: &[(&str, Align)]) -> Self {
        let columns = columns.iter().map(|(name, align)| ((*name).to_owned(), *align)).collect();
        Self { columns, rows: Vec::new() }
    }

    /// A table whose column names come from elsewhere.
    pub(crate) fn with_names(names: &[String]) -> Self {
        let columns = names.iter().map(|name| (visible(name), Align::Left)).collect();
        Self { columns, rows: Vec::new() }
    }

    /// One more row; missing cells are empty, surplus ones are dropped.
    pub(crate) fn push<S: AsRef<str>>(&mut self, cells: impl IntoIterator<Item = S>) {
        let mut row: Vec<String> =
            cells.into_iter().map(|cell| visible(cell.as_ref())).take(self.columns.len()).collect();
        row.resize(self.columns.len(), String::new());
        self.rows.push(row);
    }

    /// The text, each line ended; cells longer than `cell_width_max` columns are cut.
    pub(crate) fn text(&self, cell_width_max: usize) -> String {
        let names: Vec<String> = self.columns.iter().map(|(name, _)| name.clone()).collect();
        let lines: Vec<Vec<String>> = std::iter::once(&names)
            .chain(&self.rows)
            .map(|row| row.iter().map(|cell| cut(cell, cell_width_max)).collect())
            .collect();
        let width = |column: usize| lines.iter().map(|row| row[column].width()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..self.columns.len()).map(width).collect();
        let mut text = String::new();
        for row in &lines {
            let mut line = String::new();
            for ((cell, width), (_, align)) in row.iter().zip(&widths).zip(&self.columns) {
                if !line.is_empty() {
                    line.push_str(GAP);
                }
                let padding = " ".repeat(width - cell.width());
                match align {
                    Align::Left => line.extend([cell.as_str(), &padding]),
                    Align::Right => line.extend([&padding, cell.as_str()]),
                }
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
}

/// Text that cannot move the cursor or colour the terminal: control characters are written out.
pub(crate) fn visible(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for letter in text.chars() {
        // Marks that turn the direction of the text around them would shuffle the columns.
        let turns = matches!(letter, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        if letter.is_control() || turns {
            shown.extend(letter.escape_default());
        } else {
            shown.push(letter);
        }
    }
    shown
}

/// The text cut to so many columns; what is missing shows as `..`.
pub(crate) fn cut(text: &str, width_max: usize) -> String {
    if text.width() <= width_max {
        return text.to_owned();
    }
    let mark = if width_max >= 4 { ".." } else { "" };
    let mut shown = String::new();
    for letter in text.chars() {
        let mut buffer = [0; 4];
        if shown.width() + letter.encode_utf8(&mut buffer).width() + mark.len() > width_max {
            break;
        }
        shown.push(letter);
    }
    shown + mark
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_cells() {
        let columns = [("TOPIC", Align::Left), ("LAG", Align::Right), ("HOST", Align::Left)];
        let mut table = Table::new(&columns);
        table.push(["sensors.raw", "1,204", "/127.0.0.1"]);
        table.push(["a", "0"]);
        let expected = "\
TOPIC          LAG  HOST
sensors.raw  1,204  /127.0.0.1
a                0
";
        assert_eq!(table.text(80), expected);
    }

    #[test]
    fn wide_letters_take_two_columns() {
        let mut table = Table::with_names(&["K".to_owned(), "V".to_owned()]);
        table.push(["\u{4f60}\u{597d}", "1"]);
        table.push(["abcd", "2"]);
        assert_eq!(table.text(80), "K     V\n\u{4f60}\u{597d}  1\nabcd  2\n");
    }

    #[test]
    fn long_cells_are_cut_and_say_so() {
        assert_eq!(cut("abcdefgh", 8), "abcdefgh");
        assert_eq!(cut("abcdefgh", 6), "abcd..");
        assert_eq!(cut("abcdefgh", 3), "abc");
        assert_eq!(cut("\u{4f60}\u{597d}\u{4f60}", 5), "\u{4f60}..");
        assert_eq!(cut("", 0), "");
    }

    #[test]
    fn no_cell_can_reach_the_terminal() {
        assert_eq!(visible("a\u{1b}[31mred\r\n\u{202e}x"), "a\\u{1b}[31mred\\r\\n\\u{202e}x");
    }
}
