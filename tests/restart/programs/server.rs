//! The program of the page about mounting for a server of its own.
#![allow(clippy::print_stderr, reason = "it is a page's")]

#[macro_use]
mod page;

include!(concat!(env!("OUT_DIR"), "/server.rs"));
