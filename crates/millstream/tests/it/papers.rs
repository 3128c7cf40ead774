//! What pages say of the program: commands that are run by a test, codes and tests that exist.

use std::collections::BTreeSet;
use std::path::Path;

use crate::help::COMMANDS;
use crate::paper::{blocks, pages, read, repository, spans};
use crate::program::run;

/// The pages with blocks that are typed, and the files whose tests type all of them.
const TYPED: &[(&str, &str, &str)] = &[
    ("README.md", "sh", "xtask/src/readme.rs"),
    ("README.md", "console", "crates/millstream/tests/it/sessions.rs"),
    ("docs/cluster.md", "sh", "crates/millstream/tests/it/walks.rs"),
    ("docs/cluster.md", "console", "crates/millstream/tests/it/sessions.rs"),
    ("docs/guarantees.md", "console", "crates/millstream/tests/it/sessions.rs"),
    ("docs/legacy.md", "console", "crates/millstream/tests/it/sessions.rs"),
    ("docs/operating.md", "console", "crates/millstream/tests/it/sessions.rs"),
    ("docs/pipelines.md", "console", "crates/millstream/tests/it/sessions.rs"),
    ("examples/legacy/README.md", "sh", "crates/millstream/tests/it/walks.rs"),
];

/// Lines of other blocks that begin like commands, and why nobody types them.
const UNTYPED: &[(&str, &str, &str)] = &[
    ("docs/bench.md", "cargo xtask bench-peers", "it takes hours and wants a quiet machine"),
    ("docs/performance.md", "cargo xtask bench-peers pipeline", "it takes an hour, likewise"),
];

#[test]
fn every_command_of_a_page_is_typed_by_a_test() {
    let mut left: BTreeSet<(&str, &str)> = TYPED.iter().map(|it| (it.0, it.1)).collect();
    let mut excused: BTreeSet<&str> = UNTYPED.iter().map(|it| it.1).collect();
    for page in pages() {
        for block in blocks(&page) {
            let place = format!("{page}:{}", block.line);
            match block.language.as_str() {
                language @ ("sh" | "console") => {
                    let typed = TYPED.iter().find(|it| (it.0, it.1) == (&*page, language));
                    let (page, language, by) =
                        typed.unwrap_or_else(|| panic!("{place}: nobody types this `{language}`"));
                    assert!(read(by).contains(&format!("\"{page}\"")), "{by} has no {page}");
                    left.remove(&(page, language));
                }
                "yaml" | "text" => {
                    let begins = ["$ ", "millstream ", "cargo "];
                    let is_command = |line: &&str| begins.iter().any(|it| line.starts_with(it));
                    for line in block.text.lines().filter(is_command) {
                        let excuse =
                            |it: &&(&str, &str, &str)| page == it.0 && line.starts_with(it.1);
                        let excuse = UNTYPED.iter().find(excuse);
                        let (_, begin, _) = excuse.unwrap_or_else(|| {
                            panic!("{place}: `{line}` is a command, in a block that is not typed")
                        });
                        excused.remove(begin);
                    }
                }
                other => panic!("{place}: a block is sh, console, yaml or text, not `{other}`"),
            }
        }
    }
    assert!(left.is_empty(), "there is nothing to type: {left:?}");
    assert!(excused.is_empty(), "nothing needs the excuse: {excused:?}");
}

/// The command that words name, and the words behind it.
fn command_of<'w>(words: &[&'w str]) -> Option<(&'static [&'static str], Vec<&'w str>)> {
    let named = COMMANDS.iter().filter(|command| words.starts_with(command));
    let longest = named.max_by_key(|command| command.len())?;
    Some((longest, words[longest.len()..].to_vec()))
}

/// What is wrong with a command that a sentence mentions.
fn wrong_with(typed: &str) -> Option<String> {
    let typed = typed.strip_prefix("millstream ").unwrap_or(typed);
    let words: Vec<&str> = typed.split_whitespace().collect();
    let (command, rest) = command_of(&words)?;
    let is_parent = COMMANDS.iter().any(|it| it.len() > command.len() && it.starts_with(command));
    let is_word = |word: &&&str| word.starts_with(|letter: char| letter.is_ascii_lowercase());
    if let Some(unknown) = rest.first().filter(|_| is_parent).filter(is_word) {
        return Some(format!("there is no `{} {unknown}`", command.join(" ")));
    }
    let name = if command.is_empty() { "millstream".to_owned() } else { command.join("-") };
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/snapshots");
    let help = std::fs::read_to_string(folder.join(format!("{name}.txt"))).unwrap();
    let known: BTreeSet<&str> = help.split([' ', ',', '=', '\n', '[', ']']).collect();
    let options = rest.iter().map(|word| word.split('=').next().unwrap_or_default());
    // What looks like a negative number or an age is a value.
    let is_option = |word: &&str| word.starts_with('-') && !word.contains(char::is_numeric);
    let unknown = options.filter(is_option).find(|option| !known.contains(option))?;
    Some(format!("`{}` has no `{unknown}`", command.join(" ")))
}

#[test]
fn commands_that_sentences_mention_exist_with_their_options() {
    let tops: BTreeSet<&str> =
        COMMANDS.iter().filter(|command| command.len() == 2).map(|command| command[0]).collect();
    let mut count = 0;
    let mut wrong = Vec::new();
    // Decisions tell of their time, and the pages about the code of other words.
    let is_for_users = |page: &String| {
        page == "README.md"
            || page.starts_with("examples/")
            || page.rsplit_once('/').is_some_and(|it| it.0 == "docs")
    };
    for page in pages().into_iter().filter(is_for_users) {
        for (line, span) in spans(&page) {
            let (first, more) = span.split_once(' ').unwrap_or((&span, ""));
            let is_verb = more.starts_with(|letter: char| letter.is_ascii_lowercase());
            if (first == "millstream" && !more.is_empty()) || (tops.contains(first) && is_verb) {
                count += 1;
                let problem = wrong_with(&span);
                wrong.extend(problem.map(|it| format!("{page}:{line}: `{span}`: {it}")));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(count > 50, "only {count} commands were found");
}

#[test]
fn a_command_that_does_not_exist_is_found() {
    assert_eq!(wrong_with("millstream pipeline lint FILE --json"), None);
    assert_eq!(wrong_with("pipeline reset FILE --to -1h"), None);
    let told = wrong_with("millstream pipeline lnit FILE");
    assert_eq!(told.as_deref(), Some("there is no `pipeline lnit`"));
    let told = wrong_with("dlq list --every");
    assert_eq!(told.as_deref(), Some("`dlq list` has no `--every`"));
}

#[test]
fn codes_on_pages_are_explained() {
    let listed = run(&["explain"]).output;
    let known: BTreeSet<&str> = listed.lines().filter_map(|it| it.split("  ").next()).collect();
    assert!(known.len() > 80, "{known:?}");
    let mut count = 0;
    for page in pages() {
        let text = read(&page);
        for (at, _) in text.match_indices("MS-") {
            let digits = text[at + 3..].chars().take_while(char::is_ascii_digit).count();
            let code = &text[at..at + 3 + digits];
            // `MS-1xxx` names a family.
            if digits == 4 {
                assert!(known.contains(code), "{page} speaks of {code}, which nobody explains");
                count += 1;
            }
        }
    }
    assert!(count > 30, "only {count} codes were found");
}

/// All lines with `fn ` below these folders.
fn functions() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut folders = vec![repository().join("crates"), repository().join("xtask/src")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                let text = std::fs::read_to_string(path).unwrap();
                let after = text.split("fn ").skip(1);
                found.extend(after.filter_map(|it| it.split_once('(')).map(|it| it.0.to_owned()));
            }
        }
    }
    found
}

#[test]
fn tests_that_pages_name_exist() {
    let functions = functions();
    for (page, least) in [("docs/guarantees.md", 30), ("ARCHITECTURE.md", 20)] {
        let spans = spans(page);
        let is_test = |span: &&(usize, String)| {
            let is_letter = |letter: char| letter.is_ascii_lowercase() || letter == '_';
            span.1.matches('_').count() >= 4 && span.1.chars().all(is_letter)
        };
        let named: Vec<_> = spans.iter().filter(is_test).collect();
        assert!(named.len() >= least, "{page} names only {} tests", named.len());
        for (line, test) in named {
            assert!(functions.contains(test), "{page}:{line} names {test}, which is no test");
        }
    }
}
