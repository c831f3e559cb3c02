//! Rounds.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use support::load::{BODY_LENGTH, Load, Pace, Sent};
use support::process::{Other, family, memory_of};

use crate::Effort;
use crate::contenders::Contender;
use crate::foreign::Foreign;
use crate::results::{Machine, Measured, Results, Server, Skipped};

const CONNECTIONS: usize = 64;

/// Events a second that are offered to those that can take a quarter more.
const RATES: [usize; 3] = [1_000, 10_000, 30_000];

/// A contender that runs.
struct Running {
    address: SocketAddr,
    family: Vec<u32>,
    /// Until it is dropped.
    _process: Other,
    /// Events that it was sent.
    sent: usize,
    /// How many a second it took at the last.
    takes: f64,
    results: Server,
}

impl Running {
    fn start(contender: &Contender, foreign: &Foreign, place: &Path) -> Result<Self, String> {
        let mut process = contender.start(foreign, &place.join(contender.name))?;
        let address = process.line().parse().unwrap();
        let family = family(process.id());
        Ok(Self {
            address,
            results: Server {
                name: contender.name.to_owned(),
                what: contender.what.to_owned(),
                closed: Vec::new(),
                open: Default::default(),
                idle_memory: memory_of(&family, "VmRSS:"),
                memory: None,
                requests: 0,
            },
            family,
            _process: process,
            sent: 0,
            takes: 0.0,
        })
    }

    fn send(&mut self, pace: Pace) -> Sent {
        let load = Load {
            address: self.address,
            connections: CONNECTIONS,
            body_length: BODY_LENGTH,
            first: self.sent,
            pace,
            server: self.family.clone(),
            core: Some(1),
        };
        let sent = load.send();
        assert!(
            sent.all_received(),
            "{} answered {:?}",
            self.results.name,
            sent.answered
        );
        self.sent += sent.requests;
        sent
    }

    /// As much as it takes.
    fn saturate(&mut self, lead: Duration, time: Duration) -> Sent {
        let expected = self.takes * (lead + time).as_secs_f64();
        let requests = (expected * 1.5) as usize + 20_000;
        let time = Some(time);
        let sent = self.send(Pace::Closed {
            requests,
            lead,
            time,
        });
        self.takes = sent.round.per_second;
        sent
    }

    fn can_take(&self, rate: usize) -> bool {
        let taken = self.results.per_second();
        taken.is_some_and(|taken| taken.middle > rate as f64 * 1.25)
    }
}

pub(crate) fn all(contenders: Vec<&Contender>, effort: Effort, out: &Path) -> Results {
    let place = tempfile::tempdir_in(out).unwrap();
    let foreign = Foreign::new();
    let mut running = Vec::new();
    let mut skipped = Vec::new();
    let mut versions = BTreeMap::new();
    for contender in contenders {
        match Running::start(contender, &foreign, place.path()) {
            Ok(server) => {
                versions.extend(contender.versions(&foreign));
                running.push(server);
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
    for server in &mut running {
        for _ in 0..2 {
            server.saturate(Duration::ZERO, effort.time / 2);
        }
    }
    let count = running.len();
    for round in 0..effort.rounds {
        // Nobody always comes after the same.
        for place in (0..count).map(|place| (place + round) % count) {
            let sent = running[place].saturate(effort.lead, effort.time);
            running[place].results.closed.push(Measured::of(&sent));
        }
        eprintln!("round {} of {}", round + 1, effort.rounds);
    }
    for rate in RATES {
        for round in 0..effort.rounds {
            for place in (0..count).map(|place| (place + round) % count) {
                let server = &mut running[place];
                if !server.can_take(rate) {
                    continue;
                }
                let sent = server.send(Pace::Open {
                    rate: rate as f64,
                    lead: effort.lead,
                    time: effort.time,
                });
                let rounds = server.results.open.entry(rate).or_default();
                rounds.push(Measured::of(&sent));
            }
        }
        eprintln!("{rate} a second");
    }
    let servers = running.into_iter().map(|server| Server {
        memory: memory_of(&server.family, "VmRSS:"),
        requests: server.sent,
        ..server.results
    });
    Results {
        machine: Machine::this(),
        connections: CONNECTIONS,
        body_length: BODY_LENGTH,
        seconds: effort.time.as_secs_f64(),
        servers: servers.collect(),
        skipped,
        versions,
    }
}

impl Measured {
    fn of(sent: &Sent) -> Self {
        Self {
            round: sent.round,
            server_cpu: sent.server_cpu,
            sender_busy: sent.busy,
        }
    }
}

impl Machine {
    fn this() -> Self {
        let text = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let processors = text("/proc/cpuinfo");
        let processor = processors.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            (name.trim() == "model name").then(|| value.trim().to_owned())
        });
        let release = text("/proc/sys/kernel/osrelease");
        Self {
            system: format!("{} {}", std::env::consts::OS, release.trim()),
            processor: processor.unwrap_or_else(|| std::env::consts::ARCH.to_owned()),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
        }
    }
}
