//! The rounds of the comparison.

use std::collections::BTreeMap;
use std::path::Path;

use support::load::{BODY_LENGTH, Pace};

use crate::Effort;
use crate::contenders::Contender;
use crate::foreign::Foreign;
use crate::report::{Comparison, Machine, Measured, Server, Skipped};
use crate::running::{Running, Shape};

const SHAPE: Shape = Shape {
    connections: 64,
    body_length: BODY_LENGTH,
};

/// Events a second that are offered to those that can take a quarter more.
const RATES: [usize; 3] = [1_000, 10_000, 30_000];

/// A server with what was measured of it.
struct Entrant {
    running: Running,
    results: Server,
}

impl Entrant {
    fn start(contender: &Contender, foreign: &Foreign, place: &Path) -> Result<Self, String> {
        let process = contender.start(foreign, &place.join(contender.name))?;
        let running = Running::new(contender.name, process, 1, Machine::this().cores > 1);
        let results = Server {
            name: contender.name.to_owned(),
            what: contender.what.to_owned(),
            closed: Vec::new(),
            open: BTreeMap::new(),
            idle_memory: running.memory(),
            memory: None,
            requests: 0,
        };
        Ok(Self { running, results })
    }

    fn can_take(&self, rate: usize) -> bool {
        let taken = self.results.per_second();
        taken.is_some_and(|taken| taken.middle > rate as f64 * 1.25)
    }
}

pub(crate) fn all(contenders: Vec<&Contender>, effort: Effort, place: &Path) -> Comparison {
    let foreign = Foreign::new();
    let mut entrants = Vec::new();
    let mut skipped = Vec::new();
    let mut versions = BTreeMap::new();
    for contender in contenders {
        match Entrant::start(contender, &foreign, place) {
            Ok(entrant) => {
                versions.extend(contender.versions(&foreign));
                entrants.push(entrant);
            }
            Err(why) => {
                eprintln!("\n!!! WITHOUT {}: {why}\n", contender.what);
                skipped.push(Skipped {
                    name: contender.name.to_owned(),
                    what: contender.what.to_owned(),
                    why,
                });
            }
        }
    }
    for Entrant { running, .. } in &mut entrants {
        running.warm_up(SHAPE, effort.time / 2);
    }
    in_turns(&mut entrants, effort.rounds, |entrant| {
        let sent = entrant.running.saturate(SHAPE, effort.lead, effort.time);
        entrant.results.closed.push(Measured::of(&sent));
    });
    for rate in RATES {
        in_turns(&mut entrants, effort.rounds, |entrant| {
            if entrant.can_take(rate) {
                let pace = Pace::Open {
                    rate: rate as f64,
                    lead: effort.lead,
                    time: effort.time,
                };
                let sent = entrant.running.send(SHAPE, pace);
                let rounds = entrant.results.open.entry(rate).or_default();
                rounds.push(Measured::of(&sent));
            }
        });
    }
    let servers = entrants.into_iter().map(|entrant| Server {
        memory: entrant.running.memory(),
        requests: entrant.running.sent,
        ..entrant.results
    });
    Comparison {
        machine: Machine::this(),
        connections: SHAPE.connections,
        body_length: SHAPE.body_length,
        seconds: effort.time.as_secs_f64(),
        servers: servers.collect(),
        skipped,
        versions,
    }
}

/// Rounds in which everybody has a turn, and nobody always comes after the same.
pub(crate) fn in_turns<T>(entrants: &mut [T], rounds: usize, mut turn: impl FnMut(&mut T)) {
    let count = entrants.len();
    for round in 0..rounds {
        for place in 0..count {
            turn(&mut entrants[(place + round) % count]);
        }
        eprint!(".");
    }
    eprintln!();
}
