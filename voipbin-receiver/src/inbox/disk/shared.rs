//! What the inbox's handles, its writer and its readers share.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, oneshot, watch};

use super::convert::{millis, past};
use super::index::{Index, Keep, Totals};
use super::ready::{Again, Ready};
use super::settings::Settings;
use super::store::Store;
use crate::event::EventKey;
use crate::handler::HandlerName;
use crate::inbox::seen::{RETRY_TIME, Seen};
use crate::inbox::{
    InboxError, Incoming, KeepError, KeepErrorKind, Kept, Pending, Receipt, RecordId, Repeats,
    Settled, Starter,
};

pub(super) struct Shared {
    pub(super) settings: Settings,
    pub(super) keep: Keep,
    inbound: Mutex<Inbound>,
    wake: Condvar,
    pub(super) ready: Mutex<Ready>,
    pub(super) arrived: Notify,
    /// Locked after `ready` where both are.
    pub(super) index: Mutex<Index>,
    /// `None` while it is opened anew after a failure.
    pub(super) store: RwLock<Option<Store>>,
    pub(super) seen: Seen,
    pub(super) noted: Seen,
    /// Whether the last commit failed.
    pub(super) failing: AtomicBool,
    /// Unfinished and dead events in the file and their bytes, as of the last commit.
    pub(super) events: AtomicUsize,
    pub(super) bytes: AtomicU64,
    /// Length of the file.
    pub(super) disk_bytes: AtomicU64,
    /// Whether the writer has ended and the file is closed.
    pub(super) closed: watch::Sender<bool>,
    /// Events whose bytes turned out to be damaged.
    pub(super) damaged: AtomicUsize,
}

/// What waits for the writer.
#[derive(Default)]
struct Inbound {
    work: Work,
    /// New events that the writer has or will have, by identity, each with its copies that wait.
    flights: HashMap<EventKey, Vec<Pending>>,
    /// As many of those that carry no identity of their own.
    marks: HashMap<EventKey, usize>,
    /// All of them, and the bytes of their bodies.
    events: usize,
    bytes: u64,
    /// When the first of the outcomes came.
    outcomes_since: Option<Instant>,
    /// Whether the writer sleeps.
    idle: bool,
    /// Whether it has work and waits for more.
    gathering: bool,
    gather: Gather,
    stop: bool,
    /// Whether there is a writer no more.
    over: bool,
}

/// Senders that are answered come again. Where most of them do so in less time than a commit takes, a
/// commit that waits for them serves all, where one that does not serves a half, and the next one the
/// other.
#[derive(Clone, Copy, Default)]
struct Gather {
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
pub(super) struct Work {
    pub(super) new: Vec<New>,
    pub(super) outcomes: Vec<Outcome>,
    pub(super) begins: Vec<Begin>,
    pub(super) commands: Vec<Command>,
}

/// An event that is to be kept.
pub(super) struct New {
    pub(super) incoming: Incoming,
    pub(super) possible_repeat: bool,
    pub(super) told: Told,
}

/// Who waits for a new event to be kept.
pub(super) enum Told {
    Sender(Pending),
    /// Somebody who had an event handled again.
    Replay {
        original: RecordId,
        told: oneshot::Sender<Option<RecordId>>,
    },
}

pub(super) struct Outcome {
    pub(super) seq: u64,
    pub(super) handler: HandlerName,
    pub(super) settled: Settled,
}

pub(super) struct Begin {
    pub(super) seq: u64,
    pub(super) handler: HandlerName,
    pub(super) starter: Starter,
}

pub(super) enum Command {
    /// Tells when all that came before is stored.
    Flush(oneshot::Sender<()>),
    /// Gives events up; tells how many there were.
    Discard(Vec<u64>, oneshot::Sender<usize>),
}

impl Work {
    pub(super) fn is_empty(&self) -> bool {
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
    pub(super) fn new(settings: Settings, store: Store) -> Self {
        let clock = || Arc::clone(&settings.clock);
        let disk_bytes = store.file_len();
        let (ttl, identities) = (settings.identity_ttl, settings.max_identities);
        Self {
            keep: settings.keep(),
            inbound: Mutex::default(),
            wake: Condvar::new(),
            ready: Mutex::new(Ready::new(settings.memory)),
            arrived: Notify::new(),
            index: Mutex::default(),
            store: RwLock::new(Some(store)),
            seen: Seen::with_history(ttl, identities, clock()),
            noted: Seen::with_history(RETRY_TIME, identities, clock()),
            failing: AtomicBool::new(false),
            events: AtomicUsize::new(0),
            bytes: AtomicU64::new(0),
            disk_bytes: AtomicU64::new(disk_bytes),
            closed: watch::Sender::new(false),
            damaged: AtomicUsize::new(0),
            settings,
        }
    }

    pub(super) fn now(&self) -> u64 {
        millis(self.settings.clock.wall())
    }

    pub(super) fn ready(&self) -> MutexGuard<'_, Ready> {
        self.ready.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn index(&self) -> MutexGuard<'_, Index> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn inbound(&self) -> MutexGuard<'_, Inbound> {
        self.inbound.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands a delivery to the writer, unless it is a copy or cannot be kept.
    pub(super) fn admit(&self, incoming: Incoming) -> Receipt {
        let key = incoming.delivery.identity();
        let bytes = incoming.delivery.body().len() as u64;
        let refuse = |error| Receipt::ready(Err(error));
        let mut inbound = self.inbound();
        let drops = incoming.repeats == Repeats::Drop;
        if drops {
            if let Some(copies) = inbound.flights.get_mut(&key) {
                let (pending, receipt) = Receipt::pending();
                copies.push(pending);
                return receipt;
            }
            if self.seen.knows(key) {
                return Receipt::ready(Ok(Kept::Duplicate));
            }
        }
        if inbound.over {
            return refuse(KeepError::storage("the inbox's writer has ended"));
        }
        if self.failing.load(Ordering::Relaxed) {
            return refuse(KeepError::storage("the last write failed"));
        }
        if self.fills(&inbound) {
            return refuse(KeepError::new(KeepErrorKind::Full));
        }
        let possible_repeat = if drops {
            inbound.flights.insert(key, Vec::new());
            false
        } else {
            let marks = inbound.marks.entry(key).or_default();
            *marks += 1;
            *marks > 1 || self.noted.knows(key)
        };
        inbound.events += 1;
        inbound.bytes += bytes;
        let (pending, receipt) = Receipt::pending();
        inbound.work.new.push(New {
            incoming,
            possible_repeat,
            told: Told::Sender(pending),
        });
        self.wake(inbound);
        receipt
    }

    /// Whether there is no room for another event, of whatever size: what is larger than the limit
    /// would else be refused for ever.
    fn fills(&self, inbound: &Inbound) -> bool {
        let events = self.events.load(Ordering::Relaxed) + inbound.events;
        let bytes = self.bytes.load(Ordering::Relaxed) + inbound.bytes;
        events >= self.settings.max_events.max(1) || bytes >= self.settings.max_bytes.max(1)
    }

    /// Whether new events are refused for want of room.
    pub(super) fn is_full(&self) -> bool {
        self.fills(&self.inbound())
    }

    /// Whether new events are refused because they cannot be written.
    pub(super) fn is_failing(&self) -> bool {
        self.failing.load(Ordering::Relaxed) || self.is_over()
    }

    pub(super) fn outcome(&self, outcome: Outcome) {
        let mut inbound = self.inbound();
        inbound.work.outcomes.push(outcome);
        if inbound.outcomes_since.is_none() {
            inbound.outcomes_since = Some(Instant::now());
            self.wake(inbound);
        }
    }

    pub(super) fn begin(&self, begin: Begin) {
        let mut inbound = self.inbound();
        if !inbound.over {
            inbound.work.begins.push(begin);
            self.wake(inbound);
        }
    }

    /// Gives a command to the writer. One that comes after its end is dropped.
    pub(super) fn command(&self, command: Command) {
        let mut inbound = self.inbound();
        if !inbound.over {
            inbound.work.commands.push(command);
            self.wake(inbound);
        }
    }

    /// An event that is to be handled again.
    pub(super) fn replay(&self, new: New) {
        let mut inbound = self.inbound();
        if !inbound.over {
            inbound.events += 1;
            inbound.bytes += new.incoming.delivery.body().len() as u64;
            inbound.work.new.push(new);
            self.wake(inbound);
        }
    }

    fn wake(&self, mut inbound: MutexGuard<'_, Inbound>) {
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
    pub(super) fn stop(&self) {
        let mut inbound = self.inbound();
        inbound.stop = true;
        self.wake(inbound);
    }

    /// Waits for work, until then at the latest. `None` when there is none and will be none.
    ///
    /// Outcomes alone wait a moment, so that one write serves several of them.
    pub(super) fn next_work(&self, until: Instant) -> Option<Work> {
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
    pub(super) fn answered(&self, events: usize, took: Duration) {
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

    /// Tells the senders of new events, and of their copies, what came of them. None of them is on
    /// its way any more: from here on those that were kept are remembered, and count in these totals.
    pub(super) fn landed(
        &self,
        landed: Vec<(New, Option<RecordId>)>,
        totals: Option<Totals>,
        refused: KeepErrorKind,
    ) {
        let mut copies = Vec::new();
        {
            // Counted once at each moment: on its way or in the file.
            let mut inbound = self.inbound();
            if let Some(totals) = totals {
                self.publish(totals);
            }
            for (new, kept) in &landed {
                let Incoming {
                    delivery,
                    jobs,
                    repeats,
                    ..
                } = &new.incoming;
                inbound.events = inbound.events.saturating_sub(1);
                inbound.bytes = inbound.bytes.saturating_sub(delivery.body().len() as u64);
                if matches!(new.told, Told::Replay { .. }) {
                    continue;
                }
                let key = delivery.identity();
                match repeats {
                    Repeats::Drop => {
                        let waiting = inbound.flights.remove(&key).unwrap_or_default();
                        copies.extend(waiting.into_iter().map(|copy| (copy, kept.is_some())));
                        if kept.is_some() {
                            let Ok(_) = self
                                .seen
                                .admit(key, || Ok::<_, std::convert::Infallible>(()));
                            if jobs.is_empty() {
                                self.seen.finish(key);
                            }
                        }
                    }
                    Repeats::Mark => {
                        if let Some(marks) = inbound.marks.get_mut(&key) {
                            *marks -= 1;
                            if *marks == 0 {
                                inbound.marks.remove(&key);
                            }
                        }
                        if kept.is_some() {
                            let Ok(()) = self
                                .noted
                                .note(key, |_| Ok::<_, std::convert::Infallible>(()));
                        }
                    }
                }
            }
        }
        let error = || match refused {
            KeepErrorKind::Storage => KeepError::storage("the write failed"),
            kind => KeepError::new(kind),
        };
        for (new, kept) in landed {
            match new.told {
                Told::Sender(pending) => {
                    pending.settle(kept.map(|_| Kept::New).ok_or_else(error));
                }
                Told::Replay { told, .. } => {
                    let _ = told.send(kept);
                }
            }
        }
        for (copy, kept) in copies {
            copy.settle(if kept {
                Ok(Kept::Duplicate)
            } else {
                Err(error())
            });
        }
    }

    /// Whether there is a writer no more.
    pub(super) fn is_over(&self) -> bool {
        self.inbound().over
    }

    /// There is no writer any more: whoever waits for it is told so by the end of its side.
    pub(super) fn end(&self) {
        let mut inbound = self.inbound();
        inbound.over = true;
        let work = std::mem::take(&mut inbound.work);
        let flights = std::mem::take(&mut inbound.flights);
        drop(inbound);
        drop((work, flights));
        self.close();
    }

    /// Lets a receiver take from here, and hands it what the one before it had no handler for.
    pub(super) fn attach(&self) -> Result<(), InboxError> {
        if self.is_over() {
            return Err(InboxError::storage(
                "the inbox's writer has ended: open the inbox anew",
            ));
        }
        {
            let mut ready = self.ready();
            if ready.attached {
                return Err(InboxError::in_use());
            }
            ready.attached = true;
            ready.closed = false;
            for (seq, handler, job) in self.index().take_held() {
                let past = past(&job);
                let again = Again { seq, handler, past };
                ready.push_again(again, Duration::ZERO);
            }
        }
        self.arrived.notify_waiters();
        Ok(())
    }

    /// Ends `take`, until a receiver is attached.
    pub(super) fn close(&self) {
        self.ready().closed = true;
        self.arrived.notify_waiters();
    }

    /// Publishes what the limits are checked against.
    pub(super) fn publish(&self, totals: Totals) {
        self.events.store(totals.events, Ordering::Relaxed);
        self.bytes
            .store(totals.bytes + totals.dead_bytes, Ordering::Relaxed);
    }

    /// Puts a job back in line.
    pub(super) fn again(&self, again: Again, after: Duration) {
        self.ready().push_again(again, after);
        self.arrived.notify_one();
    }
}
