//! `millstream explain CODE`: what a code means, without a network.

use clap::Args;
use topology::diagnose;

use crate::cli::Stage;
use crate::message::{Exit, Failure, codes};

/// Options of the command.
#[derive(Debug, Args)]
#[command(before_help = "Examples:\n  millstream explain MS-2003\n  \
                   millstream explain          lists all codes")]
pub(crate) struct ExplainArgs {
    /// The code, such as MS-2003 or 2003; without it all codes are listed.
    code: Option<String>,
}

/// Explains a code.
pub(crate) fn run(args: &ExplainArgs, stage: &mut Stage) -> Result<Exit, Failure> {
    let Some(written) = &args.code else {
        for (code, title, _) in all() {
            stage.line(&format!("{code}  {title}"))?;
        }
        return Ok(Exit::Success);
    };
    let code = full_code(written);
    let Some((code, title, text)) = all().into_iter().find(|(known, ..)| *known == code) else {
        let failure = Failure::usage(format!("no code is called `{written}`"));
        return Err(failure.help("`millstream explain` lists all codes"));
    };
    stage.line(&format!("{code}: {title}\n"))?;
    for line in wrapped(text) {
        stage.line(&line)?;
    }
    Ok(Exit::Success)
}

/// Code, title and text of every code, sorted.
fn all() -> Vec<(&'static str, &'static str, &'static str)> {
    let ours = codes::entries().iter().map(|entry| (entry.code, entry.title, entry.text));
    let files = diagnose::explanations().iter().map(|it| (it.code.as_str(), it.title, it.text));
    let mut all: Vec<_> = ours.chain(files).collect();
    all.sort_unstable();
    all
}

/// People leave the prefix out, and write it small.
fn full_code(written: &str) -> String {
    let upper = written.to_ascii_uppercase();
    if upper.starts_with("MS-") { upper } else { format!("MS-{upper}") }
}

fn wrapped(text: &str) -> Vec<String> {
    const WIDTH: usize = 78;
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let line = lines.last_mut().expect("the list begins with one line");
        if line.is_empty() {
            line.push_str(word);
        } else if line.len() + 1 + word.len() <= WIDTH {
            line.push(' ');
            line.push_str(word);
        } else {
            lines.push(word.to_owned());
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_may_be_written_short() {
        assert_eq!(full_code("2003"), "MS-2003");
        assert_eq!(full_code("ms-0007"), "MS-0007");
    }

    #[test]
    fn no_code_has_two_meanings() {
        let codes: Vec<_> = all().into_iter().map(|(code, ..)| code).collect();
        let mut unique = codes.clone();
        unique.dedup();
        assert_eq!(codes, unique);
    }

    #[test]
    fn long_texts_are_wrapped() {
        let lines = wrapped(&"word ".repeat(40));
        assert!(lines.len() == 3 && lines.iter().all(|line| line.len() <= 78), "{lines:?}");
    }
}
