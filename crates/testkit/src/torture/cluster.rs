//! The kill test of a cluster: job managers and task managers are killed with -9 and stopped
//! while records flow, and the broker with them; task managers come and go, and the pipeline is
//! scaled; now and then all nodes stand still for so long that their transactions time out. Nothing
//! may show.
//!
//! ```text
//! load --> in --> 1 to 5 task managers, 2 job managers --> counts, sums, means, strict, letters
//! ```
//!
//! In the end one process runs the same file up to its end: what the cluster left open, windows
//! above all, comes out of the state and the positions that it left in the log.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use base::cast;
use base::rng::{Random, SeededRandom};
use client::Client;
use client::admin::TopicSpec;
use runtime::timer;

use super::failure::Failure;
use super::limits::{
    CATCH_UP_MAX, LOOK, PARTITIONS, ROUNDS_PER_STILLNESS, START_MAX, STILL_MAX_MS, ZOMBIE_MS,
};
use super::load::{self, Load, Sent};
use super::process::{self, Process, Site};
use super::schedule::{Shape, shape};
use super::{Names, Report, Violation, pause, read, release, run_to_the_ends, said, settle};

/// The nodes: their names are their ids.
const NODES: [&str; 7] = ["jm-1", "jm-2", "tm-1", "tm-2", "tm-3", "tm-4", "tm-5"];

/// How many of them are there from the start.
const FIRST: usize = 5;

/// How many of them are job managers.
const MANAGERS: usize = 2;

/// Which of them are task managers.
const WORKERS: [usize; 5] = [2, 3, 4, 5, 6];

/// How to torture a cluster.
#[derive(Debug, Clone)]
pub struct ClusterTorture {
    /// The program under test.
    pub binary: PathBuf,
    /// An existing folder for everything that is written.
    pub dir: PathBuf,
    /// A cluster of brokers that nobody touches; none for one of our own, which is killed too.
    pub brokers: Option<SocketAddr>,
    /// How often something is done to somebody.
    pub rounds: u32,
    /// Where all chance comes from.
    pub seed: u64,
}

/// What happens to whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    /// A node is killed, and started again after a while.
    Kill { node: usize, away_ms: u64 },
    /// A node stands still for a while and then goes on as if nothing had been.
    Stop { node: usize, still_ms: u64 },
    /// The broker is killed and started again.
    Broker { away_ms: u64 },
    /// All nodes are killed and started again.
    All,
    /// A task manager comes.
    Join { node: usize },
    /// A task manager goes, in good order.
    Leave { node: usize },
    /// All nodes stand still, so that nobody fences anybody and transactions time out.
    Stillness { still_ms: u64 },
    /// The pipeline shall run on another number of slots.
    Scale { slots: u32 },
}

impl std::fmt::Display for Action {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Kill { node, away_ms } => {
                write!(f, "{} killed, away for {away_ms} ms", NODES[*node])
            }
            Self::Stop { node, still_ms } => {
                write!(f, "{} stood still for {still_ms} ms", NODES[*node])
            }
            Self::Broker { away_ms } => write!(f, "broker killed, away for {away_ms} ms"),
            Self::All => f.write_str("all nodes killed"),
            Self::Join { node } => write!(f, "{} came", NODES[*node]),
            Self::Leave { node } => write!(f, "{} went", NODES[*node]),
            Self::Stillness { still_ms } => write!(f, "all nodes stood still for {still_ms} ms"),
            Self::Scale { slots } => write!(f, "scaled to {slots} slots"),
        }
    }
}

/// The rounds of a seed: a pause, and what happens then.
fn rounds(seed: u64, count: u32, has_broker: bool) -> Vec<(u64, Action)> {
    let rng = SeededRandom::new(seed);
    let block = ROUNDS_PER_STILLNESS.min(count.max(1));
    let (stillness, long) = (rng.below(u64::from(block)), rng.below(u64::from(block)));
    let mut there: BTreeSet<usize> = (0..FIRST).collect();
    let round = |number: u32| {
        let after_ms = 500 + rng.below(2_500);
        let mut action = action(&rng, &there, has_broker);
        let at = u64::from(number % ROUNDS_PER_STILLNESS);
        if at == stillness {
            action = Action::Stillness { still_ms: ZOMBIE_MS };
        } else if let (Action::Stop { node, .. }, true) | (Action::Kill { node, .. }, true) =
            (action, at == long)
        {
            let still_ms = ZOMBIE_MS + rng.below(STILL_MAX_MS + 1 - ZOMBIE_MS);
            action = Action::Stop { node, still_ms };
        }
        match action {
            Action::Join { node } => drop(there.insert(node)),
            Action::Leave { node } => drop(there.remove(&node)),
            _ => {}
        }
        (after_ms, action)
    };
    (0..count).map(round).collect()
}

/// How the state of a seed is kept. Snapshots come so often that most starts meet one.
fn state(seed: u64) -> String {
    let standby = (seed / 8) % 2;
    let place = if (seed / 4).is_multiple_of(2) {
        "snapshot_interval: 300ms"
    } else {
        "spill: disk, memory_limit: 1MiB"
    };
    format!("{{ {place}, standby: {standby} }}")
}

fn action(rng: &SeededRandom, there: &BTreeSet<usize>, has_broker: bool) -> Action {
    let one_of = |nodes: &[usize]| nodes[cast::usize_of(rng.below(cast::u64_of(nodes.len())))];
    let nodes: Vec<usize> = there.iter().copied().collect();
    let (node, worker) = (one_of(&nodes), one_of(&WORKERS));
    // Beyond three seconds others take over; below, nobody should notice.
    let (away_ms, still_ms) = (rng.below(5_000), 500 + rng.below(7_500));
    let is_last = nodes.iter().filter(|node| **node >= MANAGERS).count() == 1;
    let slots = 1 + u32::try_from(rng.below(6)).unwrap_or(0);
    match rng.below(15) {
        0..4 => Action::Kill { node, away_ms },
        4..7 => Action::Stop { node, still_ms },
        7..10 if !there.contains(&worker) => Action::Join { node: worker },
        7..10 if !is_last => Action::Leave { node: worker },
        10 if has_broker => Action::Broker { away_ms: away_ms / 5 },
        11 => Action::All,
        12.. => Action::Scale { slots },
        _ => Action::Kill { node, away_ms },
    }
}

struct World {
    torture: ClusterTorture,
    site: Site,
    names: Names,
    at: SocketAddr,
    broker: Option<Process>,
    nodes: Vec<Option<Process>>,
}

/// Runs the kill test of a cluster; the folder stays, so that what went wrong can be looked at.
///
/// # Errors
/// What could not be done, or what was promised and does not hold.
pub async fn run(torture: ClusterTorture) -> Result<Report, Failure> {
    let mut world = World::begin(torture).await?;
    let client = load::client(world.at).await?;
    client.admin().create_topics(&[TopicSpec::new(&world.names.input, PARTITIONS)]).await?;
    for node in 0..FIRST {
        world.start(node)?;
    }
    world.apply().await?;
    let ClusterTorture { seed, rounds: count, .. } = world.torture;
    let load = Load::start(client.clone(), world.names.input.clone(), seed);
    let rounds = rounds(seed, count, world.broker.is_some());
    for (number, (after_ms, action)) in (1..).zip(&rounds) {
        pause(*after_ms).await;
        world.act(*action).await?;
        world.keep_up()?;
        release(&world.site, world.at).await?;
        let (sent, acknowledged) = load.counts();
        println!(
            "round {number}/{}: {action}, after {after_ms} ms; {sent} records sent, \
             {acknowledged} acknowledged",
            rounds.len()
        );
    }
    let sent = load.finish().await?;
    let counted_live = world.catch_up(&client).await?;
    world.drain().await?;
    let violations = world.check(&client, &sent).await?;
    if violations.is_empty() {
        let acknowledged = cast::u64_of(sent.acknowledged.len());
        return Ok(Report { acknowledged, counted_live });
    }
    Err(Failure::Violated(violations))
}

impl World {
    async fn begin(torture: ClusterTorture) -> Result<Self, Failure> {
        let site = Site { binary: torture.binary.clone(), dir: torture.dir.clone() };
        let names = Names::new();
        let Shape { edges, parallelism } = shape(torture.seed);
        let state = state(torture.seed);
        println!(
            "a cluster, edges: {edges}, parallelism: {parallelism} on 3 task managers, {state}"
        );
        let runtime = format!("{{ parallelism: {parallelism}, task_managers: 3, state: {state} }}");
        process::write_pipeline(&site.path("pipeline.yaml"), &names.file(edges, &runtime, None))?;
        let (broker, at) = match torture.brokers {
            Some(at) => (None, at),
            None => {
                let free = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
                let (broker, at) = site.broker(free).await?;
                (Some(broker), at)
            }
        };
        let nodes = NODES.iter().map(|_| None).collect();
        Ok(Self { torture, site, names, at, broker, nodes })
    }

    fn start(&mut self, node: usize) -> Result<(), Failure> {
        let role = if node < MANAGERS { "jobmanager" } else { "taskmanager" };
        self.nodes[node] = Some(self.site.node(role, NODES[node], self.at)?);
        Ok(())
    }

    /// Hands the file over; there may be no leader yet.
    async fn apply(&self) -> Result<(), Failure> {
        let deadline = timer::now() + START_MAX;
        loop {
            let mut command = self.site.apply(self.at)?;
            let status = command.wait(START_MAX).await;
            if status.is_some_and(|status| status.success()) {
                return Ok(());
            }
            if timer::now() > deadline {
                let when = "`pipeline apply`".to_owned();
                let (how, said) = (said(status), command.last_words());
                return Err(Failure::PipelineEnded { when, how, said });
            }
            pause(200).await;
        }
    }

    async fn act(&mut self, action: Action) -> Result<(), Failure> {
        match action {
            Action::Kill { node, away_ms } => {
                self.nodes[node].take().map_or(Ok(()), Process::kill)?;
                pause(away_ms).await;
                self.start(node)
            }
            Action::Stop { node, still_ms } => {
                if let Some(process) = &self.nodes[node] {
                    process.pause()?;
                    pause(still_ms).await;
                    process.resume()?;
                }
                Ok(())
            }
            Action::Broker { away_ms } => {
                self.broker.take().map_or(Ok(()), Process::kill)?;
                pause(away_ms).await;
                self.broker = Some(self.site.broker(self.at).await?.0);
                Ok(())
            }
            Action::All => {
                let there = |node: &usize| self.nodes[*node].is_some();
                let there: Vec<usize> = (0..NODES.len()).filter(there).collect();
                for node in &there {
                    self.nodes[*node].take().map_or(Ok(()), Process::kill)?;
                }
                there.into_iter().try_for_each(|node| self.start(node))
            }
            Action::Join { node } => self.start(node),
            Action::Leave { node } => self.leave(node).await,
            Action::Stillness { still_ms } => {
                self.nodes.iter().flatten().try_for_each(Process::pause)?;
                pause(still_ms).await;
                self.nodes.iter().flatten().try_for_each(Process::resume)
            }
            Action::Scale { slots } => {
                let mut command = self.site.scale(&self.names.pipeline, slots, self.at)?;
                // It may be refused: it has so many already, or nobody leads.
                command.wait(START_MAX).await;
                Ok(())
            }
        }
    }

    /// Lets a node end in good order.
    async fn leave(&mut self, node: usize) -> Result<(), Failure> {
        let Some(mut process) = self.nodes[node].take() else { return Ok(()) };
        process.ask_to_end()?;
        let status = process.wait(START_MAX).await;
        if status.is_some_and(|status| status.success()) {
            return Ok(());
        }
        let when = format!("{} was asked to end", NODES[node]);
        Err(Failure::PipelineEnded { when, how: said(status), said: process.last_words() })
    }

    /// No node may end by itself, but for one that found no broker at its start.
    fn keep_up(&mut self) -> Result<(), Failure> {
        for (node, name) in NODES.iter().enumerate() {
            let Some(process) = &mut self.nodes[node] else { continue };
            let Some(status) = process.ended() else { continue };
            if status.code() == Some(super::UNREACHABLE) {
                self.start(node)?;
                continue;
            }
            let when = format!("{name} ended, and nobody had killed it");
            let (how, said) = (status.to_string(), process.last_words());
            return Err(Failure::PipelineEnded { when, how, said });
        }
        Ok(())
    }

    /// Waits until the cluster has counted every record: it must get there by itself.
    async fn catch_up(&mut self, client: &Client) -> Result<i64, Failure> {
        let input = read::topic(client, &self.names.input).await?;
        let wanted: usize = input.values().map(Vec::len).sum();
        let deadline = timer::now() + CATCH_UP_MAX;
        loop {
            let counted = read::topic(client, &self.names.counts).await?;
            let counted: usize = counted.values().map(Vec::len).sum();
            if counted >= wanted {
                return Ok(cast::i64_of(counted));
            }
            self.keep_up()?;
            if timer::now() > deadline {
                let what = format!("the cluster has counted {counted} of {wanted} records");
                return Err(Failure::Stuck { what });
            }
            timer::sleep(LOOK * 20).await;
        }
    }

    /// Ends the cluster in the hardest way, and lets one process come to the end of the input.
    async fn drain(&mut self) -> Result<(), Failure> {
        for node in &mut self.nodes {
            node.take().map_or(Ok(()), Process::kill)?;
        }
        run_to_the_ends(&self.site, self.at).await?;
        settle(&self.site, self.at).await
    }

    async fn check(&self, client: &Client, sent: &Sent) -> Result<Vec<Violation>, Failure> {
        let oracle = read::topic(client, &self.names.input).await?;
        let mut violations = self.names.check_input(&oracle, sent);
        violations.extend(self.names.check_outputs(client, &oracle).await?);
        Ok(violations)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_repeats_its_rounds_and_meets_every_kind_of_trouble() {
        let many = rounds(3, 200, true);
        assert_eq!(many, rounds(3, 200, true));
        let has = |kind: fn(&Action) -> bool| many.iter().any(|(_, action)| kind(action));
        assert!(has(|action| matches!(action, Action::Kill { node, .. } if *node < MANAGERS)));
        assert!(has(|action| matches!(action, Action::Kill { node, .. } if *node >= MANAGERS)));
        assert!(has(|action| matches!(action, Action::Stop { still_ms: 3_500.., .. })));
        assert!(has(|action| matches!(action, Action::Broker { .. })));
        assert!(has(|action| matches!(action, Action::All)));
        assert!(has(|action| matches!(action, Action::Scale { .. })));
        assert!(has(|action| matches!(action, Action::Stop { still_ms: 20_000.., .. })));
        let theirs = rounds(3, 200, false);
        assert!(!theirs.iter().any(|(_, action)| matches!(action, Action::Broker { .. })));
    }

    #[test]
    fn nodes_come_and_go_and_one_task_manager_always_stays() {
        for seed in 0..50 {
            let mut there: BTreeSet<usize> = (0..FIRST).collect();
            let rounds = rounds(seed, 30, true);
            let still = |(_, action): &&(u64, Action)| matches!(action, Action::Stillness { .. });
            assert_eq!(rounds.iter().filter(still).count(), 2, "{seed}");
            for (_, action) in rounds {
                match action {
                    Action::Join { node } => assert!(there.insert(node), "{seed}"),
                    Action::Leave { node } => assert!(there.remove(&node), "{seed}"),
                    Action::Kill { node, .. } | Action::Stop { node, .. } => {
                        assert!(there.contains(&node), "{seed}");
                    }
                    Action::Broker { .. }
                    | Action::All
                    | Action::Stillness { .. }
                    | Action::Scale { .. } => {}
                }
                assert!(there.iter().any(|node| *node >= MANAGERS), "{seed}");
            }
        }
    }
}
