//! The program as somebody at a terminal meets it.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod bad_input;
mod bench;
mod cluster;
mod dlq;
mod example;
mod help;
mod lists;
mod look;
mod messages;
mod pages;
mod pipelines;
mod program;
mod records;
mod rewind;
mod service;
mod status;
mod walks;
