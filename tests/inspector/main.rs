//! The inspector, as somebody sees it who asks by HTTP.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "this is test code"
)]

mod access;
mod bounds;
mod bulk;
mod fixture;
mod hardening;
mod live;
mod mounting;
mod reuse;
mod screens;
