//! Names that say nothing, and files whose name promises nothing.

use super::size::function_name;
use super::source::Source;
use super::{FileRule, Report};

pub(super) const RULES: &[FileRule] = &[
    FileRule { id: "E4", check: check_functions },
    FileRule { id: "E4", check: check_types },
    FileRule { id: "A8", check: check_file_name },
];

const VAGUE_ENDINGS: &[&str] = &["Manager", "Helper", "Util", "Utils", "Data", "Info", "Processor"];
const VAGUE_FILES: &[&str] = &["util", "common", "helper", "misc"];

fn check_functions(source: &Source, report: &mut Report) {
    if source.generated {
        return;
    }
    for (number, line) in source.numbered_code() {
        let name = function_name(line).unwrap_or("");
        if name.starts_with("get_") {
            let what = format!("`{name}` carries a `get_` that adds nothing, use the noun");
            report.add("E4", &source.path, number, what);
        }
    }
}

fn check_types(source: &Source, report: &mut Report) {
    if source.generated {
        return;
    }
    for (number, line) in source.numbered_code() {
        let mut words = line.split(|char: char| !char.is_alphanumeric() && char != '_');
        let defines = |word: &str| ["struct", "enum", "trait", "type"].contains(&word);
        if !words.any(defines) {
            continue;
        }
        let name = words.next().unwrap_or("");
        if let Some(ending) = VAGUE_ENDINGS.iter().find(|ending| name.ends_with(**ending)) {
            let what = format!("`{name}` ends in {ending}, which says nothing: name what it is");
            report.add("E4", &source.path, number, what);
        }
    }
}

fn check_file_name(source: &Source, report: &mut Report) {
    let name = source.name();
    let vague = VAGUE_FILES.iter().any(|word| name.starts_with(word)) || name == "types.rs";
    if vague || name == "mod.rs" {
        let what = "the name says nothing, use the noun it owns (and foo.rs for foo/mod.rs)";
        report.add("A8", &source.path, 1, what);
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::tests::Proof;

    const HERE: &str = "crates/client/src/x.rs";

    pub(in super::super) const PROOFS: &[Proof] = &[
        Proof {
            rule: "E4",
            path: HERE,
            good: "fn name() {}\nstruct Batch;\n",
            bad: "fn get_name() {}\n",
            says: "use the noun",
        },
        Proof {
            rule: "E4",
            path: HERE,
            good: "pub struct Database;\n",
            bad: "pub struct BatchManager;\n",
            says: "ends in Manager",
        },
        Proof {
            rule: "A8",
            path: HERE,
            good: "fn f() {}\n",
            bad: "<at crates/client/src/util.rs>\nfn f() {}\n",
            says: "the noun it owns",
        },
    ];
}
