use std::net::SocketAddr;

use futures_util::FutureExt;
use futures_util::stream::{self, StreamExt};
use serde_json::{Value, json};
use support::process::room_for;
use support::{Wire, call_hangup, on_the_wire};

/// How many connect at the same time.
const AT_ONCE: usize = 32;

/// Every how many connections serve an event in the end; of the others it is seen that they are
/// open.
const SAMPLE: usize = 9;

/// Opens connections and says how many there are. At a word on standard input it has every second
/// one serve an event, so that it has been used, and says so. It holds them until standard input
/// ends, and tells how many are still there.
pub(crate) async fn attack(address: SocketAddr, wanted: u64) -> Value {
    let count = room_for(wanted);
    let connecting = stream::iter(0..count).map(|_| Wire::connect(address));
    let mut wires: Vec<_> = connecting.buffer_unordered(AT_ONCE).collect().await;
    println!("{}", json!({ "held": wires.len() }));

    assert!(told().await);
    let using = stream::iter(wires.iter_mut().step_by(2).zip(0..));
    let using = using.map(|(wire, number)| event(wire, number));
    let used: Vec<_> = using.buffer_unordered(AT_ONCE).collect().await;
    assert!(used.iter().all(|received| *received));
    println!("{}", json!({ "used": used.len() }));

    assert!(!told().await);
    let mut there = 0;
    for (index, (mut wire, number)) in wires.into_iter().zip(count..).enumerate() {
        there += usize::from(if index % SAMPLE == 0 {
            event(&mut wire, number).await
        } else {
            // It would end at once.
            wire.rest().now_or_never().is_none()
        });
    }
    json!({ "there": there })
}

/// Waits for a word on standard input, or for its end.
async fn told() -> bool {
    let line = || std::io::stdin().lines().next();
    let line = tokio::task::spawn_blocking(line).await.unwrap();
    line.transpose().unwrap().is_some()
}

/// Whether it is received.
async fn event(wire: &mut Wire, number: u64) -> bool {
    let request = on_the_wire("POST", &call_hangup(format_args!("idle-{number}")));
    let reply = wire.try_exchange(&request).await;
    reply.is_some_and(|reply| reply.word() == "received")
}
