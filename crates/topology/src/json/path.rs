//! Paths into a JSON document: `a.b`, `.a.b`, `a[0]`, `a['odd name']`.

use std::fmt;

/// One step of a path.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Step {
    /// A field of an object.
    Field(String),
    /// An element of a list, counted from 0.
    Index(usize),
}

/// A path; at least one step.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Path {
    steps: Vec<Step>,
}

/// Why a text is no path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PathError {
    /// There is nothing.
    Empty,
    /// A step's name is missing or has characters that need quotes.
    BadName,
    /// A bracket holds neither a number nor a quoted name.
    BadIndex,
}

impl fmt::Display for PathError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "it is empty",
            Self::BadName => "a name is missing or has characters that need quotes",
            Self::BadIndex => "brackets hold a number or a quoted name",
        })
    }
}

impl Path {
    /// The path of one field.
    #[must_use]
    pub fn field(name: &str) -> Self {
        Self { steps: vec![Step::Field(name.to_owned())] }
    }

    /// A path of these steps; `None` without any.
    #[must_use]
    pub fn of(steps: Vec<Step>) -> Option<Self> {
        if steps.is_empty() { None } else { Some(Self { steps }) }
    }

    /// The steps in order.
    #[must_use]
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// Reads a path.
    ///
    /// # Errors
    /// Why the text is none.
    pub fn parse(text: &str) -> Result<Self, PathError> {
        let mut rest = text.trim();
        let mut steps = Vec::new();
        if rest.is_empty() {
            return Err(PathError::Empty);
        }
        while !rest.is_empty() {
            if let Some(inner) = rest.strip_prefix('[') {
                let (step, tail) = bracket(inner)?;
                steps.push(step);
                rest = tail;
                continue;
            }
            let dotted = rest.strip_prefix('.');
            if dotted.is_none() && !steps.is_empty() {
                return Err(PathError::BadName);
            }
            let named = dotted.unwrap_or(rest);
            let end = named.find(|c: char| !is_name_char(c)).unwrap_or(named.len());
            let (name, tail) = named.split_at(end);
            if !name.chars().next().is_some_and(is_name_start) {
                return Err(PathError::BadName);
            }
            steps.push(Step::Field(name.to_owned()));
            rest = tail;
        }
        Ok(Self { steps })
    }
}

/// Whether a name may begin with this without quotes.
pub(crate) fn is_name_start(c: char) -> bool {
    c.is_alphabetic() || c == '_' || c == '$'
}

/// Whether a name may go on with this without quotes.
pub(crate) fn is_name_char(c: char) -> bool {
    is_name_start(c) || c.is_numeric()
}

/// What stands in brackets, and what follows them.
pub(crate) fn bracket(inner: &str) -> Result<(Step, &str), PathError> {
    let inner = inner.trim_start();
    for quote in ['\'', '"'] {
        if let Some(quoted) = inner.strip_prefix(quote) {
            let (name, tail) = quoted.split_once(quote).ok_or(PathError::BadIndex)?;
            let tail = tail.trim_start().strip_prefix(']').ok_or(PathError::BadIndex)?;
            return Ok((Step::Field(name.to_owned()), tail));
        }
    }
    let (number, tail) = inner.split_once(']').ok_or(PathError::BadIndex)?;
    let number = number.trim();
    if number.is_empty() || !number.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(PathError::BadIndex);
    }
    let index = number.parse().map_err(|_| PathError::BadIndex)?;
    Ok((Step::Index(index), tail))
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, step) in self.steps.iter().enumerate() {
            match step {
                Step::Index(index) => write!(f, "[{index}]")?,
                Step::Field(name) => {
                    let plain = name.chars().next().is_some_and(is_name_start)
                        && name.chars().all(is_name_char);
                    match (plain, position) {
                        (true, 0) => f.write_str(name)?,
                        (true, _) => write!(f, ".{name}")?,
                        (false, _) if name.contains('\'') => write!(f, "[\"{name}\"]")?,
                        (false, _) => write!(f, "['{name}']")?,
                    }
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_read_and_written() {
        for text in ["a", "a.b", "a[0].b", "a['x-y'].c", "_x.$y", "[\"it's\"]"] {
            assert_eq!(Path::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(Path::parse(".a.b"), Path::parse("a.b"));
        assert_eq!(Path::parse(" a "), Path::parse("a"));
    }

    #[test]
    fn what_is_no_path_is_refused() {
        for text in ["", ".", "a..b", "a b", "a[", "a[x]", "a[-1]", "1a", "a-b", "a['b'"] {
            assert!(Path::parse(text).is_err(), "{text}");
        }
    }
}
