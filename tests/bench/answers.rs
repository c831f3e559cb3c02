//! Whether handlers slow the answer, and what happens when more comes than can be kept.
//!
//! `cargo bench -p voipbin-receiver-tests --bench answers` offers 10,000 events a second for 30
//! seconds to a receiver whose handlers return at once, and to one whose handlers take 50 ms, in
//! turns. A ratio is that of one turn. Then it offers 40,000 a second to one that may keep 2,000
//! events, and counts the answers and what was handled.
//!
//! An event is offered when its time has come, whether or not the one before was answered, and the
//! time of its answer counts from then. Beside the p99 of each turn stands that of its median
//! second: what stops the machine for a moment hits whoever has the turn, and few seconds of it.
//!
//! The sender is a process of its own, and so is each receiver; on Linux all receivers have one
//! core and the sender another.
//!
//! Arguments, after `--`: `--quick` for 5 seconds each.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "this is test code"
)]

mod sleepers;

use std::time::Duration;

use support::figures::{Round, Spread};
use support::load::{self, BODY_LENGTH, Load, Pace, Sent};
use support::process::Other;

const RATE: usize = 10_000;
const FLOOD: usize = 40_000;
const ROUNDS: usize = 5;

fn main() {
    let arguments: Vec<String> = std::env::args()
        .skip(1)
        .filter(|argument| argument != "--bench")
        .collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    // The parts that run in a process of their own.
    let time = match *arguments.as_slice() {
        ["serve", kind] => return sleepers::run(kind),
        ["load", load] => return load::run(load),
        [] => Duration::from_secs(30),
        ["--quick"] => Duration::from_secs(5),
        _ => panic!("unknown arguments: {arguments:?}"),
    };
    unharmed(time);
    flooded(time);
}

/// Offers so many a second, from another process.
fn offer(address: &str, rate: usize, time: Duration, first: usize) -> Sent {
    let load = Load {
        address: address.parse().unwrap(),
        connections: 64,
        body_length: BODY_LENGTH,
        first,
        pace: Pace::Open {
            rate: rate as f64,
            lead: Duration::ZERO,
            time,
        },
        server: Vec::new(),
        core: Some(1),
        awake: false,
    };
    load.send()
}

/// The times of answers beside handlers that take their time.
fn unharmed(time: Duration) {
    println!("{RATE} events a second for {time:?}, {ROUNDS} times");
    let kinds = ["instant", "sleeping"];
    let mut servers = kinds.map(|kind| {
        let mut server = Other::start(&["serve", kind]);
        (server.line(), server)
    });
    let mut first = 0;
    let mut next = |address: &str, time| {
        let sent = offer(address, RATE, time, first);
        first += sent.requests;
        sent
    };
    for (address, _) in &servers {
        next(address, time / 10);
    }
    let mut rounds: [Vec<Round>; 2] = [Vec::new(), Vec::new()];
    let mut sent = [0, 0];
    for _ in 0..ROUNDS {
        for (place, (address, _)) in servers.iter().enumerate() {
            let round = next(address, time);
            assert!(round.all_received(), "{:?}", round.answered);
            sent[place] += round.requests;
            rounds[place].push(round.round);
        }
    }
    let spread = |of: &[Round], value: fn(&Round) -> f64| {
        Spread::of(of.iter().map(value)).map(|spread| format!("{spread:.2}"))
    };
    println!(
        "{:<10} {:>10} {:>20} {:>20} {:>20} {:>20}",
        "handlers", "events", "a second", "p50 ms", "p99 ms", "p99 of a second"
    );
    for (place, kind) in kinds.iter().enumerate() {
        let of = &rounds[place];
        println!(
            "{kind:<10} {:>10} {:>20} {:>20} {:>20} {:>20}",
            sent[place],
            Spread::of(of.iter().map(|round| round.per_second))
                .map_or(String::new(), |spread| format!("{spread:.0}")),
            spread(of, |round| round.p50).unwrap_or_default(),
            spread(of, |round| round.p99).unwrap_or_default(),
            spread(of, |round| round.p99_of_a_second).unwrap_or_default(),
        );
    }
    let [instant, sleeping] = &rounds;
    let ratio = |value: fn(&Round) -> f64| {
        let ratios = sleeping.iter().zip(instant);
        Spread::of(ratios.map(|(a, b)| value(a) / value(b))).unwrap()
    };
    println!(
        "beside handlers of 50 ms, of that beside instant ones: p99 {:.2}, that of a second {:.2}",
        ratio(|round| round.p99),
        ratio(|round| round.p99_of_a_second),
    );
    for (_, server) in &mut servers {
        server.close_input();
        println!("{}", server.line());
    }
}

/// More than can be kept: each is answered 200 or 503, and each 200 is handled.
fn flooded(time: Duration) {
    let mut server = Other::start(&["serve", "small"]);
    let address = server.line();
    let sent = offer(&address, FLOOD, time, 0);
    server.close_input();
    let line = server.line();
    let (kept, refused) = (sent.with(200), sent.with(503));
    println!();
    println!("{FLOOD} events a second for {time:?} to an inbox of 2,000 events");
    println!(
        "{} offered at {:.0} a second: {kept} were answered 200 and {refused} 503, p99 {:.2} ms",
        sent.requests, sent.round.per_second, sent.round.p99
    );
    println!("{line}");
    assert_eq!(kept + refused, sent.requests);
    let handled = format!("accepted {kept}, handled {kept}, left 0");
    assert_eq!(
        line, handled,
        "a 200 that was not handled, or the other way round"
    );
}
