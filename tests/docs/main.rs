//! What the pages and the examples say, and the order of the rooms, is so.
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

mod examples;
mod packages;
mod pages;
mod performance_page;
mod public;
mod reports;
mod rooms;
mod tutorial;
