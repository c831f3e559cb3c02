//! The receiver behind real servers and apps, and the client of the platform's API.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "this is test code"
)]

mod apps;
mod clients;
mod disconnect;
mod graceful;
mod history;
mod platform;
mod server;
mod stream;
mod tls;
