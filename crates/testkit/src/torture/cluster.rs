//! The kill test of a cluster: job managers and task managers are killed with -9 and stopped
//! while records flow, and the broker with them; nothing may show.
//!
//! ```text
//! load --> in --> 3 task managers, 2 job managers --> counts, sums, means
//! ```
//!
//! In the end one process runs the same file up to its end: what the cluster left open, windows
//! above all, comes out of the state and the positions that it left in the log.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use base::cast;
use base::rng::{Random, SeededRandom};
use client::Client;
use client::admin::TopicSpec;
use runtime::timer;

use super::failure::Failure;
use super::limits::{CATCH_UP_MAX, LOOK, PARTITIONS, START_MAX};
use super::load::{self, Load, Sent};
use super::process::{self, Process, Site};
use super::schedule::{Shape, shape};
use super::{Names, Report, Violation, pause, read, run_to_the_ends, said};

/// The nodes: their names are their ids.
const NODES: [&str; 5] = ["jm-1", "jm-2", "tm-1", "tm-2", "tm-3"];

/// How many of them are job managers.
const MANAGERS: usize = 2;

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
        }
    }
}

/// The rounds of a seed: a pause, and what happens then.
fn rounds(seed: u64, count: u32, has_broker: bool) -> Vec<(u64, Action)> {
    let rng = SeededRandom::new(seed);
    let round = |_| {
        let after_ms = 500 + rng.below(2_500);
        let node = cast::usize_of(rng.below(cast::u64_of(NODES.len())));
        // Beyond three seconds others take over; below, nobody should notice.
        let (away_ms, still_ms) = (rng.below(5_000), 500 + rng.below(7_500));
        let action = match rng.below(10) {
            0..4 => Action::Kill { node, away_ms },
            4..8 => Action::Stop { node, still_ms },
            8 if has_broker => Action::Broker { away_ms: away_ms / 5 },
            8 => Action::Kill { node, away_ms },
            _ => Action::All,
        };
        (after_ms, action)
    };
    (0..count).map(round).collect()
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
    for node in 0..NODES.len() {
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
        println!("a cluster, edges: {edges}, parallelism: {parallelism} on 3 task managers");
        let runtime = format!("{{ parallelism: {parallelism}, task_managers: 3 }}");
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
                for node in 0..NODES.len() {
                    self.nodes[node].take().map_or(Ok(()), Process::kill)?;
                }
                (0..NODES.len()).try_for_each(|node| self.start(node))
            }
        }
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
        run_to_the_ends(&self.site, self.at).await
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
        let theirs = rounds(3, 200, false);
        assert!(!theirs.iter().any(|(_, action)| matches!(action, Action::Broker { .. })));
    }
}
