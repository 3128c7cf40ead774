//! See ARCHITECTURE.md.
pub mod diagnose;
pub mod expression;
pub mod json;
pub mod limits;
pub mod sink;
pub mod spec;
