//! Who claims to lead, and when.

pub mod machine;

pub use machine::Election;
