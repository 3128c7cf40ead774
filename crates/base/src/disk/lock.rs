//! One process per folder: an advisory lock on an open file, gone when its holder is.

use std::io;

use super::DiskFile;

/// Takes the lock; false when another process has it. It is held until the last handle of the
/// file is dropped or the process ends, however it ends. A file without a descriptor lives in
/// this process alone and is always free.
///
/// # Errors
/// When the file system knows no locks.
pub fn try_lock(file: &dyn DiskFile) -> io::Result<bool> {
    let Some(descriptor) = file.descriptor() else {
        return Ok(true);
    };
    match rustix::fs::flock(descriptor, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(true),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::{Disk as _, OpenMode, RealDisk};

    #[test]
    fn a_locked_file_is_refused_until_its_holder_is_gone() {
        let dir = std::env::temp_dir().join(format!("millstream-lock-{}", std::process::id()));
        let disk = RealDisk;
        disk.create_dir_all(&dir).unwrap();
        let path = dir.join("lock");
        let open = || disk.open(&path, OpenMode::Create).unwrap();
        let first = open();
        assert!(try_lock(first.as_ref()).unwrap());
        assert!(!try_lock(open().as_ref()).unwrap());
        drop(first);
        assert!(try_lock(open().as_ref()).unwrap());
        disk.remove_dir_all(&dir).unwrap();
    }
}
