use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;
use support::{call_hangup, on_the_wire};
use tokio::io::AsyncWriteExt;
use tokio::net::tcp::OwnedWriteHalf;
use tokio::time::{MissedTickBehavior, interval, sleep};

use crate::connection::{connection, count};

/// From one byte to the next.
const PACE: Duration = Duration::from_millis(200);

/// From one client to the next.
const RAMP: Duration = Duration::from_millis(5);

/// Heads of which one byte comes at a time.
pub(crate) async fn heads(address: SocketAddr, clients: u32) -> Value {
    let clients = (0..clients).map(|number| {
        connection(address, async move |writing: &mut OwnedWriteHalf| {
            sleep(RAMP * number).await;
            let request = on_the_wire("POST", &call_hangup(format_args!("slow-{number}")));
            dribble(writing, &request).await
        })
    });
    count(clients).await
}

/// Bodies of which one byte comes at a time, behind a head that comes at once.
pub(crate) async fn bodies(address: SocketAddr, clients: u32) -> Value {
    let clients = (0..clients).map(|number| {
        connection(address, async move |writing: &mut OwnedWriteHalf| {
            sleep(RAMP * number).await;
            let body = call_hangup(format_args!("slow-{number}"));
            let request = on_the_wire("POST", &body);
            let (head, body) = request.split_at(request.len() - body.len());
            writing.write_all(head).await?;
            dribble(writing, body).await
        })
    });
    count(clients).await
}

async fn dribble(writing: &mut OwnedWriteHalf, bytes: &[u8]) -> std::io::Result<()> {
    let mut pace = interval(PACE);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for byte in bytes {
        pace.tick().await;
        writing.write_all(&[*byte]).await?;
    }
    Ok(())
}
