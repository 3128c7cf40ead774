//! The whole screen for the live view, given back on every way out: the end, an error, a panic.

use std::io::{self, Stdout};
use std::panic;
use std::time::Duration;

use crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};
use crossterm::terminal::{
    EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};
use crossterm::{cursor, execute};
use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;

use crate::render::frame::{Look, draw};
use crate::render::view::LiveView;

/// The screen while it is ours.
#[derive(Debug)]
pub(crate) struct Screen {
    terminal: Terminal<CrosstermBackend<Stdout>>,
    look: Look,
}

/// What somebody at the terminal wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wish {
    /// To stop and commit.
    Stop,
    /// To see the screen drawn anew.
    Redraw,
}

impl Screen {
    /// Takes the screen over, and makes sure that a panic gives it back before it speaks.
    ///
    /// # Errors
    /// When the terminal cannot be switched; it is given back then.
    pub(crate) fn open(look: Look) -> io::Result<Self> {
        let speak = panic::take_hook();
        panic::set_hook(Box::new(move |what| {
            give_back();
            speak(what);
        }));
        enable_raw_mode()?;
        let opened = execute!(io::stdout(), EnterAlternateScreen, cursor::Hide)
            .and_then(|()| Terminal::new(CrosstermBackend::new(io::stdout())));
        match opened {
            Ok(terminal) => Ok(Self { terminal, look }),
            Err(error) => {
                give_back();
                Err(error)
            }
        }
    }

    /// Draws a moment.
    ///
    /// # Errors
    /// When the terminal is gone.
    pub(crate) fn show(&mut self, view: &LiveView) -> io::Result<()> {
        let look = self.look;
        self.terminal.draw(|frame| draw(frame, view, look))?;
        Ok(())
    }

    /// What was typed, waiting for at most this long; blocks the thread.
    ///
    /// # Errors
    /// When the terminal is gone.
    pub(crate) fn wish(&mut self, patience: Duration) -> io::Result<Option<Wish>> {
        if !event::poll(patience)? {
            return Ok(None);
        }
        Ok(wish_of(&event::read()?))
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        give_back();
    }
}

/// Leaves the terminal as it was found; nothing more can be done where that fails.
fn give_back() {
    // The terminal may be gone, and there is nobody left to tell.
    drop(disable_raw_mode());
    drop(execute!(io::stdout(), LeaveAlternateScreen, cursor::Show));
}

fn wish_of(event: &Event) -> Option<Wish> {
    match event {
        Event::Resize(..) => Some(Wish::Redraw),
        Event::Key(key) if key.kind == KeyEventKind::Press => {
            let control = key.modifiers.contains(KeyModifiers::CONTROL);
            match key.code {
                KeyCode::Char('q') if !control => Some(Wish::Stop),
                KeyCode::Char('c') if control => Some(Wish::Stop),
                KeyCode::Char('l' | 'r') => Some(Wish::Redraw),
                _ => None,
            }
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use crossterm::event::KeyEvent;

    use super::*;

    #[test]
    fn keys_are_wishes() {
        let key = |code, modifiers| wish_of(&Event::Key(KeyEvent::new(code, modifiers)));
        assert_eq!(key(KeyCode::Char('q'), KeyModifiers::NONE), Some(Wish::Stop));
        assert_eq!(key(KeyCode::Char('c'), KeyModifiers::CONTROL), Some(Wish::Stop));
        assert_eq!(key(KeyCode::Char('c'), KeyModifiers::NONE), None);
        assert_eq!(key(KeyCode::Char('l'), KeyModifiers::CONTROL), Some(Wish::Redraw));
        assert_eq!(wish_of(&Event::Resize(80, 24)), Some(Wish::Redraw));
        assert_eq!(wish_of(&Event::FocusLost), None);
    }
}
