//! Limits of the streams.

use std::time::Duration;

/// Frames that wait in one direction of a memory pair before the sender must wait.
pub const MEMORY_FRAMES_MAX: usize = 16;

/// Connections that wait to be accepted on a memory listener.
pub const MEMORY_BACKLOG_MAX: usize = 64;

/// Bytes set aside for a frame before any of it has arrived; beyond it, memory follows the bytes.
pub const FRAME_FIRST_RESERVE_BYTES_MAX: usize = 1 << 20;

/// How long nothing comes over a connection before the system asks whether the peer is still there.
pub const KEEPALIVE_AFTER: Duration = Duration::from_secs(15);

/// Pause between two such questions.
pub const KEEPALIVE_EVERY: Duration = Duration::from_secs(5);

/// Questions without an answer after which the peer is gone: a fetch may wait for minutes, and a
/// machine that vanished says nothing.
pub const KEEPALIVE_COUNT_MAX: u32 = 3;

/// Room kept for small frames between two reads of a socket. Small, because every idle
/// connection holds it and a small frame pins the block that it lies in.
pub const READ_BUFFER_BYTES: usize = 4 << 10;

/// Bytes that one `sendfile` call may move, so that a slow reader does not hold a thread.
pub const SENDFILE_BYTES_MAX: usize = 1 << 20;

/// File ranges up to this size are read and sent with the bytes around them: one packet and one
/// wake-up of the reader instead of two.
pub const SENDFILE_BYTES_MIN: usize = 16 << 10;

/// Pause after the system had no room for a connection, in milliseconds.
pub const PLAIN_ACCEPT_PAUSE_MS: u64 = 100;
