//! A CRM that knows who called, for how long, and how it ended: call events into SQLite.
//!
//! `handlers.rs` and `contacts.rs` are what an application would have. This runs them behind an
//! axum server on loopback and sends the events that a naive CRM gets wrong:
//!
//! ```sh
//! cargo run -p voipbin-receiver-examples --example crm
//! ```

mod contacts;
mod demonstration;
mod events;
mod handlers;
mod number;

use std::error::Error;
use std::process::ExitCode;

use axum::Router;
use voipbin_receiver::{BuildError, Receiver, handlers};

use crate::contacts::Contacts;

/// The whole application, to be given the customer's `webhook_secret`.
fn application(secret: &str, contacts: Contacts) -> Result<(Receiver, Router), BuildError> {
    let receiver = Receiver::builder()
        .secret(secret)
        .state(contacts)
        .handlers(handlers![handlers::mark_busy, handlers::update_contact])
        .build()?;
    let app = Router::new().route_service(demo_support::PATH, receiver.service());
    Ok((receiver, app))
}

#[tokio::main]
async fn main() -> Result<ExitCode, Box<dyn Error>> {
    demo_support::logs();
    demonstration::run().await
}
