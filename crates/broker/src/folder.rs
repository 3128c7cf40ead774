//! The data folder: who holds it, and the store of logs inside it.

use std::io;
use std::path::Path;
use std::sync::Arc;

use base::clock::Clock;
use base::disk::lock::try_lock;
use base::disk::{Disk, DiskFile, OpenMode};
use base::rng::Random;
use base::uuid::Uuid;
use commitlog::{Flusher, Queue, Report, StoreOptions};
use runtime::task;
use runtime::thread::{Thread, spawn};
use tracing::{info, warn};

use crate::error::Error;
use crate::options::{BrokerOptions, Durability};
use crate::watch::Watches;

/// Folder of the logs inside the data folder.
const LOGS: &str = "log";

/// File that the holder of the data folder keeps locked; its pid stands in it.
const LOCK: &str = "lock";

/// What a broker holds while it runs.
#[derive(Debug)]
pub(crate) struct Folder {
    /// Locked until it is dropped.
    pub(crate) lock: Arc<dyn DiskFile>,
    /// The thread that writes.
    pub(crate) flusher: Thread<()>,
}

/// The world that a broker lives in.
#[derive(Debug, Clone)]
pub(crate) struct World {
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) rng: Arc<dyn Random>,
}

/// Takes the folder, recovers its logs and starts the thread that writes them.
///
/// # Errors
/// [`Error`].
pub(crate) async fn open(
    options: &BrokerOptions,
    world: &World,
    watches: &Arc<Watches>,
) -> Result<(Folder, Queue, Report), Error> {
    let lock = hold(world.disk.as_ref(), &options.data_dir)?;
    let store = StoreOptions {
        dir: options.data_dir.join(LOGS),
        disk: Arc::clone(&world.disk),
        clock: Arc::clone(&world.clock),
        durability: match options.durability {
            Durability::Flush => commitlog::Durability::Flush,
            Durability::Os => commitlog::Durability::Os,
        },
        free_bytes_min: options.free_bytes_min,
        cluster_id: Uuid::random(world.rng.as_ref()),
        directory_id: Uuid::random(world.rng.as_ref()),
        node_id: options.node_id,
        journal_bytes: commitlog::limits::JOURNAL_BYTES_MAX,
    };
    let events = Arc::clone(watches);
    // Recovery reads as much as a crash has left to check, which must not hold up the executor.
    let opened = task::blocking(move || Flusher::open(store, events)).await;
    let (flusher, queue, report) = opened.map_err(Error::Log)?;
    tell(&report);
    let flusher = spawn("flusher", move || flusher.run()).map_err(Error::Thread)?;
    Ok((Folder { lock, flusher }, queue, report))
}

fn hold(disk: &dyn Disk, dir: &Path) -> Result<Arc<dyn DiskFile>, Error> {
    let path = dir.join(LOCK);
    let at = |path: &Path| {
        let path = path.to_path_buf();
        move |cause| Error::Folder { path, cause }
    };
    make(disk, &dir.join(LOGS)).map_err(at(dir))?;
    let file = disk.open(&path, OpenMode::Create).map_err(at(&path))?;
    if !try_lock(file.as_ref()).map_err(at(&path))? {
        let holder = disk.read(&path).ok();
        let pid = holder
            .and_then(|text| String::from_utf8(text.to_vec()).ok())
            .and_then(|text| text.trim().parse().ok());
        return Err(Error::FolderInUse { dir: dir.to_path_buf(), pid });
    }
    let pid = format!("{}\n", std::process::id());
    file.set_len(0).and_then(|()| file.write_at(pid.as_bytes(), 0)).map_err(at(&path))?;
    Ok(file)
}

/// Makes a folder and those above it so that they survive a power cut: what is acknowledged later
/// must not hang on a name that was never written.
fn make(disk: &dyn Disk, dir: &Path) -> io::Result<()> {
    let is_new = |folder: &&Path| !folder.as_os_str().is_empty() && !disk.exists(folder);
    let new: Vec<&Path> = dir.ancestors().take_while(is_new).collect();
    disk.create_dir_all(dir)?;
    for folder in new.iter().rev() {
        let above = folder.parent().filter(|above| !above.as_os_str().is_empty());
        disk.sync_dir(above.unwrap_or_else(|| Path::new(".")))?;
    }
    Ok(())
}

fn tell(report: &Report) {
    info!(logs = report.logs.len(), was_clean = report.was_clean, "log folder opened");
    for cut in &report.cuts {
        warn!(
            file = %cut.file.display(),
            from_offset = cut.from_offset,
            bytes = cut.bytes,
            reason = %cut.reason,
            "damaged end of a log cut off"
        );
    }
}
