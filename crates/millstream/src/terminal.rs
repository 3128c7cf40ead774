//! The terminal: what it can do, a writer whose reader may leave, and a screen that is always
//! given back.

use std::io::{self, IsTerminal as _, Write};

use crate::render::frame::Look;

pub(crate) mod screen;

/// The `--color` option.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum ColourChoice {
    #[default]
    Auto,
    Always,
    Never,
}

/// What decides about colours and lines; gathered once, then only looked at.
#[derive(Debug, Clone, Default)]
pub(crate) struct TerminalFacts {
    pub(crate) choice: ColourChoice,
    /// Whether the stream in question is a terminal.
    pub(crate) is_terminal: bool,
    pub(crate) no_color: Option<String>,
    pub(crate) force_color: Option<String>,
    pub(crate) clicolor_force: Option<String>,
    pub(crate) term: Option<String>,
    /// The first of `LC_ALL`, `LC_CTYPE` and `LANG` that is not empty.
    pub(crate) locale: Option<String>,
}

/// A stream that somebody looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stream {
    Output,
    Messages,
}

impl TerminalFacts {
    /// Looks at the environment and at one of the streams.
    pub(crate) fn gather(choice: ColourChoice, stream: Stream) -> Self {
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(variable);
        let is_terminal = match stream {
            Stream::Output => io::stdout().is_terminal(),
            Stream::Messages => io::stderr().is_terminal(),
        };
        Self {
            choice,
            is_terminal,
            no_color: variable("NO_COLOR"),
            force_color: variable("FORCE_COLOR"),
            clicolor_force: variable("CLICOLOR_FORCE"),
            term: variable("TERM"),
            locale,
        }
    }

    /// Whether to colour: what was typed wins, then "no", then "yes", then what the stream is.
    pub(crate) fn colour(&self) -> bool {
        let is_set = |value: &Option<String>| {
            value.as_deref().is_some_and(|value| !value.is_empty() && value != "0")
        };
        match self.choice {
            ColourChoice::Always => true,
            ColourChoice::Never => false,
            ColourChoice::Auto => {
                let refused = self.no_color.as_deref().is_some_and(|value| !value.is_empty());
                if refused {
                    return false;
                }
                if is_set(&self.force_color) || is_set(&self.clicolor_force) {
                    return true;
                }
                self.is_terminal && !self.is_dumb()
            }
        }
    }

    /// Whether box characters and carets beyond ASCII may be drawn.
    pub(crate) fn unicode(&self) -> bool {
        let locale = self.locale.as_deref().unwrap_or_default().to_ascii_lowercase();
        let knows_utf8 = locale.contains("utf-8") || locale.contains("utf8");
        let refused = self.no_color.as_deref().is_some_and(|value| !value.is_empty());
        knows_utf8 && !self.is_dumb() && !refused
    }

    /// Columns to write for.
    pub(crate) fn width(&self) -> usize {
        const WIDTH_USUAL: usize = 100;
        let size = if self.is_terminal { crossterm::terminal::size().ok() } else { None };
        size.map_or(WIDTH_USUAL, |(columns, _)| usize::from(columns.max(1)))
    }

    /// Whether a live view can be drawn: it needs a terminal that can move its cursor.
    pub(crate) fn can_draw(&self) -> bool {
        self.is_terminal && !self.is_dumb() && self.term.is_some()
    }

    /// How a frame may look here.
    pub(crate) fn look(&self) -> Look {
        Look { colour: self.colour(), unicode: self.unicode() }
    }

    fn is_dumb(&self) -> bool {
        self.term.as_deref() == Some("dumb")
    }
}

fn is_broken_pipe(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::BrokenPipe
}

/// Standard output, buffered; it remembers that its reader has left, and then swallows the rest,
/// so that a loop can end in its own order.
#[derive(Debug)]
pub(crate) struct Output<W: Write> {
    writer: io::BufWriter<W>,
    is_reader_gone: bool,
}

impl<W: Write> Output<W> {
    /// Wraps a stream.
    pub(crate) fn new(writer: W) -> Self {
        Self { writer: io::BufWriter::new(writer), is_reader_gone: false }
    }

    /// Whether nobody reads any more: time to end, with success.
    pub(crate) fn is_reader_gone(&self) -> bool {
        self.is_reader_gone
    }

    /// Writes bytes.
    ///
    /// # Errors
    /// What the stream says, unless its reader has only left.
    pub(crate) fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.is_reader_gone {
            return Ok(());
        }
        let result = self.writer.write_all(bytes);
        self.forgive(result)
    }

    /// Hands everything on.
    ///
    /// # Errors
    /// As for [`Output::put`].
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        if self.is_reader_gone {
            return Ok(());
        }
        let result = self.writer.flush();
        self.forgive(result)
    }

    fn forgive(&mut self, result: io::Result<()>) -> io::Result<()> {
        match result {
            Err(error) if is_broken_pipe(&error) => {
                self.is_reader_gone = true;
                Ok(())
            }
            other => other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn terminal() -> TerminalFacts {
        TerminalFacts {
            is_terminal: true,
            term: Some("xterm-256color".to_owned()),
            locale: Some("de_DE.UTF-8".to_owned()),
            ..TerminalFacts::default()
        }
    }

    fn set(value: &str) -> Option<String> {
        Some(value.to_owned())
    }

    #[test]
    fn colours_follow_the_conventions() {
        let pipe = TerminalFacts { is_terminal: false, ..terminal() };
        assert!(terminal().colour() && !pipe.colour());
        assert!(!TerminalFacts { no_color: set("1"), ..terminal() }.colour());
        assert!(TerminalFacts { no_color: set(""), ..terminal() }.colour());
        assert!(!TerminalFacts { term: set("dumb"), ..terminal() }.colour());
        assert!(TerminalFacts { force_color: set("1"), ..pipe.clone() }.colour());
        assert!(TerminalFacts { clicolor_force: set("1"), ..pipe.clone() }.colour());
        assert!(!TerminalFacts { clicolor_force: set("0"), ..pipe.clone() }.colour());
        let both = TerminalFacts { no_color: set("1"), force_color: set("1"), ..pipe };
        assert!(!both.colour());
        let always = TerminalFacts { choice: ColourChoice::Always, ..both };
        assert!(always.colour());
        assert!(!TerminalFacts { choice: ColourChoice::Never, ..terminal() }.colour());
    }

    #[test]
    fn lines_are_ascii_where_the_rest_may_not_show() {
        assert!(terminal().unicode());
        assert!(!TerminalFacts { locale: set("C"), ..terminal() }.unicode());
        assert!(!TerminalFacts { locale: None, ..terminal() }.unicode());
        assert!(!TerminalFacts { no_color: set("1"), ..terminal() }.unicode());
        assert!(!TerminalFacts { term: set("dumb"), ..terminal() }.unicode());
        assert_eq!(terminal().look(), Look { colour: true, unicode: true });
    }

    #[test]
    fn a_live_view_needs_a_terminal_with_a_cursor() {
        assert!(terminal().can_draw());
        assert!(!TerminalFacts { is_terminal: false, ..terminal() }.can_draw());
        assert!(!TerminalFacts { term: set("dumb"), ..terminal() }.can_draw());
        assert!(!TerminalFacts { term: None, ..terminal() }.can_draw());
    }

    /// A reader that leaves after so many bytes.
    struct Head {
        bytes_left: usize,
    }

    impl Write for Head {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if self.bytes_left == 0 {
                return Err(io::ErrorKind::BrokenPipe.into());
            }
            let taken = bytes.len().min(self.bytes_left);
            self.bytes_left -= taken;
            Ok(taken)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_reader_that_leaves_is_no_error() {
        let mut output = Output::new(Head { bytes_left: 10_000 });
        let mut lines = 0;
        while !output.is_reader_gone() {
            output.put(b"a line of output\n").unwrap();
            lines += 1;
        }
        assert!(lines > 500, "{lines}");
        output.put(b"more").unwrap();
        output.flush().unwrap();
    }

    #[test]
    fn other_errors_are_errors() {
        struct Full;
        impl Write for Full {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::StorageFull.into())
            }

            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let mut output = Output::new(Full);
        output.put(b"x").unwrap();
        assert_eq!(output.flush().unwrap_err().kind(), io::ErrorKind::StorageFull);
        assert!(!output.is_reader_gone());
    }
}
