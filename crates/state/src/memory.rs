//! The memory that the state of a pipeline takes in this process, and its limit.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// More state than fits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OverLimit {
    /// What the state takes, roughly, in bytes.
    pub used_bytes: usize,
    /// What it may take, in bytes.
    pub limit_bytes: usize,
}

impl fmt::Display for OverLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let used = mebibytes(self.used_bytes);
        let limit = mebibytes(self.limit_bytes);
        write!(f, "the state takes {used} MiB of memory, and its limit is {limit} MiB")
    }
}

impl std::error::Error for OverLimit {}

/// Whole mebibytes, rounded up: a limit that is passed by little is seen to be passed.
fn mebibytes(bytes: usize) -> usize {
    bytes.div_ceil(1 << 20)
}

/// What all holders of state in a process share.
#[derive(Debug)]
pub struct Memory {
    limit_bytes: usize,
    used_bytes: AtomicUsize,
}

impl Memory {
    /// Nothing is used yet.
    pub fn new(limit_bytes: usize) -> Arc<Self> {
        Arc::new(Self { limit_bytes, used_bytes: AtomicUsize::new(0) })
    }
}

/// What one holder of state takes of it; given back when it is dropped.
#[derive(Debug)]
pub struct MemoryShare {
    memory: Arc<Memory>,
    own_bytes: usize,
}

impl MemoryShare {
    /// A holder that holds nothing yet.
    pub fn new(memory: &Arc<Memory>) -> Self {
        Self { memory: Arc::clone(memory), own_bytes: 0 }
    }

    /// The holder takes this many bytes now.
    ///
    /// # Errors
    /// All together take more than they may. The bytes are counted all the same.
    pub fn hold(&mut self, bytes: usize) -> Result<(), OverLimit> {
        let used = &self.memory.used_bytes;
        used.fetch_add(bytes, Ordering::Relaxed);
        let before = used.fetch_sub(self.own_bytes, Ordering::Relaxed);
        let used_bytes = before - self.own_bytes;
        self.own_bytes = bytes;
        let limit_bytes = self.memory.limit_bytes;
        if used_bytes > limit_bytes { Err(OverLimit { used_bytes, limit_bytes }) } else { Ok(()) }
    }
}

impl Drop for MemoryShare {
    fn drop(&mut self) {
        self.memory.used_bytes.fetch_sub(self.own_bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_all_hold_together_is_limited_and_given_back() {
        let memory = Memory::new(10);
        let (mut one, mut other) = (MemoryShare::new(&memory), MemoryShare::new(&memory));
        assert_eq!((one.hold(6), other.hold(4)), (Ok(()), Ok(())));
        let over = OverLimit { used_bytes: 11, limit_bytes: 10 };
        assert_eq!(other.hold(5), Err(over));
        assert_eq!((one.hold(5), other.hold(5)), (Ok(()), Ok(())));
        drop(one);
        assert_eq!(other.hold(10), Ok(()));
    }
}
