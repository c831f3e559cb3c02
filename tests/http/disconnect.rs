//! Clients that go away, at every byte: nothing leaks, and nothing is half kept.

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::FutureExt;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use support::{HeldInbox, Recorder, Wire, builder, call_hangup, on_the_wire, within};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use voipbin_receiver::catalog::Any;
use voipbin_receiver::{Receiver, ReceiverBuilder};

/// A server that a test serves each connection of by itself, so that it knows when the server is
/// done with one: the request's future has ended or was dropped by then.
struct Server {
    listener: TcpListener,
    address: SocketAddr,
    receiver: Receiver,
    recorder: Recorder,
}

/// How a client leaves.
#[derive(Clone, Copy, Debug)]
enum Leave {
    /// With an orderly end, as a process does that closes its socket.
    Close,
    /// With a reset, as one does that dies with unread bytes.
    Reset,
}

impl Leave {
    const BOTH: [Self; 2] = [Self::Close, Self::Reset];

    fn leave(self, wire: Wire) {
        match self {
            Self::Close => drop(wire),
            Self::Reset => wire.reset(),
        }
    }
}

impl Server {
    async fn start(settings: impl FnOnce(ReceiverBuilder) -> ReceiverBuilder) -> Self {
        let recorder = Recorder::new();
        let receiver = settings(builder())
            .on(Any, recorder.clone())
            .build()
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        Self {
            listener,
            address,
            receiver,
            recorder,
        }
    }

    /// A client and the task that serves it, which ends when the connection does.
    async fn connect(&self) -> (Wire, JoinHandle<()>) {
        let wire = Wire::connect(self.address).await;
        let (stream, _) = self.listener.accept().await.unwrap();
        let service = TowerToHyperService::new(self.receiver.service());
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new());
        let served = http.serve_connection(TokioIo::new(stream), service);
        // An error is what a client that goes away is to hyper.
        (wire, tokio::spawn(served.map(drop)))
    }

    /// Sends an event the proper way; the word of its answer.
    async fn deliver(&self, body: &str) -> String {
        let (mut wire, served) = self.connect().await;
        let reply = wire.exchange(&on_the_wire("POST", body)).await;
        drop(wire);
        served.await.unwrap();
        assert_eq!(reply.status, 200);
        reply.word()
    }

    fn unfinished_and_remembered(&self) -> (usize, usize) {
        let inbox = self.receiver.stats().inbox;
        (inbox.events, inbox.identities)
    }

    /// Shuts down, and checks that nothing is left of anything.
    async fn end(self) -> usize {
        assert!(self.receiver.shutdown(Duration::MAX).await.is_drained());
        let stats = self.receiver.stats();
        assert_eq!(
            (stats.running, stats.inbox.events, stats.inbox.bytes),
            (0, 0, 0)
        );
        assert_eq!(stats.failed, 0);
        let handled = self.recorder.rest().await.len();
        assert_eq!(
            (stats.handled, stats.inbox.identities),
            (handled as u64, handled)
        );
        handled
    }
}

async fn a_request_cut_at_every_byte(leave: Leave) {
    let server = Server::start(|builder| builder).await;
    let length = on_the_wire("POST", &call_hangup(1000)).len();
    for cut in 0..length {
        let body = call_hangup(1000 + cut);
        let (mut wire, served) = server.connect().await;
        wire.write(&on_the_wire("POST", &body)[..cut]).await;
        leave.leave(wire);
        served.await.unwrap();
        let stats = server.receiver.stats();
        assert_eq!(stats.accepted, cut as u64, "{leave:?} at {cut}");
        assert_eq!(stats.inbox.identities, cut, "{leave:?} at {cut}");
        assert_eq!(
            server.deliver(&body).await,
            "received",
            "{leave:?} at {cut}"
        );
    }
    assert_eq!(server.end().await, length);
}

#[tokio::test]
async fn an_event_cut_off_at_any_byte_is_not_remembered_and_new_when_it_comes_whole() {
    within(async {
        for leave in Leave::BOTH {
            a_request_cut_at_every_byte(leave).await;
        }
    })
    .await;
}

/// The server may see the whole request before it sees that its client has gone, or not.
#[tokio::test]
async fn an_event_whose_client_leaves_behind_its_last_byte_is_handled_once() {
    within(async {
        let server = Server::start(|builder| builder).await;
        for id in 0..100 {
            let body = call_hangup(id);
            let (mut wire, served) = server.connect().await;
            wire.write(&on_the_wire("POST", &body)).await;
            Leave::BOTH[id % 2].leave(wire);
            served.await.unwrap();
            let remembered = server.receiver.stats().inbox.identities == id + 1;
            let word = if remembered { "duplicate" } else { "received" };
            assert_eq!(server.deliver(&body).await, word);
        }
        assert_eq!(server.end().await, 100);
    })
    .await;
}

#[tokio::test]
async fn an_event_whose_client_leaves_in_the_answer_is_handled_once() {
    within(async {
        let server = Server::start(|builder| builder).await;
        let (mut wire, served) = server.connect().await;
        let reply = wire
            .exchange(&on_the_wire("POST", &call_hangup("first")))
            .await;
        drop(wire);
        served.await.unwrap();
        let length = reply.head.len() + reply.body.len();
        for read in 0..=length {
            let body = call_hangup(read);
            let (mut wire, served) = server.connect().await;
            wire.write(&on_the_wire("POST", &body)).await;
            // The first byte shows that the event is kept.
            wire.read_bytes(read.max(1)).await;
            Leave::BOTH[read % 2].leave(wire);
            served.await.unwrap();
            assert_eq!(server.deliver(&body).await, "duplicate");
        }
        assert_eq!(server.end().await, 1 + length + 1);
    })
    .await;
}

async fn held() -> (HeldInbox, Server) {
    let inbox = HeldInbox::new();
    let server = Server::start(|builder| builder.inbox(inbox.clone())).await;
    (inbox, server)
}

#[tokio::test]
async fn an_event_whose_client_leaves_in_the_wait_is_kept_and_handled_once() {
    within(async {
        for leave in Leave::BOTH {
            let (inbox, server) = held().await;
            let body = call_hangup(1);
            let (mut wire, served) = server.connect().await;
            wire.write(&on_the_wire("POST", &body)).await;
            inbox.handed_over().await;
            leave.leave(wire);
            served.await.unwrap();
            assert_eq!(server.unfinished_and_remembered(), (0, 0), "not kept yet");
            assert_eq!(server.receiver.stats().accepted, 0);

            inbox.release();
            let context = server.recorder.next().await;
            assert_eq!(context.delivery().body(), &body);
            assert_eq!(server.deliver(&body).await, "duplicate");
            assert!(server.receiver.shutdown(Duration::MAX).await.is_drained());
            assert_eq!(server.unfinished_and_remembered(), (0, 1));
            assert!(server.recorder.rest().await.is_empty());
        }
    })
    .await;
}

#[tokio::test]
async fn a_copy_that_comes_in_the_wait_shares_the_outcome_of_an_event_whose_client_has_left() {
    within(async {
        let (inbox, server) = held().await;
        let request = on_the_wire("POST", &call_hangup(1));
        let (mut first, served) = server.connect().await;
        first.write(&request).await;
        inbox.handed_over().await;
        drop(first);
        served.await.unwrap();

        let mut copies = Vec::new();
        for _ in 0..3 {
            let (mut copy, served) = server.connect().await;
            copy.write(&request).await;
            inbox.handed_over().await;
            copies.push((copy, served));
        }
        for (copy, served) in &mut copies {
            assert!(!served.is_finished());
            assert!(
                copy.read_bytes(1).now_or_never().is_none(),
                "answered before the outcome"
            );
        }
        assert_eq!(server.unfinished_and_remembered(), (0, 0));

        inbox.release();
        for (mut copy, served) in copies {
            let reply = copy.read().await;
            assert_eq!((reply.status, reply.word().as_str()), (200, "duplicate"));
            drop(copy);
            served.await.unwrap();
        }
        assert_eq!(server.end().await, 1);
    })
    .await;
}

#[tokio::test]
async fn a_copy_is_refused_too_when_the_event_whose_client_has_left_cannot_be_kept() {
    within(async {
        let (inbox, server) = held().await;
        let request = on_the_wire("POST", &call_hangup(1));
        let (mut first, served) = server.connect().await;
        first.write(&request).await;
        inbox.handed_over().await;
        drop(first);
        served.await.unwrap();
        let (mut copy, _served) = server.connect().await;
        copy.write(&request).await;
        inbox.handed_over().await;

        inbox.fail();
        let reply = copy.read().await;
        assert_eq!((reply.status, reply.code().as_str()), (503, "inbox_failed"));
        assert_eq!(server.unfinished_and_remembered(), (0, 0));
        assert_eq!(copy.exchange(&request).await.word(), "received");
        assert_eq!(server.end().await, 1);
    })
    .await;
}

/// Many clients at once, each leaving at another byte of the same event.
#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_many_clients_leave_off_at_once_is_handled_once() {
    within(async {
        let server = Server::start(|builder| builder).await;
        let body = call_hangup(1);
        let request = on_the_wire("POST", &body);
        let mut connections = Vec::new();
        for cut in (0..request.len()).chain([request.len(); 20]) {
            let (wire, served) = server.connect().await;
            connections.push((wire, served, request[..cut].to_vec(), Leave::BOTH[cut % 2]));
        }
        let leaving = connections
            .into_iter()
            .map(|(mut wire, served, bytes, leave)| {
                tokio::spawn(async move {
                    wire.write(&bytes).await;
                    leave.leave(wire);
                    served.await.unwrap();
                })
            });
        for left in futures_util::future::join_all(leaving).await {
            left.unwrap();
        }
        assert!(["received", "duplicate"].contains(&server.deliver(&body).await.as_str()));
        assert_eq!(server.end().await, 1);
    })
    .await;
}
