//! Whole requests, from a client in another process to a server in another process.

use std::path::Path;
use std::time::Duration;

use support::figures::{Round, columns, row};
use support::load::{BODY_LENGTH, Load, Pace};
use support::process::Other;

use crate::Effort;
use crate::server::KINDS;

const CONNECTIONS: usize = 64;

pub(crate) fn measure(place: &Path, effort: Effort) {
    println!(
        "Requests of 1.5 KB over {CONNECTIONS} connections: {} rounds of {}",
        effort.rounds, effort.requests
    );
    println!("{:<18} {}", "server", columns(KINDS[0]));
    let servers = KINDS.map(|kind| {
        let directory = place.join("served");
        let mut server = Other::start(&["serve", kind, &directory.to_string_lossy()]);
        (server.line(), server)
    });
    let mut first = 0;
    let mut next = |address: &str, requests: usize| {
        let sent = send(address, requests, first);
        first += requests;
        sent
    };
    for (address, _) in &servers {
        next(address, effort.requests / 4);
    }
    let mut rounds = [const { Vec::new() }; 3];
    for _ in 0..effort.rounds {
        for ((address, _), rounds) in servers.iter().zip(&mut rounds) {
            rounds.push(next(address, effort.requests));
        }
    }
    for (kind, of_kind) in KINDS.iter().zip(&rounds) {
        println!("{kind:<18} {}", row(of_kind, &rounds[0]));
    }
}

fn send(address: &str, requests: usize, first: usize) -> Round {
    let load = Load {
        address: address.parse().unwrap(),
        connections: CONNECTIONS,
        body_length: BODY_LENGTH,
        first,
        pace: Pace::Closed {
            requests,
            lead: Duration::ZERO,
            time: None,
        },
        server: Vec::new(),
        core: None,
        awake: false,
    };
    let sent = load.send();
    assert!(sent.all_received(), "{:?}", sent.answered);
    sent.round
}
