//! Processes that die, again and again, while events come and are handled.
//!
//! `CRASH_SEED=…` repeats the moments of a run, as far as the machine's own timing lets it; `CRASH_KILLS=…` says how
//! many there are.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "this is test code"
)]

mod doomed;
mod field;
mod full_disk;
mod kills;
mod process;
