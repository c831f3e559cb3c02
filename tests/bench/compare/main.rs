//! The receiver beside other servers that do the same work, or less, or none.
//!
//! `cargo bench -p voipbin-receiver-tests --bench compare` starts all of them, each in a process of
//! its own, and sends to one after the other, round by round, so that what else the machine does
//! hurts all alike. On Linux the servers have one core and the sender another. A ratio is that of
//! one round; figures are medians of the rounds, with the least and the most.
//!
//! First each is sent as much as it takes over 64 connections. Then each is offered events at a few
//! rates, those of them that it can take, and the time of an answer counts from when its event was
//! due.
//!
//! Arguments, after `--`:
//!
//! * `--quick`: shorter rounds.
//! * `--busy`: beside each round a process keeps each core busy, as neighbours on a machine do.
//! * `--only NAME`: this one beside the server that only reads; may be given again.
//! * `--scale`: instead, how the receiver does with more cores, connections, bytes and identities.
//! * `--out DIR`: where figures and plots go, instead of the build's own folder.
//! * `--publish`: they go into the documentation, and the tables into its page.
//! * `--render`: nothing is measured; plots and page are written anew from the figures there.
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
mod inside;
mod measure;
mod report;
mod running;
mod scale;
mod serve;

use std::path::PathBuf;
use std::time::Duration;

use support::load;
use support::process::{Other, keep_to_core};

use crate::contenders::{CONTENDERS, Contender};
use crate::report::{Comparison, Machine, Page, Scale};

/// How much is measured.
#[derive(Clone, Copy)]
struct Effort {
    rounds: usize,
    /// What is sent before the clock of a round runs.
    lead: Duration,
    /// How long the clock of a round runs.
    time: Duration,
    /// Up to how many identities are remembered.
    identities: usize,
}

const FULL: Effort = Effort {
    rounds: 7,
    lead: Duration::from_millis(300),
    time: Duration::from_secs(2),
    identities: 10_000_000,
};

const QUICK: Effort = Effort {
    rounds: 5,
    lead: Duration::from_millis(100),
    time: Duration::from_millis(500),
    identities: 1_000_000,
};

/// Keeps a core busy until this process is killed.
fn stay_busy(core: &str) {
    keep_to_core(core.parse().unwrap());
    loop {
        std::hint::spin_loop();
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args()
        .skip(1)
        .filter(|argument| argument != "--bench")
        .collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    // The parts that run in a process of their own.
    match *arguments.as_slice() {
        ["serve", name, directory, cores] => {
            return serve::run(name, directory.as_ref(), cores);
        }
        ["deliver", threads] => return inside::deliver(threads),
        ["identities", count] => return inside::identities(count),
        ["load", load] => return load::run(load),
        ["busy", core] => return stay_busy(core),
        ["become", program, ref arguments @ ..] => {
            return foreign::become_program(program, arguments);
        }
        _ => {}
    }
    let mut effort = FULL;
    let place = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    let mut page = Page::in_folder(&place.join("compare"));
    let mut only = Vec::new();
    let mut scale = false;
    let mut publish = false;
    let mut busy = false;
    let mut arguments = arguments.into_iter();
    while let Some(argument) = arguments.next() {
        match argument {
            "--quick" => effort = QUICK,
            "--busy" => busy = true,
            "--scale" => scale = true,
            "--only" => {
                let name = arguments.next().expect("a name follows --only");
                let known = CONTENDERS.iter().map(|contender| contender.name);
                let known: Vec<&str> = known.collect();
                assert!(known.contains(&name), "{name} is none of {known:?}");
                only.push(name);
            }
            "--out" => {
                let folder = arguments.next().expect("a directory follows --out");
                page = Page::in_folder(folder.as_ref());
            }
            "--publish" => {
                page = Page::published();
                publish = true;
            }
            "--render" => return Page::published().write(),
            other => panic!("unknown argument: {other}"),
        }
    }
    assert!(
        !publish || (only.is_empty() && !busy),
        "only the whole table, without other work, is published"
    );
    let cores = if busy { Machine::this().cores } else { 0 };
    let neighbours = (0..cores).map(|core| Other::start(&["busy", &core.to_string()]));
    let _neighbours: Vec<Other> = neighbours.collect();
    if scale {
        let scale = scale::all(effort);
        page.keep(Scale::FILE, &scale);
        print!("{}", scale.text());
    } else {
        let wanted = |contender: &&Contender| {
            only.is_empty() || contender.is_the_measure() || only.contains(&contender.name)
        };
        // On the disk of the build, where the one inbox has its files.
        let files = tempfile::tempdir_in(place).unwrap();
        let contenders = CONTENDERS.iter().filter(wanted).collect();
        let comparison = measure::all(contenders, effort, files.path());
        page.keep(Comparison::FILE, &comparison);
        print!("{}", comparison.text());
    }
    page.write();
}
