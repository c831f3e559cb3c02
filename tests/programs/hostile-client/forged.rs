use std::net::SocketAddr;

use serde_json::{Value, json};
use support::{Wire, call_hangup, signer, with_headers};

/// Whose word counts, or whose requests: the addresses that a liar would name.
const NAMES: [&str; 4] = [
    "203.0.113.9",
    "10.0.0.1",
    "203.0.113.9, 10.0.0.1",
    "unknown",
];

/// Signed events from somebody who says that they come from elsewhere: the answers in their order.
pub(crate) async fn attack(address: SocketAddr) -> Value {
    let mut statuses = Vec::new();
    let mut number = 0;
    for name in NAMES {
        let quoted = name.replace(", ", ", for=");
        for lie in [
            format!("X-Forwarded-For: {name}\r\n"),
            format!("Forwarded: for={quoted}\r\n"),
            format!("X-Real-IP: {name}\r\nTrue-Client-IP: {name}\r\n"),
        ] {
            number += 1;
            let body = call_hangup(format_args!("forged-{address}-{number}"));
            let headers = format!(
                "{lie}Content-Length: {}\r\nX-Voipbin-Signature: {}\r\n",
                body.len(),
                signer().sign(body.as_bytes())
            );
            let mut wire = Wire::connect(address).await;
            let reply = wire.exchange(&with_headers("POST", &headers, &body)).await;
            statuses.push(reply.status);
        }
    }
    json!(statuses)
}
