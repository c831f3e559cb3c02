use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};
use support::{call_hangup, on_the_wire};
use tokio::io::AsyncWriteExt;
use tokio::net::tcp::OwnedWriteHalf;
use tokio::time::sleep;

use crate::connection::{connection, count};

/// From one client to the next.
const RAMP: Duration = Duration::from_millis(5);

/// What is no TLS, or only its beginning, to a server that speaks nothing else.
pub(crate) async fn attack(address: SocketAddr, clients: u32) -> Value {
    let noise: Vec<u8> = (0..1 << 16_u32)
        .map(|number: u32| number.wrapping_mul(2_654_435_761).to_be_bytes()[0])
        .collect();
    // A handshake record of 16 KiB, and a hello in it, with noise for what is left.
    let hello = [&[22, 3, 1, 0x40, 0, 1, 0, 0x3f, 0xfc, 3, 3][..], &noise].concat();
    let plain = on_the_wire("POST", &call_hangup("garbage-1"));
    json!({
        "noise": many(address, clients, &noise, false).await,
        "hello": many(address, clients, &hello, false).await,
        "plain": many(address, clients, &plain, false).await,
        "alert": many(address, clients, &[21, 3, 3, 0, 2, 2, 40], false).await,
        "half a hello": many(address, clients, hello.get(..100).unwrap(), true).await,
        "nothing": many(address, clients, &[], true).await,
    })
}

/// Some go on to wait for the server.
async fn many(address: SocketAddr, clients: u32, words: &[u8], waits: bool) -> Value {
    let clients = (0..clients).map(|number| {
        connection(address, async move |writing: &mut OwnedWriteHalf| {
            sleep(RAMP * number).await;
            writing.write_all(words).await?;
            if waits {
                std::future::pending::<()>().await;
            }
            Ok(())
        })
    });
    count(clients).await
}
