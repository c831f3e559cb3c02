use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};

use super::connection::{Answers, Bounds, Conn};
use super::http1;
#[cfg(feature = "tls")]
use super::tls::{self, Tls};

/// What is spoken on a connection beneath HTTP.
#[derive(Clone, Debug)]
pub(super) enum Transport {
    Plain,
    #[cfg(feature = "tls")]
    Tls(Tls),
}

impl Transport {
    pub(super) const fn is_plain(&self) -> bool {
        matches!(self, Self::Plain)
    }

    /// Serves one connection to its end.
    pub(super) async fn serve(
        self,
        stream: impl AsyncRead + AsyncWrite + Unpin + 'static,
        service: impl Answers,
        times: Bounds,
        conn: Arc<Conn>,
    ) {
        match self {
            Self::Plain => http1::serve(stream, service, times, conn).await,
            // Boxed: TLS takes more room, which connections without it do not have to have.
            #[cfg(feature = "tls")]
            Self::Tls(tls) => Box::pin(tls::serve(tls, stream, service, times, conn)).await,
        }
    }
}
