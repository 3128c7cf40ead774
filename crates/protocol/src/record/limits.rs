//! Limits of the record format, each with its reason.

/// The largest batch that can be written: Kafka's length field is a positive `i32`.
pub const BATCH_BYTES_MAX: usize = 0x7fff_ffff;

/// A record length, key length or count takes at most five bytes as a varint.
pub const VARINT_BYTES_MAX: usize = 5;

/// A timestamp delta takes at most ten bytes as a varint.
pub const VARLONG_BYTES_MAX: usize = 10;

/// Java's snappy stream writes blocks of 32 KiB, so readers everywhere are used to that size.
pub const SNAPPY_BLOCK_BYTES: usize = 32 * 1024;

/// Snappy turns at most 3 bytes into 64: a stated length beyond this ratio is a lie.
pub const SNAPPY_RATIO_MAX: usize = 22;

/// Zstandard's own default; level 22 needs it. The window is reserved, not touched, until used.
pub const ZSTD_WINDOW_LOG_MAX: u32 = 27;

/// The level that Kafka's Java client uses when nobody chooses one.
pub const ZSTD_LEVEL: i32 = 3;

/// A builder never starts with more than this, whatever capacity its options name.
pub const BUILDER_BYTES_MAX: usize = 64 * 1024 * 1024;

/// How many times the size of what is compressed its plain form usually has at most: so much room
/// is made for it at once. It is reserved, not touched, until used.
pub const EXPANSION_EXPECTED: usize = 4;

/// The size of block that Java's and C's clients write.
pub const LZ4_BLOCK_BYTES: usize = 64 * 1024;

/// A byte of an LZ4 block says at most 255 bytes of the plain form.
pub const LZ4_RATIO_MAX: usize = 255;
