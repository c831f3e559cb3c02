//! Offers events as VoIPBIN does, from a process of its own: each in up to three tries, a second
//! after one another, whatever becomes of the others.
//!
//! `offering-client ADDRESS RATE` offers so many a second until its standard input ends, and prints
//! a line for each when it is decided: `acked N` after a 200, `lost N` after the last try. Event
//! `N` is that of the call `restart-N`.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::indexing_slicing,
    reason = "this is test code"
)]

use std::time::Duration;

use support::{PATH, call_hangup, http_client, signer};
use tokio::io::AsyncReadExt;
use tokio::task::JoinSet;
use tokio::time::interval;
use voipbin_receiver::testing::Sender;

#[tokio::main]
async fn main() {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let uri = format!("http://{}{PATH}", arguments[0]);
    let sender = Sender::new(http_client(), signer()).uri(uri.parse().unwrap());
    let rate: u32 = arguments[1].parse().unwrap();
    let mut due = interval(Duration::from_secs(1) / rate);
    let mut offered = JoinSet::new();
    let mut stdin = tokio::io::stdin();
    for event in 0.. {
        tokio::select! {
            _ = due.tick() => {}
            _ = stdin.read_u8() => break,
        }
        let report = sender.send(call_hangup(format_args!("restart-{event}")));
        offered.spawn(async move {
            let report = report.await;
            match report.status() {
                Some(status) if status.is_success() => println!("acked {event}"),
                _ => println!("lost {event}"),
            }
        });
    }
    offered.join_all().await;
}
