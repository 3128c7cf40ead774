//! Settings: every value with the place that it came from.
//!
//! Stronger first: flags, -X, the environment, an .env file, the file of --config, what is built
//! in. Names are Kafka's own, unchanged.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::time::Duration;

use crate::message::{Exit, Failure, codes};

mod names;
mod sources;

pub(crate) use names::canonical;
pub(crate) use sources::{Given, unused_variables};

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Origin {
    /// A flag such as `--listen`.
    Flag(&'static str),
    /// `-X name=value`.
    Override,
    /// A variable of the environment.
    Environment(String),
    /// A key of the pipeline file.
    Pipeline(&'static str),
    /// A line of an .env file or of the file of --config.
    File { name: Option<String>, path: String, line: usize },
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(flag) => write!(f, "flag {flag}"),
            Self::Override => f.write_str("-X"),
            Self::Pipeline(key) => write!(f, "{key} in the pipeline file"),
            Self::Environment(name) => write!(f, "{name} in the environment"),
            Self::File { name: Some(name), path, line } => {
                write!(f, "{name} in {path} line {line}")
            }
            Self::File { name: None, path, line } => write!(f, "{path} line {line}"),
        }
    }
}

/// A value and its origin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) value: String,
    pub(crate) origin: Origin,
}

/// The settings of one run.
#[derive(Debug, Clone, Default)]
pub(crate) struct Settings {
    values: BTreeMap<&'static str, Found>,
}

impl Settings {
    /// Puts the sources over each other, the weakest first.
    ///
    /// # Errors
    /// A name that does not exist, or a file that cannot be read.
    pub(crate) fn load(given: &Given) -> Result<Self, Failure> {
        let mut settings = Self::default();
        if let Some(path) = &given.config {
            settings.put_all(sources::properties(path)?);
        }
        if let Some(path) = &given.env_file {
            settings.put_all(sources::dotenv(path, given.is_broker)?);
        }
        settings.put_all(sources::environment(&given.environment, given.is_broker)?);
        settings.put_all(sources::overrides(&given.overrides)?);
        Ok(settings)
    }

    fn put_all(&mut self, found: Vec<(&'static str, Found)>) {
        self.values.extend(found);
    }

    /// A flag that was given; it is stronger than everything else.
    pub(crate) fn flag(&mut self, name: &'static str, flag: &'static str, value: Option<String>) {
        debug_assert!(canonical(name) == Some(name), "{name} is not in the table of names");
        if let Some(value) = value {
            self.values.insert(name, Found { value, origin: Origin::Flag(flag) });
        }
    }

    /// A value of the pipeline file; it is weaker than everything else.
    pub(crate) fn pipeline(
        &mut self,
        name: &'static str,
        key: &'static str,
        value: Option<String>,
    ) {
        debug_assert!(canonical(name) == Some(name), "{name} is not in the table of names");
        if let Some(value) = value {
            let found = Found { value, origin: Origin::Pipeline(key) };
            self.values.entry(name).or_insert(found);
        }
    }

    /// The value with its origin.
    pub(crate) fn found(&self, name: &str) -> Option<&Found> {
        debug_assert!(canonical(name).is_some(), "{name} is not in the table of names");
        self.values.get(name)
    }

    /// The value as it was written.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.found(name).map(|found| found.value.as_str())
    }

    /// The value, read by `read`; `wanted` says what it has to be.
    ///
    /// # Errors
    /// MS-0002 with the place that the value came from.
    pub(crate) fn read<T>(
        &self,
        name: &str,
        wanted: &str,
        read: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<T>, Failure> {
        let Some(found) = self.found(name) else { return Ok(None) };
        match read(found.value.trim()) {
            Some(value) => Ok(Some(value)),
            None => Err(bad_value(name, wanted, found)),
        }
    }

    /// A number, a number of milliseconds or bytes, or another value with a usual text.
    ///
    /// # Errors
    /// As [`Settings::read`].
    pub(crate) fn parse<T: std::str::FromStr>(
        &self,
        name: &str,
        wanted: &str,
    ) -> Result<Option<T>, Failure> {
        self.read(name, wanted, |text| text.parse().ok())
    }

    /// A number of milliseconds, as Kafka's properties have it, or a duration with its unit.
    ///
    /// # Errors
    /// As [`Settings::read`].
    pub(crate) fn duration(&self, name: &str) -> Result<Option<Duration>, Failure> {
        let wanted = "milliseconds, or a duration such as 500ms or 30s";
        self.read(name, wanted, |text| {
            let plain = text.parse().ok().map(Duration::from_millis);
            plain.or_else(|| duration(text))
        })
    }

    /// `true` or `false`.
    ///
    /// # Errors
    /// As [`Settings::read`].
    pub(crate) fn switch(&self, name: &str) -> Result<Option<bool>, Failure> {
        self.read(name, "true or false", |text| text.to_ascii_lowercase().parse().ok())
    }
}

/// A value that cannot be read.
pub(crate) fn bad_value(name: &str, wanted: &str, found: &Found) -> Failure {
    let what = format!("{name} must be {wanted}, found the text `{}`", found.value);
    Failure::new(Exit::Configuration, codes::BAD_VALUE, what)
        .fact(format!("value came from: {}", found.origin))
}

/// A duration with its unit: `250ms`, `10s`, `5m`, `1h`, `7d`.
pub(crate) fn duration(text: &str) -> Option<Duration> {
    let digits = text.find(|letter: char| !letter.is_ascii_digit())?;
    let factor = match &text[digits..] {
        "us" => return text[..digits].parse().ok().map(Duration::from_micros),
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    let number: u64 = text[..digits].parse().ok()?;
    number.checked_mul(factor).map(Duration::from_millis)
}

/// `host:port`; a host alone means Kafka's port, and `[..]` stands around an IPv6 address.
pub(crate) fn host_port(text: &str) -> Option<(String, u16)> {
    const KAFKA_PORT: u16 = 9092;
    let text = text.rsplit_once("://").map_or(text, |(_, rest)| rest);
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, rest) = rest.split_once(']')?;
            (host, rest.strip_prefix(':'))
        }
        None => match text.rsplit_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        },
    };
    let port = port.map_or(Some(KAFKA_PORT), |port| port.parse().ok())?;
    let is_host = !host.is_empty() && !host.contains(['/', ' ', ',', '@']);
    is_host.then(|| (host.to_owned(), port))
}

/// The .env file of this run: the one that was named, or ./.env where the command reads it.
pub(crate) fn env_file(named: Option<&Path>, is_broker: bool) -> Option<std::path::PathBuf> {
    let usual = Path::new(".env");
    match named {
        Some(path) => Some(path.to_path_buf()),
        None => (is_broker && usual.is_file()).then(|| Path::new("./.env").to_path_buf()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given() -> Given {
        Given {
            overrides: vec!["linger.ms=7".to_owned()],
            environment: vec![
                ("MILLSTREAM_LINGER_MS".to_owned(), "6".to_owned()),
                ("MILLSTREAM_BROKERS".to_owned(), "a:1".to_owned()),
                ("KAFKA_NUM_PARTITIONS".to_owned(), "3".to_owned()),
            ],
            ..Given::default()
        }
    }

    #[test]
    fn the_stronger_source_wins_and_is_named() {
        let mut settings = Settings::load(&given()).unwrap();
        assert_eq!(settings.text("linger.ms"), Some("7"));
        assert_eq!(settings.text("brokers"), Some("a:1"));
        settings.flag("brokers", "--brokers", Some("b:2".to_owned()));
        settings.flag("linger.ms", "--linger-ms", None);
        assert_eq!(settings.found("brokers").unwrap().origin.to_string(), "flag --brokers");
        assert_eq!(settings.found("linger.ms").unwrap().origin, Origin::Override);
    }

    #[test]
    fn kafka_variables_are_for_brokers() {
        let settings = Settings::load(&given()).unwrap();
        assert_eq!(settings.text("num.partitions"), None);
        let settings = Settings::load(&Given { is_broker: true, ..given() }).unwrap();
        assert_eq!(settings.parse::<i32>("num.partitions", "a number").unwrap(), Some(3));
    }

    #[test]
    fn a_bad_value_tells_where_it_came_from() {
        let environment = vec![("MILLSTREAM_LINGER_MS".to_owned(), "soon".to_owned())];
        let settings = Settings::load(&Given { environment, ..Given::default() }).unwrap();
        let failure = settings.duration("linger.ms").unwrap_err();
        assert_eq!(failure.code, Some(codes::BAD_VALUE));
        assert_eq!(
            failure.facts,
            ["value came from: MILLSTREAM_LINGER_MS in the environment".to_owned()]
        );
    }

    #[test]
    fn durations_need_their_unit() {
        assert_eq!(duration("250ms"), Some(Duration::from_millis(250)));
        assert_eq!(duration("2m"), Some(Duration::from_secs(120)));
        for bad in ["", "10", "s", "-1s", "1.5s", "99999999999999999999s", "9999999999999999d"] {
            assert_eq!(duration(bad), None, "{bad}");
        }
    }

    #[test]
    fn addresses_are_hosts_and_ports() {
        let expect = |text: &str, host: &str, port| {
            assert_eq!(host_port(text), Some((host.to_owned(), port)), "{text}");
        };
        expect("localhost:1", "localhost", 1);
        expect("kafka", "kafka", 9092);
        expect("PLAINTEXT://10.0.0.1:19092", "10.0.0.1", 19092);
        expect("[::1]:9", "::1", 9);
        for bad in ["", ":9092", "a:b", "a:70000", "[::1", "a b:1", "http://x/y:1"] {
            assert_eq!(host_port(bad), None, "{bad}");
        }
    }
}
