use std::convert::Infallible;
use std::io;
use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{Either, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tower::ServiceExt;
use voipbin_receiver::{Receiver, ResponseBody, ShutdownReport};

/// The platform keeps idle connections for 30 seconds; one that the server closes first costs it
/// one of its three tries. The timer for a head also runs between two requests.
const IDLE: Duration = Duration::from_secs(75);

/// After a failed accept, such as for want of file descriptors: time for others to close theirs.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Ctrl-C and SIGTERM, caught from when this is made.
pub(crate) struct Stop {
    interrupt: Signal,
    terminate: Signal,
}

impl Stop {
    pub(crate) fn new() -> io::Result<Self> {
        let interrupt = signal(SignalKind::interrupt())?;
        let terminate = signal(SignalKind::terminate())?;
        Ok(Self {
            interrupt,
            terminate,
        })
    }

    /// Waits for the next of either.
    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// Serves the receiver at one path until Ctrl-C or SIGTERM, then drains. A second signal ends the
/// drain at once.
pub(crate) async fn serve(
    listener: TcpListener,
    path: &str,
    receiver: &Receiver,
    drain: Duration,
    mut stop: Stop,
) -> ShutdownReport {
    let connections = GracefulShutdown::new();
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(IDLE);

    loop {
        let stream = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            },
            () = stop.next() => break,
        };
        // Answers are small and leave at once.
        let _ = stream.set_nodelay(true);
        let (path, receiver) = (path.to_owned(), receiver.clone());
        let route =
            tower::service_fn(move |request| route(path.clone(), receiver.clone(), request));
        let connection =
            http.serve_connection(TokioIo::new(stream), TowerToHyperService::new(route));
        let connection = connections.watch(connection);
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection broke");
            }
        });
    }

    tracing::info!("draining; once more to end at once");
    drop(listener);
    let drained = async {
        let (report, ()) = tokio::join!(receiver.shutdown(drain), async {
            // An idle connection closes at once; one in a request has the time of the drain.
            let _ = tokio::time::timeout(drain, connections.shutdown()).await;
        });
        report
    };
    tokio::pin!(drained);
    tokio::select! {
        report = &mut drained => report,
        () = stop.next() => receiver.shutdown(Duration::ZERO).await,
    }
}

type Body = Either<ResponseBody, Full<Bytes>>;

/// Where probes ask.
const HEALTH: &str = "/health";

/// The receiver at its path, its health, 404 elsewhere. Never a redirect: it would make the sender drop the
/// body and take the event for delivered.
async fn route(
    path: String,
    receiver: Receiver,
    request: Request<Incoming>,
) -> Result<Response<Body>, Infallible> {
    if request.uri().path() == path {
        let service = receiver.service();
        Ok(service.oneshot(request).await?.map(Either::Left))
    } else if request.uri().path() == HEALTH && request.method() == Method::GET {
        Ok(health(&receiver).map(Either::Right))
    } else {
        tracing::debug!(expected = path, "a request for another path");
        let mut response = Response::new(Either::Right(Full::default()));
        *response.status_mut() = StatusCode::NOT_FOUND;
        Ok(response)
    }
}

/// 200 when new events are taken and handled, 503 with the reasons when not.
fn health(receiver: &Receiver) -> Response<Full<Bytes>> {
    let health = receiver.health();
    let stats = receiver.stats();
    let problems: Vec<&str> = health
        .problems
        .iter()
        .map(|problem| problem.as_str())
        .collect();
    let body = serde_json::json!({
        "status": if health.is_ready() { "ready" } else { "unready" },
        "problems": problems,
        "events": stats.inbox.events,
        "waiting": stats.inbox.waiting,
        "held": stats.inbox.held,
        "dead": stats.inbox.dead,
        "disk_bytes": stats.inbox.disk_bytes,
    });
    let mut response = Response::new(Full::new(Bytes::from(body.to_string())));
    if !health.is_ready() {
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    }
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, json);
    response
}
