//! Reading the sources of settings.

use std::fs;
use std::path::{Path, PathBuf};

use topology::diagnose::did_you_mean;

use super::names::{canonical, kafka_property, known, own_variable};
use super::{Found, Origin};
use crate::message::{Exit, Failure, codes};

/// What this run was given to read settings from.
#[derive(Debug, Clone, Default)]
pub(crate) struct Given {
    /// The `-X name=value`.
    pub(crate) overrides: Vec<String>,
    /// The environment.
    pub(crate) environment: Vec<(String, String)>,
    /// An .env file.
    pub(crate) env_file: Option<PathBuf>,
    /// The file of --config.
    pub(crate) config: Option<PathBuf>,
    /// Whether this command runs a broker, so that `KAFKA_*` variables are meant for it.
    pub(crate) is_broker: bool,
}

type Settled = Vec<(&'static str, Found)>;

/// Variables that are ours and are read elsewhere.
const OTHER_VARIABLES: &[&str] = &["MILLSTREAM_CONFIG", "MILLSTREAM_ENV_FILE"];

/// The `-X name=value`.
pub(super) fn overrides(overrides: &[String]) -> Result<Settled, Failure> {
    let setting = |text: &String| {
        let Some((name, value)) = text.split_once('=') else {
            return Err(Failure::usage(format!("-X {text} is not name=value")));
        };
        let name = setting_name(name.trim(), &Origin::Override)?;
        Ok((name, Found { value: value.to_owned(), origin: Origin::Override }))
    };
    overrides.iter().map(setting).collect()
}

/// The environment: ours, and for a broker Kafka's. What is ours and unknown is only warned of.
pub(super) fn environment(
    variables: &[(String, String)],
    is_broker: bool,
) -> Result<Settled, Failure> {
    let mut settled = Vec::new();
    for is_own in [false, true] {
        for (variable, value) in variables {
            let origin = Origin::Environment(variable.clone());
            settled.extend(variable_setting(variable, value, origin, (is_own, is_broker))?);
        }
    }
    Ok(settled)
}

/// An .env file: variables as in the environment.
pub(super) fn dotenv(path: &Path, is_broker: bool) -> Result<Settled, Failure> {
    let mut settled = Vec::new();
    let lines = lines(path)?;
    for is_own in [false, true] {
        for (line, text) in &lines {
            let text = text.strip_prefix("export ").unwrap_or(text);
            let (name, value) = pair(path, *line, text)?;
            let origin = Origin::File {
                name: Some(name.to_owned()),
                path: path.display().to_string(),
                line: *line,
            };
            settled.extend(variable_setting(name, unquoted(value), origin, (is_own, is_broker))?);
        }
    }
    Ok(settled)
}

/// A properties file, as Kafka's clients read it.
pub(super) fn properties(path: &Path) -> Result<Settled, Failure> {
    let setting = |(line, text): (usize, String)| {
        let (name, value) = pair(path, line, &text)?;
        let origin = Origin::File { name: None, path: path.display().to_string(), line };
        let name = setting_name(name, &origin)?;
        Ok((name, Found { value: value.to_owned(), origin }))
    };
    lines(path)?.into_iter().map(setting).collect()
}

/// Variables of ours that nothing reads, each with what was probably meant.
pub(crate) fn unused_variables(environment: &[(String, String)]) -> Vec<String> {
    let names: Vec<String> = known()
        .map(own_variable)
        .chain(OTHER_VARIABLES.iter().map(|name| (*name).to_owned()))
        .collect();
    let is_known = |variable: &str| {
        let plain = variable.strip_suffix("_FILE").unwrap_or(variable);
        names.iter().any(|name| name == variable || name == plain)
    };
    let unused = environment.iter().filter(|(variable, _)| variable.starts_with("MILLSTREAM_"));
    unused
        .filter(|(variable, _)| !is_known(variable))
        .map(|(variable, _)| {
            let meant = did_you_mean(variable, names.iter().map(String::as_str));
            let code = codes::UNUSED_VARIABLE;
            let hint = meant.map(|meant| format!("; {meant}")).unwrap_or_default();
            format!("warning[{code}]: {variable} is set but not used{hint}")
        })
        .collect()
}

fn variable_setting(
    variable: &str,
    value: &str,
    origin: Origin,
    (is_own, is_broker): (bool, bool),
) -> Result<Option<(&'static str, Found)>, Failure> {
    if !is_own {
        let name = if is_broker { kafka_property(variable) } else { None };
        return Ok(name.map(|name| (name, Found { value: value.to_owned(), origin })));
    }
    let named = |variable: &str| known().find(|name| own_variable(name) == variable);
    if let Some(name) = named(variable).and_then(canonical) {
        return Ok(Some((name, Found { value: value.to_owned(), origin })));
    }
    // A secret of a container platform: the variable names a file that holds the value.
    let Some(name) = variable.strip_suffix("_FILE").and_then(named).and_then(canonical) else {
        return Ok(None);
    };
    let value = fs::read_to_string(value).map_err(|cause| {
        let what = format!("{variable} names {value}, which cannot be read: {cause}");
        Failure::new(Exit::Configuration, codes::CONFIG_FILE, what)
    })?;
    Ok(Some((name, Found { value: value.trim_end().to_owned(), origin })))
}

fn setting_name(name: &str, origin: &Origin) -> Result<&'static str, Failure> {
    canonical(name).ok_or_else(|| {
        let what = format!("unknown setting `{name}`");
        let failure = Failure::new(Exit::Configuration, codes::UNKNOWN_SETTING, what)
            .fact(format!("name came from: {origin}"));
        match did_you_mean(name, known()) {
            Some(meant) => failure.help(meant),
            None => failure,
        }
    })
}

/// The lines of a file that say something, with their numbers.
fn lines(path: &Path) -> Result<Vec<(usize, String)>, Failure> {
    let text = fs::read_to_string(path).map_err(|cause| {
        let what = format!("{} cannot be read: {cause}", path.display());
        Failure::new(Exit::Configuration, codes::CONFIG_FILE, what)
    })?;
    let numbered = text.lines().enumerate().map(|(at, line)| (at + 1, line.trim().to_owned()));
    Ok(numbered.filter(|(_, line)| !line.is_empty() && !line.starts_with(['#', '!'])).collect())
}

fn pair<'a>(path: &Path, line: usize, text: &'a str) -> Result<(&'a str, &'a str), Failure> {
    let (name, value) = text.split_once('=').ok_or_else(|| {
        let what = format!("{}:{line} is not name=value: {text}", path.display());
        Failure::new(Exit::Configuration, codes::CONFIG_FILE, what)
    })?;
    Ok((name.trim(), value.trim()))
}

fn unquoted(value: &str) -> &str {
    let quoted = |quote: char| value.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote));
    quoted('"').or_else(|| quoted('\'')).unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_name_is_an_error_with_the_nearest_one() {
        let failure = overrides(&["linger.mss=1".to_owned()]).unwrap_err();
        assert_eq!(failure.code, Some(codes::UNKNOWN_SETTING));
        assert_eq!(failure.help, ["did you mean `linger.ms`?".to_owned()]);
        assert!(overrides(&["linger.ms".to_owned()]).is_err());
    }

    #[test]
    fn a_misspelt_variable_is_told() {
        let set = |name: &str| (name.to_owned(), "x".to_owned());
        let variables = [
            set("MILLSTREAM_BROKER"),
            set("MILLSTREAM_BROKERS"),
            set("MILLSTREAM_BROKERS_FILE"),
            set("MILLSTREAM_BOOTSTRAP_SERVERS"),
            set("HOME"),
        ];
        let expected = "warning[MS-0007]: MILLSTREAM_BROKER is set but not used; did you mean \
                        `MILLSTREAM_BROKERS`?";
        assert_eq!(unused_variables(&variables), [expected.to_owned()]);
    }

    #[test]
    fn quotes_around_a_value_are_taken_off() {
        assert_eq!((unquoted("\"a b\""), unquoted("'a'"), unquoted("\"a")), ("a b", "a", "\"a"));
    }
}
