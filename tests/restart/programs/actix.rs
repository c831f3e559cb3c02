//! The program of the page about mounting for actix-web.
#![allow(clippy::print_stderr, reason = "it is a page's")]

#[macro_use]
mod page;

include!(concat!(env!("OUT_DIR"), "/actix.rs"));
