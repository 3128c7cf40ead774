//! Every bound of this crate, each with its reason.

/// Longest pipeline file in bytes: far beyond what people write, small enough to hold twice.
pub const SPEC_BYTES_MAX: usize = 1 << 20;

/// Deepest nesting of a pipeline file; the grammar needs eight, test inputs a few more.
pub const SPEC_DEPTH_MAX: usize = 64;

/// Most nodes of a pipeline file after its aliases are expanded: aliases of aliases grow
/// exponentially, and this is where that ends.
pub const SPEC_NODES_MAX: usize = 100_000;

/// Most problems that one reading of a file reports; a hostile file has a problem per byte.
pub const DIAGNOSTICS_MAX: usize = 100;

/// Most tasks of one pipeline: the checks walk paths, and plans are drawn.
pub const TASKS_MAX: usize = 1_000;

/// Longest task, sink and pipeline name in bytes: two of them and a prefix fit a topic name.
pub const NAME_BYTES_MAX: usize = 100;

/// Most times that a record may be tried again: beyond that waiting is no way out.
pub const RETRIES_MAX: u64 = 1_000;

/// Longest topic name in bytes, which is Kafka's bound.
pub const TOPIC_BYTES_MAX: usize = 249;

/// Most slots of one pipeline process.
pub const PARALLELISM_MAX: u64 = 1_024;

/// Most copies of a task's state beside the one that is worked with.
pub const STANDBY_MAX: u64 = 3;

/// Most partitions of a topic that a pipeline creates.
pub const PARTITIONS_MAX: u64 = 10_000;

/// Longest duration in a pipeline file: ten thousand days, so that sums of times cannot overflow.
pub const DURATION_MS_MAX: u64 = 10_000 * 86_400_000;

/// Least memory that a limit for state may leave, in bytes: a store needs some room to work in.
pub const STATE_BYTES_MIN: u64 = 1 << 20;

/// Most memory that a limit for state may leave, in bytes: a tebibyte.
pub const STATE_BYTES_MAX: u64 = 1 << 40;

/// Most windows that one record may be counted in (size divided by step).
pub const WINDOWS_PER_RECORD_MAX: u64 = 1_000;

/// Longest source line that a message shows, in characters; the rest of a longer one is cut.
pub const EXCERPT_CHARS_MAX: usize = 160;

/// Longest name for which a similar one is looked for, in characters: the search is quadratic.
pub const SUGGESTION_CHARS_MAX: usize = 64;

/// Longest expression in bytes; a longer one is no longer read by people.
pub const EXPRESSION_BYTES_MAX: usize = 10_000;

/// Deepest nesting of an expression: it is evaluated by recursion.
pub const EXPRESSION_DEPTH_MAX: usize = 64;
