//! Processor time of a process, from /proc.

use std::fs;

/// Ticks per second in /proc/PID/stat; fixed in the kernel's interface.
const TICKS_PER_S: f64 = 100.0;

/// Seconds of processor time.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct Processor {
    pub(crate) user_s: f64,
    pub(crate) system_s: f64,
}

impl Processor {
    /// What a process has used so far; `None` for a process that cannot be looked at.
    pub(crate) fn of(pid: u32) -> Option<Self> {
        parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
    }

    /// What this process has used so far.
    pub(crate) fn own() -> Self {
        Self::of(std::process::id()).unwrap_or_default()
    }

    /// What was used since then.
    pub(crate) fn since(self, before: Self) -> Self {
        Self { user_s: self.user_s - before.user_s, system_s: self.system_s - before.system_s }
    }

    /// User and system together.
    pub(crate) fn total_s(self) -> f64 {
        self.user_s + self.system_s
    }
}

/// The name of the program stands in parentheses and may hold anything, even parentheses.
fn parse(stat: &str) -> Option<Processor> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(11);
    let mut seconds = || Some(fields.next()?.parse::<f64>().ok()? / TICKS_PER_S);
    Some(Processor { user_s: seconds()?, system_s: seconds()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_times_are_found_behind_any_name() {
        let stat = "42 (a) b (c)) S 1 42 42 0 -1 4194304 100 0 0 0 250 75 0 0 20 0 4 0 1 1 1";
        let expected = Processor { user_s: 2.5, system_s: 0.75 };
        assert_eq!(parse(stat), Some(expected));
        assert_eq!(parse("42 (short) S 1"), None);
        assert!(Processor::of(std::process::id()).is_some());
    }
}
