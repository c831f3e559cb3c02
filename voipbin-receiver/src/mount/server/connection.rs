use std::convert::Infallible;
use std::error::Error;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::Notify;
use tokio::time::{Instant, Sleep, sleep_until};
use tower_service::Service;

use crate::gate::PeerAddr;

#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    pub(super) idle: Duration,
    pub(super) head: Duration,
    pub(super) write: Duration,
}

/// What a connection is doing.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Phase {
    /// It waits for the first byte of a request.
    Idle { since: Instant },
    /// The head of a request comes.
    Head { since: Instant },
    /// A request is being answered.
    Busy,
}

/// What a connection and its server know of each other.
pub(super) struct Conn {
    phase: Mutex<Phase>,
    closing: Notify,
}

impl Default for Conn {
    fn default() -> Self {
        Self {
            phase: Mutex::new(Phase::Idle {
                since: Instant::now(),
            }),
            closing: Notify::new(),
        }
    }
}

impl Conn {
    /// Has it closed as soon as it is not in a request.
    pub(super) fn close(&self) {
        self.closing.notify_one();
    }

    pub(super) fn idle_since(&self) -> Option<Instant> {
        match self.phase() {
            Phase::Idle { since } => Some(since),
            Phase::Head { .. } | Phase::Busy => None,
        }
    }

    fn phase(&self) -> Phase {
        *self.phase.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enter(&self, phase: Phase) {
        *self.phase.lock().unwrap_or_else(PoisonError::into_inner) = phase;
    }
}

/// Serves one connection to its end.
pub(super) async fn serve<I, S, B>(
    io: I,
    peer: SocketAddr,
    service: S,
    times: Times,
    conn: Arc<Conn>,
) where
    I: AsyncRead + AsyncWrite + Unpin,
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + Clone,
    B: Body + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let guarded = Guarded {
        io,
        times,
        conn: Arc::clone(&conn),
        read: Alarm::default(),
        write: Alarm::default(),
        stuck: None,
    };
    let busy = Arc::clone(&conn);
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(PeerAddr(peer));
        let conn = Arc::clone(&busy);
        conn.enter(Phase::Busy);
        let answer = service.clone().call(request);
        async move {
            let answer = answer.await;
            let since = Instant::now();
            conn.enter(Phase::Idle { since });
            answer
        }
    });
    let mut http = http1::Builder::new();
    // Its own also runs between two requests. A client that has closed its side may still read.
    http.header_read_timeout(None).half_close(true);
    let mut served = pin!(http.serve_connection(TokioIo::new(guarded), service));
    let ended = tokio::select! {
        ended = served.as_mut() => ended,
        () = conn.closing.notified() => {
            served.as_mut().graceful_shutdown();
            served.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection broke");
    }
}

/// A connection that breaks when its client takes too long for what it does.
struct Guarded<I> {
    io: I,
    times: Times,
    conn: Arc<Conn>,
    read: Alarm,
    write: Alarm,
    /// Since when the client has not read.
    stuck: Option<Instant>,
}

impl<I: AsyncRead + Unpin> AsyncRead for Guarded<I> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.io).poll_read(cx, buf);
        let phase = self.conn.phase();
        if read.is_ready() {
            if buf.filled().len() > before && matches!(phase, Phase::Idle { .. }) {
                let since = Instant::now();
                self.conn.enter(Phase::Head { since });
            }
            return read;
        }
        let over = match phase {
            Phase::Idle { since } => since.checked_add(self.times.idle),
            Phase::Head { since } => since.checked_add(self.times.head),
            // The receiver has a limit for bodies.
            Phase::Busy => None,
        };
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

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
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
