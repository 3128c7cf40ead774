//! Writing snapshots beside the work, and reading them at the start.
//!
//! A slot with transactions knows how much of its changelogs its state is: up to what it restored,
//! or wrote itself. That stays true whoever takes its tasks over.
//!
//! Without transactions nobody is fenced. There the end of a changelog is asked for between two
//! commits, when nothing of ours is on its way into it, and the file is written only if the plan
//! topic still names this process afterwards: whoever takes the pipeline over says so before it
//! writes, so that the end belongs to the state.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use base::clock::Clock;
use base::disk::Disk;
use base::uuid::Uuid;
use client::admin::OffsetAt;
use client::options::Isolation;
use client::{Client, ClientError};
use runtime::task::{self as run, Task as RunningTask};
use tracing::{debug, info, warn};

use super::kept::{self, Kept};
use super::{Snapshot, Stamp, encode};
use crate::engine::ledger::Ledger;
use crate::engine::task::Task;
use crate::limits::RESTORE_SILENCE_MS_MAX;
use state::store::Applied;

/// Where snapshots are kept.
#[derive(Debug, Clone)]
pub struct StateFolder {
    /// The disk.
    pub disk: Arc<dyn Disk>,
    /// The folder; it is made when it is missing.
    pub dir: PathBuf,
    /// Where state lies that pipelines keep on disk (`spill: disk`), a folder each; `None` where
    /// there is no such place, so that they keep it in memory. It is a folder of a real disk: what
    /// lies in it is not written through `disk`.
    pub spill_dir: Option<PathBuf>,
    /// What is known to lie there.
    pub(crate) kept: Kept,
    /// How long the changelogs may give nothing at a start before it is given up, in milliseconds.
    pub silence_ms_max: u64,
}

impl StateFolder {
    /// A folder with snapshots.
    #[must_use]
    pub fn new(disk: Arc<dyn Disk>, dir: PathBuf) -> Self {
        let silence_ms_max = RESTORE_SILENCE_MS_MAX;
        Self { disk, dir, spill_dir: None, kept: Kept::default(), silence_ms_max }
    }

    /// The same with a place for state on disk.
    #[must_use]
    pub fn spilling(self, dir: PathBuf) -> Self {
        Self { spill_dir: Some(dir), ..self }
    }

    /// Learns what an earlier start has left, and removes what is too old to be of use.
    ///
    /// # Errors
    /// The disk refuses.
    pub(crate) fn look(&self, now_ms: i64) -> io::Result<()> {
        let place = (&*self.disk, &*self.dir);
        if let Some(spill_dir) = &self.spill_dir {
            Kept::prune(place, spill_dir, now_ms)?;
        }
        self.kept.look(place.0, place.1, now_ms)
    }

    fn path(&self, changelog: &str, partition: i32) -> PathBuf {
        self.dir.join(kept::snapshot_name(changelog, partition))
    }
}

/// What a keeper needs to know of its pipeline.
#[derive(Debug, Clone)]
pub(crate) struct KeeperParts {
    pub(crate) folder: StateFolder,
    pub(crate) client: Client,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) fingerprint: u64,
    /// Milliseconds between two snapshots.
    pub(crate) every_ms: u64,
    /// Where nobody is fenced: the plan topic, and the number by which it knows this start.
    pub(crate) claim: Option<(String, u64)>,
}

/// Stores by changelog and partition: the task's place among all, and the node.
type Stored = BTreeMap<(String, i32), (usize, usize)>;

/// Offsets by changelog and partition, and the time at which they were right.
type Ends = BTreeMap<(String, i32), (i64, i64)>;

/// A file to be written: of a changelog and partition, and its bytes.
type File = ((String, i32), Vec<u8>);

/// Writes the snapshots of a slot, one set at a time.
pub(crate) struct Keeper {
    parts: KeeperParts,
    due_ms: u64,
    writing: Option<RunningTask<()>>,
}

impl fmt::Debug for Keeper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keeper({})", self.parts.folder.dir.display())
    }
}

impl Keeper {
    /// Writes the first snapshot when its time has come.
    pub(crate) fn new(parts: KeeperParts) -> Self {
        let due_ms = parts.clock.steady_ms() + parts.every_ms;
        Self { parts, due_ms, writing: None }
    }

    /// After a commit: starts to write, if it is time and nothing is being written.
    pub(crate) async fn after_commit(&mut self, tasks: &[Task]) {
        let now_ms = self.parts.clock.steady_ms();
        let is_busy = self.writing.as_ref().is_some_and(|writing| !writing.is_finished());
        if now_ms < self.due_ms || is_busy {
            return;
        }
        self.due_ms = now_ms + self.parts.every_ms;
        self.start(tasks).await;
    }

    /// After the last commit: writes, and waits for it.
    pub(crate) async fn at_end(&mut self, tasks: &[Task]) {
        self.wait().await;
        self.start(tasks).await;
        self.wait().await;
    }

    async fn wait(&mut self) {
        if let Some(writing) = self.writing.take() {
            writing.join().await;
        }
    }

    async fn start(&mut self, tasks: &[Task]) {
        match self.take(tasks).await {
            Ok(files) if files.is_empty() => {}
            Ok(files) => {
                let parts = self.parts.clone();
                self.writing = Some(run::spawn("snapshot", write(parts, files)));
            }
            Err(error) => debug!(%error, "no snapshot this time"),
        }
    }

    /// The files of all tasks as of the last commit.
    async fn take(&self, tasks: &[Task]) -> Result<Vec<File>, ClientError> {
        let parts = &self.parts;
        let mut of = Stored::new();
        for (index, task) in tasks.iter().enumerate() {
            let in_memory =
                task.changelogs().filter(|(node, _)| !task.state.nodes[*node].is_on_disk());
            for (node, changelog) in in_memory {
                of.insert((changelog.to_owned(), task.partition), (index, node));
            }
        }
        let ends = self.ends(&of, tasks).await?;
        let mut files = Vec::new();
        for ((topic, partition), (index, node)) in &of {
            let id = parts.client.topic(topic).await?.id;
            let end = ends.get(&(topic.clone(), *partition));
            let (false, Some((offset, written_ms))) = (id.is_zero(), end.copied()) else {
                continue;
            };
            let fingerprint = parts.fingerprint;
            let stamp = Stamp { fingerprint, topic: id, partition: *partition, offset, written_ms };
            match encode(&stamp, &tasks[*index], *node) {
                Some(bytes) => files.push(((topic.clone(), *partition), bytes)),
                None => debug!(%topic, partition, "the state is too large for a snapshot"),
            }
        }
        Ok(files)
    }

    /// How much of each changelog is in the state, and since when.
    async fn ends(&self, of: &Stored, tasks: &[Task]) -> Result<Ends, ClientError> {
        if self.parts.claim.is_none() {
            let known = of.iter().filter_map(|(place, (index, node))| {
                let applied = tasks[*index].state.nodes[*node].applied()?;
                Some((place.clone(), (applied.offset, applied.at_ms)))
            });
            return Ok(known.collect());
        }
        let places: Vec<(&str, i32)> =
            of.keys().map(|(topic, partition)| (topic.as_str(), *partition)).collect();
        if places.is_empty() {
            return Ok(Ends::new());
        }
        let admin = self.parts.client.admin();
        let isolation = Isolation::ReadUncommitted;
        let found = admin.list_offsets(&places, OffsetAt::Latest, isolation).await?;
        let now_ms = self.parts.clock.unix_ms();
        Ok(found.into_iter().map(|(place, found)| (place, (found.offset, now_ms))).collect())
    }
}

async fn write(parts: KeeperParts, files: Vec<File>) {
    if let Some((plan_topic, nonce)) = &parts.claim {
        let ledger = Ledger::read(&parts.client, plan_topic).await;
        let newest = ledger.ok().and_then(|ledger| ledger.newest);
        if newest.is_none_or(|claim| claim.nonce != *nonce) {
            debug!("the pipeline was taken over: no snapshot");
            return;
        }
    }
    let folder = parts.folder;
    let written = run::blocking(move || -> io::Result<()> {
        folder.disk.create_dir_all(&folder.dir)?;
        files.into_iter().try_for_each(|((changelog, partition), bytes)| {
            folder.disk.replace(&folder.path(&changelog, partition), &bytes)?;
            folder.kept.add(&changelog, partition);
            Ok(())
        })
    });
    if let Err(error) = written.await {
        warn!(%error, "the state's snapshot could not be written; restarts will take longer");
    }
}

/// A changelog partition whose state is wanted.
#[derive(Debug)]
pub(crate) struct Wanted<'w> {
    pub(crate) changelog: &'w str,
    pub(crate) partition: i32,
    pub(crate) topic: Uuid,
    pub(crate) fingerprint: u64,
    /// Where the changelog begins and ends.
    pub(crate) range: (i64, i64),
    pub(crate) now_ms: i64,
    /// The age from which on the changelog may have forgotten deleted keys.
    pub(crate) age_ms_max: i64,
}

/// Takes the state of a task's node over from its snapshot, if there is one that fits; tells how
/// much of the changelog that is.
pub(crate) async fn load(
    folder: &StateFolder,
    wanted: &Wanted<'_>,
    task: &mut Task,
    node: usize,
) -> Option<Applied> {
    let path = folder.path(wanted.changelog, wanted.partition);
    let (disk, file) = (Arc::clone(&folder.disk), path.clone());
    let found =
        run::blocking(move || if disk.exists(&file) { disk.read(&file).ok() } else { None });
    let bytes = found.await?;
    let (start, end) = wanted.range;
    let stamp = Stamp {
        fingerprint: wanted.fingerprint,
        topic: wanted.topic,
        partition: wanted.partition,
        offset: end,
        written_ms: wanted.now_ms,
    };
    let applied = Snapshot::read(&bytes).and_then(|snapshot| {
        snapshot.check(&stamp, start, wanted.age_ms_max)?;
        snapshot.apply(task, node)?;
        Ok(snapshot.stamp)
    });
    match applied {
        Ok(Stamp { offset, written_ms: at_ms, .. }) => {
            Some(Applied { offset, at_ms, closed_ms: task.state.closed_ms[node] })
        }
        Err(reject) => {
            task.forget(node);
            info!(path = %path.display(), %reject, "snapshot left alone");
            None
        }
    }
}
