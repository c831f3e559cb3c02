use std::fmt;
use std::time::{Duration, SystemTime};

use super::candidates::Cursor;
use super::report::Checkpoint;
use crate::platform::Platform;

/// What [`Receiver::catch_up`](crate::Receiver::catch_up) is to recover.
#[must_use = "it does nothing until it is given to a receiver"]
pub struct CatchUp {
    pub(super) platform: Platform,
    pub(super) since: Option<SystemTime>,
    until: Option<SystemTime>,
    margin: Duration,
    pub(super) budget: u32,
    dry_run: bool,
    repeats: bool,
    pub(super) after: Option<Cursor>,
    on_progress: Option<Box<dyn Fn(CatchUpProgress) + Send + Sync>>,
}

/// How far a catch-up has come.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct CatchUpProgress {
    /// Resources that were asked about.
    pub done: usize,
    /// Resources that may have changed.
    pub candidates: usize,
}

/// The time that is looked at.
pub(super) struct Window {
    pub(super) from: SystemTime,
    pub(super) until: SystemTime,
    /// Candidates before this one were asked about by an earlier run.
    pub(super) after: Option<Cursor>,
}

impl CatchUp {
    /// The default of [`margin`](Self::margin).
    pub const DEFAULT_MARGIN: Duration = Duration::from_secs(120);
    /// The default of [`budget`](Self::budget).
    pub const DEFAULT_BUDGET: u32 = 2_000;

    /// What was missed since the inbox is [known](crate::inbox::Inbox::down_since) to have been
    /// down.
    pub fn new(platform: &Platform) -> Self {
        Self {
            platform: platform.clone(),
            since: None,
            until: None,
            margin: Self::DEFAULT_MARGIN,
            budget: Self::DEFAULT_BUDGET,
            dry_run: false,
            repeats: false,
            after: None,
            on_progress: None,
        }
    }

    /// What was missed since then, whatever the inbox knows: with one that does not store it, or
    /// where it was up and nothing reached it.
    pub fn since(mut self, since: SystemTime) -> Self {
        self.since = Some(since);
        self
    }

    /// Goes on where an earlier run stopped, in the time that it was to look at.
    pub fn resume(mut self, checkpoint: &Checkpoint) -> Self {
        self.since = checkpoint.since.to_system_time();
        self.until = checkpoint.until.to_system_time();
        self.after = Some(checkpoint.after.clone());
        self.margin = Duration::ZERO;
        self
    }

    /// How long before the time events are looked for too, as clocks differ and the last webhooks
    /// may have failed. Default: 2 minutes.
    pub fn margin(mut self, margin: Duration) -> Self {
        self.margin = margin;
        self
    }

    /// How many requests are made at most. Default: 2,000, which takes 7 minutes at 5 a second. A
    /// run that stops for it has a [checkpoint](super::CatchUpReport::checkpoint).
    pub fn budget(mut self, requests: u32) -> Self {
        self.budget = requests;
        self
    }

    /// Asks and counts, and keeps nothing. What the inbox remembers by its identity alone, and has
    /// no record of, is counted as to be recovered.
    pub fn dry_run(mut self) -> Self {
        self.dry_run = true;
        self
    }

    /// Recovers although the inbox may have forgotten what it took in that time: handlers may run
    /// twice.
    pub fn allow_repeats(mut self) -> Self {
        self.repeats = true;
        self
    }

    /// What is called after each resource. It must not block.
    pub fn on_progress(
        mut self,
        on_progress: impl Fn(CatchUpProgress) + Send + Sync + 'static,
    ) -> Self {
        self.on_progress = Some(Box::new(on_progress));
        self
    }

    pub(super) fn window(&self, since: SystemTime, now: SystemTime) -> Window {
        Window {
            from: since.checked_sub(self.margin).unwrap_or(since),
            until: self.until.unwrap_or(now),
            after: self.after.clone(),
        }
    }

    /// Whether a run to its end leaves nothing to be asked of what was missed since then.
    pub(super) fn covers(&self, since: SystemTime) -> bool {
        !self.dry_run && self.until.is_none() && self.since.is_none_or(|from| from <= since)
    }

    pub(super) fn is_dry_run(&self) -> bool {
        self.dry_run
    }

    pub(super) fn allows_repeats(&self) -> bool {
        self.repeats || self.dry_run
    }

    pub(super) fn progress(&self, done: usize, candidates: usize) {
        if let Some(on_progress) = &self.on_progress {
            on_progress(CatchUpProgress { done, candidates });
        }
    }
}

impl fmt::Debug for CatchUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CatchUp")
            .field("since", &self.since)
            .field("margin", &self.margin)
            .field("budget", &self.budget)
            .field("dry_run", &self.dry_run)
            .finish_non_exhaustive()
    }
}
