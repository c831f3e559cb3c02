//! The receiver in one process: requests in, handlers out, without a port.
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

mod accept;
mod arguments;
mod catalog;
mod chaos;
mod dispatch;
mod drain;
mod gate;
mod handlers;
mod handover;
mod health;
mod hooks;
mod identity;
mod inbox;
mod lanes;
mod layers;
mod limits;
mod own_inbox;
mod pauses;
mod properties;
mod resources;
mod resume;
mod retry;
mod service;
mod stale;
mod strict;
mod testing_kit;
