//! What is logged. These record all that their process logs, so it is theirs alone.
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

mod connections;
mod deliveries;
mod diagnosis;
mod subscriber_that_panics;
