//! The pages and their server.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use base::clock::Clock;
use client::Client;
use runtime::stream::plain::{PlainLimits, PlainListener};
use runtime::task::{self, Task};

use crate::door::Door;
use crate::health;
use crate::limits::{CONNECTIONS_MAX, SILENCE_MS_MAX};
use crate::log::LogSource;
use crate::metrics::{CONTENT_TYPE, Moment, page};
use crate::subject::Subject;
use crate::tap::{Board, Wish, is_foreign};

/// What is served.
pub struct ServerOptions {
    /// The program's version.
    pub version: &'static str,
    /// Whom the pages are about.
    pub subject: Arc<dyn Subject>,
    /// The log in this process, when there is one: its topics and groups are shown, and the
    /// process is well only while it answers.
    pub log: Option<Client>,
    /// The clock.
    pub clock: Arc<dyn Clock>,
}

impl fmt::Debug for ServerOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ServerOptions({})", self.version)
    }
}

/// An address that is listened on before anything can be said; who asks early waits.
#[derive(Debug)]
pub struct Bound {
    listener: PlainListener,
}

/// A server of pages that runs until it is dropped.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    task: Task<()>,
}

struct Site {
    version: &'static str,
    subject: Arc<dyn Subject>,
    log: Option<LogSource>,
    clock: Arc<dyn Clock>,
    taps: Board,
}

impl Bound {
    /// Listens on an address; port 0 takes a free one.
    ///
    /// # Errors
    /// When the address is taken or not this machine's.
    pub async fn at(address: SocketAddr) -> io::Result<Self> {
        let silence_max = Duration::from_millis(SILENCE_MS_MAX);
        let limits = PlainLimits { connections_max: CONNECTIONS_MAX, silence_max };
        Ok(Self { listener: PlainListener::bind(address, limits).await? })
    }

    /// The address.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.listener.address()
    }

    /// Begins to answer, on the executor of the caller.
    #[must_use]
    pub fn serve(self, options: ServerOptions) -> Server {
        let address = self.address();
        let log = options.log.map(|client| LogSource::new(client, Arc::clone(&options.clock)));
        let site = Site {
            version: options.version,
            subject: options.subject,
            log,
            clock: options.clock,
            taps: Board::default(),
        };
        let task = task::spawn("http", serve(self.listener, Arc::new(site)));
        Server { address, task }
    }
}

impl Server {
    /// The address listened on.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(listener: PlainListener, site: Arc<Site>) {
    let router = Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/tap", get(tap))
        .with_state(site);
    if let Err(error) = axum::serve(Door(listener), router).await {
        tracing::warn!(%error, "pages are served no more");
    }
}

async fn metrics(State(site): State<Arc<Site>>) -> Response {
    let log = match &site.log {
        Some(source) => Some(source.figures().await),
        None => None,
    };
    let moment = Moment {
        version: site.version,
        now_ms: site.clock.unix_ms(),
        pipelines: site.subject.pipelines(),
        node: site.subject.node(),
        log,
    };
    ([(header::CONTENT_TYPE, CONTENT_TYPE)], page(moment)).into_response()
}

async fn healthz(State(site): State<Arc<Site>>) -> Response {
    told(&health::ailments(&*site.subject, site.log.as_ref()).await)
}

async fn readyz(State(site): State<Arc<Site>>) -> Response {
    told(&health::obstacles(&*site.subject, site.log.as_ref()).await)
}

async fn tap(
    State(site): State<Arc<Site>>,
    headers: HeaderMap,
    Query(wish): Query<Wish>,
) -> Response {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let (status, text) = if is_foreign(host, headers.contains_key(header::ORIGIN)) {
        (403, "records are not for pages of browsers\n".to_owned())
    } else {
        site.taps.answer(&wish, &*site.subject, &site.clock).await
    };
    answer(status, text)
}

fn told(reasons: &[String]) -> Response {
    let (status, text) = health::verdict(reasons);
    answer(status, text)
}

fn answer(status: u16, text: String) -> Response {
    let status = StatusCode::from_u16(status).expect("all that is answered is a status of HTTP");
    (status, [(header::CACHE_CONTROL, "no-store")], text).into_response()
}
