use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};

use super::connection::{Conn, ConnectionLimits, ConnectionService};
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
    /// Serves one connection to its end.
    pub(super) async fn serve(
        self,
        stream: impl AsyncRead + AsyncWrite + Unpin + 'static,
        service: impl ConnectionService,
        limits: ConnectionLimits,
        conn: Arc<Conn>,
    ) {
        match self {
            Self::Plain => http1::serve(stream, service, limits, conn).await,
            // Boxed: TLS takes more room, which connections without it do not have to have.
            #[cfg(feature = "tls")]
            Self::Tls(tls) => Box::pin(tls::serve(tls, stream, service, limits, conn)).await,
        }
    }
}
