//! A stand-in for VoIPBIN: it takes messages as its API does, and announces each one to the
//! webhook.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::routing::post;
use axum::{Json, Router};
use demo_support::{PlatformSender, deliver};
use serde::Deserialize;
use serde_json::{Value, json};

pub(crate) const ACCESS_KEY: &str = "vb_demonstration-access-key";

#[derive(Clone)]
pub(crate) struct Platform(Arc<Shared>);

struct Shared {
    webhook: PlatformSender,
    sent: Mutex<Vec<Sent>>,
    announced: AtomicUsize,
}

/// The body of `POST /v1.0/messages`.
#[derive(Clone, Deserialize)]
pub(crate) struct Sent {
    pub(crate) source: Value,
    pub(crate) destinations: Vec<Value>,
    pub(crate) text: String,
}

#[derive(Deserialize)]
struct Credentials {
    #[serde(default)]
    accesskey: String,
}

impl Platform {
    pub(crate) fn new(webhook: PlatformSender) -> Self {
        Self(Arc::new(Shared {
            webhook,
            sent: Mutex::default(),
            announced: AtomicUsize::new(0),
        }))
    }

    pub(crate) fn api(&self) -> Router {
        Router::new()
            .route("/v1.0/messages", post(send))
            .with_state(self.clone())
    }

    /// Announces a message to the webhook, by both of its events; tells the answer to the first.
    pub(crate) async fn announce(&self, message: &Value) -> String {
        let shared = &*self.0;
        let event = json!({"type": "message_created", "data": message}).to_string();
        let conversation = json!({"type": "conversation_message_created", "data": {
            "id": message.get("id"),
            "direction": if message.get("direction").is_some_and(|way| way == "inbound") {
                "incoming"
            } else {
                "outgoing"
            },
            "text": message.get("text"),
        }})
        .to_string();
        let (answer, _) = tokio::join!(
            deliver(&shared.webhook, &event),
            deliver(&shared.webhook, &conversation)
        );
        shared.announced.fetch_add(1, Ordering::SeqCst);
        answer
    }

    /// How many times messages were announced.
    pub(crate) fn announced(&self) -> usize {
        self.0.announced.load(Ordering::SeqCst)
    }

    /// What was sent through the API.
    pub(crate) fn sent(&self) -> Vec<Sent> {
        let sent = self.0.sent.lock().unwrap_or_else(PoisonError::into_inner);
        sent.clone()
    }
}

/// The number of the account.
pub(crate) fn own_number() -> Value {
    json!({"type": "tel", "target": "+15550100"})
}

/// A message that came from the phone network.
pub(crate) fn inbound(id: &str, source: &Value) -> Value {
    json!({
        "id": id,
        "customer_id": "cba36057-addc-453d-89c5-fc34d1a8b667",
        "type": "sms",
        "source": source,
        "targets": [{
            "destination": own_number(),
            "status": "received",
            "parts": 1,
            "tm_update": "2026-09-01T08:00:00.497184Z",
        }],
        "text": "Are you open today?",
        "direction": "inbound",
        "tm_create": "2026-09-01T08:00:00.235717Z",
        "tm_update": null,
        "tm_delete": null,
    })
}

async fn send(
    State(platform): State<Platform>,
    Query(credentials): Query<Credentials>,
    Json(body): Json<Sent>,
) -> (StatusCode, Json<Value>) {
    if credentials.accesskey != ACCESS_KEY {
        let error = json!({"error": {"status": 401, "reason": "UNAUTHENTICATED", "message": "no valid credentials"}});
        return (StatusCode::UNAUTHORIZED, Json(error));
    }
    let number = {
        let shared = &platform.0;
        let mut sent = shared.sent.lock().unwrap_or_else(PoisonError::into_inner);
        sent.push(body.clone());
        sent.len()
    };
    let targets: Vec<_> = body
        .destinations
        .iter()
        .map(|destination| json!({"destination": destination, "status": "queued", "parts": 1, "tm_update": null}))
        .collect();
    let message = json!({
        "id": format!("00000000-0000-4000-8000-{number:012}"),
        "customer_id": "cba36057-addc-453d-89c5-fc34d1a8b667",
        "type": "sms",
        "source": body.source,
        "targets": targets,
        "text": body.text,
        "direction": "outbound",
        "tm_create": "2026-09-01T08:00:01.1Z",
        "tm_update": null,
        "tm_delete": null,
    });
    let announced = message.clone();
    tokio::spawn(async move { platform.announce(&announced).await });
    (StatusCode::OK, Json(message))
}
