use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use tower_service::Service;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const IDLE_CONNECTIONS: usize = 5;
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// Requests over TCP to one address, the way the platform makes them. Connects when the first
/// request is sent, not before.
///
/// ```no_run
/// use std::net::SocketAddr;
///
/// use voipbin_receiver::testing::{Sender, Signer, connect};
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let address = SocketAddr::from(([127, 0, 0, 1], 5000));
/// let sender = Sender::new(connect(address), Signer::new("the-webhook-secret-of-a-customer"))
///     .uri(format!("http://{address}/voipbin/webhook").parse()?);
/// let report = sender.send(r#"{"type":"call_hangup","data":{"id":"x"}}"#).await;
/// assert!(report.delivered().is_some());
/// # Ok(()) }
/// ```
#[must_use]
pub fn connect(address: SocketAddr) -> Transport {
    Transport {
        pool: Arc::new(Pool {
            address,
            idle: Mutex::default(),
        }),
    }
}

/// A tower service that sends each request over TCP. Made by [`connect`].
///
/// HTTP/1.1 without TLS, headers spelled as Go spells them (`X-Voipbin-Signature`). An idle connection
/// is used again, the youngest first, and a new one is opened when there is none; at most 5 stay
/// idle, for at most 30 s (noticed at the next request). Opening one may take 10 s. Clones share the
/// idle connections, which close when the last clone is dropped.
///
/// A request that meets a connection just closed by the server fails, as on the platform: it is not
/// repeated on another one here.
///
/// It needs tokio's real clock: a paused one jumps ahead while bytes are on their way.
#[derive(Clone)]
pub struct Transport {
    pool: Arc<Pool>,
}

struct Pool {
    address: SocketAddr,
    idle: Mutex<Vec<Idle>>,
}

struct Idle {
    connection: SendRequest<Full<Bytes>>,
    since: Instant,
}

impl Transport {
    /// Where the connections go.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.pool.address
    }
}

impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transport")
            .field("address", &self.pool.address)
            .finish_non_exhaustive()
    }
}

impl Service<Request<Full<Bytes>>> for Transport {
    type Response = Response<TransportBody>;
    type Error = TransportError;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Full<Bytes>>) -> Self::Future {
        let pool = Arc::clone(&self.pool);
        Box::pin(async move {
            let mut connection = pool.connection().await?;
            let response = connection
                .send_request(request)
                .await
                .map_err(TransportError::exchange)?;
            Ok(response.map(|incoming| TransportBody::new(incoming, connection, pool)))
        })
    }
}

impl Pool {
    async fn connection(&self) -> Result<SendRequest<Full<Bytes>>, TransportError> {
        while let Some(mut connection) = self.take() {
            if connection.ready().await.is_ok() {
                return Ok(connection);
            }
        }
        let stream = timeout(CONNECT_TIMEOUT, TcpStream::connect(self.address))
            .await
            .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
            .map_err(TransportError::connect)?;
        // Go sets it too, and without it a body that follows its head may wait for an ACK.
        stream.set_nodelay(true).map_err(TransportError::connect)?;
        let (connection, driver) = http1::Builder::new()
            .title_case_headers(true)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(TransportError::exchange)?;
        // Its error is also that of the request it belongs to. It ends with the connection.
        tokio::spawn(driver);
        Ok(connection)
    }

    fn take(&self) -> Option<SendRequest<Full<Bytes>>> {
        let mut idle = self.idle();
        idle.retain(|idle| idle.since.elapsed() < IDLE_TIMEOUT && !idle.connection.is_closed());
        idle.pop().map(|idle| idle.connection)
    }

    fn put(&self, connection: SendRequest<Full<Bytes>>) {
        let mut idle = self.idle();
        if idle.len() < IDLE_CONNECTIONS {
            idle.push(Idle {
                connection,
                since: Instant::now(),
            });
        }
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Idle>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The body of an answer. Its connection can be used again once it was read to its end; dropped
/// before that, it closes the connection.
pub struct TransportBody {
    incoming: Incoming,
    /// Taken when the body has ended.
    connection: Option<(SendRequest<Full<Bytes>>, Arc<Pool>)>,
}

impl TransportBody {
    fn new(incoming: Incoming, connection: SendRequest<Full<Bytes>>, pool: Arc<Pool>) -> Self {
        let mut body = Self {
            incoming,
            connection: Some((connection, pool)),
        };
        if body.incoming.is_end_stream() {
            body.release();
        }
        body
    }

    fn release(&mut self) {
        if let Some((connection, pool)) = self.connection.take() {
            pool.put(connection);
        }
    }
}

impl Body for TransportBody {
    type Data = Bytes;
    type Error = TransportError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, TransportError>>> {
        let frame = ready!(Pin::new(&mut self.incoming).poll_frame(cx));
        match &frame {
            None => self.release(),
            Some(Ok(_)) if self.incoming.is_end_stream() => self.release(),
            Some(Ok(_)) => {}
            Some(Err(_)) => self.connection = None,
        }
        Poll::Ready(frame.map(|frame| frame.map_err(TransportError::exchange)))
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}

impl fmt::Debug for TransportBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TransportBody").finish_non_exhaustive()
    }
}

/// Why a request over TCP got no answer, or its answer no end.
#[derive(Debug)]
pub struct TransportError {
    kind: TransportErrorKind,
    source: Box<dyn StdError + Send + Sync>,
}

impl TransportError {
    fn connect(source: io::Error) -> Self {
        Self {
            kind: TransportErrorKind::Connect,
            source: source.into(),
        }
    }

    fn exchange(source: hyper::Error) -> Self {
        Self {
            kind: TransportErrorKind::Exchange,
            source: source.into(),
        }
    }

    /// What went wrong.
    #[must_use]
    pub fn kind(&self) -> TransportErrorKind {
        self.kind
    }
}

/// The ways in which a request over TCP fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TransportErrorKind {
    /// No connection: refused, or not there within 10 s.
    Connect,
    /// The connection was closed, or something else than HTTP/1.1 came.
    Exchange,
}

impl fmt::Display for TransportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.kind {
            TransportErrorKind::Connect => "cannot connect",
            TransportErrorKind::Exchange => "the exchange broke off",
        })
    }
}

impl StdError for TransportError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(&*self.source)
    }
}

#[cfg(test)]
mod tests;
