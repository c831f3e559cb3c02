#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};

use super::connection::{Answers, Conn, Guarded, Times, drive};
use super::http1;

const HTTP2: &[u8] = b"h2";

/// What a client may choose from, the best first.
pub(super) const PROTOCOLS: &[&[u8]] = &[HTTP2, b"http/1.1"];

/// How many requests there may be at once; a client keeps the others until there is room.
const STREAMS: u32 = 128;

/// How long a head may be, as with HTTP/1.1.
const HEAD: u32 = 64 << 10;

/// How much of a body, and of all bodies of a connection, may come before somebody reads it.
const STREAM_WINDOW: u32 = 64 << 10;
const CONNECTION_WINDOW: u32 = 256 << 10;

/// How many requests may be taken back before they were looked at, and how many ended for the client's
/// mistakes, before the connection is. They are h2's own limits, which must stay.
const RESETS: usize = 20;
const MISTAKES: usize = 1024;

/// How often a client is asked whether it is still there.
const PING: Duration = Duration::from_secs(20);

/// Serves one connection to its end, in the protocol that was agreed on.
pub(super) async fn serve(
    protocol: Option<&[u8]>,
    io: impl AsyncRead + AsyncWrite + Unpin + 'static,
    service: impl Answers,
    times: Times,
    conn: Arc<Conn>,
) {
    if protocol != Some(HTTP2) {
        return http1::serve(io, service, times, conn).await;
    }
    let mut http = http2::Builder::new(TokioExecutor::new());
    http.timer(TokioTimer::new())
        .keep_alive_interval(PING)
        .keep_alive_timeout(times.write)
        .max_concurrent_streams(STREAMS)
        .max_header_list_size(HEAD)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_pending_accept_reset_streams(RESETS)
        .max_local_error_reset_streams(MISTAKES);
    let mut guarded = Guarded::new(io, times, &conn);
    guarded.heads = false;
    let served = Box::pin(http.serve_connection(TokioIo::new(guarded), service));
    drive(served, &conn).await;
}
