//! The pages for people, as files and blocks.

use std::path::{Path, PathBuf};

/// A fenced block of a page.
pub(crate) struct Block {
    /// What stands behind the fence: `sh`, `console`, `yaml`, `text`.
    pub(crate) language: String,
    /// The line of its fence, from 1.
    pub(crate) line: usize,
    pub(crate) text: String,
}

pub(crate) fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

pub(crate) fn read(page: &str) -> String {
    std::fs::read_to_string(repository().join(page))
        .unwrap_or_else(|error| panic!("{page}: {error}"))
}

/// All pages, by their paths in the repository.
pub(crate) fn pages() -> Vec<String> {
    let mut pages = Vec::new();
    for folder in ["", "docs", "docs/decisions", "examples", "examples/legacy"] {
        for entry in std::fs::read_dir(repository().join(folder)).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            if name.ends_with(".md") {
                pages.push(Path::new(folder).join(name).to_str().unwrap().to_owned());
            }
        }
    }
    pages.sort();
    pages
}

/// The blocks of a page, in their order.
pub(crate) fn blocks(page: &str) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    let mut is_inside = false;
    for (at, line) in read(page).lines().enumerate() {
        if let Some(language) = line.strip_prefix("```") {
            if !is_inside {
                let (language, text) = (language.to_owned(), String::new());
                blocks.push(Block { language, line: at + 1, text });
            }
            is_inside = !is_inside;
        } else if is_inside {
            let block = blocks.last_mut().unwrap();
            block.text.push_str(line);
            block.text.push('\n');
        }
    }
    assert!(!is_inside, "{page} has a block without an end");
    blocks
}

/// The whole pipeline files that a page shows, with their names.
pub(crate) fn pipelines(page: &str) -> Vec<(String, String)> {
    let whole = blocks(page).into_iter().filter(|block| block.text.starts_with("version: 1\n"));
    let named = whole.map(|block| {
        let name = block.text.lines().find_map(|line| line.strip_prefix("name: "));
        (name.unwrap_or_else(|| panic!("{page}:{} has no name", block.line)).to_owned(), block.text)
    });
    named.collect()
}

/// What stands between single backticks outside of blocks, with its line from 1.
pub(crate) fn spans(page: &str) -> Vec<(usize, String)> {
    let mut is_inside = false;
    let mut spans = Vec::new();
    for (at, line) in read(page).lines().enumerate() {
        is_inside ^= line.starts_with("```");
        if !is_inside && !line.starts_with("```") {
            spans.extend(line.split('`').skip(1).step_by(2).map(|it| (at + 1, it.to_owned())));
        }
    }
    spans
}
