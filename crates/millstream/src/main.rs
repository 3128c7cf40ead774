//! The command line.

mod base64;
mod calendar;
#[cfg_attr(not(test), expect(dead_code, reason = "wired by the commands"))]
mod envelope;
#[cfg_attr(not(test), expect(dead_code, reason = "wired by the commands"))]
mod format;
#[cfg_attr(not(test), expect(dead_code, reason = "wired by the commands"))]
mod offset_spec;
#[cfg_attr(not(test), expect(dead_code, reason = "wired by the commands"))]
mod render;
mod shown;
#[expect(dead_code, reason = "wired by the commands")]
mod terminal;

fn main() {}
