use std::fmt;
use std::time::{Duration, SystemTime};

/// What came of a job so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct JobHistory {
    /// How many attempts have begun.
    pub attempts: u32,
    /// Whether the process died during the last one.
    pub interrupted: bool,
    /// The attempts whose end is known, the latest last. An inbox may keep only so many of them.
    pub history: Vec<Attempt>,
    /// How long the next attempt is still to wait, of a job whose attempts are made
    /// [in place](super::Settled::Retry::in_place).
    pub delay: Option<Duration>,
}

impl JobHistory {
    /// An attempt has failed.
    pub fn fail(&mut self, attempt: Attempt) {
        self.attempts = self.attempts.saturating_add(1);
        self.interrupted = false;
        self.delay = None;
        self.add(attempt);
    }

    /// Adds an attempt that has ended. Of more than 16 the earliest are forgotten; they still
    /// count.
    pub fn add(&mut self, attempt: Attempt) {
        const MOST: usize = 16;
        if self.history.len() >= MOST {
            self.history.drain(..=self.history.len() - MOST);
        }
        self.history.push(attempt);
    }
}

/// One run of a handler for an event.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Attempt {
    /// When it began, by the machine's clock.
    pub began_at: SystemTime,
    /// How long it took. Zero where that is not known.
    pub took: Duration,
    /// How it ended.
    pub ended: AttemptEnd,
}

impl Attempt {
    /// An attempt that did not end well.
    #[must_use]
    pub fn new(began_at: SystemTime, took: Duration, ended: AttemptEnd) -> Self {
        Self {
            began_at,
            took,
            ended,
        }
    }
}

/// How an attempt ended that did not end well.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AttemptEnd {
    /// The handler returned this error, with its causes.
    Failed(String),
    /// It panicked.
    Panicked,
    /// It took too long.
    TimedOut,
    /// The process died while it ran, or when it was about to: its beginning was stored.
    Interrupted,
}

impl AttemptEnd {
    /// It in a word, as metrics and spans show it.
    pub(crate) fn as_str(&self) -> &'static str {
        match self {
            // A run that the process did not outlive is not told of by this process.
            Self::Failed(_) | Self::Interrupted => "error",
            Self::Panicked => "panic",
            Self::TimedOut => "timeout",
        }
    }
}

impl fmt::Display for AttemptEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(error) => f.write_str(error),
            Self::Panicked => f.write_str("it panicked"),
            Self::TimedOut => f.write_str("it took too long"),
            Self::Interrupted => f.write_str("the process died while it ran or was about to"),
        }
    }
}
