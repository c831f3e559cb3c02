//! Where an event is kept between its answer and the end of its handlers.
//!
//! The promise of every inbox: a delivery is kept once, and it is not called kept before it is.

#[cfg(feature = "testing")]
pub mod contract;
mod memory;
mod receipt;
mod seen;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use async_trait::async_trait;
use tracing::Span;

pub use self::memory::{MemoryInbox, MemoryInboxBuilder};
pub use self::receipt::{KeepError, KeepErrorKind, Kept, Pending, Receipt};
use crate::event::Delivery;
use crate::handler::HandlerName;

/// The handlers that an event is kept for. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Jobs(Arc<[HandlerName]>);

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

impl FromIterator<HandlerName> for Jobs {
    fn from_iter<I: IntoIterator<Item = HandlerName>>(names: I) -> Self {
        Self(names.into_iter().collect())
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
/// The pipeline calls [`keep`](Self::keep), the dispatcher [`take`](Self::take) and
/// [`settle`](Self::settle). The contract:
///
/// * An event for which `keep` gave [`Kept::New`] is handed out by `take`, in this process or in
///   one after it, as [`promises`](Self::promises) says.
/// * While the identity of a kept event is remembered, a copy is [`Kept::Duplicate`]. A copy that
///   comes while the first is still being kept waits for that outcome and shares it.
/// * When an event cannot be kept, its identity is not remembered: the sender's next try is new.
/// * An identity whose event is not finished is never forgotten.
///
/// `contract::check`, behind the feature `testing`, tries an inbox against all of it.
#[async_trait]
pub trait Inbox: fmt::Debug + Send + Sync + 'static {
    /// Takes a delivery over.
    ///
    /// The hand-over is this call and not the returned future: once it returns, the inbox brings
    /// the matter to an end, kept or refused, whether or not anybody awaits the receipt. It must
    /// not block the thread.
    fn keep(&self, incoming: Incoming) -> Receipt;

    /// Waits for kept events and hands out at least one and at most `max` of them, in the order in
    /// which they were kept. An empty list means that the inbox is closed and nothing is left.
    ///
    /// Cancel-safe: an event is either in the returned list or still in the inbox.
    async fn take(&self, max: usize) -> Vec<Taken>;

    /// One job of a taken event has ended. The event is finished with its last job.
    fn settle(&self, event: &Taken, handler: &HandlerName, outcome: Settled);

    /// The receiver is shutting down. An inbox that loses its content with the process refuses new
    /// events from here on, and goes on answering for copies of those it has.
    fn close(&self);

    /// What this inbox can and cannot promise.
    fn promises(&self) -> Promises;

    /// How full it is.
    fn stats(&self) -> InboxStats;
}

/// An inbox that is shared is an inbox: keep a handle of your own to it.
#[async_trait]
impl<I: Inbox + ?Sized> Inbox for Arc<I> {
    fn keep(&self, incoming: Incoming) -> Receipt {
        (**self).keep(incoming)
    }

    async fn take(&self, max: usize) -> Vec<Taken> {
        (**self).take(max).await
    }

    fn settle(&self, event: &Taken, handler: &HandlerName, outcome: Settled) {
        (**self).settle(event, handler, outcome);
    }

    fn close(&self) {
        (**self).close();
    }

    fn promises(&self) -> Promises {
        (**self).promises()
    }

    fn stats(&self) -> InboxStats {
        (**self).stats()
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

/// An event that was handed out to be handled, until the last of its jobs is settled.
#[derive(Debug)]
pub struct Taken {
    id: u64,
    delivery: Delivery,
    jobs: Jobs,
    possible_repeat: bool,
    open: AtomicU32,
    span: Span,
}

impl Taken {
    /// An event for the handlers in `jobs`, under a number of the inbox's own, in no span.
    #[must_use]
    pub fn new(id: u64, delivery: Delivery, jobs: Jobs) -> Self {
        let open = AtomicU32::new(u32::try_from(jobs.len()).unwrap_or(u32::MAX));
        Self {
            id,
            delivery,
            jobs,
            possible_repeat: false,
            open,
            span: Span::none(),
        }
    }

    /// Marks it as one whose bytes came shortly before; see [`Repeats::Mark`].
    #[must_use]
    pub fn marked(self, possible_repeat: bool) -> Self {
        Self {
            possible_repeat,
            ..self
        }
    }

    /// Sets the span that follows the delivery, where it is still there.
    #[must_use]
    pub fn within(self, span: Span) -> Self {
        Self { span, ..self }
    }

    /// The number that the inbox gave it.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.id
    }

    /// The delivery, with the bytes that were verified.
    #[must_use]
    pub fn delivery(&self) -> &Delivery {
        &self.delivery
    }

    /// The handlers that are still to run for it.
    #[must_use]
    pub fn jobs(&self) -> &Jobs {
        &self.jobs
    }

    /// Whether it may be a repeat; see [`Repeats::Mark`].
    #[must_use]
    pub fn possible_repeat(&self) -> bool {
        self.possible_repeat
    }

    /// The span that follows the delivery.
    #[must_use]
    pub fn span(&self) -> &Span {
        &self.span
    }

    /// Counts one job as settled; true for the last one. For inboxes that keep no list of their own.
    #[must_use]
    pub fn settle_one(&self) -> bool {
        let counted = self
            .open
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |open| {
                open.checked_sub(1)
            });
        counted == Ok(1)
    }
}

/// How a job ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Settled {
    /// The handler returned without an error.
    Done,
    /// The handler failed or panicked.
    Failed,
}

/// What an inbox can and cannot promise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Promises {
    /// What a kept event survives.
    pub durability: Durability,
}

impl Promises {
    /// The promises of an inbox with this durability.
    #[must_use]
    pub const fn new(durability: Durability) -> Self {
        Self { durability }
    }
}

/// What a kept event survives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Durability {
    /// A clean shutdown, which drains it. It is lost when the process dies.
    Process,
    /// `kill -9` and a power cut.
    Machine,
    /// The loss of a machine.
    Cluster,
}

/// How full an inbox is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct InboxStats {
    /// Events that are kept and not finished.
    pub events: usize,
    /// Bytes of their bodies.
    pub bytes: usize,
    /// Identities that are remembered, those of possible repeats included.
    pub identities: usize,
    /// Identities that were forgotten before their time because there were too many.
    pub evicted: u64,
}
