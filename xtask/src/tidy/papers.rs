//! The project's papers: headings, links, the map of the house, the change log, golden files.

use super::Report;
use super::crates::is_ours;
use super::tree::Tree;

/// E6: a page has one title, and its links lead somewhere.
pub(super) fn check_markdown(tree: &Tree, report: &mut Report) {
    for file in tree.files().filter(|file| file.path.ends_with(".md")) {
        let prose = without_code(file.text());
        let titles = prose.lines().filter(|line| line.starts_with("# ")).count();
        if titles != 1 {
            let what = format!("{titles} titles, a page has exactly one line beginning with `# `");
            report.add("E6", &file.path, 1, what);
        }
        for (index, line) in prose.lines().enumerate() {
            for target in links(line).filter(|target| !leads_somewhere(tree, &file.path, target)) {
                let what = format!("the link `{target}` leads nowhere, correct it");
                report.add("E6", &file.path, index + 1, what);
            }
        }
    }
}

/// The text with the lines of code blocks emptied.
fn without_code(text: &str) -> String {
    let mut inside = false;
    let mut prose = String::new();
    for line in text.lines() {
        let fence = line.trim_start().starts_with("```");
        inside ^= fence;
        if !inside && !fence && !line.starts_with("    ") {
            prose.push_str(line);
        }
        prose.push('\n');
    }
    prose
}

/// The targets of the links of a line.
fn links(line: &str) -> impl Iterator<Item = &str> {
    line.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(target, _)| target)
}

fn leads_somewhere(tree: &Tree, page: &str, target: &str) -> bool {
    if target.contains("://") || target.starts_with("mailto:") {
        return true;
    }
    let (path, anchor) = target.split_once('#').unwrap_or((target, ""));
    let there = if path.is_empty() { page.to_owned() } else { beside(page, path) };
    tree.has(&there) && (anchor.is_empty() || has_heading(tree, &there, anchor))
}

/// The place that a path beside a page means.
fn beside(page: &str, path: &str) -> String {
    let mut parts: Vec<&str> = page.split('/').collect();
    let _ = parts.pop(); // The page itself.
    for part in path.split('/') {
        match part {
            "." | "" => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

/// Whether a page has the heading that an anchor names, as GitHub makes it of the heading's text.
fn has_heading(tree: &Tree, page: &str, anchor: &str) -> bool {
    let Some(file) = tree.file(page) else { return false };
    let prose = without_code(file.text());
    let headings = prose.lines().filter(|line| line.starts_with('#'));
    let mut names = headings.map(|line| line.trim_start_matches('#').trim().to_lowercase());
    names.any(|name| {
        let kept =
            name.chars().filter(|letter| letter.is_alphanumeric() || " -_".contains(*letter));
        kept.map(|letter| if letter == ' ' { '-' } else { letter }).eq(anchor.chars())
    })
}

/// A5: the map names every crate, and every path on it exists.
pub(super) fn check_architecture(tree: &Tree, report: &mut Report) {
    const MAP: &str = "ARCHITECTURE.md";
    let Some(map) = tree.file(MAP) else {
        report.add("A5", MAP, 1, "the house has no map, write ARCHITECTURE.md");
        return;
    };
    let manifests = tree.files().filter_map(|file| file.path.strip_suffix("/Cargo.toml"));
    for name in manifests.filter_map(|path| path.strip_prefix("crates/")) {
        if is_ours(name) && !map.text().contains(&format!("`{name}`")) {
            report.add("A5", MAP, 1, format!("`{name}` is not on the map, say what it is for"));
        }
    }
    for (index, line) in map.text().lines().enumerate() {
        for path in line.split('`').skip(1).step_by(2).filter(|code| is_path(code)) {
            if !tree.has(path) {
                report.add("A5", MAP, index + 1, format!("`{path}` does not exist, correct it"));
            }
        }
    }
}

fn is_path(code: &str) -> bool {
    ["crates/", "xtask/", "docs/", "tests/", "examples/"].iter().any(|top| code.starts_with(top))
        && !code.contains(['*', ' ', '<', '{'])
}

/// F11: what has changed is told in words.
pub(super) fn check_changelog(tree: &Tree, report: &mut Report) {
    let log = tree.file("CHANGELOG.md").map_or("", |file| file.text());
    if !log.contains("## Unreleased") && !log.contains("## [Unreleased]") {
        report.add("F11", "CHANGELOG.md", 1, "no section `## Unreleased`, begin one");
    }
}

/// F3: a golden file that no test reads pins nothing.
pub(super) fn check_golden(tree: &Tree, report: &mut Report) {
    for file in tree.files().filter(|file| file.path.contains("/golden/")) {
        let (folder, name) = file.path.rsplit_once('/').unwrap_or(("", &file.path));
        let owner = super::source::crate_of(&file.path);
        let read_by = |source: &super::Source| {
            source.crate_name == owner
                && source.raw.iter().any(|line| line.contains(name) || line.contains("golden"))
        };
        if !name.ends_with(".md") && !tree.sources().any(read_by) {
            let what = format!("no test of {owner} reads {folder}, add one or delete the file");
            report.add("F3", &file.path, 1, what);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(files: &[(&str, &str)], check: fn(&Tree, &mut Report)) -> Vec<String> {
        let mut report = Report::default();
        check(&Tree::of(files), &mut report);
        report.violations.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_page_has_one_title_and_live_links() {
        let good = "# A\n[b](b.md#b) [c](https://example.org)\n```\n# no title\n```\n";
        assert!(found(&[("docs/a.md", good), ("docs/b.md", "# B\n")], check_markdown).is_empty());
        let told = found(&[("docs/a.md", "# A\n# B\n[c](../c.md)\n")], check_markdown);
        assert!(told[0].contains("2 titles") && told[1].contains("leads nowhere"), "{told:?}");
        let far = ("docs/b.md", "# B\n## What is `new`, here\n");
        let link = |anchor: &str| format!("# A\n[b](b.md#{anchor})\n[a](#a)\n");
        let good = link("what-is-new-here");
        assert!(found(&[("docs/a.md", &good), far], check_markdown).is_empty());
        let told = found(&[("docs/a.md", &link("what-is-old")), far], check_markdown);
        assert!(told.len() == 1 && told[0].contains("b.md#what-is-old"), "{told:?}");
    }

    #[test]
    fn the_map_names_every_crate_and_real_paths() {
        let manifest = ("crates/base/Cargo.toml", "");
        let good = ("ARCHITECTURE.md", "`base` is in `crates/base`\n");
        assert!(found(&[manifest, good], check_architecture).is_empty());
        let told = found(&[manifest, ("ARCHITECTURE.md", "`docs/x.md`\n")], check_architecture);
        assert!(told[0].contains("not on the map") && told[1].contains("does not exist"));
        assert!(found(&[], check_architecture)[0].contains("no map"));
    }

    #[test]
    fn the_change_log_has_a_section_for_what_comes() {
        assert!(found(&[("CHANGELOG.md", "# C\n## Unreleased\n")], check_changelog).is_empty());
        assert!(found(&[], check_changelog)[0].contains("begin one"));
    }

    #[test]
    fn a_golden_file_that_nobody_reads_is_named() {
        let golden = ("crates/protocol/tests/golden/fetch.txt", "");
        assert_eq!(found(&[golden], check_golden).len(), 1);
        let test = ("crates/protocol/tests/golden.rs", "//! G.\nread(\"golden\")\n");
        assert!(found(&[golden, test], check_golden).is_empty());
    }
}
