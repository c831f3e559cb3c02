//! A webhook as a good developer writes it by hand: the signature over the bytes, JSON as a tree, a
//! map of what was seen, and the work in a task of its own.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::State;
use axum::routing::post;
use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, StatusCode};
use serde_json::Value;
use sha2::Sha256;
use support::{PATH, RECEIVED, SECRET, serve_app};

/// How long an event is remembered.
const TTL: Duration = Duration::from_secs(3600);
/// How often those are dropped that were remembered for so long.
const SWEEP: Duration = Duration::from_secs(60);

#[derive(Default)]
struct App {
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    /// By the verified signature: bodies that are alike have the same.
    events: HashMap<[u8; 32], Instant>,
    swept: Option<Instant>,
}

impl Seen {
    /// Whether it is seen for the first time.
    fn insert(&mut self, event: [u8; 32]) -> bool {
        let now = Instant::now();
        if self.swept.is_none_or(|swept| now - swept > SWEEP) {
            self.events.retain(|_, seen| now - *seen < TTL);
            self.swept = Some(now);
        }
        self.events.insert(event, now).is_none()
    }
}

pub(crate) async fn serve() -> SocketAddr {
    let app = Router::new().route(PATH, post(webhook));
    serve_app(app.with_state(Arc::<App>::default())).await
}

async fn webhook(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<([(http::HeaderName, &'static str); 1], &'static str), StatusCode> {
    let signature = headers.get(SIGNATURE).and_then(|value| value.to_str().ok());
    let signature = verified(key(), signature, &body).ok_or(StatusCode::UNAUTHORIZED)?;
    let event: Value = serde_json::from_slice(&body).map_err(|_| StatusCode::BAD_REQUEST)?;
    if app.seen.lock().unwrap().insert(signature) {
        tokio::spawn(handle(event));
    }
    Ok(([(CONTENT_TYPE, "application/json")], RECEIVED))
}

pub(crate) fn key() -> Hmac<Sha256> {
    Hmac::new_from_slice(SECRET.as_bytes()).unwrap()
}

pub(crate) const SIGNATURE: &str = "x-voipbin-signature";

/// The signature, if it is one of the body.
pub(crate) fn verified(
    mut mac: Hmac<Sha256>,
    header: Option<&str>,
    body: &[u8],
) -> Option<[u8; 32]> {
    let mut signature = [0; 32];
    hex::decode_to_slice(header?.strip_prefix("sha256=")?, &mut signature).ok()?;
    mac.update(body);
    mac.verify_slice(&signature).ok()?;
    Some(signature)
}

async fn handle(event: Value) {
    if event["type"] == "call_hangup" {
        std::hint::black_box(event["data"]["hangup_reason"].as_str());
    }
}
