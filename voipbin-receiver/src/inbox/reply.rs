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

impl From<Unanswered> for KeepError {
    fn from(unanswered: Unanswered) -> Self {
        Self::storage(unanswered)
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

/// An inbox's answer, at once or later: a future.
///
/// Awaiting it is only waiting: dropping it changes nothing in the inbox. An inbox that drops its
/// [`ReplySender`] without an answer has answered with the error that [`Unanswered`] becomes.
///
/// ```
/// use voipbin_receiver::inbox::{KeepError, KeepErrorKind, Kept, Reply};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let known = Reply::<Kept, KeepError>::ready(Ok(Kept::New));
/// assert_eq!(known.await.unwrap(), Kept::New);
///
/// let (sender, later) = Reply::<Kept, KeepError>::pending();
/// tokio::spawn(async move { sender.send(Ok(Kept::Duplicate)) });
/// assert_eq!(later.await.unwrap(), Kept::Duplicate);
///
/// let (sender, never) = Reply::<Kept, KeepError>::pending();
/// drop(sender);
/// assert_eq!(never.await.unwrap_err().kind(), KeepErrorKind::Storage);
/// # }
/// ```
#[derive(Debug)]
#[must_use = "what it tells may be an error"]
pub struct Reply<T, E>(Repr<T, E>);

#[derive(Debug)]
enum Repr<T, E> {
    Ready(Option<Result<T, E>>),
    Pending(oneshot::Receiver<Result<T, E>>),
}

/// The inbox's side of a [`Reply`] that is not given yet.
#[derive(Debug)]
pub struct ReplySender<T, E>(oneshot::Sender<Result<T, E>>);

/// The inbox gave no answer: it dropped the [`ReplySender`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unanswered;

impl fmt::Display for Unanswered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the inbox gave no answer")
    }
}

impl StdError for Unanswered {}

impl<T, E> Reply<T, E> {
    /// An answer that is known already. Costs nothing.
    pub fn ready(answer: Result<T, E>) -> Self {
        Self(Repr::Ready(Some(answer)))
    }

    /// An answer that the inbox gives later, from any thread.
    pub fn pending() -> (ReplySender<T, E>, Self) {
        let (sender, receiver) = oneshot::channel();
        (ReplySender(sender), Self(Repr::Pending(receiver)))
    }
}

impl<T, E> ReplySender<T, E> {
    /// Gives the answer. Nobody may be waiting any more; that is fine.
    pub fn send(self, answer: Result<T, E>) {
        drop(self.0.send(answer));
    }

    /// Whether nobody waits for the answer any more.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.0.is_closed()
    }
}

impl<T: Unpin, E: From<Unanswered> + Unpin> Future for Reply<T, E> {
    type Output = Result<T, E>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.0 {
            // Polled after its end, it has none.
            Repr::Ready(answer) => {
                Poll::Ready(answer.take().unwrap_or_else(|| Err(Unanswered.into())))
            }
            Repr::Pending(receiver) => Pin::new(receiver)
                .poll(cx)
                .map(|answer| answer.unwrap_or_else(|_| Err(Unanswered.into()))),
        }
    }
}
