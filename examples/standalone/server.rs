use std::convert::Infallible;
use std::error::Error;
use std::future::pending;
use std::io::{self, IsTerminal};
use std::net::{self, SocketAddr};
use std::sync::Once;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{Either, Full};
use hyper::body::Incoming;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;
#[cfg(any(feature = "inspector", feature = "metrics"))]
use tokio::time::{Instant, sleep};
use tower::ServiceExt;
use voipbin_receiver::mount::Server;
use voipbin_receiver::{Receiver, ResponseBody, ShutdownReport};

use crate::settings::{Access, Settings};
use crate::tls::Tls;

/// Ctrl-C and SIGTERM, caught from when this is made, and SIGHUP where it says that a terminal was
/// closed.
pub(crate) struct StopSignals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Option<Signal>,
}

impl StopSignals {
    pub(crate) fn new() -> io::Result<Self> {
        let interrupt = signal(SignalKind::interrupt())?;
        let terminate = signal(SignalKind::terminate())?;
        let hangup = has_terminal().then(|| signal(SignalKind::hangup()));
        Ok(Self {
            interrupt,
            terminate,
            hangup: hangup.transpose()?,
        })
    }

    /// Waits for the next of either.
    pub(crate) async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            () = next(self.hangup.as_mut()) => {}
        }
    }
}

/// Waits for ever where the signal is not caught.
pub(crate) async fn next(signal: Option<&mut Signal>) {
    match signal {
        Some(signal) => drop(signal.recv().await),
        None => pending().await,
    }
}

/// Whether a person sits in front of it: then a hangup says that they have left. Elsewhere it has
/// files read again, as with other servers.
pub(crate) fn has_terminal() -> bool {
    io::stdin().is_terminal() || io::stdout().is_terminal() || io::stderr().is_terminal()
}

/// How long a request may still take once the listener is closed. What it cuts short VoIPBIN sends
/// again.
const CLOSING: Duration = Duration::from_secs(1);

/// How long handlers may go on once another server accepts.
const CUT_OFF: Duration = Duration::from_secs(2);

/// How long a request waits for the inbox that another server still has. VoIPBIN waits for 15
/// seconds.
const OPENING: Duration = Duration::from_secs(10);

/// Listens on the socket that a supervisor or another server has handed down, which outlives this
/// process, or else on one of its own.
pub(crate) async fn listen(
    inherited: Option<net::TcpListener>,
    address: SocketAddr,
) -> io::Result<net::TcpListener> {
    match inherited {
        Some(socket) => {
            socket.set_nonblocking(true)?;
            Ok(socket)
        }
        None => Server::bind(address).await?.into_std(),
    }
}

/// Listens as soon as nobody else does, for up to 30 seconds: the server before this one may have
/// the address.
#[cfg(any(feature = "inspector", feature = "metrics"))]
pub(crate) async fn bind_when_free(address: SocketAddr) -> io::Result<TcpListener> {
    const PATIENCE: Duration = Duration::from_secs(30);
    const PAUSE: Duration = Duration::from_millis(200);
    let since = Instant::now();
    loop {
        match TcpListener::bind(address).await {
            Err(error)
                if error.kind() == io::ErrorKind::AddrInUse && since.elapsed() < PATIENCE =>
            {
                sleep(PAUSE).await;
            }
            bound => return bound,
        }
    }
}

/// A receiver that may be there later.
pub(crate) type Opening = watch::Receiver<Option<Receiver>>;

/// A server that accepts.
pub(crate) struct RunningServer {
    close: oneshot::Sender<()>,
    served: JoinHandle<()>,
}

impl RunningServer {
    /// Serves the receiver at one path, and its health, until it is told to stop.
    pub(crate) fn start(
        listener: &net::TcpListener,
        settings: &Settings,
        access: &Access,
        tls: Option<Tls>,
        receiver: Opening,
    ) -> Result<Self, Box<dyn Error>> {
        let listener = TcpListener::from_std(listener.try_clone()?)?;
        let path = settings.server.path.clone();
        let generated = matches!(access, Access::Generated(_));
        let route = tower::service_fn(move |request| {
            route(path.clone(), generated, receiver.clone(), request)
        });
        let (close, closed) = oneshot::channel::<()>();
        let limits = settings.limits.limits();
        let proxies = &settings.gate.trust_proxies;
        let server = settings.server.http(tls, &limits, proxies)?;
        let served = tokio::spawn(async move {
            let closed = async { drop(closed.await) };
            server.serve(listener, route, closed).await;
        });
        Ok(Self { close, served })
    }

    /// Drains. A further signal ends that at once.
    ///
    /// The listener closes last. Until then an inbox on disk goes on keeping, and one in memory
    /// answers 503.
    pub(crate) async fn drain(
        self,
        deadline: Duration,
        receiver: &Receiver,
        stop: &mut StopSignals,
    ) -> ShutdownReport {
        tracing::info!("draining; once more to end at once");
        let report = tokio::select! {
            report = receiver.shutdown(deadline) => report,
            () = stop.next() => receiver.shutdown(Duration::ZERO).await,
        };
        self.close().await;
        report
    }

    /// Accepts nothing more, answers what it has, and cuts handlers off.
    pub(crate) async fn hand_over(self, receiver: &Receiver) -> ShutdownReport {
        tokio::join!(receiver.shutdown(CUT_OFF), self.close()).0
    }

    async fn close(mut self) {
        drop(self.close);
        if timeout(CLOSING, &mut self.served).await.is_err() {
            self.served.abort();
            let _ = self.served.await;
        }
    }
}

pub(crate) type Body = Either<ResponseBody, Full<Bytes>>;

/// The receiver at its path, its health, 404 elsewhere. Never a redirect: it would make the sender
/// drop the body and take the event for delivered.
async fn route(
    path: String,
    generated: bool,
    receiver: Opening,
    request: Request<Incoming>,
) -> Result<Response<Body>, Infallible> {
    let Some(receiver) = opened(receiver).await else {
        return Ok(empty(StatusCode::SERVICE_UNAVAILABLE));
    };
    if request.uri().path() == path {
        let service = receiver.service();
        let answer = service.oneshot(request).await?;
        if generated && answer.status() == StatusCode::UNAUTHORIZED {
            static TOLD: Once = Once::new();
            TOLD.call_once(|| {
                tracing::warn!(
                    "a signature does not fit the secret that was made for this run: what an earlier run printed does not, send what this one did"
                );
            });
        }
        Ok(answer.map(Either::Left))
    } else if let Some(health) = health(&receiver, &request) {
        Ok(health)
    } else {
        // The receiver counts those that carry a signature, and warns.
        receiver.misdirected(request.headers());
        tracing::debug!(expected = path, "a request for another path");
        Ok(not_found())
    }
}

async fn opened(mut receiver: Opening) -> Option<Receiver> {
    let opened = timeout(OPENING, receiver.wait_for(Option::is_some)).await;
    opened.ok()?.ok()?.clone()
}

/// What probes ask: whether the process answers, and whether new events are taken and handled, with
/// the reasons when not. No more than that: the address may be a public one.
pub(crate) fn health(receiver: &Receiver, request: &Request<Incoming>) -> Option<Response<Body>> {
    if request.method() == Method::OPTIONS && request.uri().path().starts_with("/health/") {
        let mut response = Response::new(Either::Right(Full::default()));
        *response.status_mut() = StatusCode::NO_CONTENT;
        let methods = HeaderValue::from_static("GET, HEAD, OPTIONS");
        response.headers_mut().insert(ALLOW, methods);
        return Some(response);
    }
    if !reads(request) {
        return None;
    }
    let (status, told) = match request.uri().path() {
        "/health/live" => (StatusCode::OK, serde_json::json!({ "status": "live" })),
        "/health/ready" => {
            let health = receiver.health();
            let problems: Vec<&str> = health
                .problems
                .iter()
                .map(|problem| problem.as_str())
                .collect();
            let warnings: Vec<&str> = health
                .warnings
                .iter()
                .map(|warning| warning.as_str())
                .collect();
            let (status, word) = if health.is_ready() {
                (StatusCode::OK, "ready")
            } else {
                (StatusCode::SERVICE_UNAVAILABLE, "unready")
            };
            (
                status,
                serde_json::json!({ "status": word, "problems": problems, "warnings": warnings }),
            )
        }
        _ => return None,
    };
    let mut response = answer("application/json", told.to_string());
    *response.status_mut() = status;
    Some(response)
}

/// Whether a request only wants to see something.
pub(crate) fn reads(request: &Request<Incoming>) -> bool {
    [Method::GET, Method::HEAD].contains(request.method())
}

pub(crate) fn answer(content_type: &'static str, body: String) -> Response<Body> {
    let mut response = Response::new(Either::Right(Full::new(Bytes::from(body))));
    let content_type = HeaderValue::from_static(content_type);
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response
}

pub(crate) fn not_found() -> Response<Body> {
    empty(StatusCode::NOT_FOUND)
}

fn empty(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Either::Right(Full::default()));
    *response.status_mut() = status;
    response
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "this is test code")]

    use voipbin_receiver::catalog::Any;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_request_waits_for_the_inbox_for_ten_seconds() {
        let (open, opening) = watch::channel(None);
        let waits = tokio::spawn(opened(opening.clone()));
        let begun = Instant::now();
        assert!(opened(opening).await.is_none());
        assert_eq!(begun.elapsed(), OPENING);
        assert!(waits.await.unwrap().is_none());

        let waits = tokio::spawn(opened(open.subscribe()));
        tokio::task::yield_now().await;
        let receiver = Receiver::builder().allow_unsigned().on(Any, || async {});
        open.send_replace(Some(receiver.build().unwrap()));
        assert!(waits.await.unwrap().is_some());
    }
}
