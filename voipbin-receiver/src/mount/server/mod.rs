mod connection;
mod descriptors;
mod failures;
mod http1;
mod listen;
mod open;
#[cfg(test)]
mod tests;
#[cfg(feature = "tls")]
mod tls;
#[cfg(feature = "tls")]
mod tls_error;
mod transport;
mod warnings;

use std::convert::Infallible;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use tokio::net::TcpListener;
use tower_service::Service;

use self::connection::{BoxError, Conn, ConnectionLimits, peer_service};
pub use self::descriptors::descriptor_limit;
use self::failures::FailureCounters;
use self::open::OpenConnections;
use self::transport::Transport;
use self::warnings::Warnings;
#[cfg(feature = "tls")]
pub use self::{
    tls::Tls,
    tls_error::{TlsError, TlsErrorKind},
};
use crate::build_error::BuildError;
use crate::gate::{Limits, Networks};
#[cfg(feature = "metrics")]
use crate::observe::Metrics;

/// A small HTTP server, for a receiver that is no part of an app.
///
/// VoIPBIN's sender speaks HTTP/1.1 alone. It opens as many connections as it has events, and keeps
/// idle ones for 30 seconds; one that the server closes first can cost it one of its three tries.
/// So idle connections are kept for longer than that, and where there are too many it is a client
/// that is slow with its request that goes, or else the one that has been idle the longest.
///
/// With the feature `tls` it speaks TLS, with a certificate that can change while it runs:
/// `Server::tls`. It speaks HTTP/1.1 alone, as VoIPBIN does and, unless told otherwise, proxies do.
/// Who needs more mounts the receiver in axum or actix-web.
///
/// | limit | default | what it is for |
/// | --- | --- | --- |
/// | [`max_connections`](Self::max_connections) | 512 | descriptors and memory, in handshakes too |
/// | `handshake_timeout` | 10 seconds | clients that do not finish the handshake of TLS |
/// | [`idle_timeout`](Self::idle_timeout) | 75 seconds | connections without a request |
/// | [`head_timeout`](Self::head_timeout) | 10 seconds | heads that come byte by byte |
/// | [`write_timeout`](Self::write_timeout) | 10 seconds | clients that do not read |
/// | [heads](Self::limits) | 64 KiB, 256 headers | memory; a longer one is answered 431 |
/// | what is held of a connection's bodies | as much | memory, before the receiver reads them |
///
/// On Unix, serving raises the process's soft limit of open files to the hard one. Where that is
/// still too low for [`max_connections`](Self::max_connections), it is logged and there are fewer.
///
/// How long a body may take and be is the affair of the receiver:
/// [`read_timeout`](crate::gate::Limits::read_timeout) and
/// [`body_limit`](crate::gate::Limits::body_limit).
///
/// ```
/// use std::time::Duration;
/// use voipbin_receiver::mount::Server;
/// use voipbin_receiver::{Receiver, catalog};
///
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let receiver = Receiver::builder()
///     .secret("the-webhook-secret-of-a-customer")
///     .on(catalog::Any, || async {})
///     .build()?;
///
/// let listener = Server::bind("127.0.0.1:0").await?;
/// let drained = async {
///     // … once a signal has come. The listener closes after it.
///     let report = receiver.shutdown(Duration::from_secs(10)).await;
///     assert!(report.is_drained());
/// };
/// Server::new().serve(listener, receiver.service(), drained).await;
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct Server {
    transport: Transport,
    limits: ConnectionLimits,
    connections: usize,
    proxies: Networks,
    failures: FailureCounters,
}

impl Default for Server {
    fn default() -> Self {
        Self::new()
    }
}

impl Server {
    /// The default of [`idle_timeout`](Self::idle_timeout): 75 seconds.
    pub const DEFAULT_IDLE_TIMEOUT: Duration = Duration::from_secs(75);
    /// The default of [`head_timeout`](Self::head_timeout): 10 seconds.
    pub const DEFAULT_HEAD_TIMEOUT: Duration = Duration::from_secs(10);
    /// The default of [`write_timeout`](Self::write_timeout): 10 seconds.
    pub const DEFAULT_WRITE_TIMEOUT: Duration = Duration::from_secs(10);
    /// The default of [`max_connections`](Self::max_connections).
    pub const DEFAULT_MAX_CONNECTIONS: usize = 512;

    /// A server with the limits that suit VoIPBIN's sender.
    pub const fn new() -> Self {
        Self {
            transport: Transport::Plain,
            limits: ConnectionLimits {
                idle: Self::DEFAULT_IDLE_TIMEOUT,
                head: Self::DEFAULT_HEAD_TIMEOUT,
                write: Self::DEFAULT_WRITE_TIMEOUT,
                head_length: 2 * Limits::DEFAULT_HEADER_LIMIT,
                headers: 2 * Limits::DEFAULT_HEADER_COUNT_LIMIT,
                #[cfg(feature = "tls")]
                handshake: Self::DEFAULT_HANDSHAKE_TIMEOUT,
            },
            connections: Self::DEFAULT_MAX_CONNECTIONS,
            proxies: Networks::none(),
            failures: FailureCounters::noop(),
        }
    }

    /// How long a connection may wait for its first or its next request. The default is 75 seconds;
    /// less than 30 costs VoIPBIN tries.
    pub const fn idle_timeout(mut self, timeout: Duration) -> Self {
        self.limits.idle = timeout;
        self
    }

    /// How long the head of a request may take from its first byte on. The default is 10 seconds. A
    /// connection that takes longer is closed without an answer, so that VoIPBIN tries again.
    pub const fn head_timeout(mut self, timeout: Duration) -> Self {
        self.limits.head = timeout;
        self
    }

    /// How long a client may not read of its answer. The default is 10 seconds; then the connection
    /// is closed.
    pub const fn write_timeout(mut self, timeout: Duration) -> Self {
        self.limits.write = timeout;
        self
    }

    /// Reads heads of twice the length and number of headers that the receiver is given, so that it
    /// is the receiver that refuses what goes beyond its [`header_limit`](Limits::header_limit) and
    /// [`header_count_limit`](Limits::header_count_limit): with a 503, and counted. Needed where
    /// those are more than their defaults. What goes beyond this too is answered 431 by the server,
    /// and logged.
    ///
    /// ```
    /// use voipbin_receiver::gate::Limits;
    /// use voipbin_receiver::mount::Server;
    ///
    /// let limits = Limits::new().header_count_limit(500);
    /// let server = Server::new().limits(&limits);
    /// # drop(server);
    /// ```
    pub fn limits(mut self, limits: &Limits) -> Self {
        self.limits.head_length = limits
            .head
            .saturating_mul(2)
            .max(2 * Limits::DEFAULT_HEADER_LIMIT);
        // No more headers fit into a map of them.
        self.limits.headers = limits.headers.saturating_mul(2).clamp(256, 1 << 15);
        self
    }

    /// How many connections there may be, at least one. The default is 512; each takes a file
    /// descriptor.
    ///
    /// For one more, one is closed: of those that wait for the rest of a request for more than a
    /// second the slowest, or else, of the address with the most connections, the one that has been
    /// waiting for its client the longest, most often for a request. Those of [trusted
    /// proxies](Self::trust_proxies), and of addresses of which something was accepted, go when
    /// there are no others. It is let wait for 50 milliseconds at least, and the new one as long
    /// for its place: many that come at once take no place of a client that is about to send.
    ///
    /// While all of them are being answered, the new one waits, and those after it in the backlog
    /// of the listener. None is refused: VoIPBIN waits for 15 seconds, and where it is refused it
    /// tries for two.
    pub const fn max_connections(mut self, connections: usize) -> Self {
        self.connections = connections;
        self
    }

    /// The proxies whose connections are closed last where there is no room: the networks that the
    /// receiver is given as [`trust_proxies`](crate::ReceiverBuilder::trust_proxies). None by
    /// default. Called again, it adds to them.
    ///
    /// ```
    /// use voipbin_receiver::mount::Server;
    ///
    /// # fn main() -> Result<(), voipbin_receiver::BuildError> {
    /// let server = Server::new().trust_proxies(["10.1.0.0/16", "10.2.0.4"])?;
    /// # drop(server);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// When one of them is no network.
    pub fn trust_proxies<I>(mut self, networks: I) -> Result<Self, BuildError>
    where
        I: IntoIterator,
        I::Item: Into<String>,
    {
        let texts: Vec<String> = networks.into_iter().map(Into::into).collect();
        let networks = Networks::parse(&texts)
            .map_err(|error| BuildError::network("trust_proxies", &error))?;
        self.proxies.extend(networks);
        Ok(self)
    }

    /// Counts connections that end before they carry a request, as
    /// `voipbin_failed_connections_total`: VoIPBIN tells nobody that it does not accept a
    /// certificate. A recorder that is installed later is not told.
    ///
    /// ```
    /// use voipbin_receiver::mount::Server;
    /// use voipbin_receiver::observe::Metrics;
    ///
    /// let server = Server::new().metrics(&Metrics::new());
    /// # drop(server);
    /// ```
    #[cfg(feature = "metrics")]
    pub fn metrics(mut self, metrics: &Metrics) -> Self {
        self.failures = FailureCounters::of(metrics);
        self
    }

    /// Serves until `stop` ends. Then the listener is closed, idle connections too, and those in a
    /// request after their answer: it returns when none is left. Its own limits bound that, and
    /// those of the service; put it under a timeout to have it sooner. So shut the receiver down in
    /// `stop`: until its handlers have ended, events go on being kept.
    ///
    /// Take the listener from [`bind`](Self::bind), so that a burst of connections finds room to
    /// wait.
    ///
    /// Where the process may open no more files, room is made as at
    /// [`max_connections`](Self::max_connections).
    ///
    /// The service is the receiver's, or one that passes requests on to it. Each request has a
    /// [`PeerAddr`](crate::gate::PeerAddr) in its extensions.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future ends all connections at once. What was handed to the receiver by then is
    /// kept.
    pub async fn serve<S, B>(
        &self,
        listener: TcpListener,
        service: S,
        stop: impl Future<Output = ()>,
    ) where
        S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>
            + Clone
            + Send
            + 'static,
        S::Future: Send,
        B: Body + Send + 'static,
        B::Data: Send,
        B::Error: Into<BoxError>,
    {
        let mut stop = pin!(stop);
        let warnings = Arc::new(Warnings::new(self.failures.clone()));
        let max = descriptors::cap_connections(self.connections).max(1);
        let mut open = OpenConnections::new(max, Arc::clone(&warnings));
        loop {
            let accepted = tokio::select! {
                () = &mut stop => break,
                // Never ends while there is none.
                () = open.reap() => continue,
                accepted = listener.accept() => accepted,
            };
            let (stream, peer) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    warnings.accept_failed(&error, open.len());
                    tokio::select! {
                        () = &mut stop => break,
                        () = open.make_room() => continue,
                    }
                }
            };
            tokio::select! {
                () = &mut stop => break,
                () = open.wait_for_room() => {}
            }
            // Answers are small and leave at once.
            let _ = stream.set_nodelay(true);
            let conn = Arc::new(Conn::new(Arc::clone(&warnings)));
            let service = peer_service(service.clone(), peer, &conn);
            let transport = self.transport.clone();
            let served = transport.serve(stream, service, self.limits, Arc::clone(&conn));
            let task = open.tasks.spawn(served);
            let trusted = self.proxies.contain(peer.ip());
            open.insert(task.id(), peer.ip(), trusted, conn);
        }
        drop(listener);
        open.close();
        while open.tasks.join_next().await.is_some() {}
    }
}
