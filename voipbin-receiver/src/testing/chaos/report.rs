use std::collections::{BTreeSet, HashSet};
use std::fmt;
use std::time::Duration;

use http::StatusCode;

use crate::testing::Report;

/// What a [`Chaos`](super::Chaos) did. Events are told by their places in the list that was sent.
///
/// It prints as a table without bodies, for the message of an assertion; the seed is in its first
/// line.
#[derive(Debug)]
#[must_use]
#[non_exhaustive]
pub struct ChaosReport {
    /// The seed, to do the same again.
    pub seed: u64,
    pub(super) events: usize,
    /// The deliveries with all their attempts, by event and copy. An event that was dropped has
    /// none.
    pub deliveries: Vec<ChaosDelivery>,
    /// The requests that reached the receiver, in the order in which they did: copies and further
    /// attempts as well.
    pub arrivals: Vec<Arrival>,
}

/// One delivery as its sender saw it.
#[derive(Debug)]
#[non_exhaustive]
pub struct ChaosDelivery {
    /// The place of the event in the list that was sent.
    pub event: usize,
    /// Which of the deliveries of the event it is, from 1. All have the same bytes and the same
    /// signature.
    pub copy: u32,
    /// How it went, attempt by attempt.
    pub report: Report,
}

/// One request that reached the receiver.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Arrival {
    /// The place of the event in the list that was sent.
    pub event: usize,
    /// Which of the deliveries of the event it belongs to, from 1.
    pub copy: u32,
    /// Which attempt of the delivery it is, from 1. Attempts that broke on their way are counted
    /// and did not arrive.
    pub attempt: u32,
    /// When it arrived, by tokio's clock, from when the sending began.
    pub at: Duration,
    /// What the receiver answered; `None` when it did not within 15 s, or failed.
    pub status: Option<StatusCode>,
    /// Whether the answer was let through to the sender. When it was not, the sender tries again
    /// what the receiver may have handled.
    pub answer_seen: bool,
}

impl ChaosReport {
    /// The events that never reached the receiver: dropped, or all attempts broke on their way.
    #[must_use]
    pub fn lost(&self) -> Vec<usize> {
        let arrivals = self.arrivals.iter();
        let arrived: HashSet<_> = arrivals.map(|arrival| arrival.event).collect();
        let events = 0..self.events;
        events.filter(|event| !arrived.contains(event)).collect()
    }

    /// The events that the receiver answered 2xx at least once, whether or not the answer was seen:
    /// it has promised to handle them.
    #[must_use]
    pub fn accepted(&self) -> Vec<usize> {
        let is_success = |status: StatusCode| status.is_success();
        let arrivals = self.arrivals.iter();
        let accepted = arrivals.filter(|arrival| arrival.status.is_some_and(is_success));
        let accepted: BTreeSet<_> = accepted.map(|arrival| arrival.event).collect();
        accepted.into_iter().collect()
    }
}

impl fmt::Display for ChaosReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            seed,
            events,
            deliveries,
            arrivals,
        } = self;
        writeln!(
            f,
            "seed {seed}: {events} events, {} deliveries, {} arrivals; never arrived: {:?}",
            deliveries.len(),
            arrivals.len(),
            self.lost(),
        )?;
        for arrival in arrivals {
            write!(
                f,
                "{:>9.3} s  event {:>3}  copy {}  attempt {}  ",
                arrival.at.as_secs_f64(),
                arrival.event,
                arrival.copy,
                arrival.attempt,
            )?;
            match arrival.status {
                Some(status) => write!(f, "{}", status.as_u16())?,
                None => f.write_str("no answer")?,
            }
            let unseen = if arrival.answer_seen {
                ""
            } else {
                ", not seen"
            };
            writeln!(f, "{unseen}")?;
        }
        Ok(())
    }
}
