use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use support::figures::{Round, Spread};
use support::load::Sent;

use super::Machine;

/// The receiver beside other servers.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Comparison {
    pub(crate) machine: Machine,
    /// Connections of each round.
    pub(crate) connections: usize,
    /// Bytes of a body.
    pub(crate) body_length: usize,
    /// How long the clock of a round ran, in seconds.
    pub(crate) seconds: f64,
    /// The first is what the others are measured by.
    pub(crate) servers: Vec<Server>,
    /// Those that could not be had here.
    pub(crate) skipped: Vec<Skipped>,
    /// Of what the servers are made of.
    pub(crate) versions: BTreeMap<String, String>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Skipped {
    pub(crate) name: String,
    pub(crate) what: String,
    pub(crate) why: String,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Server {
    pub(crate) name: String,
    pub(crate) what: String,
    /// Rounds in which it was sent as much as it takes, in the order of time: of all servers alike.
    pub(crate) closed: Vec<Measured>,
    /// Rounds by the events that were offered in a second. Not those that it cannot take.
    pub(crate) open: BTreeMap<usize, Vec<Measured>>,
    /// Bytes of memory before the first request.
    pub(crate) idle_memory: Option<u64>,
    /// And at the end, when it had been sent so many.
    pub(crate) memory: Option<u64>,
    pub(crate) requests: usize,
}

/// A round.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Measured {
    pub(crate) round: Round,
    /// CPU time of the server for each answer, in microseconds.
    pub(crate) server_cpu: Option<f64>,
    /// The part of its time that the sender was busy.
    pub(crate) sender_busy: f64,
}

impl Measured {
    pub(crate) fn of(sent: &Sent) -> Self {
        Self {
            round: sent.round,
            server_cpu: sent.server_cpu,
            sender_busy: sent.busy,
        }
    }
}

impl Comparison {
    /// The server of this name, when it took part.
    pub(crate) fn server(&self, name: &str) -> Option<&Server> {
        self.servers.iter().find(|server| server.name == name)
    }
}

impl Server {
    /// What it takes a second.
    pub(crate) fn per_second(&self) -> Option<Spread> {
        Spread::of(self.closed.iter().map(|round| round.round.per_second))
    }

    /// What it takes a second, of what another takes.
    pub(crate) fn ratio(&self, other: &Self) -> Option<Spread> {
        Spread::of(self.ratios(other))
    }

    /// The same of each round.
    pub(crate) fn ratios(&self, other: &Self) -> impl Iterator<Item = f64> {
        let pairs = self.closed.iter().zip(&other.closed);
        pairs.map(|(own, other)| own.round.per_second / other.round.per_second)
    }

    /// Its CPU time for a request, of that of another.
    pub(crate) fn cpu_ratio(&self, other: &Self) -> Option<Spread> {
        let pairs = self.closed.iter().zip(&other.closed);
        Spread::of(pairs.filter_map(|(own, other)| Some(own.server_cpu? / other.server_cpu?)))
    }
}
