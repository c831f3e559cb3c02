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

use crate::gate::PeerAddr;

pub(super) type BoxError = Box<dyn Error + Send + Sync>;

/// What a connection is held to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// How long a head may be, in bytes.
    pub(super) head_length: usize,
    /// How many headers it may have.
    pub(super) headers: usize,
    pub(super) idle: Duration,
    pub(super) head: Duration,
    pub(super) write: Duration,
    #[cfg(feature = "tls")]
    pub(super) handshake: Duration,
}

/// What a connection and its server know of each other.
pub(super) struct Conn {
    state: Mutex<State>,
    closing: Notify,
}

#[derive(Clone, Copy)]
struct State {
    /// Whether a request is being answered: in HTTP/1.1 there is one at a time.
    in_request: bool,
    /// Whether the first bytes of the next head have come.
    head: bool,
    /// Since when it has been without a request, or the next head has been coming.
    since: Instant,
    /// Since when the body of a request has been awaited.
    body: Option<Instant>,
    /// Whether more of it is awaited now.
    awaited: bool,
    /// Since when it is to close.
    closing: Option<Instant>,
    /// Whether that is to be at once.
    at_once: bool,
    /// Whether something that it sent was taken.
    known: bool,
}

/// For what a connection is waiting.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Waiting {
    /// For a request.
    Idle { since: Instant },
    /// For the rest of one.
    Slow { since: Instant },
}

impl Default for Conn {
    fn default() -> Self {
        Self {
            state: Mutex::new(State {
                in_request: false,
                head: false,
                since: Instant::now(),
                body: None,
                awaited: false,
                closing: None,
                at_once: false,
                known: false,
            }),
            closing: Notify::new(),
        }
    }
}

impl Conn {
    /// Has it closed as soon as it is not in a request.
    pub(super) fn close(&self) {
        self.state().closing.get_or_insert_with(Instant::now);
        self.closing.notify_one();
    }

    /// Has it closed, whatever it is doing.
    pub(super) fn close_at_once(&self) {
        self.state().at_once = true;
        self.close();
    }

    /// Ends when it is to close; for one caller.
    pub(super) async fn closing(&self) {
        self.closing.notified().await;
    }

    /// Its client goes on with a handshake: what it waits for next, it waits for from now on.
    #[cfg(feature = "tls")]
    pub(super) fn goes_on(&self) {
        self.state().since = Instant::now();
    }

    /// `None` when it is its client that waits.
    pub(super) fn waiting(&self) -> Option<Waiting> {
        let state = *self.state();
        match state.body {
            Some(since) if state.awaited => Some(Waiting::Slow { since }),
            _ if state.in_request => None,
            _ if state.head => Some(Waiting::Slow { since: state.since }),
            _ => Some(Waiting::Idle { since: state.since }),
        }
    }

    /// Whether its client has sent what was taken: with a secret, that is what VoIPBIN signed.
    pub(super) fn is_known(&self) -> bool {
        self.state().known
    }

    /// Whether it is to close whatever it is doing.
    pub(super) fn closes_at_once(&self) -> bool {
        self.state().at_once
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    const fn is_idle(&self) -> bool {
        !self.in_request && !self.head
    }

    /// Until when something must come; `None` in a request, as the receiver has a limit for bodies.
    fn over(&self, times: Bounds) -> Option<Instant> {
        match self.closing {
            _ if self.in_request => None,
            _ if self.head => self.since.checked_add(times.head),
            None => self.since.checked_add(times.idle),
            // It ends by itself, but not where the client holds up the end of TLS.
            Some(closing) => self.since.max(closing).checked_add(times.head),
        }
    }

    /// Bytes have come.
    fn comes(&mut self) {
        self.awaited = false;
        if self.is_idle() {
            self.head = true;
            self.since = Instant::now();
        }
    }

    /// Nothing has come.
    fn waits(&mut self) {
        if self.in_request {
            self.awaited = true;
            self.body.get_or_insert_with(Instant::now);
        }
    }
}

/// For as long as it lives, a connection is in a request.
struct InRequest(Arc<Conn>);

impl InRequest {
    fn begin(conn: &Arc<Conn>) -> Self {
        let mut state = conn.state();
        state.in_request = true;
        state.head = false;
        drop(state);
        Self(Arc::clone(conn))
    }
}

impl Drop for InRequest {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.in_request = false;
        state.since = Instant::now();
        state.body = None;
        state.awaited = false;
    }
}

/// The service of one connection.
pub(super) trait Answers:
    HttpService<
        Incoming,
        ResBody: Body<Data: Send, Error: Into<BoxError>> + Send + 'static,
        Error = Infallible,
        Future: Send + 'static,
    > + Send
    + 'static
{
}

impl<S> Answers for S where
    S: HttpService<
            Incoming,
            ResBody: Body<Data: Send, Error: Into<BoxError>> + Send + 'static,
            Error = Infallible,
            Future: Send + 'static,
        > + Send
        + 'static
{
}

/// Says whose each request is, and when the connection is in one.
pub(super) fn answers<S, B>(service: S, peer: SocketAddr, conn: &Arc<Conn>) -> impl Answers
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
        let in_request = InRequest::begin(&conn);
        let reads = [Method::GET, Method::HEAD, Method::OPTIONS].contains(request.method());
        let answer = service.clone().call(request);
        async move {
            let answer = answer.await;
            let taken = matches!(&answer, Ok(answer) if answer.status() == StatusCode::OK);
            if taken && !reads {
                in_request.0.state().known = true;
            }
            drop(in_request);
            answer
        }
    })
}

/// A connection that breaks when its client takes too long for what it does.
pub(super) struct Guarded<I> {
    io: I,
    times: Bounds,
    conn: Arc<Conn>,
    /// What has been read ahead.
    first: Option<u8>,
    read: Alarm,
    write: Alarm,
    /// Since when the client has not read.
    stuck: Option<Instant>,
}

impl<I> Guarded<I> {
    pub(super) fn new(io: I, times: Bounds, conn: &Arc<Conn>) -> Self {
        Self {
            io,
            times,
            conn: Arc::clone(conn),
            first: None,
            read: Alarm::default(),
            write: Alarm::default(),
            stuck: None,
        }
    }
}

impl<I: AsyncRead + Unpin> Guarded<I> {
    /// Waits for the first byte, which is read again; false when none comes.
    pub(super) async fn begins(&mut self) -> bool {
        let conn = Arc::clone(&self.conn);
        let mut byte = [0];
        let mut buf = ReadBuf::new(&mut byte);
        tokio::select! {
            read = poll_fn(|cx| Pin::new(&mut *self).poll_read(cx, &mut buf)) => {
                self.first = read.ok().and_then(|()| buf.filled().first().copied());
            }
            () = conn.closing() => {}
        }
        self.first.is_some()
    }
}

impl<I: AsyncRead + Unpin> AsyncRead for Guarded<I> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let first = self.first.take_if(|_| buf.remaining() > 0);
        if let Some(first) = first {
            buf.put_slice(&[first]);
        }
        let before = buf.filled().len();
        let mut read = Pin::new(&mut self.io).poll_read(cx, buf);
        if first.is_some() && read.is_pending() {
            read = Poll::Ready(Ok(()));
        }
        let mut state = self.conn.state();
        if read.is_ready() {
            if buf.filled().len() > before {
                state.comes();
            }
            return read;
        }
        state.waits();
        let now = *state;
        drop(state);
        let over = now.over(self.times);
        let error = ready!(self.read.poll(over, cx));
        if !now.is_idle() || now.closing.is_some() {
            return Poll::Ready(Err(error));
        }
        // In an orderly way, and not for ever.
        self.conn.close();
        let over = self.conn.state().over(self.times);
        self.read.poll(over, cx).map(Err)
    }
}

impl<I: AsyncWrite + Unpin> Guarded<I> {
    /// Whatever was to be written, or the end of the client's time.
    fn written<T>(
        &mut self,
        written: Poll<io::Result<T>>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.stuck = None;
            return written;
        }
        let since = *self.stuck.get_or_insert_with(Instant::now);
        let over = since.checked_add(self.times.write);
        self.write.poll(over, cx).map(Err)
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for Guarded<I> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write(cx, buf);
        self.written(written, cx)
    }

    // TLS keeps what it could not write, so that only this waits for the client.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.io).poll_flush(cx);
        self.written(flushed, cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut = Pin::new(&mut self.io).poll_shutdown(cx);
        self.written(shut, cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write_vectored(cx, bufs);
        self.written(written, cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }
}

/// A timer that is made when it is needed.
#[derive(Default)]
struct Alarm(Option<Pin<Box<Sleep>>>);

impl Alarm {
    /// Ends at the given time; without one, never.
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
