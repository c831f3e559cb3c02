use serde::{Deserialize, Serialize};
use support::figures::Spread;

use super::{Machine, Measured};

/// How the receiver does with more of everything.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Scale {
    pub(crate) machine: Machine,
    /// How long the clock of a round ran, in seconds.
    pub(crate) seconds: f64,
    /// Deliveries a second that threads of the server's own process hand to the service, by their
    /// number: nothing but the receiver is in it.
    pub(crate) threads: Vec<(usize, Spread)>,
    /// By the number of the server's cores. The sender has the last one, also when it is one of
    /// the server's.
    pub(crate) cores: Vec<Point>,
    /// By the number of connections.
    pub(crate) connections: Vec<Point>,
    /// By the length of the bodies.
    pub(crate) bodies: Vec<Point>,
    pub(crate) identities: Vec<Identities>,
    pub(crate) memory: Memory,
}

/// Rounds of the receiver, and of the server that only reads.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Point {
    pub(crate) at: usize,
    pub(crate) receiver: Vec<Measured>,
    pub(crate) bare: Vec<Measured>,
}

/// What a number of identities costs.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Identities {
    pub(crate) count: usize,
    /// Bytes of memory for each, where the system tells and they are more than it rounds to.
    pub(crate) bytes: Option<f64>,
    /// To find that an event is one of them, in nanoseconds.
    pub(crate) known: f64,
    /// To remember one more.
    pub(crate) new: f64,
}

/// What the memory of a server process goes to, in bytes, where the system tells.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Memory {
    /// Before the first request.
    pub(crate) idle: Option<u64>,
    pub(crate) idle_bare: Option<u64>,
    /// A connection that has been answered once and waits.
    pub(crate) connection: Option<f64>,
    pub(crate) connection_bare: Option<f64>,
    /// An event that waits for its handler, beyond its body.
    pub(crate) queued: Option<f64>,
}
