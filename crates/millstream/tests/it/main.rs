//! The program as somebody at a terminal meets it.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod bad_input;
mod bench;
mod cluster;
mod dlq;
mod example;
mod guide;
mod help;
mod lists;
mod look;
mod messages;
mod pages;
mod paper;
mod papers;
mod pipelines;
mod program;
mod promises;
mod records;
mod rewind;
mod service;
mod sessions;
mod status;
mod walks;
