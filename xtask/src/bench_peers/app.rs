//! Pipelines as processes of their own: ours from a file, those of Streams in Java.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::broker;
use super::rows::{App, Engine, Store};
use super::work::Bench;

/// The session of a member of a group where nothing depends on it.
pub(super) const USUAL_SESSION: &str = "usual";

/// Memory for state that is larger, as the table says.
const MEMORY_LIMIT: &str = "256MiB";
/// The same for the few keys of a quick run.
const QUICK_MEMORY_LIMIT: &str = "8MiB";

/// Where a pipeline reads and writes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Setting<'a> {
    pub(super) bootstrap: &'a str,
    /// The topic that it reads.
    pub(super) input: &'a str,
    /// Its name, and that of its group; results go into a topic called so with `-out`.
    pub(super) name: &'a str,
    /// Where its files lie.
    pub(super) folder: &'a Path,
    /// Milliseconds without a beat after which a member of Streams' group is gone, or the word for
    /// what is usual.
    pub(super) session: &'a str,
}

/// Processes that were started here; those that still run are killed when nobody has ended them.
#[derive(Debug, Default)]
pub(super) struct Processes(Vec<Child>);

impl Processes {
    /// Starts one, whose output goes into a file of the folder, and hands back its id.
    ///
    /// # Errors
    /// What kept it from starting.
    pub(super) fn start(
        &mut self,
        command: &mut Command,
        (folder, file): (&Path, &str),
    ) -> Result<u32, String> {
        let log = fs::File::create(folder.join(file)).map_err(|error| error.to_string())?;
        let errors = log.try_clone().map_err(|error| error.to_string())?;
        let child = command.stdout(Stdio::from(log)).stderr(errors).spawn();
        let child = child.map_err(|error| format!("the pipeline cannot be started: {error}"))?;
        let pid = child.id();
        self.0.push(child);
        Ok(pid)
    }

    /// Kills the one that was started last, and waits until it is dead.
    ///
    /// # Errors
    /// That there is none, or that it cannot be killed.
    pub(super) fn kill_last(&mut self) -> Result<(), String> {
        let mut child = self.0.pop().ok_or("there is nobody to kill")?;
        child.kill().and_then(|()| child.wait()).map(drop).map_err(|error| error.to_string())
    }

    /// Ends all of them in good order, the last one first.
    ///
    /// # Errors
    /// The first that did not end in time; the others are ended all the same.
    pub(super) fn stop(mut self) -> Result<(), String> {
        let mut result = Ok(());
        for child in std::mem::take(&mut self.0).iter_mut().rev() {
            let stopped = broker::stop(child);
            result = result.and(stopped);
        }
        result
    }
}

impl Drop for Processes {
    fn drop(&mut self) {
        for child in &mut self.0 {
            // Whoever comes here with processes has failed already and says why.
            drop(child.kill().and_then(|()| child.wait()));
        }
    }
}

impl Bench {
    /// The command that runs a pipeline in the foreground.
    ///
    /// # Errors
    /// A file that cannot be written, or Java that is not there.
    pub(super) fn app(&mut self, app: App, setting: Setting<'_>) -> Result<Command, String> {
        let Setting { bootstrap, folder, .. } = setting;
        fs::create_dir_all(folder).map_err(|error| error.to_string())?;
        let Engine::Millstream { delivery } = app.engine else {
            return self.streams(app, setting);
        };
        let limit = if self.quick { QUICK_MEMORY_LIMIT } else { MEMORY_LIMIT };
        let file = folder.join("pipeline.yaml");
        let text = pipeline_file(app, (delivery, limit, 1), setting);
        fs::write(&file, text).map_err(|error| error.to_string())?;
        let mut command = self.millstream("run --plain");
        command.arg(&file).args(["-b", bootstrap]).arg("--data").arg(folder.join("data"));
        Ok(command)
    }

    fn streams(&mut self, app: App, setting: Setting<'_>) -> Result<Command, String> {
        let Setting { bootstrap, input, name, folder, session } = setting;
        let store = match app.store {
            Store::Memory => "memory",
            Store::Disk => "disk",
        };
        let words = format!(
            "run bootstrap={bootstrap} in={input} out={name}-out group={name} task={} threads={} \
             store={store} session={session} state={}",
            app.task,
            app.slots,
            folder.display()
        );
        let mut command = self.peer()?;
        command.args(words.split_whitespace());
        Ok(command)
    }
}

/// The same work as the topologies of the peer, with every update going out, on slots of so many
/// task managers.
pub(super) fn pipeline_file(
    app: App,
    (delivery, limit, task_managers): (&str, &str, u32),
    Setting { input, name, .. }: Setting<'_>,
) -> String {
    let App { task, slots, .. } = app;
    let state = match app.store {
        Store::Memory => String::new(),
        Store::Disk => format!(", state: {{ memory_limit: {limit}, spill: disk }}"),
    };
    let spread = match task_managers {
        1 => String::new(),
        count => format!(", task_managers: {count}"),
    };
    let edges = if task == "stages" { "edges: topics\n" } else { "" };
    format!(
        "version: 1\n\
         name: {name}\n\
         partitions: 4\n\
         {edges}\
         runtime: {{ parallelism: {slots}, delivery: {delivery}{spread}{state} }}\n\
         source: {{ topic: {input}, group: {name}, max_out_of_order: 0s }}\n\
         tasks:\n{}\
         sink: {{ kafka: {{ topic: {name}-out }} }}\n",
        tasks(task)
    )
}

fn tasks(task: &str) -> String {
    let fields = match task {
        "filter" => ", where: value > 500",
        "sum" => ", field: value, add: 1.5",
        "average" => ", value: value, window: 10s, emit: update",
        "stages" => {
            return "  - { id: kept, type: filter, where: value > 0, to: passed }\n\
                    \x20 - { id: passed, type: forward, to: work }\n\
                    \x20 - { id: work, type: count, to: sink }\n"
                .to_owned();
        }
        _ => "",
    };
    format!("  - {{ id: work, type: {task}{fields}, to: sink }}\n")
}

#[cfg(test)]
mod tests {
    use super::super::rows::EXACTLY;
    use super::*;

    fn file(app: App, task_managers: u32) -> String {
        let folder = Path::new("state");
        let session = USUAL_SESSION;
        let setting = Setting { bootstrap: "", input: "in", name: "one", folder, session };
        pipeline_file(app, ("exactly_once", "256MiB", task_managers), setting)
    }

    #[test]
    fn a_pipeline_reads_its_own_group() {
        let text = file(App::of(EXACTLY, "average").on(2), 1);
        assert!(text.contains("source: { topic: in, group: one,"), "{text}");
        assert!(text.contains("type: average, value: value, window: 10s, emit: update, to: sink"));
        assert!(text.contains("runtime: { parallelism: 2, delivery: exactly_once }\n"), "{text}");
    }

    #[test]
    fn state_on_disk_two_processes_and_cuts_stand_in_the_file() {
        let text = file(App::of(EXACTLY, "count").on_disk(), 2);
        assert!(text.contains("task_managers: 2, state: { memory_limit: 256MiB, spill: disk } }"));
        let text = file(App::of(EXACTLY, "stages"), 1);
        assert!(text.contains("edges: topics\n") && text.matches("\n  - { id: ").count() == 3);
    }
}
