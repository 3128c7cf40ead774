//! A Rust file as the rules see it: its lines, its code without comments and literals, its tests.
//!
//! This is no parser. rustfmt makes it sound: an item that opens with `{` closes with `}` at the
//! indentation at which it began.

/// A Rust file.
#[derive(Debug)]
pub(super) struct Source {
    /// Path inside the project.
    pub(super) path: String,
    /// The crate it belongs to, or `xtask`, or nothing.
    pub(super) crate_name: String,
    /// The lines as they stand in the file.
    pub(super) raw: Vec<String>,
    /// The same lines with comments and the insides of literals blanked, column by column.
    pub(super) code: Vec<String>,
    /// Which lines belong to tests.
    pub(super) test: Vec<bool>,
    /// Whether `cargo xtask codegen` wrote it.
    pub(super) generated: bool,
}

impl Source {
    pub(super) fn new(path: &str, text: &str) -> Self {
        let raw: Vec<String> = text.lines().map(str::to_owned).collect();
        let code: Vec<String> = blank(text).lines().map(str::to_owned).collect();
        let test = test_lines(path, &code);
        let generated = path.starts_with("crates/protocol/src/messages");
        Self { path: path.to_owned(), crate_name: crate_of(path), raw, code, test, generated }
    }

    /// Name of the file without its folders.
    pub(super) fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or(&self.path)
    }

    /// Whether all of it is tests.
    pub(super) fn is_test(&self) -> bool {
        is_test_path(&self.path)
    }

    /// The code lines outside tests, numbered from 1.
    pub(super) fn own_code(&self) -> impl Iterator<Item = (usize, &str)> {
        self.numbered_code().filter(|(number, _)| !self.in_test(*number))
    }

    /// All code lines, numbered from 1.
    pub(super) fn numbered_code(&self) -> impl Iterator<Item = (usize, &str)> {
        self.code.iter().enumerate().map(|(index, line)| (index + 1, line.as_str()))
    }

    /// Lines outside tests that hold code: documents and blanks are not held against a crate.
    pub(super) fn code_lines(&self) -> usize {
        self.own_code().filter(|(_, line)| !line.trim().is_empty()).count()
    }

    /// Whether this line, counted from 1, belongs to a test.
    pub(super) fn in_test(&self, number: usize) -> bool {
        number.checked_sub(1).and_then(|index| self.test.get(index)).copied().unwrap_or(false)
    }

    /// A line as it stands in the file, counted from 1.
    pub(super) fn raw_line(&self, number: usize) -> &str {
        number.checked_sub(1).and_then(|index| self.raw.get(index)).map_or("", String::as_str)
    }
}

/// The crate of a path: the folder below `crates`, or `xtask`.
pub(super) fn crate_of(path: &str) -> String {
    let mut parts = path.split('/');
    match parts.next() {
        Some("crates") => parts.next().unwrap_or("").to_owned(),
        Some("xtask") => "xtask".to_owned(),
        _ => String::new(),
    }
}

/// Whether a whole file is tests by its place or name.
pub(super) fn is_test_path(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    path.contains("/tests/")
        || path.contains("/benches/")
        || name.ends_with("_test.rs")
        || name == "tests.rs"
        || name == "conformance.rs"
}

/// Number of blanks in front of a line.
pub(super) fn indent_of(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

/// Where `word` stands in `line` as a word of its own: no identifier goes on at its ends.
pub(super) fn find_word(line: &str, word: &str) -> Option<usize> {
    let is_ident =
        |byte: Option<&u8>| byte.is_some_and(|b| b.is_ascii_alphanumeric() || *b == b'_');
    let starts = word.as_bytes().first().filter(|byte| is_ident(Some(byte))).is_some();
    let ends = word.as_bytes().last().filter(|byte| is_ident(Some(byte))).is_some();
    line.match_indices(word).map(|(at, _)| at).find(|at| {
        let before = at.checked_sub(1).and_then(|index| line.as_bytes().get(index));
        let after = line.as_bytes().get(at + word.len());
        !(starts && is_ident(before) || ends && is_ident(after))
    })
}

/// Marks the lines of items under `#[cfg(test)]` and `#[test]`.
fn test_lines(path: &str, code: &[String]) -> Vec<bool> {
    let mut marks = vec![is_test_path(path); code.len()];
    let mut index = 0;
    while index < code.len() {
        let line = code[index].trim_start();
        if line.starts_with("#[cfg(test)]") || line.starts_with("#[test]") {
            let end = item_end(code, index);
            marks[index..=end].fill(true);
            index = end;
        }
        index += 1;
    }
    marks
}

/// The last line of the item that begins (with its attributes) at `start`.
pub(super) fn item_end(code: &[String], start: usize) -> usize {
    let indent = indent_of(&code[start]);
    for (index, line) in code.iter().enumerate().skip(start + 1) {
        let text = line.trim();
        if indent_of(line) != indent || text.is_empty() || text.starts_with("#[") {
            continue;
        }
        let one_liner = text.ends_with(';') || (text.ends_with('}') && !text.starts_with('}'));
        if one_liner || text.starts_with('}') {
            return index;
        }
    }
    code.len() - 1
}

/// What the reader of the text stands in.
enum State {
    Code,
    LineComment,
    BlockComment(usize),
    Text,
    RawText(usize),
}

/// The text with comments and the insides of literals replaced by blanks, line by line.
pub(super) fn blank(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut state = State::Code;
    let mut at = 0;
    while at < chars.len() {
        let (next, taken) = step(&state, &chars[at..], chars[..at].last().copied());
        for char in &chars[at..at + taken] {
            out.push(shown(&state, next.as_ref(), *char));
        }
        if let Some(next) = next {
            state = next;
        }
        at += taken;
    }
    out
}

/// How a character looks in the blanked text.
fn shown(state: &State, next: Option<&State>, char: char) -> char {
    if char == '\n' {
        return '\n';
    }
    let opens = matches!(state, State::Code)
        && !matches!(next, Some(State::LineComment | State::BlockComment(_)));
    let closes =
        matches!(next, Some(State::Code)) && matches!(state, State::Text | State::RawText(_));
    if (opens || closes) && char.is_ascii() { char } else { ' ' }
}

/// The state after the next characters, when it changes, and how many characters they are.
fn step(state: &State, rest: &[char], before: Option<char>) -> (Option<State>, usize) {
    let pair = (rest[0], rest.get(1).copied().unwrap_or('\n'));
    match state {
        State::Code => step_code(rest, pair, before),
        State::LineComment if rest[0] == '\n' => (Some(State::Code), 1),
        State::BlockComment(0) if pair == ('*', '/') => (Some(State::Code), 2),
        State::BlockComment(depth) if pair == ('*', '/') => {
            (Some(State::BlockComment(depth - 1)), 2)
        }
        State::BlockComment(depth) if pair == ('/', '*') => {
            (Some(State::BlockComment(depth + 1)), 2)
        }
        State::Text if rest[0] == '\\' => (None, 2.min(rest.len())),
        State::Text if rest[0] == '"' => (Some(State::Code), 1),
        State::RawText(hashes) if closes_raw(rest, *hashes) => (Some(State::Code), 1 + hashes),
        State::LineComment | State::BlockComment(_) | State::Text | State::RawText(_) => (None, 1),
    }
}

fn step_code(rest: &[char], pair: (char, char), before: Option<char>) -> (Option<State>, usize) {
    let in_word = before.is_some_and(|char| char.is_ascii_alphanumeric() || char == '_');
    match pair {
        ('/', '/') => (Some(State::LineComment), 2),
        ('/', '*') => (Some(State::BlockComment(0)), 2),
        ('"', _) => (Some(State::Text), 1),
        ('r', '"' | '#') if !in_word || before == Some('b') => {
            let hashes = rest[1..].iter().take_while(|char| **char == '#').count();
            if rest.get(1 + hashes) == Some(&'"') {
                (Some(State::RawText(hashes)), 2 + hashes)
            } else {
                (None, 1)
            }
        }
        ('\'', _) => (None, char_literal_len(rest)),
        _ => (None, 1),
    }
}

/// Length of the character literal at the front, or 1 for a lifetime.
fn char_literal_len(rest: &[char]) -> usize {
    if rest.get(1) == Some(&'\\') {
        let close = rest.iter().skip(3).position(|char| *char == '\'');
        return close.map_or(1, |close| close + 4);
    }
    if rest.get(2) == Some(&'\'') { 3 } else { 1 }
}

fn closes_raw(rest: &[char], hashes: usize) -> bool {
    rest[0] == '"'
        && rest.iter().skip(1).take(hashes).filter(|char| **char == '#').count() == hashes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_literals_are_blanked_and_columns_stay() {
        assert_eq!(blank("a // b\nc"), "a     \nc");
        assert_eq!(blank("a /* b /* c */ */ d"), "a                 d");
        assert_eq!(blank(r#"f("x\"y") + 'a'"#), r#"f("    ") + 'a'"#);
        assert_eq!(blank("r#\"a\"b\"# + c"), "r#\"   \"# + c");
        assert_eq!(blank("fn f<'a>(x: &'a str)"), "fn f<'a>(x: &'a str)");
    }

    #[test]
    fn items_under_cfg_test_are_tests() {
        let text = "fn a() {}\n\n#[cfg(test)]\nmod tests {\n    fn b() {}\n}\nfn c() {}\n";
        let source = Source::new("crates/base/src/x.rs", text);
        assert_eq!(source.test, [false, false, true, true, true, true, false]);
    }

    #[test]
    fn a_word_is_found_only_where_no_identifier_goes_on() {
        assert_eq!(find_word("x.get_y() y", "y"), Some(10));
        assert_eq!(find_word("undbg!(", "dbg!("), None);
        assert_eq!(find_word("a.unwrap()", ".unwrap()"), Some(1));
    }
}
