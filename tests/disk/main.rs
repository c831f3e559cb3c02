//! The inbox on disk when its process is killed, its disk fails or its file is damaged.
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

mod crash;
mod faults;
mod salvage;
