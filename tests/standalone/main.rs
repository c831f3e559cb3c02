//! The standalone example, as a process: its options, settings, commands and metrics.
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

mod catch_up;
mod configuration;
mod inbox_tools;
mod inspector;
mod lifecycle;
mod listen;
mod metrics;
mod options;
mod secrecy;
mod take_over;
mod trigger;
mod webhook;
