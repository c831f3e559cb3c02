//! HTTP/1.1 alone, where the feature `http2` is off.

use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};

use super::connection::{Answers, Conn, Times};
use super::http1;

pub(super) const PROTOCOLS: &[&[u8]] = &[b"http/1.1"];

pub(super) async fn serve(
    _: Option<&[u8]>,
    io: impl AsyncRead + AsyncWrite + Unpin + 'static,
    service: impl Answers,
    times: Times,
    conn: Arc<Conn>,
) {
    http1::serve(io, service, times, conn).await;
}
