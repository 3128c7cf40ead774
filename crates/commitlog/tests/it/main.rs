//! The log from the outside: everything through queue and readers.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod basics;
mod cleaner;
mod cleaner_model;
mod cleaner_rules;
mod damage;
mod flushes;
mod full;
mod journal;
mod model;
mod producers;
mod store;
mod threads;
mod upkeep;
