//! The sender of the load over HTTP, in a process of its own.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use support::{Wire, on_the_wire};
use tokio::sync::Barrier;
use tokio::task::JoinSet;

use crate::events::body;
use crate::figures::{Round, micros};

/// Sends so many requests over so many connections, one after another on each. What is sent is
/// signed before the clock runs. Prints the round.
pub(crate) fn run(address: &str, requests: &str, connections: &str, first: &str) {
    let address: SocketAddr = address.parse().unwrap();
    let requests: usize = requests.parse().unwrap();
    let connections: usize = connections.parse().unwrap();
    let first: usize = first.parse().unwrap();
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_all().build().unwrap();
    let round = runtime.block_on(async {
        let ready = Arc::new(Barrier::new(connections + 1));
        let each = requests / connections;
        let mut clients = JoinSet::new();
        for place in 0..connections {
            let ready = Arc::clone(&ready);
            let first = first + place * each;
            clients.spawn(async move {
                let numbers = first..first + each;
                let bodies = numbers.map(|number| on_the_wire("POST", &body(number)));
                let bodies: Vec<_> = bodies.collect();
                let mut times = Vec::with_capacity(bodies.len());
                let mut wire = Wire::connect(address).await;
                ready.wait().await;
                for body in bodies {
                    let sent = Instant::now();
                    let reply = wire.exchange(&body).await;
                    times.push(micros(sent.elapsed()));
                    assert_eq!(reply.status, 200);
                }
                times
            });
        }
        ready.wait().await;
        let begun = Instant::now();
        let mut times = clients.join_all().await.concat();
        Round::new(&mut times, begun.elapsed())
    });
    println!("{} {} {}", round.per_second, round.p50, round.p99);
}
