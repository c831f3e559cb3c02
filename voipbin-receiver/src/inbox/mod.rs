//! Where an event is kept between its answer and the end of its handlers.
//!
//! The promise of every inbox: a delivery is kept once, and it is not called kept before it is.

mod attempt;
mod dedup;
mod delays;
mod error;
mod guarantees;
mod job;
mod kept_event;
mod memory;
#[cfg(all(test, shuttle))]
pub(crate) mod model;
#[cfg(feature = "postgres")]
mod postgres;
mod records;
mod reply;
#[cfg(feature = "disk-system")]
mod sqlite;
mod stats;

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;
use std::time::SystemTime;

use async_trait::async_trait;

pub use self::attempt::{Attempt, AttemptEnd, JobHistory};
pub use self::error::{InboxError, InboxErrorKind};
pub use self::guarantees::{Durability, Guarantees, LaneOrder};
pub use self::job::{Job, Lease, Settled};
pub use self::kept_event::KeptEvent;
pub use self::memory::{MemoryInbox, MemoryInboxBuilder};
#[cfg(feature = "postgres")]
pub(crate) use self::postgres::{JobLease, Transaction, Trouble};
#[cfg(feature = "postgres")]
pub use self::postgres::{
    PostgresInbox, PostgresInboxBuilder, PostgresInboxError, PostgresInboxErrorKind,
};
pub use self::records::{
    ErrorFilter, JobRecord, PhoneNumber, PhoneNumberError, Record, RecordFilter, RecordPage,
    RecordState, Records, RecordsError, RecordsErrorKind, Stage,
};
pub use self::reply::{KeepError, KeepErrorKind, Kept, Reply, ReplySender, Unanswered};
#[cfg(feature = "disk-system")]
pub use self::sqlite::{
    CopyReport, DiskInbox, DiskInboxBuilder, DiskInboxError, DiskInboxErrorKind, DiskRecords,
    Holder, LostEvent,
};
pub use self::stats::InboxStats;
use crate::event::{Delivery, HandlerName};
pub use crate::event::{Lane, RecordId, StoredDelivery};

/// The handlers that an event is kept for: each once, in the order in which they were registered.
/// Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HandlerSet(Arc<Vec<HandlerName>>);

impl Deref for HandlerSet {
    type Target = [HandlerName];

    fn deref(&self) -> &[HandlerName] {
        &self.0
    }
}

/// A name that comes again is left out.
impl FromIterator<HandlerName> for HandlerSet {
    fn from_iter<I: IntoIterator<Item = HandlerName>>(names: I) -> Self {
        let mut handlers = Vec::new();
        for name in names {
            if !handlers.contains(&name) {
                handlers.push(name);
            }
        }
        handlers.shrink_to_fit();
        Self(Arc::new(handlers))
    }
}

impl<'a> IntoIterator for &'a HandlerSet {
    type Item = &'a HandlerName;
    type IntoIter = std::slice::Iter<'a, HandlerName>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// A store of events that are answered and not yet handled.
///
/// The pipeline calls [`keep`](Self::keep). Whoever runs handlers is a [`Consumer`], which
/// [`consume`](Self::consume) gives: it takes jobs and settles them. A receiver is both, or only
/// [one of them](crate::Role).
///
/// An inbox is the handle to a store, and its consumers share that store with it: so it is mostly a
/// struct around an `Arc`. The contract:
///
/// * The jobs of an event for which `keep` gave [`Kept::New`] are handed out, in this process or in
///   one after it, as [`guarantees`](Self::guarantees) says, until each is done or dead.
/// * An event is kept with all its jobs and its lane, or not at all.
/// * While the identity of a kept event is known, a copy is [`Kept::Duplicate`]. A copy that comes
///   while the first is still being kept waits for that outcome and shares it.
/// * When an event cannot be kept, its identity is not known: the sender's next try is new.
/// * An identity whose event is not finished is never forgotten.
///
/// `testing::inbox_contract::check`, behind the feature `testing`, tries an inbox against all of
/// it, as far as it claims it. The test `own_inbox` of this crate's repository has a whole inbox
/// that several consumers share, in less than 150 lines.
pub trait Inbox: fmt::Debug + Send + Sync + 'static {
    /// Takes a delivery over.
    ///
    /// The hand-over is this call and not the returned future: once it returns, the inbox brings
    /// the matter to an end, kept or refused, whether or not anybody awaits the reply. It must not
    /// block the thread, and it is called from any thread, in a runtime or not: a store that takes
    /// a runtime has a task of its own, to which this sends.
    fn keep(&self, incoming: Incoming) -> Reply<Kept, KeepError>;

    /// Begins to take jobs. There is one consumer at a time, unless the inbox is
    /// [shared](Guarantees::shared); when it is dropped, the next one goes on where it ended.
    ///
    /// # Errors
    ///
    /// [`InboxErrorKind::InUse`] while there is another consumer, [`InboxErrorKind::Storage`] when
    /// nothing can be written any more.
    fn consume(&self) -> Result<Box<dyn Consumer>, InboxError>;

    /// What this inbox claims. It is asked when a receiver is built, and may not change later.
    fn guarantees(&self) -> Guarantees;

    /// How full it is. Called often: it must not block.
    fn stats(&self) -> InboxStats;

    /// The inbox as something to look into, where it is one. The default is that it is not.
    fn records(&self) -> Option<&dyn Records> {
        None
    }

    /// How many transactions handlers may have at once that commit with the completion of their
    /// job; 0, the default, when it has none.
    fn transactions(&self) -> usize {
        0
    }

    /// Since when events may be missed: the last moment at which an earlier process is known to
    /// have been up, unless [`caught_up`](Self::caught_up) was called since. `None`, the default,
    /// when that is not stored, and for a store that is new.
    fn down_since(&self) -> Option<SystemTime> {
        None
    }

    /// What was missed before this call need not be looked for again, by the next process either,
    /// once the reply is `Ok`. The default does nothing.
    fn caught_up(&self) -> Reply<(), InboxError> {
        Reply::ready(Ok(()))
    }
}

/// Takes jobs out of an inbox and settles them.
///
/// Dropping it ends it: what it took and did not settle is handed out again to the next consumer,
/// before later events, as if it had not been taken. Until there is a next one, an inbox that loses
/// its content with the process refuses new events.
#[async_trait]
pub trait Consumer: Send + Sync + 'static {
    /// Waits for jobs that may run, and takes at least one of them and at most the
    /// [prefetch](Prefetch).
    ///
    /// First attempts come in the order in which their events were kept, further ones when their
    /// time has come. Jobs of one lane may be taken together: the consumer runs them one after the
    /// other.
    ///
    /// `None` means that there will be no more, after [`drain`](Self::drain).
    ///
    /// # Cancel safety
    ///
    /// A job is either taken and returned, or still in the inbox. Needs a tokio runtime with its
    /// timer.
    async fn take(&self, prefetch: Prefetch) -> Option<Vec<Job>>;

    /// An attempt is about to begin. A durable inbox writes that down first, so that an event which
    /// kills the process does not do so for ever.
    ///
    /// The handler runs when the reply is `Ok`. Otherwise the job is [released](Settled::Released).
    /// The default is to run at once.
    fn begin(&self, job: &Job) -> Reply<(), InboxError> {
        let _ = job;
        Reply::ready(Ok(()))
    }

    /// Says what became of a job that was taken: once, or after each attempt where these are made
    /// [in place](Settled::Retry::in_place). An event is finished when each of its jobs is done or
    /// dead.
    ///
    /// It must not block. What is settled becomes safe in the inbox's own time; see
    /// [`flush`](Self::flush). Of a job whose [lease](Lease) is lost it changes nothing.
    fn settle(&self, job: &Job, outcome: Settled);

    /// The receiver is shutting down.
    ///
    /// An inbox that loses its content with the process refuses new events from here on, goes on
    /// answering for copies of those it has, lets what waits for its time now wait no longer, and
    /// ends [`take`](Self::take) when each job is done or dead. A durable one goes on keeping and
    /// ends `take` at once: what is left is for the next consumer, in this process or in one after
    /// it. So does a shared one. It may be told so again, for what has come to wait since.
    fn drain(&self);

    /// Waits until all that was settled is as safe as this inbox makes it. The default is at once.
    ///
    /// # Errors
    ///
    /// [`InboxErrorKind::Storage`] when some of it is not: it may be handled again by the next
    /// process. What the store could not write now it may still write later.
    ///
    /// # Cancel safety
    ///
    /// It only waits: dropping it changes nothing.
    async fn flush(&self) -> Result<(), InboxError> {
        Ok(())
    }
}

/// How much a consumer takes at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prefetch {
    /// How many jobs, at least one.
    pub jobs: usize,
    /// How many bytes of bodies; the last one may go beyond it.
    pub bytes: usize,
}

impl Prefetch {
    /// This many jobs, however large they are.
    #[must_use]
    pub const fn for_jobs(jobs: usize) -> Self {
        Self {
            jobs,
            bytes: usize::MAX,
        }
    }

    /// Counts one job with a body of so many bytes, and says whether there may be more.
    pub fn add(&mut self, bytes: usize) -> bool {
        self.jobs = self.jobs.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(bytes);
        !self.is_full()
    }

    /// Whether there may be no more.
    #[must_use]
    pub const fn is_full(&self) -> bool {
        self.jobs == 0 || self.bytes == 0
    }
}

/// An inbox that is shared is an inbox: keep a handle of your own to it.
impl<I: Inbox + ?Sized> Inbox for Arc<I> {
    fn keep(&self, incoming: Incoming) -> Reply<Kept, KeepError> {
        (**self).keep(incoming)
    }

    fn consume(&self) -> Result<Box<dyn Consumer>, InboxError> {
        (**self).consume()
    }

    fn guarantees(&self) -> Guarantees {
        (**self).guarantees()
    }

    fn stats(&self) -> InboxStats {
        (**self).stats()
    }

    fn records(&self) -> Option<&dyn Records> {
        (**self).records()
    }

    fn transactions(&self) -> usize {
        (**self).transactions()
    }

    fn down_since(&self) -> Option<SystemTime> {
        (**self).down_since()
    }

    fn caught_up(&self) -> Reply<(), InboxError> {
        (**self).caught_up()
    }
}

/// What is handed to an inbox.
#[derive(Debug)]
#[non_exhaustive]
pub struct Incoming {
    /// The delivery.
    pub delivery: Delivery,
    /// The handlers that are to run for it, by name; may be empty.
    pub handlers: HandlerSet,
    /// Its lane, to be kept with it. `None` for an event that may run beside all others.
    pub lane: Option<Lane>,
    /// What to do when the identity is known.
    pub repeats: Repeats,
}

impl Incoming {
    /// A delivery for the given handlers, in no lane.
    #[must_use]
    pub fn new(delivery: Delivery, handlers: HandlerSet, repeats: Repeats) -> Self {
        Self {
            delivery,
            handlers,
            lane: None,
            repeats,
        }
    }

    /// Sets the lane.
    #[must_use]
    pub fn in_lane(self, lane: Option<Lane>) -> Self {
        Self { lane, ..self }
    }
}

/// What happens to a delivery whose bytes came before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Repeats {
    /// It is a copy: answered, and dropped.
    Drop,
    /// It is kept again, and marked as a possible repeat when the same bytes came within the
    /// sender's retry time.
    #[default]
    Mark,
}
