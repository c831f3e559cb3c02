//! The program of the page about mounting for axum.
#![allow(clippy::print_stderr, reason = "it is a page's")]

#[macro_use]
mod page;

include!(concat!(env!("OUT_DIR"), "/axum.rs"));
