//! What a person is told when something fails: `error[MS-2001]: what`, the facts, one way out.

use std::fmt;

use serde::Serialize;

pub(crate) mod codes;
pub(crate) mod failed;

/// How the process ends, as others can read it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// All went well.
    Success,
    /// The thing was looked at and failed.
    Failed,
    /// The command was typed wrongly.
    Usage,
    /// The cluster cannot be reached.
    Unreachable,
    /// Another try may work.
    TryAgain,
    /// The broker does not allow it.
    NotAuthorised,
    /// The configuration of the process is wrong.
    Configuration,
    /// It took too long.
    TimedOut,
    /// Somebody at the terminal stopped it.
    Interrupted,
}

impl Exit {
    /// The number that the system is given.
    pub(crate) const fn code(self) -> u8 {
        match self {
            Self::Success => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Unreachable => 69,
            Self::TryAgain => 75,
            Self::NotAuthorised => 77,
            Self::Configuration => 78,
            Self::TimedOut => 124,
            Self::Interrupted => 130,
        }
    }
}

/// A failure, ready to be shown.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Failure {
    #[serde(skip)]
    pub(crate) exit: Exit,
    /// The stable code that `millstream explain` knows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) code: Option<&'static str>,
    /// What happened, in one line.
    pub(crate) message: String,
    /// Facts that belong to it, one line each.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) facts: Vec<String>,
    /// Ways out, the best first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) help: Vec<String>,
}

impl Failure {
    /// A failure with its code.
    pub(crate) fn new(exit: Exit, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            exit,
            code: Some(code),
            message: message.into(),
            facts: Vec::new(),
            help: Vec::new(),
        }
    }

    /// A failure that the command line itself explains.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self {
            exit: Exit::Usage,
            code: None,
            message: message.into(),
            facts: Vec::new(),
            help: Vec::new(),
        }
    }

    /// Adds a fact.
    #[must_use]
    pub(crate) fn fact(mut self, fact: impl Into<String>) -> Self {
        self.facts.push(fact.into());
        self
    }

    /// Adds a way out.
    #[must_use]
    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help.push(help.into());
        self
    }

    /// The failure as one JSON document.
    pub(crate) fn json(&self) -> String {
        let value = serde_json::json!({ "error": self, "exit": self.exit.code() });
        value.to_string()
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.code {
            Some(code) => write!(f, "error[{code}]: {}", self.message)?,
            None => write!(f, "error: {}", self.message)?,
        }
        for fact in &self.facts {
            write!(f, "\n  {fact}")?;
        }
        for (at, help) in self.help.iter().enumerate() {
            let lead = if at == 0 { "help:" } else { "  or:" };
            write!(f, "\n  {lead} {help}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Failure {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_tells_what_the_facts_and_the_ways_out() {
        let failure = Failure::new(Exit::Unreachable, "MS-2001", "cannot reach Kafka")
            .fact("value came from: --brokers")
            .help("start one")
            .help("point elsewhere");
        let expected = "error[MS-2001]: cannot reach Kafka\n  value came from: --brokers\n  \
                        help: start one\n    or: point elsewhere";
        assert_eq!(failure.to_string(), expected);
        let json = r#"{"error":{"code":"MS-2001","message":"cannot reach Kafka",
            "facts":["value came from: --brokers"],"help":["start one","point elsewhere"]},
            "exit":69}"#;
        let read = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
        assert_eq!(read(&failure.json()), read(json));
    }
}
