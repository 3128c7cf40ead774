//! The program as somebody at a terminal meets it.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod bad_input;
mod bench;
mod cluster;
mod dlq;
mod example;
mod help;
mod lists;
mod messages;
mod pipelines;
mod program;
mod records;
mod service;
mod walks;
