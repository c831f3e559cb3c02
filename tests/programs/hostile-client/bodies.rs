use std::net::SocketAddr;

use serde_json::{Value, json};
use support::{call_hangup, with_headers};
use tokio::io::AsyncWriteExt;
use tokio::net::tcp::OwnedWriteHalf;

use crate::connection::{connection, count};

/// 100 MB.
const HUGE: usize = 100_000_000;

const PIECE: &[u8] = &[b'x'; 64 << 10];

/// How many send the same at the same time.
const CLIENTS: usize = 8;

/// Bodies of 100 MB: with their length, in chunks, with a length that is far too short, and a
/// length of 100 MB with nothing behind it.
pub(crate) async fn attack(address: SocketAddr) -> Value {
    json!({
        "honest": many(address, HUGE, &format!("Content-Length: {HUGE}\r\n"), b"").await,
        "chunked": many(address, HUGE, "Transfer-Encoding: chunked\r\n", b"5f5e100\r\n").await,
        "longer": many(address, HUGE, "Content-Length: 10\r\n", b"").await,
        "shorter": many(address, 0, &format!("Content-Length: {HUGE}\r\n"), b"{}").await,
        "cut": many(address, 0, "Content-Length: 100\r\n", call_hangup("cut-1").as_bytes()).await,
    })
}

async fn many(address: SocketAddr, length: usize, header: &str, first: &[u8]) -> Value {
    let head = with_headers("POST", header, "");
    let head = head.as_slice();
    let clients = (0..CLIENTS).map(|_| {
        connection(address, async move |writing: &mut OwnedWriteHalf| {
            writing.write_all(head).await?;
            writing.write_all(first).await?;
            let mut left = length;
            while left > 0 {
                let piece = PIECE.get(..left).unwrap_or(PIECE);
                writing.write_all(piece).await?;
                left -= piece.len();
            }
            Ok(())
        })
    });
    count(clients).await
}
