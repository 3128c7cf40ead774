//! Why a kill test does not pass.

use std::collections::BTreeMap;
use std::fmt;
use std::io;

use client::ClientError;

use super::check::Violation;
use super::limits::VIOLATIONS_SHOWN_MAX;

/// Why a kill test does not pass.
#[derive(Debug)]
pub enum Failure {
    /// The cluster could not be asked.
    Client(ClientError),
    /// A process could not be dealt with.
    Process {
        /// What was tried.
        what: &'static str,
        /// What the operating system said.
        error: io::Error,
    },
    /// The broker does not come back.
    BrokerDoesNotStart {
        /// Its last words.
        said: String,
    },
    /// The pipeline ended although nobody had killed it, or ended otherwise than it should.
    PipelineEnded {
        /// When, and what was expected.
        when: String,
        /// How, or that it did not.
        how: String,
        /// Its last words.
        said: String,
    },
    /// Records are not delivered or cannot be read.
    Stuck {
        /// What was waited for.
        what: String,
    },
    /// The database cannot be read.
    Table(String),
    /// What was promised does not hold.
    Violated(Vec<Violation>),
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        Self::Client(error)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Client(error) => write!(f, "the cluster: {error}"),
            Self::Process { what, error } => write!(f, "{what}: {error}"),
            Self::BrokerDoesNotStart { said } => write!(f, "the broker does not start:\n{said}"),
            Self::PipelineEnded { when, how, said } => write!(f, "{when}: {how}\n{said}"),
            Self::Stuck { what } => write!(f, "stuck: {what}"),
            Self::Table(error) => write!(f, "the database: {error}"),
            Self::Violated(violations) => {
                write!(f, "{} violations", violations.len())?;
                let mut shown: BTreeMap<&str, usize> = BTreeMap::new();
                for violation in violations {
                    let of_place = shown.entry(&violation.place).or_default();
                    *of_place += 1;
                    if *of_place <= VIOLATIONS_SHOWN_MAX {
                        write!(f, "\n  {violation}")?;
                    }
                }
                Ok(())
            }
        }
    }
}

impl std::error::Error for Failure {}
