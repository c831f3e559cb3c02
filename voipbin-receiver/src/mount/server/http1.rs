use std::sync::Arc;
use std::time::SystemTime;

use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

use super::connection::{Conn, ConnectionLimits, ConnectionService, TimeoutIo};

/// Serves one connection to its end.
pub(super) async fn serve(
    io: impl AsyncRead + AsyncWrite + Unpin + 'static,
    service: impl ConnectionService,
    limits: ConnectionLimits,
    conn: Arc<Conn>,
) {
    let mut io = TimeoutIo::new(io, limits, &conn);
    // Until something comes it does without hyper and its buffers.
    let first_byte = io.first_byte().await;
    if first_byte.is_none() {
        return;
    }
    // Hyper makes a date for each answer, with or without a header for it, and panics.
    if SystemTime::now() < SystemTime::UNIX_EPOCH {
        conn.warnings.clock();
        return;
    }
    let mut http = http1::Builder::new();
    // Its own time for heads also runs between two requests. A client that has closed its side may
    // still read.
    http.header_read_timeout(None)
        .half_close(true)
        // Of what a client sends so much is held at once.
        .max_buf_size(limits.head_length)
        // Hyper's own limit is 100, and its 431 is final.
        .max_headers(limits.headers);
    // Boxed: moved into this future, it would have room in it twice.
    let mut served = Box::pin(http.serve_connection(TokioIo::new(io), service));
    let ended = loop {
        tokio::select! {
            ended = served.as_mut() => break ended,
            () = conn.closing() => served.as_mut().graceful_shutdown(),
        }
        if conn.is_aborted() {
            return;
        }
    };
    match ended {
        Err(error) if error.is_parse_too_large() => conn.warnings.head_too_large(limits),
        Err(error) if error.is_parse() => conn.warnings.not_http(&error, first_byte),
        Err(error) => tracing::debug!(%error, "a connection broke"),
        Ok(()) => {}
    }
}
