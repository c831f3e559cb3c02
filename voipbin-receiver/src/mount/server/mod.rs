mod connection;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::convert::Infallible;
use std::error::Error;
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
use tokio::task::{Id, JoinSet};
use tower_service::Service;

use self::connection::{Conn, Times, serve};

/// After a failed accept, such as for want of file descriptors: time for others to close theirs.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What a connection is told that there is no room for.
const NO_ROOM: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";

/// A small HTTP/1.1 server, for a receiver that is no part of an app.
///
/// VoIPBIN's sender speaks HTTP/1.1 alone. It opens as many connections as it has events, and keeps idle
/// ones for 30 seconds; one that the server closes first can cost it one of its three tries. So idle
/// connections are kept for longer than that, and where there are too many it is the one that has been
/// idle the longest that goes. TLS is the affair of a proxy in front.
///
/// | limit | default |
/// | --- | --- |
/// | [`idle_timeout`](Self::idle_timeout) | 75 seconds |
/// | [`head_timeout`](Self::head_timeout) | 10 seconds |
/// | [`write_timeout`](Self::write_timeout) | 10 seconds |
/// | [`max_connections`](Self::max_connections) | 512 |
///
/// How long a body may take is [`read_timeout`](crate::ReceiverBuilder::read_timeout) of the receiver.
///
/// ```
/// use std::time::Duration;
/// use tokio::net::TcpListener;
/// use voipbin_receiver::mount::Server;
/// use voipbin_receiver::{Receiver, catalog};
///
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let receiver = Receiver::builder()
///     .secret("the customer's webhook secret")
///     .on(catalog::Any, || async {})
///     .build()?;
///
/// let listener = TcpListener::bind("127.0.0.1:0").await?;
/// let stop = async { /* until a signal comes */ };
/// Server::new().serve(listener, receiver.service(), stop).await;
/// let report = receiver.shutdown(Duration::from_secs(10)).await;
/// assert!(report.is_drained());
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct Server {
    times: Times,
    connections: usize,
}

impl Default for Server {
    fn default() -> Self {
        Self::new()
    }
}

impl Server {
    /// A server with the limits that suit VoIPBIN's sender.
    pub const fn new() -> Self {
        Self {
            times: Times {
                idle: Duration::from_secs(75),
                head: Duration::from_secs(10),
                write: Duration::from_secs(10),
            },
            connections: 512,
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
    /// For one more, the one that has been idle the longest is closed. When all of them are in a request,
    /// the new one is answered 503, so that VoIPBIN tries again.
    pub const fn max_connections(mut self, connections: usize) -> Self {
        self.connections = connections;
        self
    }

    /// Serves until `stop` ends. Then the listener is closed, idle connections too, and those in a request
    /// after their answer: it returns when none is left. Its own limits bound that, and those of the
    /// service; put it under a timeout to have it sooner.
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
        B::Error: Into<Box<dyn Error + Send + Sync>>,
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
            if open.connections.len() >= self.connections && !open.close_the_longest_idle() {
                refuse(stream);
                continue;
            }
            // Answers are small and leave at once.
            let _ = stream.set_nodelay(true);
            let conn = Arc::new(Conn::default());
            let service = service.clone();
            let served = serve(stream, peer, service, self.times, Arc::clone(&conn));
            let task = open.tasks.spawn(served);
            open.connections.insert(task.id(), conn);
        }
        drop(listener);
        for conn in open.connections.values() {
            conn.close();
        }
        while open.tasks.join_next().await.is_some() {}
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
            Some(Ok((id, ()))) => drop(self.connections.remove(&id)),
            Some(Err(error)) => drop(self.connections.remove(&error.id())),
            None => std::future::pending().await,
        }
    }

    fn close_the_longest_idle(&mut self) -> bool {
        let idle = self.connections.iter();
        let idle = idle.filter_map(|(id, conn)| Some((conn.idle_since()?, *id)));
        let longest = idle.min_by_key(|(since, _)| *since);
        let conn = longest.and_then(|(_, id)| self.connections.remove(&id));
        conn.map(|conn| conn.close()).is_some()
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

/// Without a wait: it does not block, and its buffer is empty.
fn refuse(stream: TcpStream) {
    tracing::warn!("too many connections: one is answered 503");
    let refused = stream
        .into_std()
        .and_then(|mut stream| stream.write_all(NO_ROOM));
    if let Err(error) = refused {
        tracing::debug!(%error, "a connection broke");
    }
}
