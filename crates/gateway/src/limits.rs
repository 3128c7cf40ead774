//! Limits of the gateways.

/// Processors that are reported one by one; the largest machines have fewer.
pub const CPUS_MAX: usize = 2_048;

/// Mounted file systems and disks that are reported; container hosts mount thousands, and nobody
/// looks at those.
pub const DISKS_MAX: usize = 32;

/// Network interfaces that are reported; the rest of a container host are pairs of pipes.
pub const NETWORKS_MAX: usize = 32;

/// Temperature sensors that are reported.
pub const TEMPERATURES_MAX: usize = 64;

/// Bytes of a sensor's name; longer mount points are cut.
pub const SENSOR_NAME_BYTES_MAX: usize = 200;

/// The shortest time between two samples, in milliseconds: below it the measuring shows in what
/// is measured.
pub const SAMPLE_EVERY_MS_MIN: u64 = 10;

/// The longest time between two samples, in milliseconds: a day.
pub const SAMPLE_EVERY_MS_MAX: u64 = 86_400_000;

/// Time between two measurements of what changes slowly and costs more (free disk space,
/// temperatures), in milliseconds.
pub const SLOW_EVERY_MS: i64 = 2_000;
