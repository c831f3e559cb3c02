//! Whole requests, from a client in another process to a server in another process.

use std::path::Path;

use crate::Effort;
use crate::figures::{Round, columns, row};
use crate::process::Other;
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
    let (requests, connections) = (requests.to_string(), CONNECTIONS.to_string());
    let first = first.to_string();
    let line = Other::start(&["load", address, &requests, &connections, &first]).rest();
    let figures: Vec<f64> = line
        .split_whitespace()
        .map(|figure| figure.parse().unwrap())
        .collect();
    Round {
        per_second: figures[0],
        p50: figures[1],
        p99: figures[2],
        written: None,
    }
}
