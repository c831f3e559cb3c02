use std::convert::Infallible;
use std::io;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{Either, Empty};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tower::ServiceExt;
use voipbin_receiver::{Receiver, ReceiverService, ResponseBody, ShutdownReport};

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
        let (path, service) = (path.to_owned(), receiver.service());
        let route = tower::service_fn(move |request| route(path.clone(), service.clone(), request));
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

type Body = Either<ResponseBody, Empty<Bytes>>;

/// The receiver at its path, 404 elsewhere. Never a redirect: it would make the sender drop the
/// body and take the event for delivered.
async fn route(
    path: String,
    receiver: ReceiverService,
    request: Request<Incoming>,
) -> Result<Response<Body>, Infallible> {
    if request.uri().path() == path {
        Ok(receiver.oneshot(request).await?.map(Either::Left))
    } else {
        tracing::debug!(expected = path, "a request for another path");
        let mut response = Response::new(Either::Right(Empty::new()));
        *response.status_mut() = StatusCode::NOT_FOUND;
        Ok(response)
    }
}
