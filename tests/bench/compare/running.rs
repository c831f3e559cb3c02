//! A server that runs, and what it is sent.

use std::net::SocketAddr;
use std::time::Duration;

use support::load::{Load, Pace, Sent};
use support::process::{Other, family, memory_of};

/// A server in a process of its own, until it is dropped.
pub(crate) struct Running {
    name: String,
    address: SocketAddr,
    family: Vec<u32>,
    _process: Other,
    /// The core of the sender.
    sender: usize,
    /// Whether the server uses another.
    alone: bool,
    /// Events that it was sent.
    pub(crate) sent: usize,
    /// How many a second it took at the last.
    takes: f64,
}

/// How it is sent to.
#[derive(Clone, Copy)]
pub(crate) struct Shape {
    pub(crate) connections: usize,
    pub(crate) body_length: usize,
}

impl Running {
    /// Takes on a server that was started, and that is sent to from this core, which is the
    /// sender's alone or one of the server's too.
    pub(crate) fn new(name: &str, mut process: Other, sender: usize, alone: bool) -> Self {
        let address = process.line().parse().unwrap();
        Self {
            name: name.to_owned(),
            address,
            family: family(process.id()),
            _process: process,
            sender,
            alone,
            sent: 0,
            takes: 0.0,
        }
    }

    /// Bytes of memory that it has, where the system tells.
    pub(crate) fn memory(&self) -> Option<u64> {
        memory_of(&self.family, "VmRSS:")
    }

    /// Sends, and takes nothing but a 200 for an answer.
    pub(crate) fn send(&mut self, shape: Shape, pace: Pace) -> Sent {
        let load = Load {
            address: self.address,
            connections: shape.connections,
            body_length: shape.body_length,
            first: self.sent,
            pace,
            server: self.family.clone(),
            core: Some(self.sender),
            awake: self.alone,
        };
        let sent = load.send();
        let answered = &sent.answered;
        assert!(sent.all_received(), "{} answered {answered:?}", self.name);
        self.sent += sent.requests;
        sent
    }

    /// Sends as much as it takes.
    pub(crate) fn saturate(&mut self, shape: Shape, lead: Duration, time: Duration) -> Sent {
        let expected = (self.takes * (lead + time).as_secs_f64() * 2.0) as usize;
        // Enough to find out how many it takes, and not a gigabyte to sign.
        let least = 40_000.min((64 << 20) / shape.body_length);
        let pace = Pace::Closed {
            requests: expected.max(least).max(2 * shape.connections),
            lead,
            time: Some(time),
        };
        let sent = self.send(shape, pace);
        self.takes = sent.round.per_second;
        sent
    }

    /// Finds out how many a second it takes in this shape, before anything is measured.
    pub(crate) fn warm_up(&mut self, shape: Shape, time: Duration) {
        self.takes = 0.0;
        for _ in 0..2 {
            self.saturate(shape, Duration::ZERO, time);
        }
    }
}
