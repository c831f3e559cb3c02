//! The crate's own server where there are more connections than it may have.

use std::future::pending;
use std::io::Write;
use std::net::{SocketAddr, TcpStream as BlockingStream};

use support::{HeldInbox, Recorder, Wire, builder, call_hangup, on_the_wire, within};
use tokio::net::{TcpListener, TcpStream};
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
async fn a_connection_that_would_take_the_place_of_one_in_a_request_is_asked_to_come_again() {
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
        let mut refused = Wire::connect(address).await;
        let reply = refused.read().await;
        assert_eq!(
            (reply.status, reply.header("connection")),
            (503, Some("close"))
        );
        assert_eq!(refused.rest().await, Some(Vec::new()));

        inbox.release();
        for wire in &mut busy {
            assert_eq!(wire.read().await.word(), "received");
        }
        let mut wire = Wire::connect(address).await;
        assert_eq!(deliver(&mut wire, 2).await, "received");
        assert_eq!(receiver.stats().accepted, 3);
    })
    .await;
}
