mod connection;
mod http1;
mod listen;
#[cfg(test)]
mod tests;
#[cfg(feature = "tls")]
mod tls;
#[cfg(feature = "tls")]
mod tls_error;
mod transport;

use std::collections::HashMap;
use std::convert::Infallible;
use std::future::Future;
use std::io::Write;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{Id, JoinError, JoinSet, yield_now};
use tokio::time::{Instant, sleep_until};
use tower_service::Service;

use self::connection::{BoxError, Conn, Times, Waiting, answers};
use self::transport::Transport;
#[cfg(feature = "tls")]
pub use self::{
    tls::Tls,
    tls_error::{TlsError, TlsErrorKind},
};

/// After a failed accept, such as for want of file descriptors: time for others to close theirs.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A request comes in one piece or two. One that takes longer is the first to go when there is no room.
const SLOW: Duration = Duration::from_secs(1);

/// For so long no client loses its place, whoever comes: it may have sent what was not looked at yet, or be
/// about to answer. Those that come meanwhile wait, which the system does for them.
const GRACE: Duration = Duration::from_millis(50);

/// What a connection is told that there is no room for.
const NO_ROOM: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";

/// A small HTTP server, for a receiver that is no part of an app.
///
/// VoIPBIN's sender speaks HTTP/1.1 alone. It opens as many connections as it has events, and keeps idle
/// ones for 30 seconds; one that the server closes first can cost it one of its three tries. So idle
/// connections are kept for longer than that, and where there are too many it is a client that is slow with
/// its request that goes, or else the one that has been idle the longest.
///
/// With the feature `tls` it speaks TLS, with a certificate that can change while it runs: `Server::tls`.
/// It speaks HTTP/1.1 alone, as VoIPBIN does and, unless told otherwise, proxies do. Who needs more mounts the
/// receiver in axum or actix-web.
///
/// | limit | default | what it is for |
/// | --- | --- | --- |
/// | [`max_connections`](Self::max_connections) | 512 | file descriptors and memory; those in a handshake count |
/// | `handshake_timeout` | 10 seconds | clients that connect and do not finish the handshake of TLS |
/// | [`idle_timeout`](Self::idle_timeout) | 75 seconds | connections without a request |
/// | [`head_timeout`](Self::head_timeout) | 10 seconds | heads that come byte by byte |
/// | [`write_timeout`](Self::write_timeout) | 10 seconds | clients that do not read |
/// | length of a head | 64 KiB, and 100 headers | memory; a longer one is answered 431 |
/// | what is held of a connection's bodies | 64 KiB | memory, before the receiver reads them |
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
    times: Times,
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
            times: Times {
                idle: Self::DEFAULT_IDLE_TIMEOUT,
                head: Self::DEFAULT_HEAD_TIMEOUT,
                write: Self::DEFAULT_WRITE_TIMEOUT,
                #[cfg(feature = "tls")]
                handshake: Self::DEFAULT_HANDSHAKE_TIMEOUT,
            },
            connections: Self::DEFAULT_MAX_CONNECTIONS,
        }
    }

    /// How long a connection may wait for its first or its next request. The default is 75 seconds; less
    /// than 30 costs VoIPBIN tries.
    pub const fn idle_timeout(mut self, timeout: Duration) -> Self {
        self.times.idle = timeout;
        self
    }

    /// How long the head of a request may take from its first byte on. The default is 10 seconds. A
    /// connection that takes longer is closed without an answer, so that VoIPBIN tries again.
    pub const fn head_timeout(mut self, timeout: Duration) -> Self {
        self.times.head = timeout;
        self
    }

    /// How long a client may not read of its answer. The default is 10 seconds; then the connection is
    /// closed.
    pub const fn write_timeout(mut self, timeout: Duration) -> Self {
        self.times.write = timeout;
        self
    }

    /// How many connections there may be. The default is 512; each takes a file descriptor.
    ///
    /// For one more, one is closed: of those that wait for the rest of a request for more than a second the
    /// slowest, or else the one that has been waiting for its client the longest, most often for a request.
    /// It is let wait for 50 milliseconds at least, and the new one as long for its place: many that come at
    /// once take no place of a client that is about to send. When all of them are being answered, the new one
    /// gets a 503, or is closed where it would speak TLS, so that VoIPBIN tries again.
    pub const fn max_connections(mut self, connections: usize) -> Self {
        self.connections = connections;
        self
    }

    /// Serves until `stop` ends. Then the listener is closed, idle connections too, and those in a request
    /// after their answer: it returns when none is left. Its own limits bound that, and those of the
    /// service; put it under a timeout to have it sooner. So shut the receiver down in `stop`: until its
    /// handlers have ended, events go on being kept.
    ///
    /// Take the listener from [`bind`](Self::bind), so that a burst of connections finds room to wait.
    ///
    /// The service is the receiver's, or one that passes requests on to it. Each request has a
    /// [`PeerAddr`](crate::gate::PeerAddr) in its extensions.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future ends all connections at once. What was handed to the receiver by then is kept.
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
        let mut open = Open::default();
        loop {
            let (stream, peer) = tokio::select! {
                () = &mut stop => break,
                // Never ends while there is none.
                () = open.reap() => continue,
                accepted = accept(&listener) => accepted,
            };
            let has_room = tokio::select! {
                () = &mut stop => break,
                has_room = open.wait_for_room(self.connections) => has_room,
            };
            if !has_room {
                self.refuse(stream);
                continue;
            }
            // Answers are small and leave at once.
            let _ = stream.set_nodelay(true);
            let conn = Arc::new(Conn::default());
            let service = answers(service.clone(), peer, &conn);
            let transport = self.transport.clone();
            let served = transport.serve(stream, service, self.times, Arc::clone(&conn));
            let task = open.tasks.spawn(served);
            open.connections.insert(task.id(), conn);
        }
        drop(listener);
        for conn in open.connections.values() {
            conn.close();
        }
        while open.tasks.join_next().await.is_some() {}
    }

    /// Without a wait: it does not block, and its buffer is empty. With TLS there is no time for an answer.
    fn refuse(&self, stream: TcpStream) {
        tracing::warn!("too many connections: one is refused");
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

/// The connections that there are.
#[derive(Default)]
struct Open {
    tasks: JoinSet<()>,
    /// Without those that were told to close.
    connections: HashMap<Id, Arc<Conn>>,
}

impl Open {
    /// Forgets the next connection that ends.
    async fn reap(&mut self) {
        match self.tasks.join_next_with_id().await {
            Some(ended) => self.forget(ended),
            None => std::future::pending().await,
        }
    }

    /// Forgets those that have ended.
    fn reap_ended(&mut self) {
        while let Some(ended) = self.tasks.try_join_next_with_id() {
            self.forget(ended);
        }
    }

    fn forget(&mut self, ended: Result<(Id, ()), JoinError>) {
        let id = ended.map_or_else(|error| error.id(), |(id, ())| id);
        self.connections.remove(&id);
    }

    /// Makes room for one more than there are, of so many; false when it is all clients that wait.
    async fn wait_for_room(&mut self, of: usize) -> bool {
        if self.connections.len() < of {
            return true;
        }
        // In a crowd that comes at once, what others have sent is looked at first.
        yield_now().await;
        self.reap_ended();
        while self.connections.len() >= of {
            match self.make_room() {
                Ok(()) => return true,
                Err(None) => return false,
                Err(Some(later)) => tokio::select! {
                    () = self.reap() => {}
                    () = sleep_until(later) => {}
                },
            }
        }
        true
    }

    /// Closes a connection whose client has been slow with a request for long, or else the one that has been
    /// waiting for its client the longest. Where none may go it tells when one may; never, when it is all
    /// clients that wait.
    fn make_room(&mut self) -> Result<(), Option<Instant>> {
        let waiting = self.connections.iter().filter_map(|(id, conn)| {
            let (slow, since) = match conn.waiting()? {
                Waiting::Idle { since } => (false, since),
                Waiting::Slow { since } => (since.elapsed() >= SLOW, since),
            };
            Some(((!slow, since), *id))
        });
        let ((_, since), id) = waiting.min_by_key(|(rank, _)| *rank).ok_or(None)?;
        if since.elapsed() < GRACE {
            return Err(Some(since + GRACE));
        }
        if let Some(conn) = self.connections.remove(&id) {
            conn.close_at_once();
        }
        Ok(())
    }
}

async fn accept(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok(accepted) => return accepted,
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}
