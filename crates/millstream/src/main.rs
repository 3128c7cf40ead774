//! The command line.

#[cfg_attr(not(test), expect(dead_code, reason = "wired by the commands"))]
mod base64;
#[cfg_attr(not(test), expect(dead_code, reason = "wired by the commands"))]
mod calendar;
#[cfg_attr(not(test), expect(dead_code, reason = "wired by the commands"))]
mod envelope;
#[cfg_attr(not(test), expect(dead_code, reason = "wired by the commands"))]
mod format;
#[cfg_attr(not(test), expect(dead_code, reason = "wired by the commands"))]
mod offset_spec;
#[cfg_attr(not(test), expect(dead_code, reason = "wired by the commands"))]
mod shown;

fn main() {}
