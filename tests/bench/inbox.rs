//! What keeping an event on disk costs, beside the least that it can cost.
//!
//! `cargo bench -p voipbin-receiver-tests --bench inbox` prints two tables. One sets the inbox on
//! disk beside a plain file that events are appended to, with the same number of senders and as
//! many events waiting for one sync. The other sets receivers beside a server that only reads the
//! body. What is compared takes turns, round by round, so that what else the machine does hurts all
//! of it alike; figures are medians of the rounds, with the least and the most, and a ratio is that
//! of one round. Bytes written are those of an event with a body of 1,536.
//!
//! Arguments, after `--`:
//!
//! * `--quick`: fewer and shorter rounds.
//! * `--only keep` or `--only http`: one of the two tables.
//! * `--dir DIR`: where the files go, instead of the build's own folder. It must be on a real disk.
//! * `--reopen [EVENTS]`: instead, how long an inbox takes to open after a kill, and what its file
//!   shrinks to.
//! * `--failing [EVENTS]`: instead, what is written for a handler that always fails.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "this is test code"
)]

mod appended;
mod events;
mod failing;
mod http;
mod keep;
mod reopen;
mod server;

use std::path::PathBuf;
use std::time::Duration;

/// How much is measured.
#[derive(Clone, Copy)]
struct Effort {
    rounds: usize,
    /// About how long a round of one kind takes.
    round: Duration,
    /// Requests of a round over HTTP.
    requests: usize,
}

const FULL: Effort = Effort {
    rounds: 7,
    round: Duration::from_millis(700),
    requests: 16_000,
};

const QUICK: Effort = Effort {
    rounds: 5,
    round: Duration::from_millis(200),
    requests: 4_000,
};

/// How many events are left behind by the process that is killed.
const LEFT_BEHIND: usize = 1_000_000;

/// How many events fail.
const FAILING: usize = 5_000;

fn main() {
    let arguments: Vec<String> = std::env::args()
        .skip(1)
        .filter(|argument| argument != "--bench")
        .collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    // The parts that run in a process of their own.
    match *arguments.as_slice() {
        ["serve", kind, directory] => return server::run(kind, directory.as_ref()),
        ["load", load] => return support::load::run(load),
        ["fill", directory, events] => {
            return reopen::fill(directory.as_ref(), events.parse().unwrap());
        }
        ["identities", events] => return reopen::identities(events.parse().unwrap()),
        ["open", directory, events] => {
            return reopen::open(directory.as_ref(), events.parse().unwrap());
        }
        _ => {}
    }
    let mut effort = FULL;
    let mut place = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    let mut left_behind = None;
    let mut failing = None;
    let mut only = None;
    let mut arguments = arguments.into_iter().peekable();
    while let Some(argument) = arguments.next() {
        match argument {
            "--quick" => effort = QUICK,
            "--only" => only = arguments.next(),
            "--dir" => place = arguments.next().unwrap().into(),
            "--reopen" => {
                let events = arguments.next_if(|next| !next.starts_with('-'));
                left_behind = Some(events.map_or(LEFT_BEHIND, |events| events.parse().unwrap()));
            }
            "--failing" => {
                let events = arguments.next_if(|next| !next.starts_with('-'));
                failing = Some(events.map_or(FAILING, |events| events.parse().unwrap()));
            }
            other => panic!("unknown argument: {other}"),
        }
    }
    let place = tempfile::tempdir_in(place).unwrap();
    match (left_behind, failing) {
        (Some(events), _) => reopen::measure(place.path(), events),
        (None, Some(events)) => failing::measure(place.path(), events),
        (None, None) => {
            if only != Some("http") {
                keep::measure(place.path(), effort);
            }
            if only != Some("keep") {
                http::measure(place.path(), effort);
            }
        }
    }
}
