//! The crate's own server with TLS.

use std::io::ErrorKind;
use std::net::SocketAddr;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use support::{
    Certificate, HeldInbox, Wire, builder, call_hangup, offering, on_the_wire, tls_connect, within,
};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio_rustls::client::TlsStream;
use voipbin_receiver::Receiver;
use voipbin_receiver::catalog::Any;
use voipbin_receiver::inbox::{Inbox, MemoryInbox};
use voipbin_receiver::mount::{Server, Tls, TlsErrorKind};

struct Served {
    receiver: Receiver,
    certificate: Certificate,
    tls: Tls,
    address: SocketAddr,
    stop: BoxFuture<'static, ()>,
}

impl Served {
    async fn start() -> Self {
        Self::with(|server| server).await
    }

    async fn with(limits: impl FnOnce(Server) -> Server) -> Self {
        Self::of(MemoryInbox::new(), limits).await
    }

    async fn of(inbox: impl Inbox, limits: impl FnOnce(Server) -> Server) -> Self {
        let certificate = Certificate::new();
        let tls = certificate.tls();
        let receiver = builder().inbox(inbox).on(Any, || async {});
        let receiver = receiver.build().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = limits(Server::new().tls(tls.clone()));
        let service = receiver.service();
        let (close, closed) = oneshot::channel::<()>();
        let serving = async move { server.serve(listener, service, closed.map(drop)).await };
        let serving = tokio::spawn(serving);
        let stop = async {
            close.send(()).unwrap();
            serving.await.unwrap();
        };
        Self {
            receiver,
            certificate,
            tls,
            address,
            stop: stop.boxed(),
        }
    }

    async fn connect(&self, protocols: &[&str]) -> TlsStream<TcpStream> {
        let client = offering(protocols, [&self.certificate]);
        tls_connect(self.address, client).await.unwrap()
    }

    /// As VoIPBIN's sender connects.
    async fn wire(&self) -> Wire<TlsStream<TcpStream>> {
        Wire::over(self.connect(&[]).await)
    }
}

fn agreed(stream: &TlsStream<TcpStream>) -> Option<&[u8]> {
    stream.get_ref().1.alpn_protocol()
}

async fn deliver(wire: &mut Wire<TlsStream<TcpStream>>, id: usize) -> String {
    let request = on_the_wire("POST", &call_hangup(id));
    wire.exchange(&request).await.word()
}

#[tokio::test]
async fn a_client_that_offers_no_protocols_is_served() {
    within(async {
        let served = Served::start().await;
        let stream = served.connect(&[]).await;
        assert_eq!(agreed(&stream), None);
        let mut wire = Wire::over(stream);
        for id in 0..3 {
            assert_eq!(deliver(&mut wire, id).await, "received");
        }
        served.stop.await;
        assert_eq!(wire.rest().await, Some(Vec::new()));
        assert_eq!(served.receiver.stats().accepted, 3);
    })
    .await;
}

#[tokio::test]
async fn a_client_gets_the_protocol_that_it_offers() {
    within(Box::pin(async {
        let served = Served::start().await;
        let stream = served.connect(&["http/1.1"]).await;
        assert_eq!(agreed(&stream), Some(&b"http/1.1"[..]));
        assert_eq!(deliver(&mut Wire::over(stream), 1).await, "received");

        let unknown = offering(&["gopher"], [&served.certificate]);
        assert!(tls_connect(served.address, unknown).await.is_err());

        // One that would rather speak HTTP/2, as some proxies, falls back.
        let stream = served.connect(&["h2", "http/1.1"]).await;
        assert_eq!(agreed(&stream), Some(&b"http/1.1"[..]));
        assert_eq!(deliver(&mut Wire::over(stream), 2).await, "received");
    }))
    .await;
}

#[tokio::test]
async fn a_server_that_stops_answers_what_it_has_and_closes_without_waiting_for_the_client() {
    within(async {
        let served = Served::start().await;
        let mut idle = served.wire().await;
        assert_eq!(deliver(&mut idle, 1).await, "received");
        served.stop.await;
        assert_eq!(idle.rest().await, Some(Vec::new()));
    })
    .await;
}

#[tokio::test]
async fn a_new_certificate_is_taken_up_without_dropping_a_connection() {
    within(async {
        let mut served = Served::start().await;
        let mut before = served.wire().await;
        assert_eq!(deliver(&mut before, 1).await, "received");

        let old = offering(&[], [&served.certificate]);
        served.certificate.renew();
        served.tls.reload().unwrap();

        assert_eq!(deliver(&mut before, 2).await, "received");
        let mut after = served.wire().await;
        assert_eq!(deliver(&mut after, 3).await, "received");
        let refused = tls_connect(served.address, old).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::InvalidData);
    })
    .await;
}

#[tokio::test]
async fn a_certificate_that_cannot_be_taken_up_leaves_the_old_one() {
    within(async {
        let served = Served::start().await;
        std::fs::write(served.certificate.key(), "half of it").unwrap();
        let error = served.tls.reload().unwrap_err();
        assert_eq!(error.kind(), TlsErrorKind::NoKey);
        assert_eq!(error.path(), served.certificate.key());
        assert_eq!(deliver(&mut served.wire().await, 1).await, "received");
    })
    .await;
}

#[tokio::test]
async fn what_is_no_tls_is_closed_and_others_are_served() {
    within(async {
        let served = Served::start().await;
        let mut good = served.wire().await;
        let plain = on_the_wire("POST", &call_hangup(1));
        for (id, words) in [
            &plain[..],
            &[0x16; 4096],
            b"\r\n\r\n",
            &[0x80, 0x2e, 1, 0, 2],
        ]
        .into_iter()
        .enumerate()
        {
            let mut stream = TcpStream::connect(served.address).await.unwrap();
            stream.write_all(words).await.unwrap();
            stream.shutdown().await.unwrap();
            let told = Wire::over(stream).rest().await.unwrap_or_default();
            assert!(!told.starts_with(b"HTTP"));
            assert_eq!(deliver(&mut good, id + 2).await, "received");
        }
        assert_eq!(served.receiver.stats().accepted, 4);
    })
    .await;
}

#[tokio::test]
async fn one_that_has_not_begun_its_handshake_gives_way_to_a_new_connection() {
    within(async {
        let served = Served::with(|server| server.max_connections(2)).await;
        let mut silent = Wire::connect(served.address).await;
        let mut first = served.wire().await;
        assert_eq!(deliver(&mut first, 1).await, "received");
        let mut second = served.wire().await;
        assert_eq!(deliver(&mut second, 2).await, "received");
        assert_eq!(silent.rest().await, Some(Vec::new()));
        assert_eq!(deliver(&mut first, 3).await, "received");
    })
    .await;
}

#[tokio::test]
async fn a_connection_for_which_there_is_no_place_waits_for_its_handshake() {
    within(async {
        let inbox = HeldInbox::new();
        let served = Served::of(inbox.clone(), |server| server.max_connections(1)).await;
        let mut busy = served.wire().await;
        busy.write(&on_the_wire("POST", &call_hangup(1))).await;
        inbox.handed_over().await;

        let client = offering(&[], [&served.certificate]);
        let waits = tokio::spawn(tls_connect(served.address, client));
        inbox.release();
        assert_eq!(busy.read().await.word(), "received");
        let mut waited = Wire::over(waits.await.unwrap().unwrap());
        assert_eq!(deliver(&mut waited, 2).await, "received");
    })
    .await;
}
