//! Where an event is kept between its answer and the end of its handlers.
//!
//! The promise of every inbox: a delivery is kept once, and it is not called kept before it is.

#[cfg(feature = "testing")]
pub mod contract;
mod dedup;
mod error;
mod memory;
#[cfg(all(test, shuttle))]
pub(crate) mod model;
mod promises;
mod receipt;
mod records;
#[cfg(feature = "disk-system")]
mod sqlite;
mod stats;
mod taken;
mod waiting;

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use tracing::Span;

pub use self::error::{InboxError, InboxErrorKind};
pub use self::memory::{MemoryInbox, MemoryInboxBuilder};
pub use self::promises::{Durability, Promises};
pub use self::receipt::{Begun, KeepError, KeepErrorKind, Kept, Pending, Receipt, Starter};
pub use self::records::{
    JobRecord, PhoneNumber, PhoneNumberError, Record, RecordFilter, RecordPage, RecordState,
    Records, RecordsError, RecordsErrorKind, Stage,
};
#[cfg(feature = "disk-system")]
pub use self::sqlite::{
    CopyReport, DiskInbox, DiskInboxBuilder, DiskInboxError, DiskInboxErrorKind, DiskRecords,
    Holder, LostEvent,
};
pub use self::stats::InboxStats;
pub use self::taken::{Attempt, AttemptEnd, Entry, Parked, Past, Settled, Taken};
use crate::event::Delivery;
pub use crate::event::{RecordId, StoredDelivery};
use crate::handler::HandlerName;

/// The handlers that an event is kept for, each of them once. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Jobs(Arc<Vec<HandlerName>>);

impl Jobs {
    /// The names of the handlers, in the order in which they were registered.
    pub fn iter(&self) -> std::slice::Iter<'_, HandlerName> {
        self.0.iter()
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// A name that comes again is left out.
impl FromIterator<HandlerName> for Jobs {
    fn from_iter<I: IntoIterator<Item = HandlerName>>(names: I) -> Self {
        let mut jobs = Vec::new();
        for name in names {
            if !jobs.contains(&name) {
                jobs.push(name);
            }
        }
        jobs.shrink_to_fit();
        Self(Arc::new(jobs))
    }
}

impl<'a> IntoIterator for &'a Jobs {
    type Item = &'a HandlerName;
    type IntoIter = std::slice::Iter<'a, HandlerName>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// A store of events that are answered and not yet handled.
///
/// The pipeline calls [`keep`](Self::keep); the dispatcher calls [`take`](Self::take),
/// [`begin`](Self::begin) and [`settle`](Self::settle). A receiver [attaches](Self::attach) before the
/// first of these, and [closes](Self::close) and [detaches](Self::detach) at its end. The contract:
///
/// * The jobs of an event for which `keep` gave [`Kept::New`] are handed out by `take`, in this
///   process or in one after it, as [`promises`](Self::promises) says, until each is done or dead.
/// * While the identity of a kept event is remembered, a copy is [`Kept::Duplicate`]. A copy that
///   comes while the first is still being kept waits for that outcome and shares it.
/// * When an event cannot be kept, its identity is not remembered: the sender's next try is new.
/// * An identity whose event is not finished is never forgotten.
///
/// `contract::check`, behind the feature `testing`, tries an inbox against all of it.
#[async_trait]
pub trait Inbox: fmt::Debug + Send + Sync + 'static {
    /// A receiver begins to take from this inbox. One at a time may, unless the inbox says that it is
    /// [shared](Promises::shared).
    ///
    /// After the [`detach`](Self::detach) of the one before, this undoes its [`close`](Self::close):
    /// `keep` and `take` work again. What was released or put back is handed out in the order in which
    /// that happened, before what never was; what was held for want of a handler is too. The default lets everybody in: for an inbox that is shared and never closes for
    /// good.
    ///
    /// # Errors
    ///
    /// [`InboxErrorKind::InUse`] while another receiver is attached, [`InboxErrorKind::Storage`] when
    /// nothing can be written any more.
    fn attach(&self) -> Result<(), InboxError> {
        Ok(())
    }

    /// The receiver that was attached has ended and takes no more. What it closed stays closed until
    /// the next one attaches. The default does nothing.
    fn detach(&self) {}

    /// Takes a delivery over.
    ///
    /// The hand-over is this call and not the returned future: once it returns, the inbox brings
    /// the matter to an end, kept or refused, whether or not anybody awaits the receipt. It must
    /// not block the thread.
    fn keep(&self, incoming: Incoming) -> Receipt;

    /// Waits for jobs that may run and hands out at least one and at most `max` of them: first ones
    /// in the order in which their events were kept, further attempts when their time has come.
    ///
    /// An empty list means that the inbox is [closed](Self::close) and will hand out nothing more.
    ///
    /// Cancel-safe: a job is either in the returned list or still in the inbox. Needs a tokio
    /// runtime with its timer.
    async fn take(&self, max: usize) -> Vec<Taken>;

    /// An attempt is about to begin. A durable inbox writes that down first, so that an event which
    /// kills the process does not do so for ever.
    ///
    /// The handler runs when the answer is `true`. `false` means that it cannot be written down and
    /// the job stays in the inbox as it is. The default is to run at once.
    fn begin(&self, job: &Taken) -> Begun {
        let _ = job;
        Begun::now()
    }

    /// Says what became of a job that was handed out. An event is finished when each of its jobs is
    /// done or dead.
    fn settle(&self, job: &Taken, outcome: Settled);

    /// Takes the bytes of a job that waits for its turn off the dispatcher's hands. An inbox that can
    /// find them again gives what it finds them by; the default is that it cannot.
    fn park(&self, job: &Taken) -> Option<Parked> {
        let _ = job;
        None
    }

    /// The job again whose bytes were [parked](Self::park). `None` when it is not there any more, or
    /// cannot be read now and is to be handed out again.
    async fn unpark(&self, parked: &Parked) -> Option<Taken> {
        let _ = parked;
        None
    }

    /// A parked job will not be run here: it is to be handed out again.
    fn put_back(&self, parked: &Parked) {
        let _ = parked;
    }

    /// The receiver is shutting down.
    ///
    /// An inbox that loses its content with the process refuses new events from here on, goes on
    /// answering for copies of those it has, lets what waits for its time now wait no longer, and ends
    /// `take` when each job is done or dead. It may be told so again, for what has come to wait since.
    /// A durable one goes on keeping and ends `take` at once: what is left is for the next receiver,
    /// in this process or in one after it.
    fn close(&self);

    /// Waits until all that was settled is as safe as this inbox makes it, and until what was being read
    /// from it by then is there. The default is at once.
    ///
    /// # Errors
    ///
    /// [`InboxErrorKind::Storage`] when some of it is not: it may be handled again by the next process.
    /// What the store could not write now it may still write later.
    ///
    /// # Cancel safety
    ///
    /// It only waits: dropping it changes nothing.
    async fn flush(&self) -> Result<(), InboxError> {
        Ok(())
    }

    /// What this inbox can and cannot promise.
    fn promises(&self) -> Promises;

    /// How full it is.
    fn stats(&self) -> InboxStats;

    /// The inbox as something to look into, where it is one. The default is that it is not.
    fn records(&self) -> Option<&dyn Records> {
        None
    }
}

/// An inbox that is shared is an inbox: keep a handle of your own to it.
#[async_trait]
impl<I: Inbox + ?Sized> Inbox for Arc<I> {
    fn attach(&self) -> Result<(), InboxError> {
        (**self).attach()
    }

    fn detach(&self) {
        (**self).detach();
    }

    fn keep(&self, incoming: Incoming) -> Receipt {
        (**self).keep(incoming)
    }

    async fn take(&self, max: usize) -> Vec<Taken> {
        (**self).take(max).await
    }

    fn begin(&self, job: &Taken) -> Begun {
        (**self).begin(job)
    }

    fn settle(&self, job: &Taken, outcome: Settled) {
        (**self).settle(job, outcome);
    }

    fn park(&self, job: &Taken) -> Option<Parked> {
        (**self).park(job)
    }

    async fn unpark(&self, parked: &Parked) -> Option<Taken> {
        (**self).unpark(parked).await
    }

    fn put_back(&self, parked: &Parked) {
        (**self).put_back(parked);
    }

    fn close(&self) {
        (**self).close();
    }

    async fn flush(&self) -> Result<(), InboxError> {
        (**self).flush().await
    }

    fn promises(&self) -> Promises {
        (**self).promises()
    }

    fn stats(&self) -> InboxStats {
        (**self).stats()
    }

    fn records(&self) -> Option<&dyn Records> {
        (**self).records()
    }
}

/// What is handed to an inbox.
#[derive(Debug)]
#[non_exhaustive]
pub struct Incoming {
    /// The delivery.
    pub delivery: Delivery,
    /// The handlers that are to run for it, by name; may be empty.
    pub jobs: Jobs,
    /// What to do when the identity is known.
    pub repeats: Repeats,
    /// The span that follows the delivery from the edge to the end of its handlers.
    pub span: Span,
}

impl Incoming {
    /// A delivery for the given handlers, in no span.
    #[must_use]
    pub fn new(delivery: Delivery, jobs: Jobs, repeats: Repeats) -> Self {
        Self {
            delivery,
            jobs,
            repeats,
            span: Span::none(),
        }
    }

    /// Sets the span that follows the delivery.
    #[must_use]
    pub fn within(self, span: Span) -> Self {
        Self { span, ..self }
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
