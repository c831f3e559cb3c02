//! How the receiver does with more cores, connections, bytes and identities, and what its memory
//! goes to.

use std::time::Duration;

use support::figures::Spread;
use support::load::{BODY_LENGTH, Pace};
use support::process::Other;

use crate::Effort;
use crate::measure::in_turns;
use crate::report::{Identities, Machine, Measured, Memory, Point, Scale};
use crate::running::{Running, Shape};

const CONNECTIONS: [usize; 6] = [1, 8, 64, 512, 4_096, 10_000];
const BODIES: [usize; 5] = [200, BODY_LENGTH, 16 << 10, 128 << 10, 1_000_000];
const IDENTITIES: [usize; 5] = [1_000, 10_000, 100_000, 1_000_000, 10_000_000];
/// Those that are held open, and those that are queued, to see what one takes.
const HELD: usize = 10_000;
const QUEUED: usize = 50_000;

const USUAL: Shape = Shape {
    connections: 64,
    body_length: BODY_LENGTH,
};

pub(crate) fn all(effort: Effort) -> Scale {
    let machine = Machine::this();
    let cores = machine.cores;
    eprintln!("cores");
    let threads = (1..=cores).map(|count| (count, threads(count, effort)));
    let threads = threads.collect();
    let by_cores = (1..=cores).map(|count| {
        let mut pair = [start("receiver-wide", count), start("hyper", count)];
        point(count, &mut pair, USUAL, effort)
    });
    let by_cores = by_cores.collect();
    let mut pair = [start("receiver-wide", 1), start("hyper", 1)];
    eprintln!("connections");
    let connections = CONNECTIONS.map(|connections| {
        let shape = Shape {
            connections,
            ..USUAL
        };
        point(connections, &mut pair, shape, effort)
    });
    eprintln!("bodies");
    let bodies = BODIES.map(|body_length| {
        let shape = Shape {
            body_length,
            ..USUAL
        };
        point(body_length, &mut pair, shape, effort)
    });
    eprintln!("identities");
    let counts = IDENTITIES
        .iter()
        .filter(|count| **count <= effort.identities);
    let identities = counts.map(|count| {
        let line = Other::start(&["identities", &count.to_string()]).rest();
        serde_json::from_str::<Identities>(&line).unwrap()
    });
    let identities = identities.collect();
    eprintln!("memory");
    Scale {
        machine,
        seconds: effort.time.as_secs_f64(),
        threads,
        cores: by_cores,
        connections: connections.into(),
        bodies: bodies.into(),
        identities,
        memory: memory(),
    }
}

fn start(name: &str, cores: usize) -> Running {
    let process = Other::start(&["serve", name, "", &cores.to_string()]);
    let last = Machine::this().cores - 1;
    Running::new(name, process, last, cores <= last)
}

fn point(at: usize, pair: &mut [Running; 2], shape: Shape, effort: Effort) -> Point {
    for server in &mut *pair {
        server.warm_up(shape, effort.time / 4);
    }
    let mut entrants: Vec<_> = pair.iter_mut().map(|server| (server, Vec::new())).collect();
    in_turns(&mut entrants, effort.rounds, |(server, rounds)| {
        let sent = server.saturate(shape, effort.lead, effort.time);
        rounds.push(Measured::of(&sent));
    });
    let mut rounds = entrants.into_iter().map(|(_, rounds)| rounds);
    Point {
        at,
        receiver: rounds.next().unwrap(),
        bare: rounds.next().unwrap(),
    }
}

/// Deliveries a second, from so many threads.
fn threads(count: usize, effort: Effort) -> Spread {
    let rounds = (0..effort.rounds).map(|_| {
        let line = Other::start(&["deliver", &count.to_string()]).rest();
        line.trim().parse::<f64>().unwrap()
    });
    Spread::of(rounds).unwrap()
}

fn memory() -> Memory {
    let [receiver, bare] = ["receiver-wide", "hyper"].map(connection);
    Memory {
        idle: receiver.0,
        idle_bare: bare.0,
        connection: receiver.1,
        connection_bare: bare.1,
        queued: queued(),
    }
}

/// What a server takes before anything comes, and for each connection.
fn connection(name: &str) -> (Option<u64>, Option<f64>) {
    let mut server = start(name, 1);
    let idle = server.memory();
    let mut with = |connections: usize| {
        let shape = Shape {
            connections,
            ..USUAL
        };
        server
            .send(shape, once(connections.max(HELD)))
            .server_memory
    };
    // The first ones leave behind what later ones need as well.
    let few = with(1);
    let many = with(HELD);
    let each = few.zip(many).map(|(few, many)| {
        let more = many.saturating_sub(few);
        more as f64 / HELD as f64
    });
    (idle, each)
}

/// What an event takes that waits for its handler.
fn queued() -> Option<f64> {
    let mut server = start("receiver-stuck", 1);
    let before = server.send(USUAL, once(QUEUED / 10)).server_memory?;
    let after = server.send(USUAL, once(QUEUED)).server_memory?;
    Some(after.saturating_sub(before) as f64 / QUEUED as f64 - BODY_LENGTH as f64)
}

fn once(requests: usize) -> Pace {
    Pace::Closed {
        requests,
        lead: Duration::ZERO,
        time: None,
    }
}
