//! What the inbox's handles, its writer and its reader share.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{oneshot, watch};

use super::batch::{Batch, Change, Totals};
use super::names::{HandlerList, Names};
use super::queue::JobQueue;
use super::read::Readability;
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
    /// Locked before `inflight` where both are.
    queue: Mutex<JobQueue>,
    inflight: Mutex<Inflight>,
    /// To the writer.
    work: Sender<Work>,
    /// There may be a job to hand out.
    pub(super) arrived: Notify,
    names: Mutex<Names>,
    pub(super) identities: DedupCache,
    /// Identities that several events may have.
    pub(super) repeats: DedupCache,
    /// As of the last commit.
    totals: Mutex<Totals>,
    /// Whether the last commit failed.
    pub(super) failing: AtomicBool,
    /// Length of the files.
    pub(super) disk_bytes: AtomicU64,
    /// Whether the writer has ended and the file is closed.
    pub(super) closed: watch::Sender<bool>,
    /// When an earlier process was last known to be up, by the machine's clock, until what was
    /// missed since is recovered.
    down_since: Mutex<Option<i64>>,
}

/// Events on their way to the file.
#[derive(Default)]
struct Inflight {
    /// Each with whoever waits for a copy of it.
    copies: HashMap<Identity, Vec<KeepSender>>,
    /// How many with the same bytes there are.
    repeats: HashMap<Identity, usize>,
    events: usize,
    bytes: u64,
    /// There is no writer any more.
    over: bool,
}

/// What the writer is to do.
pub(super) enum Work {
    Keep(PendingKeep),
    Change(Change),
    Begin(Change, ReplySender<(), InboxError>),
    /// `None` once it ran.
    Command(Option<Command>),
    /// Tells when all that came before is stored and, where that is wanted, whether the log is
    /// empty.
    Flush(Flush),
    /// Ends the writer, once it has done what came before.
    Stop,
}

pub(super) struct Flush {
    pub(super) truncate: bool,
    pub(super) done: oneshot::Sender<bool>,
}

/// An event that is to be kept.
pub(super) struct PendingKeep {
    pub(super) incoming: Incoming,
    pub(super) possible_repeat: bool,
    sender: KeepSender,
}

type KeepSender = ReplySender<Kept, KeepError>;

/// Runs within a commit.
pub(super) type Command = Box<dyn FnOnce(&mut Batch<'_>) -> OnCommit + Send>;

/// Is told whether it was committed.
pub(super) type OnCommit = Box<dyn FnOnce(bool)>;

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    /// With what the writer gets its work by.
    pub(super) fn new(
        settings: Settings,
        readable: Readability,
        time: InboxTime,
        down_since: Option<i64>,
    ) -> (Self, Receiver<Work>) {
        let clock = || Arc::clone(&settings.clock);
        let (ttl, identities) = (settings.identity_ttl, settings.max_identities);
        let (work, received) = mpsc::channel();
        let shared = Self {
            readable,
            unread: AtomicUsize::new(0),
            time,
            queue: Mutex::new(JobQueue::new(settings.memory)),
            inflight: Mutex::default(),
            work,
            arrived: Notify::new(),
            names: Mutex::default(),
            identities: DedupCache::new(ttl, identities, clock()),
            repeats: DedupCache::new(RETRY_TIME, identities, clock()),
            totals: Mutex::default(),
            failing: AtomicBool::new(false),
            disk_bytes: AtomicU64::new(0),
            closed: watch::Sender::new(false),
            down_since: Mutex::new(down_since),
            settings,
        };
        (shared, received)
    }

    pub(super) fn queue(&self) -> MutexGuard<'_, JobQueue> {
        locked(&self.queue)
    }

    pub(super) fn names(&self) -> MutexGuard<'_, Names> {
        locked(&self.names)
    }

    /// The handlers of an event.
    pub(super) fn handlers(&self, id: i64) -> Option<Arc<HandlerList>> {
        self.names().by_id(id).cloned()
    }

    pub(super) fn down_since(&self) -> Option<i64> {
        *locked(&self.down_since)
    }

    /// Gives what was there.
    pub(super) fn set_down_since(&self, since: Option<i64>) -> Option<i64> {
        std::mem::replace(&mut *locked(&self.down_since), since)
    }

    pub(super) fn totals(&self) -> Totals {
        *locked(&self.totals)
    }

    pub(super) fn publish(&self, totals: Totals) {
        *locked(&self.totals) = totals;
    }

    fn inflight(&self) -> MutexGuard<'_, Inflight> {
        locked(&self.inflight)
    }

    /// Hands a delivery to the writer, unless it is a copy or cannot be kept.
    pub(super) fn keep(&self, incoming: Incoming) -> Reply<Kept, KeepError> {
        let identity = incoming.delivery.identity();
        let refuse = |error| Reply::ready(Err(error));
        let (sender, reply) = Reply::pending();
        let mut inflight = self.inflight();
        let drops = incoming.repeats == Repeats::Drop;
        if drops {
            if let Some(copies) = inflight.copies.get_mut(&identity) {
                copies.push(sender);
                return reply;
            }
            if self.identities.contains(identity) {
                return Reply::ready(Ok(Kept::Duplicate));
            }
        }
        if inflight.over {
            return refuse(KeepError::storage("the inbox's writer has ended"));
        }
        if self.failing.load(Ordering::Relaxed) {
            return refuse(KeepError::storage("the last write failed"));
        }
        if self.fills(&inflight) {
            return refuse(KeepError::new(KeepErrorKind::Full));
        }
        let possible_repeat = if drops {
            inflight.copies.insert(identity, Vec::new());
            false
        } else {
            let repeats = inflight.repeats.entry(identity).or_default();
            *repeats += 1;
            *repeats > 1 || self.repeats.contains(identity)
        };
        inflight.events += 1;
        inflight.bytes += incoming.delivery.body().len() as u64;
        self.push(Work::Keep(PendingKeep {
            incoming,
            possible_repeat,
            sender,
        }));
        reply
    }

    /// Whether there is no room for another event, of whatever size: what is larger than the limit
    /// would else be refused for ever.
    fn fills(&self, inflight: &Inflight) -> bool {
        let totals = self.totals();
        let events = totals.events + inflight.events;
        let bytes = totals.bytes + totals.dead_bytes + inflight.bytes;
        events >= self.settings.max_events.max(1) || bytes >= self.settings.max_bytes.max(1)
    }

    /// Whether new events are refused for want of room.
    pub(super) fn is_full(&self) -> bool {
        self.fills(&self.inflight())
    }

    /// Whether new events are refused because they cannot be written.
    pub(super) fn is_failing(&self) -> bool {
        self.failing.load(Ordering::Relaxed) || self.is_over()
    }

    /// Whether there is no writer any more.
    pub(super) fn is_over(&self) -> bool {
        self.inflight().over
    }

    /// Gives work to the writer. What comes after its end is dropped.
    pub(super) fn push(&self, work: Work) {
        let _ = self.work.send(work);
    }

    /// Tells the senders of new events, and of their copies, what came of them. None of them is on
    /// its way any more: where there are totals they were kept, are remembered from here on, and
    /// count in these. After that they may be handed out.
    pub(super) fn answer(
        &self,
        keeps: Vec<PendingKeep>,
        totals: Option<Totals>,
        hand_over: impl FnOnce(),
    ) {
        let kept = totals.is_some();
        let mut copies = Vec::new();
        {
            // Counted once at each moment: on its way or in the file.
            let mut inflight = self.inflight();
            if let Some(totals) = totals {
                self.publish(totals);
            }
            for PendingKeep { incoming, .. } in &keeps {
                let identity = incoming.delivery.identity();
                let bytes = incoming.delivery.body().len() as u64;
                inflight.events = inflight.events.saturating_sub(1);
                inflight.bytes = inflight.bytes.saturating_sub(bytes);
                let known = match incoming.repeats {
                    Repeats::Drop => {
                        copies.extend(inflight.copies.remove(&identity).unwrap_or_default());
                        &self.identities
                    }
                    Repeats::Mark => {
                        if let Some(repeats) = inflight.repeats.get_mut(&identity) {
                            *repeats -= 1;
                            if *repeats == 0 {
                                inflight.repeats.remove(&identity);
                            }
                        }
                        &self.repeats
                    }
                };
                if kept {
                    let open = incoming.repeats == Repeats::Drop && !incoming.handlers.is_empty();
                    known.insert(identity, Duration::ZERO, open);
                }
            }
        }
        hand_over();
        let tell = |sender: KeepSender, outcome| {
            let failed = || KeepError::storage("the write failed");
            sender.send(kept.then_some(outcome).ok_or_else(failed));
        };
        keeps
            .into_iter()
            .for_each(|keep| tell(keep.sender, Kept::New));
        copies
            .into_iter()
            .for_each(|copy| tell(copy, Kept::Duplicate));
    }

    /// Whether the disk gives all of the files.
    pub(super) fn is_readable(&self) -> bool {
        self.readable.check(&self.settings.directory.join(LOG))
    }

    /// There is no writer any more: whoever waits for it is told so by the end of its side.
    pub(super) fn end(&self) {
        let copies = {
            let mut inflight = self.inflight();
            inflight.over = true;
            std::mem::take(&mut inflight.copies)
        };
        drop(copies);
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
            let mut queue = self.queue();
            if queue.attached {
                return Err(InboxError::in_use());
            }
            (queue.attached, queue.closed) = (true, false);
            queue.release_held();
        }
        self.arrived.notify_waiters();
        Ok(())
    }

    /// The consumer has ended: what it took and did not settle is to be taken again.
    pub(super) fn detach(&self) {
        let taken = self.queue().taken();
        for (seq, handler) in taken {
            self.settle(seq, &handler, Settled::Released);
        }
        self.queue().attached = false;
    }

    /// Ends `take`, until there is a next consumer.
    pub(super) fn close(&self) {
        self.queue().closed = true;
        self.arrived.notify_waiters();
    }

    /// The event is finished: its identity may be forgotten when its time has come.
    pub(super) fn finish(&self, identity: Identity, shares_identity: bool) {
        if !shares_identity {
            self.identities.finish(identity);
        }
    }
}
