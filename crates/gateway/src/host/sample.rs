//! What the operating system said at one moment, as plain numbers.

/// One look at the machine. A part that was not measured this time is `None`; a list holds only
/// what the machine has.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Sample {
    /// When, in milliseconds since 1970-01-01 UTC.
    pub taken_at_ms: i64,
    /// When, in microseconds of a clock that never jumps: rates are computed with it.
    pub steady_us: u64,
    /// Busy share per processor in percent; `None` while there is nothing to compare with.
    pub cpus: Option<Vec<Option<f64>>>,
    /// Main memory.
    pub memory: Option<Space>,
    /// Swap space; absent on machines without.
    pub swap: Option<Space>,
    /// Run queue averages over 1, 5 and 15 minutes.
    pub load: Option<[f64; 3]>,
    /// File systems by mount point.
    pub file_systems: Option<Vec<(String, Space)>>,
    /// Disks by device, bytes since boot.
    pub disks: Vec<(String, Traffic)>,
    /// Network interfaces by name, bytes since boot.
    pub networks: Vec<(String, Traffic)>,
    /// Temperatures by label in degrees Celsius; `None` for a sensor that did not answer.
    pub temperatures: Option<Vec<(String, Option<f64>)>>,
}

/// Something that fills up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    /// Bytes altogether; above zero.
    pub total_bytes: u64,
    /// Bytes that are still to be had.
    pub available_bytes: u64,
}

/// Bytes that have gone in two directions since boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Traffic {
    /// Read from a disk, or received.
    pub in_bytes: u64,
    /// Written to a disk, or sent.
    pub out_bytes: u64,
}
