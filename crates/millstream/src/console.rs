//! The pages of a process over HTTP: where they are, and what they are about.

use std::net::{SocketAddr, ToSocketAddrs as _};
use std::sync::Arc;

use base::clock::Clock;
use clap::Args;
use client::Client;
use coordination::beat::Phase;
use coordination::heart::Voice;
use dashboard::{Bound, NodeFigures, Server, ServerOptions, Subject};
use pipeline::cluster::Views;
use pipeline::engine::tap::Tap;
use pipeline::engine::{EngineHandle, PipelineView};

use crate::cli::Stage;
use crate::config::{Settings, bad_value, host_port};
use crate::message::{Failure, failed};

/// M-I-L-L on a keypad.
const DEFAULT: &str = "127.0.0.1:6455";

/// The word for no pages at all.
const OFF: &str = "off";

/// How long the loop of a role may stand still before its node counts as hung, in milliseconds:
/// longer than requests to a log that is away are tried.
const LOOP_STALL_MS_MAX: u64 = 120_000;

/// Age of the last beat of a leader at which none is there, in milliseconds: three failovers.
const LEADER_AGE_MS_MAX: u64 = 9_000;

/// The option of every command that serves.
#[derive(Debug, Args)]
pub(crate) struct HttpArgs {
    /// Address of /metrics, /healthz and /readyz; port 0 takes a free one, off serves none
    /// [default: 127.0.0.1:6455 or a free port].
    #[arg(long, value_name = "HOST:PORT|off")]
    http: Option<String>,
}

impl HttpArgs {
    /// Puts the flag over the other settings.
    pub(crate) fn settle(&self, settings: &mut Settings) {
        settings.flag("http", "--http", self.http.clone());
    }
}

/// Whom the pages are about.
pub(crate) enum Looked {
    /// The log alone.
    Log,
    /// A pipeline in the foreground.
    Pipeline(EngineHandle),
    /// A node of a cluster, with its slots when it is a task manager.
    Node { voice: Voice, views: Option<Views> },
}

/// Listens where the settings say.
///
/// # Errors
/// An address that is none, or one that was asked for and cannot be had.
pub(crate) async fn bind(stage: &Stage) -> Result<Option<Bound>, Failure> {
    let settings = &stage.settings;
    let text = settings.text("http").unwrap_or(DEFAULT);
    if text == OFF {
        return Ok(None);
    }
    let resolved = host_port(text).and_then(|address| address.to_socket_addrs().ok()?.next());
    let address = match (resolved, settings.found("http")) {
        (Some(address), _) => address,
        (None, Some(found)) => {
            return Err(bad_value("http", "host:port of this machine, or off", found));
        }
        (None, None) => unreachable!("the default address is a valid one"),
    };
    match Bound::at(address).await {
        // Nobody asked for this port, so another one will do: several nodes share a machine.
        Err(cause)
            if cause.kind() == std::io::ErrorKind::AddrInUse
                && settings.found("http").is_none() =>
        {
            let free = SocketAddr::from((address.ip(), 0));
            Bound::at(free).await.map(Some).map_err(|cause| failed::pages(free, &cause))
        }
        bound => bound.map(Some).map_err(|cause| failed::pages(address, &cause)),
    }
}

/// Answers from now on.
pub(crate) fn serve(
    bound: Bound,
    looked: Looked,
    log: Option<Client>,
    clock: Arc<dyn Clock>,
) -> Server {
    tracing::info!(address = %bound.address(), "metrics and health are served");
    let version = env!("CARGO_PKG_VERSION");
    bound.serve(ServerOptions { version, subject: Arc::new(looked), log, clock })
}

impl Subject for Looked {
    fn ailments(&self) -> Vec<String> {
        let Self::Node { voice, .. } = self else {
            return Vec::new();
        };
        let slowest = voice.view().slowest.filter(|(_, age_ms)| *age_ms > LOOP_STALL_MS_MAX);
        let told = |(role, age_ms): (&str, u64)| {
            format!("the loop of the {role} has stood still for {} s", age_ms / 1_000)
        };
        slowest.map(told).into_iter().collect()
    }

    fn obstacles(&self) -> Vec<String> {
        match self {
            Self::Log => Vec::new(),
            Self::Pipeline(handle) => {
                let view = handle.view();
                let is_ready = view.phase == "running";
                let told = || format!("pipeline {} is {}", view.pipeline, view.phase);
                if is_ready { Vec::new() } else { vec![told()] }
            }
            Self::Node { voice, .. } => match voice.view().leader_age_ms {
                None => vec!["no job manager that leads has been heard yet".to_owned()],
                Some(age_ms) if age_ms > LEADER_AGE_MS_MAX => {
                    vec![format!("no job manager has led for {} s", age_ms / 1_000)]
                }
                Some(_) => Vec::new(),
            },
        }
    }

    fn pipelines(&self) -> Vec<PipelineView> {
        match self {
            Self::Log => Vec::new(),
            Self::Pipeline(handle) => vec![handle.view()],
            Self::Node { views, .. } => views.as_ref().map(Views::pipelines).unwrap_or_default(),
        }
    }

    fn tap(&self, pipeline: &str, tap: &Arc<Tap>) -> usize {
        match self {
            Self::Log => 0,
            Self::Pipeline(handle) if handle.pipeline() == pipeline => handle.tap(tap),
            Self::Pipeline(_) => 0,
            Self::Node { views, .. } => views.as_ref().map_or(0, |it| it.tap(pipeline, tap)),
        }
    }

    fn node(&self) -> Option<NodeFigures> {
        let Self::Node { voice, .. } = self else {
            return None;
        };
        let view = voice.view();
        let running = view.beat.runs.iter().filter(|run| run.phase == Phase::Running).count();
        Some(NodeFigures {
            is_leader: view.beat.is_candidate.then_some(view.beat.leads.is_some()),
            workers: view.census.map(|it| [it.alive, it.suspect, it.gone]),
            slots: (view.beat.slots, running),
        })
    }
}
