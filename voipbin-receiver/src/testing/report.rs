use std::error::Error as StdError;
use std::fmt;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};

/// How a delivery went, attempt by attempt. Made by [`Sender::send`](super::Sender::send).
#[derive(Debug)]
#[must_use]
pub struct Report {
    pub(super) attempts: Vec<Result<Answer, AttemptError>>,
}

impl Report {
    /// Every attempt in its order: the answer, or why there was none.
    pub fn attempts(&self) -> &[Result<Answer, AttemptError>] {
        &self.attempts
    }

    /// The answer with which the platform counts the event as delivered, which is any with a status
    /// below 500; `None` when it gave up.
    #[must_use]
    pub fn delivered(&self) -> Option<&Answer> {
        self.answer().filter(|answer| answer.is_final())
    }

    /// The answer to the last attempt, whatever its status; `None` when it had none.
    #[must_use]
    pub fn answer(&self) -> Option<&Answer> {
        self.attempts.last()?.as_ref().ok()
    }

    /// The status of [`answer`](Self::answer).
    #[must_use]
    pub fn status(&self) -> Option<StatusCode> {
        self.answer().map(Answer::status)
    }

    /// The body of [`answer`](Self::answer); empty when there is none.
    #[must_use]
    pub fn body(&self) -> &Bytes {
        static NONE: Bytes = Bytes::new();
        self.answer().map_or(&NONE, Answer::body)
    }
}

/// One answer of the receiver.
///
/// The platform reads nothing but the status; headers and body are kept for tests.
#[derive(Clone, Debug)]
pub struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl Answer {
    /// The status.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The headers.
    #[must_use]
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// The body: its first 64 KiB, or what came of it before the connection broke or the time for
    /// the whole exchange, 30 s, was up.
    #[must_use]
    pub fn body(&self) -> &Bytes {
        &self.body
    }

    /// Only a status of 500 and above makes the platform try again.
    pub(super) fn is_final(&self) -> bool {
        self.status.as_u16() < 500
    }
}

/// Why an attempt got no answer. The platform tries again after any of these.
#[derive(Debug)]
pub struct AttemptError {
    kind: AttemptErrorKind,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl AttemptError {
    pub(super) fn broken(source: Box<dyn StdError + Send + Sync>) -> Self {
        Self {
            kind: AttemptErrorKind::Broken,
            source: Some(source),
        }
    }

    pub(super) fn timed_out() -> Self {
        Self {
            kind: AttemptErrorKind::TimedOut,
            source: None,
        }
    }

    /// What went wrong.
    #[must_use]
    pub fn kind(&self) -> AttemptErrorKind {
        self.kind
    }
}

/// The ways in which an attempt gets no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AttemptErrorKind {
    /// No connection, or one that broke before the answer: the service returned an error.
    Broken,
    /// No answer in time.
    TimedOut,
}

impl fmt::Display for AttemptError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.kind {
            AttemptErrorKind::Broken => "the connection broke before the answer",
            AttemptErrorKind::TimedOut => "no answer came in time",
        })
    }
}

impl StdError for AttemptError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}
