//! What the inbox's handles, its writer and its reader share.

use std::collections::{HashMap, VecDeque};
use std::mem;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{oneshot, watch};

use super::batch::{Batch, Change, Totals};
use super::names::{List, Names};
use super::read::Readability;
use super::ready::Ready;
use super::schema::LOG;
use super::settings::Settings;
use super::time::InboxTime;
use crate::event::Identity;
use crate::inbox::dedup::{DedupCache, RETRY_TIME};
use crate::inbox::{
    InboxError, Incoming, KeepError, KeepErrorKind, Kept, Repeats, Reply, ReplySender, Settled,
};
use crate::sync::Notify;

pub(super) struct Shared {
    pub(super) settings: Settings,
    pub(super) readable: Readability,
    /// Events that are to be handed out and cannot be read at present.
    pub(super) unread: AtomicUsize,
    pub(super) time: InboxTime,
    inbound: Mutex<Inbound>,
    wake: Condvar,
    /// Locked before `inbound` where both are.
    ready: Mutex<Ready>,
    pub(super) arrived: Notify,
    names: Mutex<Names>,
    pub(super) seen: DedupCache,
    pub(super) noted: DedupCache,
    /// As of the last commit.
    totals: Mutex<Totals>,
    /// Whether the last commit failed.
    pub(super) failing: AtomicBool,
    /// Length of the files.
    pub(super) disk_bytes: AtomicU64,
    /// Whether the writer has ended and the file is closed.
    pub(super) closed: watch::Sender<bool>,
}

/// What waits for the writer.
#[derive(Default)]
struct Inbound {
    work: VecDeque<Work>,
    /// How much of it cannot wait.
    urgent: usize,
    /// Since when the rest of it waits.
    since: Option<Instant>,
    /// Events on their way to the file, each with whoever waits for the same.
    flights: HashMap<Identity, Vec<Copy>>,
    /// How many with the same bytes are on their way.
    marks: HashMap<Identity, usize>,
    /// Events on their way, and their bytes.
    events: usize,
    bytes: u64,
    idle: bool,
    stop: bool,
    over: bool,
}

pub(super) enum Work {
    Keep(New),
    Change(Change),
    Begin(Change, ReplySender<(), InboxError>),
    /// `None` once it ran.
    Command(Option<Command>),
    /// Empties the log after the commit.
    Truncate(oneshot::Sender<bool>),
    /// Tells when all that came before is stored.
    Flush(oneshot::Sender<()>),
}

pub(super) struct New {
    pub(super) incoming: Incoming,
    pub(super) possible_repeat: bool,
    told: Copy,
}

/// Whoever waits for what becomes of an event.
type Copy = ReplySender<Kept, KeepError>;

/// Runs within a commit.
pub(super) type Command = Box<dyn FnOnce(&mut Batch<'_>) -> Answer + Send>;

/// Is told whether it was committed.
pub(super) type Answer = Box<dyn FnOnce(bool)>;

impl Work {
    fn is_urgent(&self) -> bool {
        !matches!(self, Self::Change(_))
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Keep(new) => new.incoming.delivery.body().len(),
            _ => 0,
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    pub(super) fn new(settings: Settings, readable: Readability, time: InboxTime) -> Self {
        let clock = || Arc::clone(&settings.clock);
        let (ttl, identities) = (settings.identity_ttl, settings.max_identities);
        Self {
            readable,
            unread: AtomicUsize::new(0),
            time,
            inbound: Mutex::default(),
            wake: Condvar::new(),
            ready: Mutex::new(Ready::new(settings.memory)),
            arrived: Notify::new(),
            names: Mutex::default(),
            seen: DedupCache::new(ttl, identities, clock()),
            noted: DedupCache::new(RETRY_TIME, identities, clock()),
            totals: Mutex::default(),
            failing: AtomicBool::new(false),
            disk_bytes: AtomicU64::new(0),
            closed: watch::Sender::new(false),
            settings,
        }
    }

    pub(super) fn ready(&self) -> MutexGuard<'_, Ready> {
        locked(&self.ready)
    }

    pub(super) fn names(&self) -> MutexGuard<'_, Names> {
        locked(&self.names)
    }

    pub(super) fn list(&self, id: i64) -> Option<Arc<List>> {
        self.names().by_id(id).cloned()
    }

    pub(super) fn totals(&self) -> Totals {
        *locked(&self.totals)
    }

    fn inbound(&self) -> MutexGuard<'_, Inbound> {
        locked(&self.inbound)
    }

    /// Hands a delivery to the writer, unless it is a copy or cannot be kept.
    pub(super) fn admit(&self, incoming: Incoming) -> Reply<Kept, KeepError> {
        let key = incoming.delivery.identity();
        let refuse = |error| Reply::ready(Err(error));
        let mut inbound = self.inbound();
        let drops = incoming.repeats == Repeats::Drop;
        if drops {
            if let Some(copies) = inbound.flights.get_mut(&key) {
                let (sender, reply) = Reply::pending();
                copies.push(sender);
                return reply;
            }
            if self.seen.contains(key) {
                return Reply::ready(Ok(Kept::Duplicate));
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
            *marks > 1 || self.noted.contains(key)
        };
        inbound.events += 1;
        inbound.bytes += incoming.delivery.body().len() as u64;
        let (told, reply) = Reply::pending();
        self.push_to(
            inbound,
            Work::Keep(New {
                incoming,
                possible_repeat,
                told,
            }),
        );
        reply
    }

    /// Whether there is no room for another event, of whatever size: what is larger than the limit
    /// would else be refused for ever.
    fn fills(&self, inbound: &Inbound) -> bool {
        let totals = self.totals();
        let events = totals.events + inbound.events;
        let bytes = totals.bytes + totals.dead_bytes + inbound.bytes;
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

    /// Whether there is a writer no more.
    pub(super) fn is_over(&self) -> bool {
        self.inbound().over
    }

    /// Gives work to the writer. What comes after its end is dropped.
    pub(super) fn push(&self, work: Work) {
        let inbound = self.inbound();
        if !inbound.over {
            self.push_to(inbound, work);
        }
    }

    fn push_to(&self, mut inbound: MutexGuard<'_, Inbound>, work: Work) {
        if work.is_urgent() {
            inbound.urgent += 1;
        } else if inbound.since.is_none() {
            inbound.since = Some(Instant::now());
        }
        inbound.work.push_back(work);
        if mem::take(&mut inbound.idle) {
            drop(inbound);
            self.wake.notify_one();
        }
    }

    /// What was taken and not done comes again, before all else.
    pub(super) fn put_back(&self, work: impl DoubleEndedIterator<Item = Work>) {
        let mut inbound = self.inbound();
        for work in work.rev() {
            inbound.urgent += usize::from(work.is_urgent());
            inbound.work.push_front(work);
        }
    }

    /// Waits until then, while nothing can be written. At the end there is no next try: what is
    /// left is dropped.
    pub(super) fn rest(&self, until: Instant) {
        let mut inbound = self.inbound();
        while !inbound.stop {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            let woken = self.wake.wait_timeout(inbound, left);
            inbound = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
        let work = mem::take(&mut inbound.work);
        drop(inbound);
        drop(work);
    }

    /// Lets the writer end when it has done what it has.
    pub(super) fn stop(&self) {
        self.inbound().stop = true;
        self.wake.notify_one();
    }

    /// Waits for work, until then at the latest, and takes all there is, but of new events only so
    /// many bytes as one commit should write. `None` when there is none and will be none.
    ///
    /// Changes alone wait a moment, so that one write serves several of them.
    pub(super) fn next_work(&self, until: Instant) -> Option<Vec<Work>> {
        const MOST: usize = 8 << 20;
        let mut inbound = self.inbound();
        loop {
            let now = Instant::now();
            let due = inbound
                .since
                .map(|since| since + self.settings.completion_delay);
            let is_due = due.is_some_and(|due| due <= now) || until <= now;
            if inbound.urgent > 0 || inbound.stop || is_due {
                break;
            }
            let wait = due.map_or(until, |due| due.min(until)) - now;
            inbound.idle = true;
            let woken = self.wake.wait_timeout(inbound, wait);
            inbound = woken.unwrap_or_else(PoisonError::into_inner).0;
            inbound.idle = false;
        }
        if inbound.stop && inbound.work.is_empty() {
            return None;
        }
        let mut bytes = 0;
        let fits = inbound.work.iter().take_while(|work| {
            let before = bytes;
            bytes += work.bytes();
            before == 0 || bytes <= MOST
        });
        let fits = fits.count();
        let rest = inbound.work.split_off(fits);
        let work = mem::replace(&mut inbound.work, rest);
        inbound.urgent = inbound.work.iter().filter(|work| work.is_urgent()).count();
        if inbound.work.is_empty() {
            inbound.since = None;
        }
        Some(work.into())
    }

    /// Tells the senders of new events, and of their copies, what came of them. None of them is on
    /// its way any more: from here on those that were kept are remembered, and count in these
    /// totals. After that they may be handed out.
    pub(super) fn landed(
        &self,
        landed: Vec<(New, bool)>,
        totals: Option<Totals>,
        hand_over: impl FnOnce(),
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
                let key = delivery.identity();
                match repeats {
                    Repeats::Drop => {
                        let waiting = inbound.flights.remove(&key).unwrap_or_default();
                        copies.extend(waiting.into_iter().map(|copy| (copy, *kept)));
                        if *kept {
                            let Ok(_) = self
                                .seen
                                .insert_if_absent(key, || Ok::<_, std::convert::Infallible>(()));
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
                        if *kept {
                            let Ok(()) = self
                                .noted
                                .touch(key, |_| Ok::<_, std::convert::Infallible>(()));
                        }
                    }
                }
            }
        }
        hand_over();
        let error = || KeepError::storage("the write failed");
        for (new, kept) in landed {
            let kept = if kept { Ok(Kept::New) } else { Err(error()) };
            new.told.send(kept);
        }
        for (copy, kept) in copies {
            copy.send(if kept {
                Ok(Kept::Duplicate)
            } else {
                Err(error())
            });
        }
    }

    /// Whether the disk gives all of the files.
    pub(super) fn is_readable(&self) -> bool {
        self.readable.look(&self.settings.directory.join(LOG))
    }

    pub(super) fn publish(&self, totals: Totals) {
        *locked(&self.totals) = totals;
    }

    /// There is no writer any more: whoever waits for it is told so by the end of its side.
    pub(super) fn end(&self) {
        let mut inbound = self.inbound();
        inbound.over = true;
        let work = mem::take(&mut inbound.work);
        let flights = mem::take(&mut inbound.flights);
        drop(inbound);
        drop((work, flights));
        self.close();
    }

    /// Lets a consumer take from here, and hands it what the one before it had no handler for.
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
            ready.release_held();
        }
        self.arrived.notify_waiters();
        Ok(())
    }

    /// The consumer has ended: what it took and did not settle is to be taken again.
    pub(super) fn detach(&self) {
        let taken = self.ready().taken();
        for (seq, handler) in taken {
            self.settle(seq, &handler, Settled::Released);
        }
        self.ready().attached = false;
    }

    /// Ends `take`, until there is a next consumer.
    pub(super) fn close(&self) {
        self.ready().closed = true;
        self.arrived.notify_waiters();
    }

    /// The event is finished: its identity may be forgotten when its time has come.
    pub(super) fn finish(&self, identity: Identity, marks: bool) {
        if !marks {
            self.seen.finish(identity);
        }
    }
}

/// What is overdue comes within a few seconds and not all at once, after a time without a process.
pub(super) fn spread(left: Duration, seq: u64, over: Duration) -> Duration {
    if !left.is_zero() {
        return left;
    }
    let place = seq.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 33;
    let over = u64::try_from(over.as_millis()).unwrap_or(u64::MAX).max(1);
    Duration::from_millis(place % over)
}
