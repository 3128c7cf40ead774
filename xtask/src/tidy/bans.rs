//! Words that only some places may use: clocks, chance, threads, files, channels, output.

use super::source::{Source, find_word};
use super::{FileRule, Report};

/// Words of one rule and the places that may use them.
struct Ban {
    rule: &'static str,
    words: &'static [&'static str],
    /// Path prefixes that may use the words.
    homes: &'static [&'static str],
    /// Path prefixes that the rule is about; empty = everywhere.
    rooms: &'static [&'static str],
    tests_may: bool,
    /// What stands behind the word in the message: why, and what to use instead.
    instead: &'static str,
}

/// Development programs, which live outside the simulated world.
const WORKSHOP: &str = "xtask/";
const ROOF: &str = "crates/millstream/";

const BANS: &[Ban] = &[
    Ban {
        rule: "C1",
        words: &["todo!(", "unimplemented!(", "dbg!(", "todo!()", "unimplemented!()"],
        homes: &[],
        rooms: &[],
        tests_may: false,
        instead: "is left over from development, remove it",
    },
    Ban {
        rule: "C5",
        words: &["#[allow(", "#![allow(", "allow(clippy"],
        homes: &["crates/protocol/src/messages"],
        rooms: &[],
        tests_may: false,
        instead: "outlives its reason, use #[expect(lint, reason = \"...\")]",
    },
    Ban {
        rule: "D1",
        words: &["Instant::now", "SystemTime::now"],
        homes: &["crates/base/src/clock", WORKSHOP],
        rooms: &[],
        tests_may: false,
        instead: "makes time a hidden input, use base::clock",
    },
    Ban {
        rule: "D2",
        words: &["rand::", "getrandom", "thread_rng", "RandomState", "fastrand"],
        homes: &["crates/base/src/rng", "crates/base/Cargo.toml"],
        rooms: &[],
        tests_may: false,
        instead: "makes chance a hidden input, use base::rng",
    },
    Ban {
        rule: "D3",
        words: &["tokio::spawn", "std::thread", "tokio::time", "tokio::net", "tokio::task"],
        homes: &["crates/runtime/", WORKSHOP],
        rooms: &[],
        tests_may: true,
        instead: "belongs to runtime, use runtime::{task, thread, timer, stream}",
    },
    Ban {
        rule: "D4",
        words: &["unbounded_channel", "mpsc::channel()", "UnboundedSender", "UnboundedReceiver"],
        homes: &[],
        rooms: &[],
        tests_may: false,
        instead: "has no limit, use runtime::channel with a named capacity",
    },
    Ban {
        rule: "D5",
        words: &["HashMap", "HashSet"],
        homes: &[],
        rooms: &["crates/protocol/", "crates/commitlog/", "machine.rs", "plan.rs"],
        tests_may: true,
        instead: "has an order that differs by run, use BTreeMap or BTreeSet",
    },
    Ban {
        rule: "D6",
        words: &["std::fs", "File::open", "File::create", "OpenOptions::new"],
        homes: &[
            "crates/base/src/disk",
            "crates/sinks/",
            "crates/testkit/",
            "crates/simulator/",
            ROOF,
            WORKSHOP,
        ],
        rooms: &[],
        tests_may: true,
        instead: "goes around the disk that tests can replace, use base::disk",
    },
    Ban {
        rule: "D7",
        words: &["OnceLock", "LazyLock", "thread_local!", "static mut", "OnceCell", "lazy_static!"],
        homes: &[ROOF, WORKSHOP],
        rooms: &[],
        tests_may: true,
        instead: "is a global that two instances would share, pass it as a value",
    },
    Ban {
        rule: "D8",
        words: &[
            "std::env",
            "process::exit",
            "process::abort",
            "println!(",
            "print!(",
            "eprintln!(",
            "eprint!(",
        ],
        homes: &[ROOF, WORKSHOP, "crates/testkit/"],
        rooms: &[],
        tests_may: true,
        instead: "belongs to the binary, hand a value up instead",
    },
];

pub(super) const RULES: &[FileRule] = &[
    FileRule { id: "C1", check: |source, report| check("C1", source, report) },
    FileRule { id: "C5", check: |source, report| check("C5", source, report) },
    FileRule { id: "D1", check: |source, report| check("D1", source, report) },
    FileRule { id: "D2", check: |source, report| check("D2", source, report) },
    FileRule { id: "D3", check: |source, report| check("D3", source, report) },
    FileRule { id: "D4", check: |source, report| check("D4", source, report) },
    FileRule { id: "D5", check: |source, report| check("D5", source, report) },
    FileRule { id: "D6", check: |source, report| check("D6", source, report) },
    FileRule { id: "D7", check: |source, report| check("D7", source, report) },
    FileRule { id: "D8", check: |source, report| check("D8", source, report) },
    FileRule { id: "D9", check: check_sleeps_and_ports },
    FileRule { id: "F1", check: check_skipped_tests },
];

fn check(rule: &str, source: &Source, report: &mut Report) {
    for ban in BANS.iter().filter(|ban| ban.rule == rule && ban.is_about(&source.path)) {
        for (number, line) in source.numbered_code() {
            if ban.tests_may && source.in_test(number) {
                continue;
            }
            if let Some(word) = ban.words.iter().find(|word| find_word(line, word).is_some()) {
                report.add(ban.rule, &source.path, number, format!("`{word}` {}", ban.instead));
            }
        }
    }
}

impl Ban {
    fn is_about(&self, path: &str) -> bool {
        let at_home = self.homes.iter().any(|home| path.starts_with(home));
        let in_room = |room: &&str| path.starts_with(*room) || path.ends_with(*room);
        !at_home && (self.rooms.is_empty() || self.rooms.iter().any(in_room))
    }
}

/// D9: tests wait for facts and listen on ports that the system picks.
fn check_sleeps_and_ports(source: &Source, report: &mut Report) {
    for (number, line) in source.numbered_code().filter(|(number, _)| source.in_test(*number)) {
        if find_word(line, "sleep(").is_some() && !is_between_looks(source, number) {
            let what = "`sleep(` makes a test slow and still unsure, wait for the fact itself";
            report.add("D9", &source.path, number, what);
        }
        if fixed_port(source.raw_line(number)) {
            let what = "a fixed port collides when tests run side by side, bind port 0";
            report.add("D9", &source.path, number, what);
        }
    }
}

/// Whether the line pauses in a loop that asks for a fact: the pause spares the processor, and no
/// result hangs on its length.
fn is_between_looks(source: &Source, number: usize) -> bool {
    let begins_loop = |number: usize| {
        let line = source.raw_line(number).trim();
        ["while ", "loop {", "for ", "until "].iter().any(|word| line.contains(word))
    };
    (1..=LOOP_HEAD_LINES_MAX).any(|above| number > above && begins_loop(number - above))
}

/// A loop that asks for a fact is short.
const LOOP_HEAD_LINES_MAX: usize = 6;

/// Whether the line binds or connects to a loopback port that is written down.
fn fixed_port(line: &str) -> bool {
    let binds = ["bind(", "listen", "connect("].iter().any(|word| line.contains(word));
    let Some((_, rest)) = line.split_once("\"127.0.0.1:") else { return false };
    binds && rest.starts_with(|char: char| ('1'..='9').contains(&char))
}

/// F1: a test that does not run proves nothing.
fn check_skipped_tests(source: &Source, report: &mut Report) {
    for (number, line) in source.numbered_code() {
        if ["#[ignore", "#[should_panic"].iter().any(|word| line.trim_start().starts_with(word)) {
            let what = "proves nothing or too little, run the test and assert the result";
            report.add("F1", &source.path, number, format!("`{}` {what}", line.trim()));
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::tests::Proof;

    const HERE: &str = "crates/client/src/x.rs";

    macro_rules! proof {
        ($rule:literal, $path:expr, $good:literal, $bad:literal, $says:literal) => {
            Proof { rule: $rule, path: $path, good: $good, bad: $bad, says: $says }
        };
    }

    pub(in super::super) const PROOFS: &[Proof] = &[
        proof!("C1", HERE, "// dbg!(x)\n", "dbg!(x);\n", "left over from development"),
        proof!("C1", HERE, "let a = \"todo!()\";\n", "todo!()\n", "left over"),
        proof!("C5", HERE, "#[expect(x)]\n", "#[allow(x)]\n", "use #[expect"),
        proof!("D1", HERE, "clock.now()\n", "Instant::now()\n", "base::clock"),
        proof!("D2", HERE, "rng::Random\n", "use rand::Rng;\n", "base::rng"),
        proof!("D3", HERE, "runtime::task::spawn\n", "tokio::spawn(f)\n", "belongs to runtime"),
        proof!("D4", HERE, "channel(QUEUE_MAX)\n", "unbounded_channel()\n", "no limit"),
        proof!("D5", "crates/broker/src/group/machine.rs", "BTreeMap\n", "HashMap\n", "BTreeMap"),
        proof!("D6", HERE, "base::disk\n", "use std::fs;\n", "base::disk"),
        proof!("D7", HERE, "static A: u8 = 1;\n", "static A: OnceLock<u8>\n", "global"),
        proof!("D8", HERE, "writeln!(f)\n", "println!(1)\n", "belongs to the binary"),
        proof!("D9", "crates/a/tests/x.rs", "ready.wait()\n", "sleep(1)\n", "wait for the fact"),
        proof!(
            "D9",
            "crates/a/tests/x.rs",
            "while !ready() {\n    sleep(1);\n}\n",
            "f();\nsleep(1)\n",
            "wait for the fact"
        ),
        proof!(
            "D9",
            "crates/a/tests/x.rs",
            "bind(\"127.0.0.1:0\")\n",
            "bind(\"127.0.0.1:9092\")\n",
            "bind port 0"
        ),
        proof!("F1", HERE, "#[test]\n", "#[ignore]\n", "proves nothing"),
    ];
}
