//! The inspector in a browser: what somebody sees and does there.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "this is test code"
)]

mod axe;
#[allow(dead_code, reason = "it is shared with the tests without a browser")]
#[path = "../inspector/fixture.rs"]
mod fixture;
mod hostile;
mod keyboard;
mod live;
mod pictures;
mod screens;
#[allow(
    dead_code,
    reason = "it is shared with the tests of the inbox on PostgreSQL"
)]
#[path = "../postgres/server.rs"]
mod server;
mod site;

/// How long a server may take.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(60);
