//! The floors of the house: which crate may use which, and who owns what comes from outside.

use super::Report;
use super::source::{Source, find_word};
use super::tree::{File, Tree};

/// A crate of ours and the crates of ours that it may use.
struct Room {
    name: &'static str,
    uses: &'static [&'static str],
    /// Further crates that its tests may use.
    tests_use: &'static [&'static str],
}

/// The arrows of ARCHITECTURE.md. A new arrow is a decision, and so is a new crate.
const ROOMS: &[Room] = &[
    Room { name: "base", uses: &[], tests_use: &[] },
    Room { name: "protocol", uses: &["base"], tests_use: &[] },
    Room { name: "commitlog", uses: &["base", "protocol"], tests_use: &["simulator"] },
    Room { name: "runtime", uses: &["base"], tests_use: &[] },
    Room { name: "topology", uses: &["base", "protocol"], tests_use: &[] },
    Room { name: "state", uses: &["base", "protocol"], tests_use: &[] },
    Room {
        name: "broker",
        uses: &["base", "protocol", "commitlog", "runtime"],
        tests_use: &["testkit", "simulator"],
    },
    Room { name: "client", uses: &["base", "protocol", "runtime"], tests_use: &["testkit"] },
    Room {
        name: "coordination",
        uses: &["base", "protocol", "runtime", "client"],
        tests_use: &["testkit"],
    },
    Room {
        name: "pipeline",
        uses: &["base", "protocol", "topology", "state", "runtime", "client", "coordination"],
        tests_use: &["testkit"],
    },
    Room { name: "gateway", uses: &["base", "runtime", "client"], tests_use: &["testkit"] },
    Room { name: "sinks", uses: &["base", "runtime", "pipeline"], tests_use: &["testkit"] },
    Room {
        name: "dashboard",
        uses: &["base", "runtime", "client", "pipeline"],
        tests_use: &["testkit"],
    },
    Room {
        name: "millstream",
        uses: &[
            "base",
            "protocol",
            "commitlog",
            "runtime",
            "broker",
            "client",
            "topology",
            "coordination",
            "pipeline",
            "gateway",
            "sinks",
            "dashboard",
        ],
        tests_use: &["testkit"],
    },
    Room {
        name: "testkit",
        uses: &["base", "protocol", "commitlog", "runtime", "broker", "client"],
        tests_use: &[],
    },
    Room {
        name: "simulator",
        uses: &["base", "protocol", "commitlog", "broker"],
        tests_use: &["testkit"],
    },
    Room { name: "xtask", uses: &[], tests_use: &[] },
];

/// Crates from outside and the rooms that may name them; every other crate is unknown.
const OWNERS: &[(&str, &[&str])] = &[
    ("ahash", &["state"]),
    ("axum", &["dashboard"]),
    ("bytes", &[]),
    ("clap", &["millstream"]),
    ("crc32c", &["protocol"]),
    ("crossterm", &["millstream"]),
    ("fjall", &["state"]),
    ("flate2", &["protocol"]),
    ("hdrhistogram", &["millstream"]),
    ("itoa", &["topology"]),
    ("lz4_flex", &["protocol"]),
    ("prometheus-client", &["dashboard"]),
    ("ratatui", &["millstream"]),
    ("rusqlite", &["sinks"]),
    ("rustix", &["base", "runtime"]),
    ("ryu", &["topology"]),
    (
        "serde",
        &["topology", "coordination", "pipeline", "gateway", "sinks", "dashboard", "millstream"],
    ),
    ("serde-saphyr", &["topology"]),
    (
        "serde_json",
        &["topology", "coordination", "pipeline", "gateway", "sinks", "dashboard", "millstream"],
    ),
    ("snap", &["protocol"]),
    ("sysinfo", &["gateway"]),
    ("tokio", &["runtime"]),
    (
        "tracing",
        &[
            "state",
            "runtime",
            "broker",
            "client",
            "coordination",
            "pipeline",
            "gateway",
            "sinks",
            "dashboard",
            "millstream",
        ],
    ),
    ("tracing-subscriber", &["millstream"]),
    ("unicode-width", &["millstream"]),
    ("zstd", &["protocol"]),
];

/// What every room's tests may use.
const TEST_CRATES: &[&str] = &["proptest", "insta", "kafka-protocol"];

const CRATE_LINES_MAX: usize = 12_000;
const BASE_LINES_MAX: usize = 3_000;

/// What the ground floor must not know.
const DOMAIN_WORDS: &[&str] =
    &["topic", "topics", "partition", "pipeline", "sensor", "manifest", "broker"];

/// Whether this is the name of one of our crates.
pub(super) fn is_ours(name: &str) -> bool {
    ROOMS.iter().any(|room| room.name == name)
}

/// A1, A2: the manifests draw only arrows that the floors allow.
pub(super) fn check_arrows(tree: &Tree, report: &mut Report) {
    let is_manifest = |file: &&File| {
        let parts: Vec<&str> = file.path.split('/').collect();
        matches!(parts.as_slice(), ["crates", _, "Cargo.toml"] | ["xtask", "Cargo.toml"])
    };
    for file in tree.files().filter(is_manifest) {
        let name = super::source::crate_of(&file.path);
        let Some(room) = ROOMS.iter().find(|room| room.name == name) else {
            let what = format!("`{name}` is on no floor, add it to tidy/crates.rs by a decision");
            report.add("A1", &file.path, 1, what);
            continue;
        };
        for (line, table, used) in dependencies(file.text()) {
            if let Some((rule, what)) = wrong_arrow(room, &table, &used) {
                report.add(rule, &file.path, line, what);
            }
        }
    }
}

/// The dependencies of a manifest: line, table and name.
fn dependencies(manifest: &str) -> Vec<(usize, String, String)> {
    let mut table = String::new();
    let mut found = Vec::new();
    for (index, line) in manifest.lines().enumerate() {
        if let Some(name) = line.strip_prefix('[') {
            table = name.trim_end().trim_end_matches(']').to_owned();
            continue;
        }
        let is_name = |char: char| char.is_ascii_alphanumeric() || "-_".contains(char);
        let name: String = line.chars().take_while(|char| is_name(*char)).collect();
        if table.ends_with("dependencies") && !name.is_empty() {
            found.push((index + 1, table.clone(), name));
        }
    }
    found
}

fn wrong_arrow(room: &Room, table: &str, used: &str) -> Option<(&'static str, String)> {
    let in_tests = table.ends_with("dev-dependencies");
    if is_ours(used) {
        let allowed = room.uses.contains(&used) || in_tests && room.tests_use.contains(&used);
        let what = format!("{} must not know {used}, speak through what both see", room.name);
        return (!allowed).then_some(("A1", what));
    }
    if in_tests && TEST_CRATES.contains(&used) {
        return None;
    }
    match OWNERS.iter().find(|(name, _)| *name == used) {
        None => {
            let what = format!("`{used}` has no owner, decide who may use it (tidy/crates.rs)");
            Some(("A2", what))
        }
        Some((_, owners)) if owners.is_empty() || owners.contains(&room.name) => None,
        Some((_, owners)) => {
            Some(("A2", format!("`{used}` belongs to {}, go through it", owners.join(", "))))
        }
    }
}

/// A6, B6: no crate grows beyond what one person can hold, and the ground stays free of words.
pub(super) fn check_sizes(tree: &Tree, report: &mut Report) {
    for room in ROOMS {
        let own = |source: &&Source| source.crate_name == room.name && !source.generated;
        let lines: usize = tree.sources().filter(own).map(Source::code_lines).sum();
        let (rule, max) = match room.name {
            "base" => ("A6", BASE_LINES_MAX),
            _ => ("B6", CRATE_LINES_MAX),
        };
        if lines > max {
            let what = format!("{} has {lines} lines of code, at most {max}: split it", room.name);
            report.add(rule, &format!("crates/{}", room.name), 1, what);
        }
    }
    for source in tree.sources().filter(|source| source.crate_name == "base") {
        for (number, line) in source.own_code() {
            if let Some(word) = DOMAIN_WORDS.iter().find(|word| find_word(line, word).is_some()) {
                let what = format!("base knows no `{word}`, move it to the crate that does");
                report.add("A6", &source.path, number, what);
            }
        }
    }
}

/// C10: a broken invariant stops the process, in release builds too.
pub(super) fn check_profile(tree: &Tree, report: &mut Report) {
    let manifest = tree.file("Cargo.toml").map_or("", |file| file.text());
    let release = manifest.split("[profile.release]").nth(1).unwrap_or("");
    let release = release.split("\n[").next().unwrap_or("");
    for setting in ["overflow-checks = true", "panic = \"abort\""] {
        if !release.contains(setting) {
            let what = format!("the release profile lacks `{setting}`, state it");
            report.add("C10", "Cargo.toml", 1, what);
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
    fn an_arrow_that_no_floor_allows_is_named() {
        let manifest = "[dependencies]\nbase.workspace = true\nbroker.workspace = true\n";
        assert_eq!(
            found(&[("crates/client/Cargo.toml", manifest)], check_arrows),
            ["crates/client/Cargo.toml:3: [A1] client must not know broker, speak through what \
              both see"]
        );
    }

    #[test]
    fn tests_may_use_the_testkit_and_oracles() {
        let manifest = "[dev-dependencies]\ntestkit.workspace = true\nproptest = \"1\"\n";
        assert!(found(&[("crates/client/Cargo.toml", manifest)], check_arrows).is_empty());
        let manifest = "[dependencies]\ntestkit.workspace = true\n";
        assert_eq!(found(&[("crates/client/Cargo.toml", manifest)], check_arrows).len(), 1);
    }

    #[test]
    fn crates_from_outside_have_owners() {
        let manifest = "[dependencies]\ntokio = \"1\"\nbytes = \"1\"\nleftpad = \"1\"\n";
        let told = found(&[("crates/commitlog/Cargo.toml", manifest)], check_arrows);
        assert_eq!(told.len(), 2, "{told:?}");
        assert!(told[0].contains("[A2] `tokio` belongs to runtime"), "{told:?}");
        assert!(told[1].contains("`leftpad` has no owner"), "{told:?}");
    }

    #[test]
    fn an_unknown_crate_is_on_no_floor() {
        let told = found(&[("crates/attic/Cargo.toml", "[package]\n")], check_arrows);
        assert!(told[0].contains("on no floor"), "{told:?}");
    }

    #[test]
    fn the_ground_floor_knows_no_domain_words() {
        let told = found(&[("crates/base/src/x.rs", "fn f(topic: u8) {}\n")], check_sizes);
        assert!(told[0].contains("[A6] base knows no `topic`"), "{told:?}");
        assert!(found(&[("crates/base/src/x.rs", "// A topic.\n")], check_sizes).is_empty());
    }

    #[test]
    fn the_release_profile_keeps_its_checks() {
        let good = "[profile.release]\npanic = \"abort\"\noverflow-checks = true\n";
        assert!(found(&[("Cargo.toml", good)], check_profile).is_empty());
        assert_eq!(found(&[("Cargo.toml", "[workspace]\n")], check_profile).len(), 2);
    }
}
