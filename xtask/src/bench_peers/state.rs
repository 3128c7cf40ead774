//! Pipelines that remember much: state that is larger than memory, state that is gone, and one of
//! two processes that dies.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use super::app::{Processes, Setting, USUAL_SESSION, pipeline_file};
use super::report::Values;
use super::rows::{Amount, App, Engine, Side, figure};
use super::watcher::Watcher;
use super::work::{Bench, json_of, real, told};
use crate::json::Json;
use crate::workspace;

/// Keys of the state that is larger than its memory.
const LARGE_KEYS: Amount = Amount { full: 10_000_000, quick: 200_000 };
/// Records of these: a tenth of the keys comes again.
const LARGE_RECORDS: Amount = Amount { full: 11_000_000, quick: 220_000 };
const LARGE_INPUT: &str = "peers-keys-large";

/// Keys of the state that is rebuilt.
const RESTORE_KEYS: Amount = Amount { full: 5_000_000, quick: 100_000 };
const RESTORE_INPUT: &str = "peers-keys-restore";
/// A pipeline that keeps its topics from repetition to repetition.
const RESTORE_NAME: &str = "peers-restore";

/// Keys of the pipeline of which a process dies.
const FAILOVER_KEYS: Amount = Amount { full: 1_000_000, quick: 50_000 };

/// Milliseconds of silence after which a member of Streams' group is gone: the three missed beats
/// of our task managers.
const SESSION: &str = "3000";

/// Two task managers have their slots by then, on a busy machine.
const SPREAD_MAX: Duration = Duration::from_secs(60);
const LOOK_INTERVAL: Duration = Duration::from_millis(200);

impl Bench {
    /// Fills a topic with small records, unless that was done before.
    fn keys(
        &mut self,
        side: Side,
        input: &'static str,
        records: u32,
        keys: u32,
    ) -> Result<(), String> {
        if self.has_loaded(side, input) {
            return Ok(());
        }
        let (bootstrap, _) = self.place(side)?;
        let words = format!("keys bootstrap={bootstrap} in={input} records={records} keys={keys}");
        json_of(self.peer()?.args(words.split_whitespace()))?;
        self.loaded(side, input);
        Ok(())
    }

    /// Records per second through `count` with more keys than memory holds.
    pub(super) fn large(&mut self, side: Side, app: App) -> Result<Values, String> {
        let (records, keys) = (LARGE_RECORDS.of(self.quick), LARGE_KEYS.of(self.quick));
        self.keys(side, LARGE_INPUT, records, keys)?;
        let (bootstrap, _) = self.place(side)?;
        let name = format!("peers-large-{}", self.count);
        let folder = self.folder_of(&name);
        let setting = Setting {
            bootstrap: &bootstrap,
            input: LARGE_INPUT,
            name: &name,
            folder: &folder,
            session: USUAL_SESSION,
        };
        self.through(side, app, setting, (records, records, keys))
    }

    /// From the start of a pipeline whose local state is gone to its first new results.
    pub(super) fn restore(&mut self, side: Side, app: App) -> Result<Values, String> {
        let keys = RESTORE_KEYS.of(self.quick);
        let (bootstrap, broker) = self.place(side)?;
        let folder = self.folder_of(&format!("{RESTORE_NAME}-{}", side.name()));
        let setting = Setting {
            bootstrap: &bootstrap,
            input: RESTORE_INPUT,
            name: RESTORE_NAME,
            folder: &folder,
            session: SESSION,
        };
        if !self.has_loaded(side, RESTORE_NAME) {
            self.keys(side, RESTORE_INPUT, keys, keys)?;
            let watch = format!(
                "watch bootstrap={bootstrap} group={RESTORE_NAME} in={RESTORE_INPUT} \
                 out={RESTORE_NAME}-out"
            );
            self.beside((app, broker), setting, &watch)?;
            self.loaded(side, RESTORE_NAME);
        }
        let first = format!(
            "first bootstrap={bootstrap} in={RESTORE_INPUT} out={RESTORE_NAME}-out \
             group={RESTORE_NAME}"
        );
        // Its folder goes when a run has ended well, and with it all local state.
        let json = self.beside((app, broker), setting, &first)?;
        Ok(times(&json))
    }

    /// From the death of one of two processes to the next result of each partition.
    pub(super) fn failover(&mut self, side: Side, app: App) -> Result<Values, String> {
        let (bootstrap, broker) = self.place(side)?;
        let name = format!("peers-failover-{}", self.count);
        let folder = self.folder_of(&name);
        let input = format!("{name}-in");
        let setting = Setting {
            bootstrap: &bootstrap,
            input: &input,
            name: &name,
            folder: &folder,
            session: SESSION,
        };
        // Of ours no group says who runs what.
        let members = if app.engine == Engine::Streams { 2 } else { 0 };
        let words = format!(
            "failover bootstrap={bootstrap} in={input} out={name}-out group={name} keys={} \
             members={members}",
            FAILOVER_KEYS.of(self.quick)
        );
        let mut watcher = Watcher::ready(self.peer()?.args(words.split_whitespace()))?;
        let looked = self.one_of_two_dies((app, broker), setting, &mut watcher);
        watcher.end()?;
        let json = looked.map_err(|error| format!("{error}; see {}", folder.display()));
        let cleaned = self.clean(&bootstrap, &name);
        let json = json?;
        cleaned?;
        fs::remove_dir_all(&folder).map_err(|error| error.to_string())?;
        Ok(times(&json))
    }

    fn one_of_two_dies(
        &mut self,
        (app, broker): (App, u32),
        setting: Setting<'_>,
        watcher: &mut Watcher,
    ) -> Result<Json, String> {
        let mut processes = Processes::default();
        let pids = match app.engine {
            Engine::Streams => self.two_members(app, setting, &mut processes)?,
            Engine::Millstream { delivery } => {
                self.cluster((app, delivery), setting, &mut processes)?
            }
        };
        let pids: Vec<String> = pids.iter().chain([&broker]).map(u32::to_string).collect();
        watcher.tell(&pids.join(","))?;
        watcher.line()?;
        processes.kill_last()?;
        watcher.tell("it is dead")?;
        let json = watcher.json()?;
        if app.engine != Engine::Streams {
            let mut stop = self.millstream("pipeline stop");
            workspace::output_of(stop.args([setting.name, "-b", setting.bootstrap]))?;
        }
        processes.stop().map(|()| json)
    }

    fn two_members(
        &mut self,
        app: App,
        setting: Setting<'_>,
        processes: &mut Processes,
    ) -> Result<Vec<u32>, String> {
        let mut pids = Vec::new();
        for member in ["a", "b"] {
            let folder = setting.folder.join(member);
            let mut command = self.app(app, Setting { folder: &folder, ..setting })?;
            pids.push(processes.start(&mut command, (&folder, "app.log"))?);
        }
        Ok(pids)
    }

    /// A job manager and two task managers, each of which runs a slot of the pipeline.
    fn cluster(
        &self,
        (app, delivery): (App, &str),
        setting: Setting<'_>,
        processes: &mut Processes,
    ) -> Result<Vec<u32>, String> {
        let Setting { bootstrap, name, folder, .. } = setting;
        fs::create_dir_all(folder).map_err(|error| error.to_string())?;
        let mut pids = Vec::new();
        let slots = app.slots.to_string();
        for (role, id) in [("jobmanager", "jm"), ("taskmanager", "tm-a"), ("taskmanager", "tm-b")] {
            let mut command = self.millstream(role);
            command.args(["--id", &format!("{name}-{id}"), "--http", "off", "-b", bootstrap]);
            command.arg("--data").arg(folder.join(id));
            if role == "taskmanager" {
                command.args(["--slots", &slots]);
            }
            pids.push(processes.start(&mut command, (folder, &format!("{id}.log")))?);
        }
        let file = folder.join("pipeline.yaml");
        let text = pipeline_file(app, (delivery, "1GiB", 2), setting);
        fs::write(&file, text).map_err(|error| error.to_string())?;
        self.apply(bootstrap, &file)?;
        let begin = Instant::now();
        while self.task_managers(bootstrap, name)? < 2 {
            if begin.elapsed() > SPREAD_MAX {
                return Err("the pipeline does not run on both task managers".to_owned());
            }
            thread::sleep(LOOK_INTERVAL);
        }
        Ok(pids)
    }

    /// Hands a file in, as soon as somebody leads.
    fn apply(&self, bootstrap: &str, file: &Path) -> Result<(), String> {
        let mut apply = self.millstream("pipeline apply");
        workspace::output_of(apply.arg(file).args(["-b", bootstrap])).map(drop)
    }

    /// Task managers on which a pipeline runs.
    fn task_managers(&self, bootstrap: &str, name: &str) -> Result<usize, String> {
        let mut status = self.millstream("pipeline status --json");
        let json = json_of(status.args([name, "-b", bootstrap]))?;
        let slots = json.items().first().map_or(&[][..], |job| job.at("slots").items());
        let running = slots.iter().filter(|slot| slot.at("state").text() == "running");
        Ok(running.map(|slot| slot.at("task_manager").text()).collect::<BTreeSet<_>>().len())
    }
}

fn times(json: &Json) -> Values {
    told([(figure::FIRST, real(json, "first_ms")), (figure::ALL, real(json, "all_ms"))])
}
