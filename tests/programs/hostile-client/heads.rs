use std::net::SocketAddr;

use serde_json::{Value, json};
use support::PATH;
use tokio::io::AsyncWriteExt;
use tokio::net::tcp::OwnedWriteHalf;

use crate::connection::{connection, count};

/// How many send the same at the same time.
const CLIENTS: usize = 16;

/// No head goes on for longer than this: 64 MiB.
const ENDLESS: usize = 64 << 20;

/// Heads of many headers, with one long header, with a long target, and without an end.
pub(crate) async fn attack(address: SocketAddr) -> Value {
    let begin = format!("POST {PATH} HTTP/1.1\r\nHost: localhost\r\n");
    let header = "X-Bomb: x\r\n".repeat(1000);
    let long = "x".repeat(1 << 20);
    json!({
        "many": many(address, &format!("{begin}{header}\r\n"), 1).await,
        "long": many(address, &format!("{begin}X-Bomb: {long}\r\n\r\n"), 1).await,
        "target": many(address, &format!("POST /{long} HTTP/1.1\r\n\r\n"), 1).await,
        "endless": many(address, &header, ENDLESS / header.len()).await,
        "nameless": many(address, &long, ENDLESS / long.len()).await,
    })
}

async fn many(address: SocketAddr, piece: &str, times: usize) -> Value {
    let clients = (0..CLIENTS).map(|_| {
        connection(address, async move |writing: &mut OwnedWriteHalf| {
            for _ in 0..times {
                writing.write_all(piece.as_bytes()).await?;
            }
            Ok(())
        })
    });
    count(clients).await
}
