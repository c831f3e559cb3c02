//! The sender of load: one thread, one loop over its sockets, and nothing in it that it could do
//! before its clock runs.
//!
//! Every request is an event of its own with a signature of its own. All are signed beforehand; of
//! each only what differs is held, and is written into the bytes of its connection as it leaves. Of
//! an answer only the status, the length and whether the connection goes on is read.

mod client;
mod connection;
mod reply;
mod requests;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use self::client::Client;
pub use self::requests::BODY_LENGTH;
use crate::figures::Round;
use crate::process::{Other, keep_to_core};

/// What is to be sent.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Load {
    /// To where.
    pub address: SocketAddr,
    /// Over how many connections, all of them open before the first request.
    pub connections: usize,
    /// How long each body is, in bytes: [`BODY_LENGTH`], or more than 120.
    pub body_length: usize,
    /// The number of the first event. Events of different numbers are different.
    pub first: usize,
    /// When requests leave.
    pub pace: Pace,
    /// The processes of the server, whose CPU time is told.
    pub server: Vec<u32>,
    /// To which of the cores this sender keeps, where the system can.
    pub core: Option<usize>,
    /// Whether it never sleeps, as on a core that nobody else needs. Whoever sends to a sleeping
    /// process of the same machine pays for its waking, which a server on another machine does not;
    /// and the slower a server, the more often its sender sleeps.
    pub awake: bool,
}

/// When requests leave.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub enum Pace {
    /// Each connection sends again as soon as it is answered: as much as the server can take.
    Closed {
        /// How many requests there are. With the last of them it ends before its time.
        requests: usize,
        /// What is sent before the clock runs.
        lead: Duration,
        /// How long the clock runs. Without it, until all requests are answered.
        time: Option<Duration>,
    },
    /// So many a second, whether or not others are answered. The time of an answer counts from when
    /// its request was due, so that a server that stalls does not hide for how many it did.
    Open {
        /// Requests a second.
        rate: f64,
        /// What is sent before the clock runs.
        lead: Duration,
        /// How long the clock runs.
        time: Duration,
    },
}

/// What became of a [`Load`].
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Sent {
    /// Requests that left, before the clock ran and after it too. All were answered.
    pub requests: usize,
    /// Their answers by status.
    pub answered: BTreeMap<u16, usize>,
    /// What was measured while the clock ran.
    pub round: Round,
    /// CPU time of the server for each answer, in microseconds, where the system tells.
    pub server_cpu: Option<f64>,
    /// Memory of the server while the connections are still open, in bytes, where the system tells.
    pub server_memory: Option<u64>,
    /// The part of its time that this sender was busy. Near 1 it is the sender that is measured.
    pub busy: f64,
    /// Connections that the server closed after an answer and that were opened again.
    pub reopened: usize,
}

impl Load {
    /// Sends it from another process.
    pub fn send(&self) -> Sent {
        let load = serde_json::to_string(self).unwrap();
        let sent = Other::start(&["load", &load]).rest();
        serde_json::from_str(&sent).unwrap()
    }

    /// Sends it from this thread, for a test of the sender itself.
    pub fn send_here(self) -> Sent {
        Client::new(self).send()
    }
}

impl Sent {
    /// How many answers had this status.
    pub fn with(&self, status: u16) -> usize {
        self.answered.get(&status).copied().unwrap_or_default()
    }

    /// Whether every answer was a 200.
    pub fn all_received(&self) -> bool {
        self.with(200) == self.requests
    }
}

/// What the other process does: sends a [`Load`] in JSON, and prints what became of it.
#[expect(clippy::print_stdout, reason = "this is how it answers")]
pub fn run(load: &str) {
    let load: Load = serde_json::from_str(load).unwrap();
    if let Some(core) = load.core {
        keep_to_core(core);
    }
    let sent = Client::new(load).send();
    println!("{}", serde_json::to_string(&sent).unwrap());
}
