use std::error::Error as StdError;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::sync::oneshot;

/// How keeping an event ended well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// It is new and now kept.
    New,
    /// It is a copy of an event that is kept.
    Duplicate,
}

/// Why an event is not kept. Answered 503, so that the sender tries again.
#[derive(Debug)]
pub struct KeepError {
    kind: KeepErrorKind,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

/// Why an event is not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum KeepErrorKind {
    /// The inbox holds as many events or bytes as it may.
    Full,
    /// The receiver is shutting down.
    Draining,
    /// The store failed.
    Storage,
}

impl KeepError {
    /// An error without a cause.
    #[must_use]
    pub fn new(kind: KeepErrorKind) -> Self {
        Self { kind, source: None }
    }

    /// A failure of the store.
    pub fn storage(source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self {
            kind: KeepErrorKind::Storage,
            source: Some(source.into()),
        }
    }

    /// Why, to match on.
    #[must_use]
    pub fn kind(&self) -> KeepErrorKind {
        self.kind
    }
}

impl fmt::Display for KeepError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.kind {
            KeepErrorKind::Full => "the inbox is full",
            KeepErrorKind::Draining => "the receiver is shutting down",
            KeepErrorKind::Storage => "the inbox cannot store the event",
        })
    }
}

impl StdError for KeepError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source
            .as_ref()
            .map(|source| &**source as &(dyn StdError + 'static))
    }
}

/// The outcome of a hand-over to an inbox, at once or later.
///
/// Awaiting it is only waiting: dropping it changes nothing in the inbox.
#[derive(Debug)]
pub struct Receipt(Repr);

#[derive(Debug)]
enum Repr {
    Ready(Option<Result<Kept, KeepError>>),
    Waiting(oneshot::Receiver<Result<Kept, KeepError>>),
}

/// The inbox's side of a [`Receipt`] that is not settled yet.
#[derive(Debug)]
pub struct Pending(oneshot::Sender<Result<Kept, KeepError>>);

impl Receipt {
    /// An outcome that is known already. Costs nothing.
    #[must_use]
    pub fn ready(outcome: Result<Kept, KeepError>) -> Self {
        Self(Repr::Ready(Some(outcome)))
    }

    /// An outcome that the inbox tells later. When it drops its side untold, the delivery counts as
    /// not kept.
    #[must_use]
    pub fn pending() -> (Pending, Self) {
        let (sender, receiver) = oneshot::channel();
        (Pending(sender), Self(Repr::Waiting(receiver)))
    }
}

impl Pending {
    /// Tells the outcome. Nobody may be waiting any more; that is fine.
    pub fn settle(self, outcome: Result<Kept, KeepError>) {
        let _ = self.0.send(outcome);
    }
}

impl Future for Receipt {
    type Output = Result<Kept, KeepError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.0 {
            Repr::Ready(outcome) => Poll::Ready(
                outcome
                    .take()
                    .unwrap_or_else(|| Err(KeepError::storage("polled after its end"))),
            ),
            Repr::Waiting(receiver) => Pin::new(receiver).poll(cx).map(|told| {
                told.unwrap_or_else(|_| Err(KeepError::storage("the inbox dropped the delivery")))
            }),
        }
    }
}

/// Whether an attempt may begin, now or later; see [`Inbox::begin`](super::Inbox::begin).
#[derive(Debug)]
pub struct Begun(Option<oneshot::Receiver<()>>);

/// The inbox's side of a [`Begun`] that is not told yet.
#[derive(Debug)]
pub struct Starter(oneshot::Sender<()>);

impl Begun {
    /// The attempt may begin. Costs nothing.
    #[must_use]
    pub fn now() -> Self {
        Self(None)
    }

    /// The inbox says later when it may begin. When it drops its side unsaid, it may not.
    #[must_use]
    pub fn pending() -> (Starter, Self) {
        let (sender, receiver) = oneshot::channel();
        (Starter(sender), Self(Some(receiver)))
    }
}

impl Starter {
    /// Whether anybody still waits to begin. Who does not will not begin.
    #[cfg(feature = "disk-system")]
    pub(crate) fn is_awaited(&self) -> bool {
        !self.0.is_closed()
    }

    /// The attempt may begin.
    pub fn start(self) {
        let _ = self.0.send(());
    }
}

impl Future for Begun {
    type Output = bool;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<bool> {
        match &mut self.0 {
            None => Poll::Ready(true),
            Some(receiver) => Pin::new(receiver).poll(cx).map(|told| told.is_ok()),
        }
    }
}
