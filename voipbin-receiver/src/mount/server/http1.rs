use std::sync::Arc;

use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

use super::connection::{Answers, Conn, Guarded, Times};

/// How much of what a client sends is held at once, and so how long a head may be.
const BUFFER: usize = 64 << 10;

/// Serves one connection to its end.
pub(super) async fn serve(
    io: impl AsyncRead + AsyncWrite + Unpin + 'static,
    service: impl Answers,
    times: Times,
    conn: Arc<Conn>,
) {
    let mut io = Guarded::new(io, times, &conn);
    // Until something comes it does without hyper and its buffers.
    if !io.begins().await {
        return;
    }
    let mut http = http1::Builder::new();
    // Its own time for heads also runs between two requests. A client that has closed its side may still read.
    http.header_read_timeout(None)
        .half_close(true)
        .max_buf_size(BUFFER);
    // Boxed: moved into this future, it would have room in it twice.
    let mut served = Box::pin(http.serve_connection(TokioIo::new(io), service));
    let ended = loop {
        tokio::select! {
            ended = served.as_mut() => break ended,
            () = conn.closing() => served.as_mut().graceful_shutdown(),
        }
        if conn.closes_at_once() {
            return;
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection broke");
    }
}
