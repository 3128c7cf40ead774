//! What a process shows of itself over HTTP: metrics, and whether it lives and is ready.
//!
//! ```text
//! subject (plain views) --\
//!                          +--> figures --> /metrics            (Prometheus' text format)
//! own log (the client) ---/         \-----> /healthz, /readyz   (200, or 503 with the reasons)
//! ```
//!
//! Everything is read when it is asked for; nothing here is on the way of a record. `/tap` shows
//! records between tasks that run in one call, while somebody asks for them.
//!
//! Invariants: only plain views and the client are looked at, so what is shown of a log is what
//! any other client would see; answers, connections and waiting have limits; a log that does not
//! answer makes a page shorter, not slower than [`limits::GATHER_MS_MAX`].
//!
//! What breaks without it: nobody would be woken when a pipeline falls behind.

mod door;
mod health;
pub mod limits;
mod log;
mod metrics;
pub mod server;
pub mod subject;
mod tap;

pub use server::{Bound, Server, ServerOptions};
pub use subject::{NodeFigures, Subject};
