//! Connections without TLS, where the feature `tls` is off.

use std::sync::Arc;

use tokio::net::TcpStream;

use super::connection::{Answers, Conn, Times};
use super::http1;

#[derive(Clone, Debug)]
pub(super) struct Transport {}

impl Transport {
    pub(super) const fn plain() -> Self {
        Self {}
    }

    pub(super) const fn is_plain(&self) -> bool {
        true
    }

    pub(super) async fn serve(
        self,
        stream: TcpStream,
        service: impl Answers,
        times: Times,
        conn: Arc<Conn>,
    ) {
        http1::serve(stream, service, times, conn).await;
    }
}
