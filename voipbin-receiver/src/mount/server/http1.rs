use std::sync::Arc;

use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

use super::connection::{Answers, Conn, Guarded, Times, drive};

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
    let served = Box::pin(http.serve_connection(TokioIo::new(io), service));
    drive(served, &conn).await;
}
