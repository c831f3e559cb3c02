//! The program of the front page.
#![allow(clippy::print_stderr, reason = "it is a page's")]

#[macro_use]
mod page;

include!(concat!(env!("OUT_DIR"), "/front.rs"));
