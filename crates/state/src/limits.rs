//! Every bound of this crate, each with its reason.

/// Keys of a window that are taken out at once when it closes: between two lots of them, what they
/// gave can be handed on.
pub const DUE_KEYS_MAX: usize = 1_024;

/// Bytes of settled changes that wait for the disk before they are written, beside a quarter of
/// what the store may take in memory; a batch is in memory twice while it is written.
pub const SPILL_UNWRITTEN_BYTES_MAX: usize = 32 << 20;

/// Transactions whose changes wait for the disk: what a start after a crash reads again.
pub const SPILL_TRANSACTIONS_MAX: u32 = 64;

/// Keys that were changed in this many transactions stay in memory when room is made, unless
/// nothing else can go.
pub const SPILL_RECENT_TRANSACTIONS: u64 = 4;

/// The part of the memory for state that the files' caches and buffers get: one of so many.
pub const SPILL_FILES_PART: u64 = 4;

/// Bytes of journals of the files on disk; the least that fjall takes.
pub const SPILL_JOURNAL_BYTES: u64 = 64 << 20;

/// Least bytes of changes that a store on disk gathers before it writes a table of them.
pub const SPILL_MEMTABLE_BYTES_MIN: u64 = 1 << 20;

/// Most bytes of changes that a store on disk gathers before it writes a table of them.
pub const SPILL_MEMTABLE_BYTES_MAX: u64 = 16 << 20;

/// Threads that write and merge the tables of the files on disk.
pub const SPILL_THREADS: usize = 1;
