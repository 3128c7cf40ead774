//! Configs of topics and of the broker: what there is, what a value must look like, where the
//! value that counts comes from.

pub(crate) mod broker;
pub(crate) mod topic;

use std::collections::BTreeMap;

/// Sources of a value, as DescribeConfigs numbers them.
pub(crate) mod source {
    /// Set for the topic.
    pub(crate) const TOPIC: i8 = 1;
    /// Set for this broker while it ran.
    pub(crate) const DYNAMIC_BROKER: i8 = 2;
    /// Given when the broker was started.
    pub(crate) const STATIC_BROKER: i8 = 4;
    /// Nobody set it.
    pub(crate) const DEFAULT: i8 = 5;
}

/// Type of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `true` or `false`.
    Boolean,
    /// Text.
    Text,
    /// 32 bits.
    Int,
    /// 16 bits.
    Short,
    /// 64 bits.
    Long,
    /// A floating-point number.
    Double,
    /// Texts between commas.
    List,
    /// Name of a Java class, which is only shown.
    Class,
    /// A secret, which is never shown.
    Password,
}

impl Kind {
    /// Its number in DescribeConfigs.
    pub(crate) fn number(self) -> i8 {
        match self {
            Self::Boolean => 1,
            Self::Text => 2,
            Self::Int => 3,
            Self::Short => 4,
            Self::Long => 5,
            Self::Double => 6,
            Self::List => 7,
            Self::Class => 8,
            Self::Password => 9,
        }
    }
}

/// What a value must be beyond its type.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Rule {
    /// Anything.
    Any,
    /// A number that is at least this.
    AtLeast(i64),
    /// A number between these, ends included.
    Between(i64, i64),
    /// One of these words, or each of them where the type is a list.
    OneOf(&'static [&'static str]),
}

/// One config.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Definition {
    /// Its name.
    pub(crate) name: &'static str,
    /// Type of its value.
    pub(crate) kind: Kind,
    /// Its value when nobody sets one; `None` is null.
    pub(crate) default: Option<&'static str>,
    /// What a value must be.
    pub(crate) rule: Rule,
    /// For a topic's config: the broker's config that is its default.
    pub(crate) synonym: Option<&'static str>,
    /// What it does.
    pub(crate) doc: &'static str,
}

impl Definition {
    /// Checks a value that somebody wants to set; the error is Kafka's text.
    pub(crate) fn check(&self, value: &str) -> Result<(), String> {
        let wrong = |reason: &str| {
            Err(format!("Invalid value {value} for configuration {}: {reason}", self.name))
        };
        let text = value.trim();
        let number = match self.kind {
            Kind::Boolean if text.eq_ignore_ascii_case("true") => None,
            Kind::Boolean if text.eq_ignore_ascii_case("false") => None,
            Kind::Boolean => return wrong("Expected value to be either true or false"),
            Kind::Int => match text.parse::<i32>() {
                Ok(number) => Some(f64::from(number)),
                Err(_) => return wrong("Not a number of type INT"),
            },
            Kind::Short => match text.parse::<i16>() {
                Ok(number) => Some(f64::from(number)),
                Err(_) => return wrong("Not a number of type SHORT"),
            },
            Kind::Long => match text.parse::<i64>() {
                Ok(number) => Some(base::cast::f64_of_i64(number)),
                Err(_) => return wrong("Not a number of type LONG"),
            },
            Kind::Double => match text.parse::<f64>() {
                Ok(number) if number.is_finite() => Some(number),
                _ => return wrong("Not a number of type DOUBLE"),
            },
            Kind::Text | Kind::List | Kind::Class | Kind::Password => None,
        };
        match self.broken_rule(text, number) {
            Some(reason) => wrong(&reason),
            None => Ok(()),
        }
    }

    fn broken_rule(&self, text: &str, number: Option<f64>) -> Option<String> {
        let below = |min: i64| {
            number
                .filter(|number| *number < base::cast::f64_of_i64(min))
                .map(|_| format!("Value must be at least {min}"))
        };
        match self.rule {
            Rule::Any => None,
            Rule::AtLeast(min) => below(min),
            Rule::Between(min, max) => below(min).or_else(|| {
                number
                    .filter(|number| *number > base::cast::f64_of_i64(max))
                    .map(|_| format!("Value must be no more than {max}"))
            }),
            Rule::OneOf(words) => {
                let wrong = match self.kind {
                    Kind::List => !text.split(',').all(|part| words.contains(&part.trim())),
                    _ => !words.contains(&text),
                };
                wrong.then(|| format!("String must be one of: {}", words.join(", ")))
            }
        }
    }
}

/// A value and where it comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sourced {
    /// Name of the config that gave it.
    pub(crate) name: &'static str,
    /// The value.
    pub(crate) value: Option<String>,
    /// One of [`source`].
    pub(crate) source: i8,
}

/// Configs without a default of the broker behind them: Kafka names none in their list of synonyms.
const WITHOUT_BROKER_DEFAULT: &[&str] = &[
    "follower.replication.throttled.replicas",
    "leader.replication.throttled.replicas",
    "log.flush.interval.ms",
    "log.retention.ms",
    "log.roll.jitter.ms",
    "log.roll.ms",
    "remote.log.copy.disable",
    "remote.log.delete.on.disable",
    "remote.storage.enable",
];

impl Sourced {
    /// Whether Kafka lists this value among the synonyms of its config.
    pub(crate) fn is_listed(&self) -> bool {
        self.source != source::DEFAULT || !WITHOUT_BROKER_DEFAULT.contains(&self.name)
    }
}

/// The values that a config could take, the one that counts first.
pub(crate) fn candidates(
    definition: &Definition,
    own: &BTreeMap<String, String>,
    broker: &BTreeMap<String, String>,
) -> Vec<Sourced> {
    let mut found = Vec::new();
    if let Some(value) = own.get(definition.name) {
        let (name, value) = (definition.name, Some(value.clone()));
        found.push(Sourced { name, value, source: source::TOPIC });
    }
    let name = definition.synonym.unwrap_or(definition.name);
    if let Some(value) = broker.get(name) {
        found.push(Sourced { name, value: Some(value.clone()), source: source::DYNAMIC_BROKER });
    }
    let value = definition.default.map(str::to_owned);
    found.push(Sourced { name, value, source: source::DEFAULT });
    found
}
