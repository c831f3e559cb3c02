use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use support::{
    Certificate, PATH, Recorder, Reply, Wire, builder, offering, serve_actix_at, serve_alone,
    serve_axum_at, serve_hyper, serve_tls, tls_connect,
};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use voipbin_receiver::catalog::{Any, Custom};
use voipbin_receiver::{Receiver, ReceiverBuilder};

/// The name in the tests' certificates.
pub(crate) const HOST: &str = "hooks.example.com";

/// What the receiver is mounted in. Whatever is different from mount to mount is told here, and to
/// users in the documentation of `ReceiverService`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mount {
    /// An app of actix-web.
    Actix,
    /// The crate's own server.
    Alone,
    /// An app of axum.
    Axum,
    /// hyper, with a timer and otherwise as it is.
    Hyper,
    /// The crate's own server, over TLS.
    Tls,
}

impl Mount {
    pub(crate) async fn start(self) -> Mounted {
        self.start_with(builder()).await
    }

    pub(crate) async fn start_with(self, builder: ReceiverBuilder) -> Mounted {
        self.start_at(PATH, builder).await
    }

    pub(crate) async fn start_at(self, path: &str, builder: ReceiverBuilder) -> Mounted {
        let (receiver, recorder) = recorded(builder);
        let service = receiver.service();
        let mut certificate = None;
        let address = match self {
            Self::Actix => serve_actix_at(path, &receiver).await,
            Self::Axum => serve_axum_at(path, service).await,
            // These look at no path.
            Self::Alone => serve_alone(service).await,
            Self::Hyper => serve_hyper(service).await,
            Self::Tls => {
                let (address, made) = serve_tls(service).await;
                certificate = Some(made);
                address
            }
        };
        Mounted {
            receiver,
            recorder,
            address,
            certificate,
        }
    }

    /// Whether a client that has closed its side of the connection is answered.
    ///
    /// hyper takes it for gone unless it is told otherwise (`half_close`), and axum does not tell
    /// it.
    pub(crate) fn answers_half_closed(self) -> bool {
        matches!(self, Self::Actix | Self::Alone | Self::Tls)
    }

    /// Whether a client that waits for it is told to continue whatever it is about to send.
    ///
    /// The others tell it when the receiver begins to read.
    pub(crate) fn continues_unasked(self) -> bool {
        self == Self::Actix
    }

    /// Whether a connection ends with the answer to a client that offered to go on with another
    /// protocol.
    pub(crate) fn closes_after_an_offer_to_upgrade(self) -> bool {
        self == Self::Actix
    }

    /// How long a connection may be idle by default.
    ///
    /// hyper's time for a head runs from the answer before it.
    pub(crate) fn idle(self) -> Option<Duration> {
        match self {
            Self::Actix => Some(Duration::from_secs(5)),
            Self::Alone | Self::Tls => Some(Duration::from_secs(75)),
            Self::Axum => None,
            Self::Hyper => Some(Duration::from_secs(30)),
        }
    }

    /// What becomes by default of a connection whose head does not come to its end.
    pub(crate) fn slow_head(self) -> SlowHead {
        match self {
            Self::Actix => SlowHead::Answered(Duration::from_secs(5), 408),
            Self::Alone | Self::Tls => SlowHead::Closed(Duration::from_secs(10)),
            Self::Axum => SlowHead::Awaited,
            Self::Hyper => SlowHead::Closed(Duration::from_secs(30)),
        }
    }
}

/// What becomes of a connection whose head does not come to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SlowHead {
    /// It is answered with this status after this time, and closed.
    Answered(Duration, u16),
    /// It is closed after this time without an answer, so that VoIPBIN tries again.
    Closed(Duration),
    /// It may take for ever.
    Awaited,
}

/// A receiver that passes every event on to a recorder.
pub(crate) fn recorded(builder: ReceiverBuilder) -> (Receiver, Recorder) {
    let recorder = Recorder::new();
    let receiver = builder.on((Any, Custom), recorder.clone()).build().unwrap();
    (receiver, recorder)
}

/// The same behind a server.
pub(crate) struct Mounted {
    pub(crate) receiver: Receiver,
    pub(crate) recorder: Recorder,
    pub(crate) address: SocketAddr,
    pub(crate) certificate: Option<Certificate>,
}

/// A connection, with or without TLS.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

impl Mounted {
    /// Where the receiver is.
    pub(crate) fn url(&self) -> String {
        match &self.certificate {
            Some(_) => format!("https://{HOST}:{}{PATH}", self.address.port()),
            None => format!("http://{}{PATH}", self.address),
        }
    }

    /// Connects as VoIPBIN's sender does.
    pub(crate) async fn connect(&self) -> Wire<Box<dyn Stream>> {
        Wire::over(self.stream(&[]).await)
    }

    /// Connects; where there is TLS, with an offer of these protocols.
    pub(crate) async fn stream(&self, protocols: &[&str]) -> Box<dyn Stream> {
        if let Some(certificate) = &self.certificate {
            let client = offering(protocols, [certificate]);
            return Box::new(tls_connect(self.address, client).await.unwrap());
        }
        let stream = TcpStream::connect(self.address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Box::new(stream)
    }

    /// How many events were handled that the test has not seen yet.
    pub(crate) async fn handled(self) -> usize {
        assert!(self.receiver.shutdown(Duration::MAX).await.is_drained());
        self.recorder.rest().await.len()
    }

    /// Exactly these were handled, byte for byte and once each.
    pub(crate) async fn has_handled(self, events: Vec<String>) {
        assert!(self.receiver.shutdown(Duration::MAX).await.is_drained());
        let handled = self.recorder.rest().await;
        assert_eq!(handled.len(), events.len());
        let handled: BTreeSet<_> = handled
            .iter()
            .map(|run| run.delivery().body().to_vec())
            .collect();
        let events = events.into_iter().map(String::into_bytes).collect();
        assert_eq!(handled, events);
    }
}

pub(crate) fn assert_received(reply: &Reply) {
    assert_eq!(
        (reply.status, reply.word().as_str()),
        (200, "received"),
        "{reply:?}"
    );
}
