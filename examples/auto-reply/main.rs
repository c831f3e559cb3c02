//! Answers every SMS that comes in, once, and never its own.
//!
//! `handlers.rs` and `api.rs` are what an application would have. This runs them behind an axum
//! server on loopback, against a stand-in of VoIPBIN that takes the answers and announces them to
//! the webhook, as the real one does:
//!
//! ```sh
//! cargo run -p voipbin-receiver-examples --example auto-reply
//! ```

mod api;
mod demonstration;
mod handlers;
mod platform;

use std::error::Error;
use std::process::ExitCode;

use axum::Router;
use voipbin_receiver::{BuildError, Receiver, handlers};

use crate::api::Api;

/// The whole application, to be given the customer's `webhook_secret`.
fn application(secret: &str, api: Api) -> Result<(Receiver, Router), BuildError> {
    let receiver = Receiver::builder()
        .secret(secret)
        .state(api)
        .handlers(handlers![handlers::answer])
        .build()?;
    let app = Router::new().route_service(demo_support::PATH, receiver.service());
    Ok((receiver, app))
}

#[tokio::main]
async fn main() -> Result<ExitCode, Box<dyn Error>> {
    demo_support::logs();
    demonstration::run().await
}
