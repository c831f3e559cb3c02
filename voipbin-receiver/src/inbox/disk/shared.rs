//! What the inbox's handles, its writer and its readers share.

mod inbound;

use std::time::Duration;

use tokio::sync::watch;

use self::inbound::Inbound;
pub(super) use self::inbound::{Begin, Command, Ended, New, Outcome, Told, Work};
use super::convert::millis;
use super::index::{Index, Keep, Totals};
use super::ready::{Again, Ready};
use super::settings::Settings;
use super::store::Store;
use crate::inbox::dedup::{DedupCache, RETRY_TIME};
use crate::inbox::{
    InboxError, Incoming, KeepError, KeepErrorKind, Kept, Receipt, RecordId, RecordsErrorKind,
    Repeats,
};
use crate::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use crate::sync::{Arc, Condvar, Mutex, MutexGuard, Notify, PoisonError, RwLock};

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
    pub(super) seen: DedupCache,
    pub(super) noted: DedupCache,
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

impl Shared {
    pub(super) fn new(settings: Settings, store: Store) -> Self {
        let clock = || Arc::clone(&settings.clock);
        let disk_bytes = store.file_len();
        let (ttl, identities) = (settings.identity_ttl, settings.max_identities);
        Self {
            keep: settings.keep(),
            inbound: Mutex::default(),
            wake: Condvar::new(),
            ready: Mutex::new(Ready::new(settings.memory, settings.tick)),
            arrived: Notify::new(),
            index: Mutex::default(),
            store: RwLock::new(Some(store)),
            seen: DedupCache::new(ttl, identities, clock()),
            noted: DedupCache::new(RETRY_TIME, identities, clock()),
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
            if self.seen.contains(key) {
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
            *marks > 1 || self.noted.contains(key)
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
                if !matches!(new.told, Told::Sender(_)) {
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
                        if kept.is_some() {
                            let Ok(()) = self
                                .noted
                                .touch(key, |_| Ok::<_, std::convert::Infallible>(()));
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
                    let _ = told.send(kept.ok_or(RecordsErrorKind::Storage));
                }
                Told::Nobody => {}
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
                ready.push_again(Again::of(seq, handler, &job), Duration::ZERO);
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
