//! What waits for the writer, and how long it waits.

use std::collections::HashMap;
use std::time::Duration;

use tokio::sync::oneshot;

use super::Shared;
use crate::event::EventKey;
use crate::handler::HandlerName;
use crate::inbox::{Incoming, Pending, RecordId, RecordsErrorKind, Starter};
use crate::sync::time::Moment as Instant;
use crate::sync::{MutexGuard, PoisonError};

/// What waits for the writer.
#[derive(Default)]
pub(super) struct Inbound {
    pub(super) work: Work,
    /// New events that the writer has or will have, by identity, each with its copies that wait.
    pub(super) flights: HashMap<EventKey, Vec<Pending>>,
    /// As many of those that carry no identity of their own.
    pub(super) marks: HashMap<EventKey, usize>,
    /// All of them, and the bytes of their bodies.
    pub(super) events: usize,
    pub(super) bytes: u64,
    /// When the first of the outcomes came.
    pub(super) outcomes_since: Option<Instant>,
    /// Whether the writer sleeps.
    pub(super) idle: bool,
    /// Whether it has work and waits for more.
    pub(super) gathering: bool,
    pub(super) gather: Gather,
    pub(super) stop: bool,
    /// Whether there is a writer no more.
    pub(super) over: bool,
}

/// Senders that are answered come again. Where most of them do so in less time than a commit takes, a
/// commit that waits for them serves all, where one that does not serves a half, and the next one the
/// other.
#[derive(Clone, Copy, Default)]
pub(super) struct Gather {
    /// How many new events the next commit waits for, and until when at the latest.
    events: usize,
    until: Option<Instant>,
    /// How often in a row they did not come in time, and how many commits wait for none therefore.
    misses: u32,
    rest: u32,
}

impl Gather {
    /// The work is taken, with so many new events.
    fn end(&mut self, events: usize) {
        const MOST: u32 = 7;
        if self.until.take().is_none() {
            return;
        }
        if events >= self.events {
            self.misses = 0;
        } else {
            self.rest = 1 << self.misses;
            self.misses = (self.misses + 1).min(MOST);
        }
    }
}

#[derive(Default)]
pub(crate) struct Work {
    pub(crate) new: Vec<New>,
    pub(crate) outcomes: Vec<Outcome>,
    pub(crate) begins: Vec<Begin>,
    pub(crate) commands: Vec<Command>,
}

/// An event that is to be kept.
pub(crate) struct New {
    pub(crate) incoming: Incoming,
    pub(crate) possible_repeat: bool,
    pub(crate) told: Told,
}

/// Who waits for a new event to be kept.
pub(crate) enum Told {
    Sender(Pending),
    /// It was told already.
    Nobody,
    /// Somebody who had an event handled again.
    Replay {
        original: RecordId,
        /// Whether it is for dead letters, and for nothing if they are none any more.
        if_dead: bool,
        told: oneshot::Sender<Result<RecordId, RecordsErrorKind>>,
    },
}

pub(crate) struct Outcome {
    pub(crate) seq: u64,
    pub(crate) handler: HandlerName,
    pub(crate) ended: Ended,
}

/// What became of a job. A number is that of an attempt that ended badly, which the index knows.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Ended {
    Done,
    Retry {
        number: u32,
        after: Duration,
        in_lane: bool,
    },
    Dead {
        number: Option<u32>,
    },
    Released,
}

impl Ended {
    pub(crate) fn number(self) -> Option<u32> {
        match self {
            Self::Retry { number, .. } => Some(number),
            Self::Dead { number } => number,
            Self::Done | Self::Released => None,
        }
    }
}

pub(crate) struct Begin {
    pub(crate) seq: u64,
    pub(crate) handler: HandlerName,
    pub(crate) starter: Starter,
}

pub(crate) enum Command {
    /// Tells when all that came before is stored.
    Flush(oneshot::Sender<()>),
    /// Gives events up; tells how many there were.
    Discard(Vec<u64>, oneshot::Sender<usize>),
}

impl Work {
    pub(crate) fn is_empty(&self) -> bool {
        self.new.is_empty()
            && self.outcomes.is_empty()
            && self.begins.is_empty()
            && self.commands.is_empty()
    }
}

impl Inbound {
    /// How long the writer should wait for more before it takes what there is.
    fn gathers_until(&self, now: Instant) -> Option<Instant> {
        let waits =
            !self.stop && self.work.commands.is_empty() && self.work.new.len() < self.gather.events;
        self.gather.until.filter(|until| waits && now < *until)
    }
}

impl Shared {
    pub(crate) fn outcome(&self, outcome: Outcome) {
        let mut inbound = self.inbound();
        inbound.work.outcomes.push(outcome);
        if inbound.outcomes_since.is_none() {
            inbound.outcomes_since = Some(Instant::now());
            self.wake(inbound);
        }
    }

    pub(crate) fn begin(&self, begin: Begin) {
        let mut inbound = self.inbound();
        if !inbound.over {
            inbound.work.begins.push(begin);
            self.wake(inbound);
        }
    }

    /// Gives a command to the writer. One that comes after its end is dropped.
    pub(crate) fn command(&self, command: Command) {
        let mut inbound = self.inbound();
        if !inbound.over {
            inbound.work.commands.push(command);
            self.wake(inbound);
        }
    }

    /// An event that is to be handled again.
    pub(crate) fn replay(&self, new: New) {
        let mut inbound = self.inbound();
        if !inbound.over {
            inbound.events += 1;
            inbound.bytes += new.incoming.delivery.body().len() as u64;
            inbound.work.new.push(new);
            self.wake(inbound);
        }
    }

    pub(super) fn wake(&self, mut inbound: MutexGuard<'_, Inbound>) {
        let mut wakes = std::mem::take(&mut inbound.idle);
        if inbound.gathering && inbound.gathers_until(Instant::now()).is_none() {
            inbound.gathering = false;
            wakes = true;
        }
        drop(inbound);
        if wakes {
            self.wake.notify_one();
        }
    }

    /// Lets the writer end when it has done what it has.
    pub(crate) fn stop(&self) {
        let mut inbound = self.inbound();
        inbound.stop = true;
        self.wake(inbound);
    }

    /// Waits for work, until then at the latest. `None` when there is none and will be none.
    ///
    /// Outcomes alone wait a moment, so that one write serves several of them.
    pub(crate) fn next_work(&self, until: Instant) -> Option<Work> {
        let mut inbound = self.inbound();
        loop {
            let now = Instant::now();
            let work = &inbound.work;
            let outcomes_due = inbound
                .outcomes_since
                .map(|since| since + self.settings.completion_delay);
            let urgent =
                !work.new.is_empty() || !work.begins.is_empty() || !work.commands.is_empty();
            if urgent && let Some(until) = inbound.gathers_until(now) {
                inbound.gathering = true;
                inbound = self.sleep(inbound, until - now);
                inbound.gathering = false;
                continue;
            }
            if urgent || inbound.stop || outcomes_due.is_some_and(|due| due <= now) || until <= now
            {
                if inbound.stop && work.is_empty() {
                    return None;
                }
                inbound.outcomes_since = None;
                let events = inbound.work.new.len();
                inbound.gather.end(events);
                return Some(self.take_work(&mut inbound));
            }
            let wait = outcomes_due.map_or(until, |due| due.min(until)) - now;
            inbound.idle = true;
            inbound = self.sleep(inbound, wait);
            inbound.idle = false;
        }
    }

    fn sleep<'a>(
        &self,
        inbound: MutexGuard<'a, Inbound>,
        most: Duration,
    ) -> MutexGuard<'a, Inbound> {
        let woken = self.wake.wait_timeout(inbound, most);
        woken.unwrap_or_else(PoisonError::into_inner).0
    }

    /// A commit that took this long has answered so many new events.
    pub(crate) fn answered(&self, events: usize, took: Duration) {
        const MOST: Duration = Duration::from_millis(5);
        let mut inbound = self.inbound();
        let waiting = inbound.work.new.len();
        let gather = &mut inbound.gather;
        if events == 0 {
            gather.until = None;
        } else if gather.rest > 0 {
            gather.rest -= 1;
        } else {
            let most = events + waiting;
            gather.events = most - most / 8;
            gather.until = Some(Instant::now() + took.min(MOST));
        }
    }

    /// All there is, but of new events only so many bytes as one commit should write.
    fn take_work(&self, inbound: &mut Inbound) -> Work {
        const MOST: usize = 8 << 20;
        let mut work = std::mem::take(&mut inbound.work);
        let mut bytes = 0_usize;
        let fits = work.new.iter().take_while(|new| {
            bytes = bytes.saturating_add(new.incoming.delivery.body().len());
            bytes <= MOST
        });
        let fits = fits.count().max(1);
        if fits < work.new.len() {
            inbound.work.new = work.new.split_off(fits);
        }
        work
    }
}
