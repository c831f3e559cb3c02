//! The receiver beside other servers that do the same work, or less, or none.
//!
//! `cargo bench -p voipbin-receiver-tests --bench compare` starts all of them, each in a process of its
//! own, and sends to one after the other, round by round, so that what else the machine does hurts all
//! alike. On Linux the servers have one core and the sender another. A ratio is that of one round;
//! figures are medians of the rounds, with the least and the most.
//!
//! First each is sent as much as it takes over 64 connections. Then each is offered events at a few
//! rates, those of them that it can take, and the time of an answer counts from when its event was due.
//!
//! Arguments, after `--`:
//!
//! * `--quick`: shorter rounds.
//! * `--only NAME`: this one beside the server that only reads; may be given again.
//! * `--out DIR`: where the figures go, instead of the build's own folder.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "this is test code"
)]

mod bare;
mod by_hand;
mod contenders;
mod foreign;
mod measure;
mod results;
mod serve;
mod targets;
mod text;

use std::path::PathBuf;
use std::time::Duration;

use support::load;

use crate::contenders::CONTENDERS;

/// How much is measured.
#[derive(Clone, Copy)]
struct Effort {
    rounds: usize,
    /// What is sent before the clock of a round runs.
    lead: Duration,
    /// How long the clock of a round runs.
    time: Duration,
}

const FULL: Effort = Effort {
    rounds: 7,
    lead: Duration::from_millis(300),
    time: Duration::from_secs(2),
};

const QUICK: Effort = Effort {
    rounds: 5,
    lead: Duration::from_millis(100),
    time: Duration::from_millis(500),
};

fn main() {
    let arguments: Vec<String> = std::env::args()
        .skip(1)
        .filter(|argument| argument != "--bench")
        .collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    // The parts that run in a process of their own.
    match *arguments.as_slice() {
        ["serve", name, directory] => return serve::run(name, directory.as_ref()),
        ["load", load] => return load::run(load),
        ["become", program, ref arguments @ ..] => {
            return foreign::become_program(program, arguments);
        }
        _ => {}
    }
    let mut effort = FULL;
    let mut out = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("compare");
    let mut only = Vec::new();
    let mut arguments = arguments.into_iter();
    while let Some(argument) = arguments.next() {
        match argument {
            "--quick" => effort = QUICK,
            "--only" => only.push(arguments.next().expect("a name follows --only")),
            "--out" => out = arguments.next().expect("a directory follows --out").into(),
            other => panic!("unknown argument: {other}"),
        }
    }
    let wanted = CONTENDERS
        .iter()
        .filter(|contender| {
            only.is_empty() || contender.is_the_measure() || only.contains(&contender.name)
        })
        .collect();
    std::fs::create_dir_all(&out).unwrap();
    let results = measure::all(wanted, effort, &out);
    let json = serde_json::to_string_pretty(&results).unwrap();
    std::fs::write(out.join("compare.json"), json + "\n").unwrap();
    print!("{}", text::of(&results));
    println!("written to {}", out.display());
}
