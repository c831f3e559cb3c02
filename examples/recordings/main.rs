//! Tells the team of each recording, by mail, as soon as its files can be fetched.
//!
//! `handlers.rs`, `archives.rs` and `team.rs` are what an application would have. This runs them
//! behind an axum server on loopback, against stand-ins of VoIPBIN's API, of its storage and of a
//! mail server:
//!
//! ```sh
//! cargo run -p voipbin-receiver-examples --example recordings
//! ```

mod api;
mod archives;
mod demonstration;
mod handlers;
mod mailbox;
mod team;

use std::error::Error;
use std::process::ExitCode;

use axum::Router;
use voipbin_receiver::{BuildError, HandlerOptions, Receiver, RetryPolicy, handlers};

use crate::archives::Archives;
use crate::team::Team;

/// The whole application, to be given the customer's `webhook_secret`. The default policy waits up
/// to 26 minutes for the files of a recording.
fn application(
    secret: &str,
    archives: Archives,
    team: Team,
    retry: RetryPolicy,
) -> Result<(Receiver, Router), BuildError> {
    let receiver = Receiver::builder()
        .secret(secret)
        .state(archives)
        .state(team)
        .handler_options(HandlerOptions::new().retry(retry))
        .handlers(handlers![handlers::distribute])
        .build()?;
    let app = Router::new().route_service(demo_support::PATH, receiver.service());
    Ok((receiver, app))
}

#[tokio::main]
async fn main() -> Result<ExitCode, Box<dyn Error>> {
    demo_support::logs();
    demonstration::run().await
}
