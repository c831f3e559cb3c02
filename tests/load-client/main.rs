//! Delivers many events over many connections, from a process of its own so that a load test has no
//! part in the receiver's scheduling.
//!
//! `load-client ADDRESS EVENTS CONNECTIONS` prints one JSON object: how many answers of each kind
//! came.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "this is test code"
)]

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use support::{Wire, call_hangup, on_the_wire};
use tokio::sync::Barrier;
use tokio::task::JoinSet;

#[tokio::main]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let address: SocketAddr = arguments.next().unwrap().parse().unwrap();
    let events: usize = arguments.next().unwrap().parse().unwrap();
    let connections: usize = arguments.next().unwrap().parse().unwrap();

    let next = Arc::new(AtomicUsize::new(0));
    let all_connected = Arc::new(Barrier::new(connections));
    let mut clients = JoinSet::new();
    for _ in 0..connections {
        let (next, all_connected) = (Arc::clone(&next), Arc::clone(&all_connected));
        clients.spawn(async move {
            let mut wire = Wire::connect(address).await;
            all_connected.wait().await;
            let mut answers = BTreeMap::<String, usize>::new();
            loop {
                let id = next.fetch_add(1, Ordering::Relaxed);
                if id >= events {
                    return answers;
                }
                let reply = wire.exchange(&on_the_wire("POST", &call_hangup(id))).await;
                *answers
                    .entry(format!("{} {}", reply.status, reply.word()))
                    .or_default() += 1;
            }
        });
    }
    let mut answers = BTreeMap::<String, usize>::new();
    for client in clients.join_all().await {
        for (answer, count) in client {
            *answers.entry(answer).or_default() += count;
        }
    }
    println!("{}", serde_json::to_string(&answers).unwrap());
}
