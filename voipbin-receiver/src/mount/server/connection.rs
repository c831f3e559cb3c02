use std::convert::Infallible;
use std::error::Error;
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http::{Method, Request, Response, StatusCode};
use http_body::Body;
use hyper::body::Incoming;
use hyper::service::{HttpService, service_fn};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::Notify;
use tokio::time::{Instant, Sleep, sleep_until};
use tower_service::Service;

use super::warnings::Warnings;
use crate::gate::PeerAddr;

pub(super) type BoxError = Box<dyn Error + Send + Sync>;

/// How long the parts of an exchange may be and take.
#[derive(Clone, Copy, Debug)]
pub(super) struct ConnectionLimits {
    /// Of a head, in bytes.
    pub(super) head_length: usize,
    /// Of a head.
    pub(super) headers: usize,
    pub(super) idle: Duration,
    pub(super) head: Duration,
    pub(super) write: Duration,
    #[cfg(feature = "tls")]
    pub(super) handshake: Duration,
}

/// The state of a connection, shared by its task and the server.
pub(super) struct Conn {
    state: Mutex<IoState>,
    closing: Notify,
    /// Of all connections of the server.
    pub(super) warnings: Arc<Warnings>,
}

#[derive(Clone, Copy)]
struct IoState {
    /// Whether the service has a request: in HTTP/1.1 one at a time.
    in_request: bool,
    /// Whether the first bytes of the next head have been read.
    head: bool,
    /// Since when it has been idle, or reading a head.
    since: Instant,
    /// Since when the service has been reading a body.
    body_since: Option<Instant>,
    /// Whether that waits for the client now.
    reading_body: bool,
    /// Since when it has been closing.
    closing: Option<Instant>,
    /// Whether it closes even during a request.
    aborted: bool,
    /// Whether a request of its client was answered 200.
    accepted: bool,
}

/// What a connection waits for from its client.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Waiting {
    /// A request.
    Idle { since: Instant },
    /// The rest of a request.
    Slow { since: Instant },
}

impl Conn {
    pub(super) fn new(warnings: Arc<Warnings>) -> Self {
        Self {
            state: Mutex::new(IoState {
                in_request: false,
                head: false,
                since: Instant::now(),
                body_since: None,
                reading_body: false,
                closing: None,
                aborted: false,
                accepted: false,
            }),
            closing: Notify::new(),
            warnings,
        }
    }

    /// Closes it after the request that it serves, if any.
    pub(super) fn close(&self) {
        self.state().closing.get_or_insert_with(Instant::now);
        self.closing.notify_one();
    }

    /// Closes it, also during a request.
    pub(super) fn abort(&self) {
        self.state().aborted = true;
        self.close();
    }

    /// Waits for [`close`](Self::close); one caller is woken.
    pub(super) async fn closing(&self) {
        self.closing.notified().await;
    }

    /// A handshake goes on: idle from now on.
    #[cfg(feature = "tls")]
    pub(super) fn reset_idle(&self) {
        self.state().since = Instant::now();
    }

    /// `None` while its client waits for an answer.
    pub(super) fn waiting(&self) -> Option<Waiting> {
        let state = *self.state();
        match state.body_since {
            Some(since) if state.reading_body => Some(Waiting::Slow { since }),
            _ if state.in_request => None,
            _ if state.head => Some(Waiting::Slow { since: state.since }),
            _ => Some(Waiting::Idle { since: state.since }),
        }
    }

    /// Whether a request was answered 200: with a secret, one that VoIPBIN signed.
    pub(super) fn has_accepted(&self) -> bool {
        self.state().accepted
    }

    /// Whether it closes even during a request.
    pub(super) fn is_aborted(&self) -> bool {
        self.state().aborted
    }

    fn state(&self) -> MutexGuard<'_, IoState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl IoState {
    const fn is_idle(&self) -> bool {
        !self.in_request && !self.head
    }

    /// When the client must have sent something. `None` during a request, as the receiver limits
    /// bodies.
    fn deadline(&self, limits: ConnectionLimits) -> Option<Instant> {
        match self.closing {
            _ if self.in_request => None,
            _ if self.head => self.since.checked_add(limits.head),
            None => self.since.checked_add(limits.idle),
            // hyper closes it, unless the client stalls the end of TLS.
            Some(closing) => self.since.max(closing).checked_add(limits.head),
        }
    }

    /// Bytes were read.
    fn on_read(&mut self) {
        self.reading_body = false;
        if self.is_idle() {
            self.head = true;
            self.since = Instant::now();
        }
    }

    /// A read waits for the client.
    fn on_pending(&mut self) {
        if self.in_request {
            self.reading_body = true;
            self.body_since.get_or_insert_with(Instant::now);
        }
    }
}

/// Marks a connection as serving a request until it is dropped.
struct RequestGuard(Arc<Conn>);

impl RequestGuard {
    fn new(conn: &Arc<Conn>) -> Self {
        let mut state = conn.state();
        state.in_request = true;
        state.head = false;
        drop(state);
        Self(Arc::clone(conn))
    }
}

impl Drop for RequestGuard {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.in_request = false;
        state.since = Instant::now();
        state.body_since = None;
        state.reading_body = false;
    }
}

/// The service of one connection.
pub(super) trait ConnectionService:
    HttpService<
        Incoming,
        ResBody: Body<Data: Send, Error: Into<BoxError>> + Send + 'static,
        Error = Infallible,
        Future: Send + 'static,
    > + Send
    + 'static
{
}

impl<S> ConnectionService for S where
    S: HttpService<
            Incoming,
            ResBody: Body<Data: Send, Error: Into<BoxError>> + Send + 'static,
            Error = Infallible,
            Future: Send + 'static,
        > + Send
        + 'static
{
}

/// Adds [`PeerAddr`] to each request, and notes when one begins and ends.
pub(super) fn peer_service<S, B>(
    service: S,
    peer: SocketAddr,
    conn: &Arc<Conn>,
) -> impl ConnectionService
where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>
        + Clone
        + Send
        + 'static,
    S::Future: Send,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    let conn = Arc::clone(conn);
    service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(PeerAddr(peer));
        let in_request = RequestGuard::new(&conn);
        let reads = [Method::GET, Method::HEAD, Method::OPTIONS].contains(request.method());
        let answer = service.clone().call(request);
        async move {
            let answer = answer.await;
            let taken = matches!(&answer, Ok(answer) if answer.status() == StatusCode::OK);
            if taken && !reads {
                in_request.0.state().accepted = true;
            }
            drop(in_request);
            answer
        }
    })
}

/// Fails reads and writes whose client takes too long.
pub(super) struct TimeoutIo<I> {
    io: I,
    limits: ConnectionLimits,
    conn: Arc<Conn>,
    /// A byte that was read ahead.
    peeked: Option<u8>,
    read: LazySleep,
    write: LazySleep,
    /// Since when a write waits for the client.
    blocked_since: Option<Instant>,
}

impl<I> TimeoutIo<I> {
    pub(super) fn new(io: I, limits: ConnectionLimits, conn: &Arc<Conn>) -> Self {
        Self {
            io,
            limits,
            conn: Arc::clone(conn),
            peeked: None,
            read: LazySleep::default(),
            write: LazySleep::default(),
            blocked_since: None,
        }
    }
}

impl<I: AsyncRead + Unpin> TimeoutIo<I> {
    /// Waits for the first byte, which the next read returns; `None` when none comes.
    pub(super) async fn first_byte(&mut self) -> Option<u8> {
        let conn = Arc::clone(&self.conn);
        let mut byte = [0];
        let mut buf = ReadBuf::new(&mut byte);
        tokio::select! {
            read = poll_fn(|cx| Pin::new(&mut *self).poll_read(cx, &mut buf)) => {
                self.peeked = read.ok().and_then(|()| buf.filled().first().copied());
            }
            () = conn.closing() => {}
        }
        self.peeked
    }
}

impl<I: AsyncRead + Unpin> AsyncRead for TimeoutIo<I> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let peeked = self.peeked.take_if(|_| buf.remaining() > 0);
        if let Some(peeked) = peeked {
            buf.put_slice(&[peeked]);
        }
        let before = buf.filled().len();
        let mut read = Pin::new(&mut self.io).poll_read(cx, buf);
        if peeked.is_some() && read.is_pending() {
            read = Poll::Ready(Ok(()));
        }
        let mut state = self.conn.state();
        if read.is_ready() {
            if buf.filled().len() > before {
                state.on_read();
            }
            return read;
        }
        state.on_pending();
        let now = *state;
        drop(state);
        let deadline = now.deadline(self.limits);
        let error = ready!(self.read.poll(deadline, cx));
        if !now.is_idle() || now.closing.is_some() {
            return Poll::Ready(Err(error));
        }
        // hyper shuts an idle connection down; that is bounded too.
        self.conn.close();
        let deadline = self.conn.state().deadline(self.limits);
        self.read.poll(deadline, cx).map(Err)
    }
}

impl<I: AsyncWrite + Unpin> TimeoutIo<I> {
    /// What a write returned, or an error once it has waited for too long.
    fn or_write_timeout<T>(
        &mut self,
        written: Poll<io::Result<T>>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.blocked_since = None;
            return written;
        }
        let since = *self.blocked_since.get_or_insert_with(Instant::now);
        let deadline = since.checked_add(self.limits.write);
        self.write.poll(deadline, cx).map(Err)
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for TimeoutIo<I> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write(cx, buf);
        self.or_write_timeout(written, cx)
    }

    // TLS buffers what it cannot write, so only its flush waits for the client.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.io).poll_flush(cx);
        self.or_write_timeout(flushed, cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut = Pin::new(&mut self.io).poll_shutdown(cx);
        self.or_write_timeout(shut, cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write_vectored(cx, bufs);
        self.or_write_timeout(written, cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }
}

/// A timer that is allocated on first use.
#[derive(Default)]
struct LazySleep(Option<Pin<Box<Sleep>>>);

impl LazySleep {
    /// Ready at this time; without one, never.
    fn poll(&mut self, at: Option<Instant>, cx: &mut Context<'_>) -> Poll<io::Error> {
        let Some(at) = at else {
            return Poll::Pending;
        };
        let timer = self.0.get_or_insert_with(|| Box::pin(sleep_until(at)));
        if timer.deadline() != at {
            timer.as_mut().reset(at);
        }
        ready!(timer.as_mut().poll(cx));
        Poll::Ready(io::ErrorKind::TimedOut.into())
    }
}
