//! The crate's own server where there are more connections than it may have.

use std::future::pending;
use std::io::Write;
use std::net::{SocketAddr, TcpStream as BlockingStream};

use support::{HeldInbox, Recorder, Wire, builder, call_hangup, on_the_wire, with_headers, within};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use voipbin_receiver::Receiver;
use voipbin_receiver::catalog::Any;
use voipbin_receiver::inbox::{Inbox, MemoryInbox};
use voipbin_receiver::mount::Server;

/// A receiver behind a server of two connections.
async fn start() -> (Receiver, SocketAddr) {
    start_with(MemoryInbox::new()).await
}

async fn start_with(inbox: impl Inbox) -> (Receiver, SocketAddr) {
    let receiver = builder().inbox(inbox).on(Any, Recorder::new());
    let receiver = receiver.build().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let service = receiver.service();
    tokio::spawn(async {
        let server = Server::new().max_connections(2);
        server.serve(listener, service, pending()).await;
    });
    (receiver, address)
}

async fn deliver(wire: &mut Wire, id: usize) -> String {
    let request = on_the_wire("POST", &call_hangup(id));
    wire.exchange(&request).await.word()
}

#[tokio::test]
async fn for_one_connection_too_many_the_longest_idle_one_is_closed() {
    within(async {
        let (_receiver, address) = start().await;
        let mut wires = Vec::new();
        for id in 0..5 {
            let mut wire = Wire::connect(address).await;
            assert_eq!(deliver(&mut wire, id).await, "received");
            wires.push(wire);
        }
        let mut last_two = wires.split_off(3);
        for mut wire in wires {
            assert_eq!(wire.rest().await, Some(Vec::new()));
        }
        for wire in &mut last_two {
            assert_eq!(deliver(wire, 1).await, "duplicate");
        }
    })
    .await;
}

#[tokio::test]
async fn a_crowd_that_comes_at_once_takes_no_place_of_one_whose_request_is_there() {
    within(async {
        let (_receiver, address) = start().await;
        // All of it blocks, so that the server does nothing meanwhile.
        let mut first = BlockingStream::connect(address).unwrap();
        let request = on_the_wire("POST", &call_hangup("first"));
        first.write_all(&request).unwrap();
        let connect = |_| BlockingStream::connect(address).unwrap();
        let _crowd: Vec<_> = (0..32).map(connect).collect();
        first.set_nonblocking(true).unwrap();
        let mut first = Wire::over(TcpStream::from_std(first).unwrap());
        assert_eq!(first.read().await.word(), "received");
    })
    .await;
}

#[tokio::test]
async fn a_connection_for_which_there_is_no_place_waits_until_one_is_answered() {
    within(async {
        let inbox = HeldInbox::new();
        let (receiver, address) = start_with(inbox.clone()).await;
        let mut busy = Vec::new();
        for id in 0..2 {
            let mut wire = Wire::connect(address).await;
            wire.write(&on_the_wire("POST", &call_hangup(id))).await;
            inbox.handed_over().await;
            busy.push(wire);
        }
        let mut waits = Vec::new();
        for id in 2..5 {
            let mut wire = Wire::connect(address).await;
            wire.write(&on_the_wire("POST", &call_hangup(id))).await;
            waits.push(wire);
        }
        inbox.release();
        for wire in busy.iter_mut().chain(&mut waits) {
            assert_eq!(wire.read().await.word(), "received");
        }
        assert_eq!(receiver.stats().accepted, 5);
    })
    .await;
}

/// A proxy's connections are many, and idle for as long as its own clients are.
#[tokio::test]
async fn strangers_take_no_place_of_a_trusted_proxy() {
    within(async {
        let receiver = builder().on(Any, Recorder::new()).build().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let service = receiver.service();
        let server = Server::new().max_connections(3);
        let server = server.trust_proxies(["127.0.0.2"]).unwrap();
        tokio::spawn(async move { server.serve(listener, service, pending()).await });
        let from = |last: u8| async move {
            let socket = TcpSocket::new_v4().unwrap();
            socket.bind(([127, 0, 0, last], 0).into()).unwrap();
            Wire::over(socket.connect(address).await.unwrap())
        };
        let mut proxied = [from(2).await, from(2).await];
        let mut strangers = Vec::new();
        for _ in 0..10 {
            strangers.push(from(3).await);
            let stranger = strangers.last_mut().unwrap();
            let unsigned = with_headers("POST", "Content-Length: 2\r\n", "{}");
            assert_eq!(stranger.exchange(&unsigned).await.status, 401);
        }
        for (id, wire) in proxied.iter_mut().enumerate() {
            assert_eq!(deliver(wire, id).await, "received");
        }
    })
    .await;
}
