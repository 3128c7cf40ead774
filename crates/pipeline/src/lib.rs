//! See ARCHITECTURE.md.
pub mod sink;
