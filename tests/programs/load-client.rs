//! Delivers many events over many connections, from a process of its own so that a load test has no
//! part in the receiver's scheduling.
//!
//! `load-client ADDRESS EVENTS CONNECTIONS` delivers so many events and prints one JSON object: how
//! many answers of each kind came.
//!
//! `load-client rotate ADDRESS CONNECTIONS` reads secrets from standard input, a line each, and
//! delivers without an end, signed with the last one. When all connections have taken up another
//! secret, and when the input ends, it prints such an object for the one before it. With each
//! secret each connection delivers something.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "this is test code"
)]

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use support::{Reply, Wire, call_hangup, on_the_wire, signed_on_the_wire};
use tokio::sync::{Barrier, mpsc, watch};
use tokio::task::JoinSet;
use voipbin_receiver::testing::Signer;

#[tokio::main]
async fn main() {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["rotate", address, connections] => {
            rotate(address.parse().unwrap(), connections.parse().unwrap()).await;
        }
        [address, events, connections] => {
            let (events, connections) = (events.parse().unwrap(), connections.parse().unwrap());
            deliver(address.parse().unwrap(), events, connections).await;
        }
        _ => panic!("see the documentation of the program"),
    }
}

/// How many answers of each kind came.
#[derive(Default)]
struct Answers(BTreeMap<String, usize>);

impl Answers {
    fn count(&mut self, reply: &Reply) {
        let kind = format!("{} {}", reply.status, reply.word());
        *self.0.entry(kind).or_default() += 1;
    }

    fn add(&mut self, others: Self) {
        for (kind, count) in others.0 {
            *self.0.entry(kind).or_default() += count;
        }
    }

    fn print(self) {
        println!("{}", serde_json::to_string(&self.0).unwrap());
    }
}

async fn deliver(address: SocketAddr, events: usize, connections: usize) {
    let next = Arc::new(AtomicUsize::new(0));
    let all_connected = Arc::new(Barrier::new(connections));
    let mut clients = JoinSet::new();
    for _ in 0..connections {
        let (next, all_connected) = (Arc::clone(&next), Arc::clone(&all_connected));
        clients.spawn(async move {
            let mut wire = Wire::connect(address).await;
            all_connected.wait().await;
            let mut answers = Answers::default();
            loop {
                let id = next.fetch_add(1, Ordering::Relaxed);
                if id >= events {
                    return answers;
                }
                let reply = wire.exchange(&on_the_wire("POST", &call_hangup(id))).await;
                answers.count(&reply);
            }
        });
    }
    let mut all = Answers::default();
    for answers in clients.join_all().await {
        all.add(answers);
    }
    all.print();
}

async fn rotate(address: SocketAddr, connections: usize) {
    let current = watch::Sender::new(next_secret().await);
    let (report, mut reports) = mpsc::channel(connections);
    for connection in 0..connections {
        let (current, report) = (current.subscribe(), report.clone());
        tokio::spawn(sign(address, connection, current, report));
    }
    loop {
        let secret = next_secret().await;
        let ended = secret.is_none();
        current.send_replace(secret);
        let mut all = Answers::default();
        for _ in 0..connections {
            all.add(reports.recv().await.unwrap());
        }
        all.print();
        if ended {
            return;
        }
    }
}

/// The next line of the input.
async fn next_secret() -> Option<String> {
    let line = tokio::task::spawn_blocking(|| std::io::stdin().lines().next());
    line.await.unwrap().map(Result::unwrap)
}

/// Delivers one event after the other, signed with the current secret, and reports when that is
/// another.
async fn sign(
    address: SocketAddr,
    connection: usize,
    mut current: watch::Receiver<Option<String>>,
    report: mpsc::Sender<Answers>,
) {
    let process = std::process::id();
    let mut ids = (0..).map(|number| format!("{process}-{connection}-{number}"));
    let mut wire = Wire::connect(address).await;
    loop {
        let secret = current.borrow_and_update().clone();
        let Some(secret) = secret else { return };
        let signer = Signer::new(secret);
        let mut answers = Answers::default();
        while answers.0.is_empty() || !current.has_changed().unwrap() {
            let body = call_hangup(ids.next().unwrap());
            let reply = wire
                .exchange(&signed_on_the_wire(&signer, "POST", &body))
                .await;
            answers.count(&reply);
        }
        report.send(answers).await.unwrap();
    }
}
