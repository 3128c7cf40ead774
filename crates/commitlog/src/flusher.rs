//! The one writer of all logs: takes what is queued, writes it, flushes each file once, answers.

mod round;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use base::cast;
use base::disk::Disk;
use base::uuid::Uuid;
use bytes::Bytes;

use crate::checkpoint::{self, Offsets};
use crate::cleaner::{CleanJob, Cleaned};
use crate::command::{Append, Command, LogId, Opened, Origin, Then};
use crate::error::{AppendError, Error};
use crate::flush::FlushJob;
use crate::format;
use crate::journal::{Journal, Tails};
use crate::limits::{
    CHECKPOINT_INTERVAL_MS, IDLE_WAIT_MS, JOURNALED_FLUSHES_MAX, LEND_PAUSE_MS, LEND_ROUNDS,
    LEND_US_MAX, NON_DURABLE_WAIT_MS, UPKEEP_LOGS_MAX,
};
use crate::load::Cut;
use crate::log::{AppendThen, Env, LoadStart, Log};
use crate::meta::{self, Identity};
use crate::options::{LogConfig, StoreOptions};
use crate::queue::{Look, Queue, Shared};
use crate::space::Space;

/// Who wants to know that a log has grown.
pub trait LogEvents: Send + Sync {
    /// Readers see more than before. Called on the flusher's thread, before the appends of the
    /// round are answered to their producers; must not block.
    fn advanced(&self, id: LogId, high_watermark: i64, last_stable_offset: i64);

    /// A log takes nothing more until the next start, or its upkeep met an error.
    fn failed(&self, name: &str, error: &Error) {
        let _ = (name, error); // Whoever has no use for it need not say so.
    }

    /// Runs flushes, on any threads, in any order and at any time; better soon, because producers
    /// wait for them. Here it is at once and one after the other.
    fn flush(&self, mut jobs: Vec<FlushJob>) {
        jobs.iter_mut().for_each(FlushJob::run);
    }

    /// The calling thread has nothing to do but to wait for flushes that were handed over, and may
    /// run some of them itself.
    fn help_flush(&self) {}

    /// A log is to be compacted. [`CleanJob::run`] may be called on any thread, once; here it is
    /// called at once, which keeps the flusher busy for as long as it takes.
    fn clean(&self, job: CleanJob) {
        job.run();
    }
}

/// What opening the store found.
#[derive(Debug, Clone)]
pub struct Report {
    /// Whose folder it is.
    pub identity: Identity,
    /// The older format that the records still have. Whoever knows what they mean brings them up,
    /// and then sends [`Command::Raised`]; until then every start finds this again. None for a
    /// folder that is new, raised, or Kafka's.
    pub raise_from: Option<u32>,
    /// Whether the last end was a clean one.
    pub was_clean: bool,
    /// The logs in the folder, by name.
    pub logs: Vec<FoundLog>,
    /// What was cut, when the last end was no clean one.
    pub cuts: Vec<Cut>,
}

/// A log in the folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundLog {
    /// `<topic>-<partition>`.
    pub name: String,
    /// The topic's id; zero when the folder does not say.
    pub topic_id: Uuid,
}

/// What a turn came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// Nothing was queued.
    Idle,
    /// Commands were carried out.
    Worked,
    /// The store is closed.
    Closed,
}

/// Owns every log of a folder; works on one thread at a time.
pub struct Flusher {
    env: Env,
    identity: Identity,
    queue: Arc<Shared>,
    events: Arc<dyn LogEvents>,
    logs: Vec<Option<Log>>,
    names: BTreeMap<String, LogId>,
    /// Recovered after a crash and not asked for yet.
    found: BTreeMap<String, Log>,
    was_clean: bool,
    /// False when the file of recovery points was missing or damaged.
    knows_points: bool,
    recovery_points: Offsets,
    cleaned: Offsets,
    log_starts: Offsets,
    /// Logs with something staged or written in this round.
    touched: BTreeSet<LogId>,
    /// Logs whose flush is due some time after it was written.
    lingering: BTreeSet<LogId>,
    /// Flushes that are under way.
    flights: usize,
    journal: Journal,
    /// Logs whose own files may lack what the journal holds.
    journaled: BTreeSet<LogId>,
    doomed: VecDeque<(u64, PathBuf)>,
    space: Space,
    checkpoint_due_ms: u64,
    is_cleaning: bool,
    /// Where the next upkeep begins to look through the logs.
    kept_up: usize,
    /// What a round on a borrowed thread takes, as a moving average in microseconds.
    lent_us: u64,
    /// When threads are borrowed again, in steady milliseconds, if they are not at present.
    lend_after_ms: Option<u64>,
}

impl fmt::Debug for Flusher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Flusher({}, {} logs)", self.env.root.display(), self.names.len())
    }
}

impl Flusher {
    /// Opens a folder of logs, making it when it is missing. After an end that was no clean one
    /// every log is checked, cut at the first bad byte, and flushed before this returns.
    ///
    /// # Errors
    /// What the disk refuses; a folder of a newer format; damage that cannot be cut away.
    pub fn open(
        options: StoreOptions,
        events: Arc<dyn LogEvents>,
    ) -> Result<(Self, Queue, Report), Error> {
        let disk = &*options.disk;
        let root = options.dir.clone();
        make_folder(disk, &root)?;
        let (identity, raise_from) = meta::open_identity(&options)?;
        let clean_path = root.join(format::CLEAN_FILE);
        let was_clean = disk.exists(&clean_path);
        let offsets = |name| checkpoint::load_offsets(disk, &root.join(name));
        let points = offsets(format::RECOVERY_POINT_FILE);
        let log_starts = offsets(format::LOG_START_FILE).unwrap_or_default();
        let cleaned = offsets(format::CLEANER_FILE).unwrap_or_default();
        let (queue, shared) = Queue::new();
        let space = Space::new(options.free_bytes_min);
        let env = Env {
            disk: Arc::clone(&options.disk),
            clock: Arc::clone(&options.clock),
            root: root.clone(),
            durability: options.durability,
        };
        let checkpoint_due_ms = env.clock.steady_ms() + CHECKPOINT_INTERVAL_MS;
        let mut flusher = Self {
            env,
            identity,
            queue: shared,
            events,
            logs: Vec::new(),
            names: BTreeMap::new(),
            found: BTreeMap::new(),
            was_clean,
            knows_points: points.is_some(),
            recovery_points: points.unwrap_or_default(),
            log_starts,
            cleaned,
            touched: BTreeSet::new(),
            lingering: BTreeSet::new(),
            flights: 0,
            journal: Journal::new(&options),
            journaled: BTreeSet::new(),
            doomed: VecDeque::new(),
            space,
            checkpoint_due_ms,
            is_cleaning: false,
            kept_up: 0,
            lent_us: 0,
            lend_after_ms: None,
        };
        let (logs, cuts) = flusher.look_around()?;
        // Whatever it held is in the logs now, and flushed.
        flusher.journal.remove()?;
        if !flusher.knows_points {
            // From now on a missing file means damage, and a missing line a new log.
            match flusher.store_recovery_points() {
                Err(error) if !error.is_storage_full() => return Err(error),
                _ => {}
            }
        }
        // Gone before anything is written: the next end counts only when it says so itself.
        disk.remove_file(&clean_path).map_err(Error::io("remove", &clean_path))?;
        disk.sync_dir(&root).map_err(Error::io("flush", &root))?;
        Ok((flusher, queue, Report { identity, raise_from, was_clean, logs, cuts }))
    }

    /// Lists the logs; recovers them after a crash.
    fn look_around(&mut self) -> Result<(Vec<FoundLog>, Vec<Cut>), Error> {
        let mut logs = Vec::new();
        let mut cuts = Vec::new();
        let mut tails = if self.was_clean { Tails::new() } else { self.journal.read()? };
        for entry in format::list(&*self.env.disk, &self.env.root)? {
            let path = self.env.root.join(&entry.name);
            if entry.is_dir && entry.name.ends_with(format::FOLDER_DELETED) {
                self.doomed.push_back((0, path));
                continue;
            }
            if !entry.is_dir || !format::is_log_name(&entry.name) {
                continue;
            }
            let topic_id = meta::load_topic_id(&*self.env.disk, &path).unwrap_or(Uuid::ZERO);
            if !self.was_clean {
                let tail = tails.remove(&entry.name).filter(|(of, _)| *of == topic_id);
                let tail = tail.map(|(_, batches)| batches).unwrap_or_default();
                cuts.extend(self.recover(&entry.name, topic_id, tail)?);
            }
            logs.push(FoundLog { name: entry.name, topic_id });
        }
        Ok((logs, cuts))
    }

    fn recover(&mut self, name: &str, topic_id: Uuid, tail: Vec<Bytes>) -> Result<Vec<Cut>, Error> {
        let config = LogConfig::default();
        let id = LogId(u32::MAX);
        let mut log = Log::new(self.env.clone(), id, name.to_owned(), topic_id, config);
        let cuts = log.load(&LoadStart { tail, ..self.load_start(name) })?;
        self.found.insert(name.to_owned(), log);
        Ok(cuts)
    }

    fn load_start(&self, name: &str) -> LoadStart {
        LoadStart {
            clean: self.was_clean,
            recovery_point: self.recovery_points.get(name).copied().unwrap_or(0),
            trusts_gaps: !self.knows_points,
            log_start: self.log_starts.get(name).copied(),
            tail: Vec::new(),
        }
    }

    /// Works until a `Close` is carried out or all queue handles are gone.
    pub fn run(self) {
        Arc::clone(&self.queue).work(self);
    }

    /// How long nothing is due.
    pub(crate) fn wait(&self) -> Duration {
        let soon = if self.has_lingering() { NON_DURABLE_WAIT_MS } else { IDLE_WAIT_MS };
        Duration::from_millis(soon)
    }

    /// Whether something is written whose flush is due by itself.
    pub(crate) fn has_lingering(&self) -> bool {
        !self.lingering.is_empty()
    }

    /// A turn on a borrowed thread; no other is borrowed for a while when it takes too long.
    pub(crate) fn lent_turn(&mut self) -> Turn {
        let began_us = self.env.clock.steady_us();
        let turn = self.turn();
        let ended_us = self.env.clock.steady_us();
        let took_us = ended_us.saturating_sub(began_us);
        self.lent_us = (self.lent_us * (LEND_ROUNDS - 1) + took_us) / LEND_ROUNDS;
        if self.lent_us > LEND_US_MAX {
            self.queue.set_may_lend(false);
            self.lend_after_ms = Some(ended_us / 1000 + LEND_PAUSE_MS);
            self.lent_us = 0;
        }
        turn
    }

    /// Carries out what is queued, without waiting for more, nor for the flushes of large appends.
    pub fn turn(&mut self) -> Turn {
        if self.lend_after_ms.is_some_and(|after| self.env.clock.steady_ms() >= after) {
            self.lend_after_ms = None;
            self.queue.set_may_lend(true);
        }
        let (commands, landed) = match self.queue.take() {
            Look::Work { commands, landed } => (commands, landed),
            Look::Abandoned => {
                let closed = self.close();
                self.tell("store", closed);
                return Turn::Closed;
            }
        };
        let is_idle = commands.is_empty() && landed.is_empty();
        let turn = if is_idle { Turn::Idle } else { Turn::Worked };
        self.land(landed);
        let mut commands = commands.into_iter();
        while let Some(command) = commands.next() {
            if let Command::Close { then } = command {
                let closed = self.close();
                let late = self.queue.close();
                commands.chain(late).for_each(refuse);
                then(closed);
                return Turn::Closed;
            }
            self.carry_out(command);
        }
        self.end_round();
        turn
    }

    fn carry_out(&mut self, command: Command) {
        match command {
            Command::Append { id, append, then } => self.append(id, &append, then),
            Command::Open { name, topic_id, config, lazy, then } => {
                let opened = self.open_log(name, topic_id, config, lazy);
                then(opened);
            }
            Command::Truncate { id, to } => self.truncate(id, to),
            Command::AdvanceLogStart { id, to } => self.advance_log_start(id, to),
            Command::Configure { id, config } => self.change(id, |log| {
                log.config = config;
                Ok(())
            }),
            Command::Remove { id } => self.remove(id),
            Command::Maintain => self.maintain(),
            Command::Cleaned(cleaned) => self.put_cleaned(cleaned),
            Command::Raised { then } => {
                then(meta::store_raised(&*self.env.disk, &self.env.root, self.identity));
            }
            Command::Close { .. } => unreachable!("the round ends at a close"),
        }
    }

    fn append(&mut self, id: LogId, append: &Append, then: AppendThen) {
        let refuses = append.origin == Origin::Client
            && self.space.refuses(&self.env, cast::u64_of(append.batches.len()));
        let Some(log) = slot(&mut self.logs, id) else {
            return then(Err(AppendError::UnknownLog));
        };
        if refuses {
            return then(Err(AppendError::StorageFull));
        }
        log.stage(append, then);
        self.touched.insert(id);
    }

    fn open_log(
        &mut self,
        name: String,
        topic_id: Uuid,
        config: LogConfig,
        lazy: bool,
    ) -> Result<Opened, Error> {
        if !format::is_log_name(&name) {
            return Err(Error::InvalidName { name });
        }
        if self.names.contains_key(&name) {
            return Err(Error::AlreadyOpen { name });
        }
        let id = LogId(u32::try_from(self.logs.len()).expect("logs are opened far below 2^32"));
        let mut log = self.find_log(id, &name, topic_id, config)?;
        if !lazy {
            log.ensure_active()?;
            log.settle(true, |_| {});
        }
        let reader = Arc::clone(&log.reader);
        self.names.insert(name, id);
        self.logs.push(Some(log));
        Ok(Opened { id, reader })
    }

    fn find_log(
        &mut self,
        id: LogId,
        name: &str,
        topic_id: Uuid,
        config: LogConfig,
    ) -> Result<Log, Error> {
        let dir = self.env.root.join(name);
        let stored = meta::load_topic_id(&*self.env.disk, &dir);
        if let Some(found) = stored.filter(|found| *found != topic_id) {
            return Err(Error::TopicIdMismatch { name: name.to_owned(), found, wanted: topic_id });
        }
        if let Some(mut log) = self.found.remove(name) {
            (log.id, log.topic_id, log.config) = (id, topic_id, config);
            if stored.is_none() && log.active.is_some() {
                meta::store_topic_id(&*self.env.disk, &dir, topic_id)?;
            }
            log.cleaned_to = self.cleaned_to(name, &log);
            return Ok(log);
        }
        let mut log = Log::new(self.env.clone(), id, name.to_owned(), topic_id, config);
        if stored.is_some() || self.env.disk.exists(&dir) {
            log.load(&self.load_start(name))?;
            if stored.is_none() {
                meta::store_topic_id(&*self.env.disk, &dir, topic_id)?;
            }
            log.cleaned_to = self.cleaned_to(name, &log);
        }
        Ok(log)
    }

    /// Where the cleaner was, as far as the log still reaches there.
    fn cleaned_to(&self, name: &str, log: &Log) -> i64 {
        let known = self.cleaned.get(name).copied();
        known.filter(|to| *to <= log.next_offset).unwrap_or(0)
    }

    /// Ends the round so far, then changes a log; an error ends the log.
    fn change(&mut self, id: LogId, change: impl FnOnce(&mut Log) -> Result<(), Error>) {
        self.settle();
        let Some(log) = slot(&mut self.logs, id) else { return };
        if let Err(error) = change(log) {
            self.events.failed(&log.name, &error);
            log.is_failure_told = true;
            log.failure.get_or_insert(error);
            self.note_failure(id);
        }
    }

    fn truncate(&mut self, id: LogId, to: i64) {
        self.settle();
        // Offsets are given anew from here on, and a start must not take the old batches for them.
        self.flush_journaled();
        let forgotten = self.journal.forget();
        self.change(id, |log| forgotten.and_then(|()| log.truncate(to)));
        let Some(log) = slot(&mut self.logs, id) else { return };
        // Nor must it take for flushed what only lay there before.
        self.recovery_points.insert(log.name.clone(), log.flushed_end);
        let stored = self.store_recovery_points();
        self.change(id, |_| stored);
    }

    fn advance_log_start(&mut self, id: LogId, to: i64) {
        self.settle();
        let Some(log) = slot(&mut self.logs, id) else { return };
        let to = to.min(log.reader.high_watermark());
        if to <= log.reader.log_start_offset() || log.is_failed() {
            return;
        }
        log.reader.set_log_start(to);
        let kept = self.store_log_starts();
        self.tell("log start", kept);
        self.drop_old(id);
    }

    /// Removes what lies before a log's start, whose record must be durable.
    fn drop_old(&mut self, id: LogId) {
        let Some(log) = slot(&mut self.logs, id) else { return };
        let due_ms = self.env.clock.steady_ms() + log.config.file_delete_delay_ms;
        match log.drop_before_start() {
            Ok(doomed) => self.doomed.extend(doomed.into_iter().map(|path| (due_ms, path))),
            Err(error) => self.events.failed(&log.name, &error),
        }
    }

    fn remove(&mut self, id: LogId) {
        self.settle();
        let Some(log) = self.logs.get_mut(cast::usize_of_u32(id.0)).and_then(Option::take) else {
            return;
        };
        self.names.remove(&log.name);
        self.recovery_points.remove(&log.name);
        self.log_starts.remove(&log.name);
        self.cleaned.remove(&log.name);
        let removed = self.rename_away(&log);
        self.tell(&log.name, removed);
        let stored = self.store_checkpoints();
        self.tell("checkpoint", stored);
    }

    fn rename_away(&mut self, log: &Log) -> Result<(), Error> {
        let disk = &*self.env.disk;
        if !disk.exists(log.path()) {
            return Ok(());
        }
        let hex: String = log.topic_id.0.iter().map(|byte| format!("{byte:02x}")).collect();
        let (topic, partition) = log.name.rsplit_once('-').expect("names are checked at open");
        let suffix = format!("-{partition}.{hex}{}", format::FOLDER_DELETED);
        let room = base::limits::FILE_NAME_BYTES_MAX - suffix.len();
        let away = self.env.root.join(format!("{}{suffix}", &topic[..topic.len().min(room)]));
        disk.remove_dir_all(&away).map_err(Error::io("remove", &away))?;
        disk.rename(log.path(), &away).map_err(Error::io("rename", log.path()))?;
        disk.sync_dir(&self.env.root).map_err(Error::io("flush", &self.env.root))?;
        let due_ms = self.env.clock.steady_ms() + log.config.file_delete_delay_ms;
        self.doomed.push_back((due_ms, away));
        Ok(())
    }

    fn maintain(&mut self) {
        self.settle();
        self.space.look(&self.env);
        let ids = self.next_kept_up();
        let mut advanced = Vec::new();
        for id in ids.iter().copied() {
            let Some(log) = slot(&mut self.logs, id) else { continue };
            if log.active.is_none() || log.is_failed() {
                continue;
            }
            match log.keep_up() {
                Ok(Some(start)) => {
                    log.reader.set_log_start(start);
                    advanced.push(id);
                }
                Ok(None) => {}
                Err(error) => self.events.failed(&log.name, &error),
            }
        }
        if !advanced.is_empty() {
            let kept = self.store_log_starts();
            self.tell("log start", kept);
            advanced.into_iter().for_each(|id| self.drop_old(id));
        }
        self.clean_dirtiest(&ids);
        self.begin_journaled(JOURNALED_FLUSHES_MAX);
        let now_ms = self.env.clock.steady_ms();
        if now_ms >= self.checkpoint_due_ms {
            self.checkpoint_due_ms = now_ms + CHECKPOINT_INTERVAL_MS;
            let stored = self.store_checkpoints();
            self.tell("checkpoint", stored);
        }
        self.unlink_doomed(now_ms);
    }

    /// The logs whose turn it is.
    fn next_kept_up(&mut self) -> Vec<LogId> {
        let count = self.logs.len();
        let turn = (self.kept_up..self.kept_up + count.min(UPKEEP_LOGS_MAX)).map(|at| at % count);
        let ids = turn.map(|at| LogId(cast::u32_of(at))).collect();
        self.kept_up = (self.kept_up + UPKEEP_LOGS_MAX) % count.max(1);
        ids
    }

    /// Lets the cleaner run over that of these logs that needs it most, one at a time.
    fn clean_dirtiest(&mut self, ids: &[LogId]) {
        if self.is_cleaning {
            return;
        }
        let logs = ids.iter().filter_map(|id| self.logs.get(cast::usize_of_u32(id.0))?.as_ref());
        let dirty = logs.filter_map(|log| Some((log, log.dirt()?)));
        let dirtiest = dirty.max_by(|one, two| one.1.urgency(&two.1));
        if let Some((log, dirt)) = dirtiest {
            self.is_cleaning = true;
            let job = log.clean_job(dirt, Arc::clone(&self.queue));
            self.events.clean(job);
        }
    }

    fn put_cleaned(&mut self, cleaned: Cleaned) {
        self.is_cleaning = false;
        self.settle();
        // Cleaned segments have gaps, which only what is recorded as flushed may have.
        let stored = self.store_checkpoints();
        let Some(log) = slot(&mut self.logs, cleaned.id) else { return };
        let Cleaned { groups, cleaned_to, .. } = cleaned;
        if matches!(groups, Err(Error::Record { .. } | Error::Damaged { .. })) {
            // The others wait their turn, which a log that can never be cleaned must not take.
            log.is_uncleanable = true;
        }
        let name = log.name.clone();
        let put = stored.and(groups).and_then(|groups| log.put_cleaned(groups, cleaned_to));
        self.tell(&name, put);
    }

    fn unlink_doomed(&mut self, now_ms: u64) {
        let mut later = VecDeque::new();
        for (due_ms, path) in std::mem::take(&mut self.doomed) {
            if due_ms > now_ms {
                later.push_back((due_ms, path));
                continue;
            }
            let disk = &*self.env.disk;
            let is_folder = path.to_string_lossy().ends_with(format::FOLDER_DELETED);
            let removed =
                if is_folder { disk.remove_dir_all(&path) } else { disk.remove_file(&path) };
            self.tell("unlink", removed.map_err(Error::io("remove", &path)));
        }
        self.doomed = later;
    }

    fn tell(&self, name: &str, result: Result<(), Error>) {
        if let Err(error) = result {
            self.events.failed(name, &error);
        }
    }

    fn open_logs(&self) -> impl Iterator<Item = &Log> {
        self.logs.iter().flatten().chain(self.found.values())
    }

    fn store_log_starts(&mut self) -> Result<(), Error> {
        let starts: Offsets = self
            .open_logs()
            .filter(|log| log.reader.log_start_offset() > 0)
            .map(|log| (log.name.clone(), log.reader.log_start_offset()))
            .collect();
        self.log_starts.extend(starts);
        let path = self.env.root.join(format::LOG_START_FILE);
        checkpoint::store_offsets(&*self.env.disk, &path, &self.log_starts)
    }

    fn store_checkpoints(&mut self) -> Result<(), Error> {
        let on_disk = |log: &&Log| log.active.is_some();
        let points: Offsets = self
            .open_logs()
            .filter(on_disk)
            .map(|log| (log.name.clone(), log.flushed_end))
            .collect();
        let highs: Offsets = self
            .open_logs()
            .filter(on_disk)
            .map(|log| (log.name.clone(), log.reader.high_watermark()))
            .collect();
        let cleaned: Offsets = self
            .open_logs()
            .filter(|log| log.cleaned_to > 0)
            .map(|log| (log.name.clone(), log.cleaned_to))
            .collect();
        self.recovery_points.extend(points);
        self.cleaned.extend(cleaned);
        let disk = Arc::clone(&self.env.disk);
        let root = self.env.root.clone();
        self.store_log_starts()?;
        checkpoint::store_offsets(&*disk, &root.join(format::HIGH_WATERMARK_FILE), &highs)?;
        checkpoint::store_offsets(&*disk, &root.join(format::CLEANER_FILE), &self.cleaned)?;
        self.store_recovery_points()
    }

    fn store_recovery_points(&self) -> Result<(), Error> {
        let path = self.env.root.join(format::RECOVERY_POINT_FILE);
        checkpoint::store_offsets(&*self.env.disk, &path, &self.recovery_points)
    }

    /// Flushes everything and leaves the mark of a clean end, if it is one.
    fn close(&mut self) -> Result<(), Error> {
        self.settle();
        for log in self.logs.iter_mut().flatten().chain(self.found.values_mut()) {
            log.close()?;
        }
        self.store_checkpoints()?;
        self.journal.remove()?;
        let path = self.env.root.join(format::CLEAN_FILE);
        let mark = b"{\"version\":0,\"brokerEpoch\":-1}";
        self.env.disk.replace(&path, mark).map_err(Error::io("replace", &path))
    }
}

/// Makes a folder whose name, and those above it, are durable.
fn make_folder(disk: &dyn Disk, root: &Path) -> Result<(), Error> {
    let made = root.ancestors().take_while(|folder| !disk.exists(folder));
    let parents: Vec<&Path> = made.filter_map(Path::parent).collect();
    disk.create_dir_all(root).map_err(Error::io("make", root))?;
    for parent in parents {
        disk.sync_dir(parent).map_err(Error::io("flush", parent))?;
    }
    Ok(())
}

fn slot(logs: &mut [Option<Log>], id: LogId) -> Option<&mut Log> {
    logs.get_mut(cast::usize_of_u32(id.0))?.as_mut()
}

/// Answers a command that came after the close.
fn refuse(command: Command) {
    match command {
        Command::Append { then, .. } => then(Err(AppendError::Closed)),
        Command::Open { name, then, .. } => then(Err(Error::Failed { name })),
        Command::Close { then } => answer_closed(then),
        Command::Raised { then } => then(Err(Error::Failed { name: format::META_FILE.to_owned() })),
        Command::Truncate { .. }
        | Command::AdvanceLogStart { .. }
        | Command::Configure { .. }
        | Command::Remove { .. }
        | Command::Maintain
        | Command::Cleaned(_) => {}
    }
}

fn answer_closed(then: Then<Result<(), Error>>) {
    then(Ok(()));
}
