//! What the integration tests share.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "this is test code"
)]

mod body;
mod client;
mod clock;
mod examples;
pub mod figures;
mod guard;
mod handlers;
pub mod history;
mod inbox;
mod labels;
pub mod life;
pub mod load;
pub mod process;
mod records;
mod servers;
pub mod standalone;
pub mod stream;
mod tls;
mod wire;

use std::path::Path;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use serde_json::Value;
pub use stand_in as platform;
pub use stand_in::SECRET;
use tower::ServiceExt;
use voipbin_receiver::platform::{Credential, Platform, PlatformBuilder};
pub use voipbin_receiver::testing::Recorder;
use voipbin_receiver::testing::Signer;
use voipbin_receiver::{Receiver, ReceiverBuilder, ReceiverService, ResponseBody};

pub use self::body::Frames;
pub use self::client::{HttpClient, http_client};
pub use self::clock::ManualClock;
pub use self::examples::example;
pub use self::guard::{until, within, within_days};
pub use self::handlers::Valve;
pub use self::inbox::{BeforeRetry, HeldInbox, PreparedInbox, RefusingInbox, Watched};
pub use self::labels::{assert_apart, begins, label, labelled, labelled_call, labels, slow};
pub use self::records::{Record, logged, record_logs};
pub use self::servers::{
    RECEIVED, Stoppable, serve_actix_at, serve_actix_h2c, serve_alone, serve_app, serve_axum,
    serve_axum_at, serve_bare, serve_bare_with, serve_hyper, serve_tls,
};
pub use self::tls::{Certificate, offering, tls_connect};
pub use self::wire::{Reply, Wire, on_the_wire, signed_on_the_wire, with_headers};

/// The path that the servers mount the receiver at.
pub const PATH: &str = "/voipbin/webhook";

/// A client of the stand-in, that may ask as often as it likes.
pub fn api(stand_in: &platform::Platform) -> PlatformBuilder {
    Platform::builder()
        .base_url(stand_in.url())
        .requests_per_second(1000)
        .credential(Credential::access_key(platform::ACCESS_KEY))
}

/// A builder that knows [`SECRET`].
pub fn builder() -> ReceiverBuilder {
    Receiver::builder().secret(SECRET)
}

/// A signer with [`SECRET`].
pub fn signer() -> Signer {
    Signer::new(SECRET)
}

/// The end of a call with this id.
pub fn call_hangup(id: impl std::fmt::Display) -> String {
    format!(
        r#"{{"type":"call_hangup","data":{{"id":"{id}","status":"hangup","hangup_reason":"normal"}}}}"#
    )
}

/// A request as the platform makes it, signed with [`SECRET`].
pub fn signed(body: impl Into<Bytes>) -> Request<Full<Bytes>> {
    signer().request(PATH.parse().unwrap(), body)
}

/// The same without a signature.
pub fn unsigned(body: impl Into<Bytes>) -> Request<Full<Bytes>> {
    let mut request = signed(body);
    request.headers_mut().remove("x-voipbin-signature");
    request
}

/// An answer whose body has been read.
#[derive(Debug)]
pub struct Answer {
    /// Status and headers.
    pub head: http::response::Parts,
    /// The body as JSON.
    pub json: Value,
}

impl Answer {
    /// The status.
    pub fn status(&self) -> StatusCode {
        self.head.status
    }

    /// `status` of the body: `received`, `duplicate` or `refused`.
    pub fn word(&self) -> &str {
        self.text("status")
    }

    /// `code` of the body, of a refusal.
    pub fn code(&self) -> &str {
        self.text("code")
    }

    fn text(&self, key: &str) -> &str {
        self.json
            .get(key)
            .and_then(Value::as_str)
            .unwrap_or_default()
    }

    /// One header, empty when it is missing.
    pub fn header(&self, name: &str) -> &str {
        self.head
            .headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }

    /// Reads a response.
    pub async fn read(response: Response<ResponseBody>) -> Self {
        let (head, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        Self {
            head,
            json: serde_json::from_slice(&bytes).unwrap(),
        }
    }
}

/// Sends one request to a service in this process.
pub async fn send<B>(service: &ReceiverService, request: Request<B>) -> Answer
where
    B: http_body::Body,
{
    Answer::read(service.clone().oneshot(request).await.unwrap()).await
}

/// Sends one signed body to a service in this process.
pub async fn deliver(service: &ReceiverService, body: impl Into<Bytes>) -> Answer {
    send(service, signed(body)).await
}

/// The sample bodies of the repository with their paths: one line each, without the line end.
pub fn fixtures() -> Vec<(String, Vec<u8>)> {
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures")];
    let mut fixtures = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let mut body = std::fs::read(&path).unwrap();
            if body.last() == Some(&b'\n') {
                body.pop();
            }
            fixtures.push((path.to_string_lossy().into_owned(), body));
        }
    }
    fixtures.sort();
    assert!(!fixtures.is_empty());
    fixtures
}

/// The examples of the front page.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
pub struct FrontPage;
