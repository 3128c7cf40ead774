//! The log on disk: batches in, batches out, nothing acknowledged is ever lost.
//!
//! A [`Queue`] takes [`Command`]s from anybody; one [`Flusher`] owns every log, writes all that is
//! queued, makes it durable and answers, on its own thread or on a borrowed one: what is little by
//! one flush of the journal, the rest by a flush of each file, while it goes on. Any number of
//! threads read through [`LogReader`]s and never wait for a flush. The layout is Kafka's
//! (LAYOUT.md).
//!
//! Invariants: bytes are stored as they came, but for offsets and leader epoch, until the cleaner
//! of a compacted log takes records out; what is answered is as durable as was promised; readers
//! see only that; an offset is never given to other bytes; a failed flush ends its log, because
//! nobody knows what the disk kept.
//!
//! Non-obvious: everything is checked against an overlay and becomes state only when it is
//! written, so that a full disk can refuse an append without a trace. An index is a hint and is
//! verified at every use.
//!
//! What breaks without it: there would be nothing to produce to. It knows no topics, no network
//! and no tokio.

mod active;
mod checkpoint;
mod cleaner;
mod command;
mod epochs;
mod error;
mod flush;
mod flusher;
mod format;
mod index;
mod journal;
pub mod limits;
mod load;
mod log;
mod meta;
mod options;
mod producers;
mod queue;
mod reader;
mod segment;
mod snapshot;
mod space;
mod stage;
mod swap;
mod upkeep;
mod walk;

pub use cleaner::{CleanJob, Cleaned};
pub use command::{Append, Appended, Command, LogId, Opened, Origin, Then};
pub use error::{AppendError, Error, LogError, QueueRefusal, ReadError};
pub use flush::FlushJob;
pub use flusher::{Flusher, FoundLog, LogEvents, Report, Turn};
pub use format::FORMAT_VERSION;
pub use load::Cut;
pub use meta::Identity;
pub use options::{Cleanup, Durability, LogConfig, StoreOptions};
pub use queue::{Queue, Submitted};
pub use reader::{AbortedTransaction, ActiveProducer, Bound, LogReader, ReadRange, ReadSlice};
