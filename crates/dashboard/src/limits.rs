//! Every bound of this crate, each with its reason.

/// Connections at once: a few scrapers and a person or two; further ones wait.
pub const CONNECTIONS_MAX: usize = 32;

/// How long nothing may move on a connection, in milliseconds: scrapers keep theirs open from one
/// scrape to the next, which is a minute at most by custom.
pub const SILENCE_MS_MAX: u64 = 75_000;

/// How long the log may take to answer for a page, in milliseconds; scrapers give up after ten
/// seconds by default.
pub const GATHER_MS_MAX: u64 = 5_000;

/// Age up to which the log's figures are used again, in milliseconds, so that several who look on
/// cost as much as one.
pub const FIGURES_AGE_MS_MAX: u64 = 1_000;

/// Partitions of a page; those of further topics are left out, and it is said how many.
pub const PARTITIONS_MAX: usize = 20_000;

/// Groups of a page; each is a request to the log.
pub const GROUPS_MAX: usize = 2_000;

/// How long the own log may take to answer before the process counts as hung, in milliseconds.
pub const LIVE_MS_MAX: u64 = 10_000;

/// How long the own log may take to answer before the process counts as busy, in milliseconds.
pub const READY_MS_MAX: u64 = 2_000;

/// Taps at once: each is a person at a terminal.
pub const TAPS_MAX: usize = 16;

/// How long a request for tapped records waits for one, in milliseconds.
pub const TAP_WAIT_MS_MAX: u64 = 1_000;

/// Pause between two looks at a tap, in milliseconds.
pub const TAP_LOOK_MS: u64 = 20;

/// Records that may be copied in a second for a tap.
pub const TAP_RATE_MAX: u32 = 10_000;
