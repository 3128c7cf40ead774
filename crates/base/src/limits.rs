//! Limits that belong to no crate above.

/// Longest path component that a file system takes, in bytes (POSIX `NAME_MAX` on Linux).
pub const FILE_NAME_BYTES_MAX: usize = 255;

/// Buffers handed to one vectored write; Linux refuses more (`IOV_MAX`).
pub const WRITE_BUFFERS_MAX: usize = 1024;
