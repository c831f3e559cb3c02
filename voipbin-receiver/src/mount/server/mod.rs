mod connection;
mod descriptors;
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

use std::convert::Infallible;
use std::future::Future;
use std::io::Write;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use tokio::net::{TcpListener, TcpStream};
use tower_service::Service;

use self::connection::{BoxError, Conn, ConnectionLimits, peer_service};
pub use self::descriptors::descriptor_limit;
use self::open::OpenConnections;
use self::transport::Transport;
#[cfg(feature = "tls")]
pub use self::{
    tls::Tls,
    tls_error::{TlsError, TlsErrorKind},
};
use crate::gate::Limits;

/// What a connection is told that there is no room for.
const NO_ROOM: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";

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

    /// How many connections there may be. The default is 512; each takes a file descriptor.
    ///
    /// For one more, one is closed: of clients of which nothing has been accepted first, of those
    /// that wait for the rest of a request for more than a second the slowest, or else, of the
    /// address with the most connections, the one that has been waiting for its client the longest,
    /// most often for a request. It is let wait for 50 milliseconds at least, and the new one as
    /// long for its place: many that come at once take no place of a client that is about to send.
    /// When all of them are being answered, the new one gets a 503, or is closed where it would
    /// speak TLS, so that VoIPBIN tries again.
    pub const fn max_connections(mut self, connections: usize) -> Self {
        self.connections = connections;
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
        let mut open = OpenConnections::new(descriptors::cap_connections(self.connections));
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
                    open.warn_accept_failed(&error);
                    tokio::select! {
                        () = &mut stop => break,
                        () = open.make_room() => continue,
                    }
                }
            };
            let has_room = tokio::select! {
                () = &mut stop => break,
                has_room = open.wait_for_room() => has_room,
            };
            if !has_room {
                open.warn_full();
                self.refuse(stream);
                continue;
            }
            // ConnectionService are small and leave at once.
            let _ = stream.set_nodelay(true);
            let conn = Arc::new(Conn::default());
            let service = peer_service(service.clone(), peer, &conn);
            let transport = self.transport.clone();
            let served = transport.serve(stream, service, self.limits, Arc::clone(&conn));
            let task = open.tasks.spawn(served);
            open.insert(task.id(), peer.ip(), conn);
        }
        drop(listener);
        open.close();
        while open.tasks.join_next().await.is_some() {}
    }

    /// Without a wait: it does not block, and its buffer is empty. With TLS there is no time for an
    /// answer.
    fn refuse(&self, stream: TcpStream) {
        if !self.transport.is_plain() {
            return;
        }
        let refused = stream
            .into_std()
            .and_then(|mut stream| stream.write_all(NO_ROOM));
        if let Err(error) = refused {
            tracing::debug!(%error, "a connection broke");
        }
    }
}
