//! The program for people from Flask and Express.
#![allow(clippy::print_stderr, reason = "it is a page's")]

#[macro_use]
mod page;

include!(concat!(env!("OUT_DIR"), "/coming_from.rs"));
