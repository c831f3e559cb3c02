use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::batch::Totals;
use super::{DiskInbox, DiskInboxError};
use crate::clock::{Clock, SystemClock};

#[derive(Clone)]
pub(super) struct Settings {
    pub(super) directory: PathBuf,
    pub(super) recreate: bool,
    pub(super) max_events: usize,
    pub(super) max_bytes: u64,
    pub(super) memory: usize,
    pub(super) max_identities: usize,
    pub(super) identity_ttl: Duration,
    pub(super) retain_done: Duration,
    pub(super) retain_dead: Duration,
    pub(super) max_dead: usize,
    pub(super) completion_delay: Duration,
    pub(super) clock: Arc<dyn Clock>,
    /// How often to look at what is over, and how soon to try again after a failure.
    pub(super) tick: Duration,
    /// The time over which jobs are spread that should have run while there was no process.
    pub(super) spread: Duration,
}

impl Settings {
    /// How many bytes of bodies dead letters may have.
    fn max_dead_bytes(&self) -> u64 {
        self.max_bytes / 4
    }

    pub(super) fn has_too_many_dead(&self, totals: &Totals) -> bool {
        totals.dead_events > self.max_dead || totals.dead_bytes > self.max_dead_bytes()
    }

    /// Whether they take four fifths of their room.
    pub(super) fn dead_nearly_full(&self, totals: &Totals) -> bool {
        let (most, bytes) = (self.max_dead, self.max_dead_bytes());
        let is_full = totals.dead_events >= most - most / 5;
        totals.dead_events > 0 && (is_full || totals.dead_bytes >= bytes - bytes / 5)
    }
}

/// The settings of a [`DiskInbox`].
#[must_use = "settings do nothing until `open` is called"]
pub struct DiskInboxBuilder(pub(super) Settings);

impl DiskInboxBuilder {
    pub(super) fn new(directory: PathBuf) -> Self {
        Self(Settings {
            directory,
            recreate: false,
            max_events: DiskInbox::DEFAULT_MAX_EVENTS,
            max_bytes: DiskInbox::DEFAULT_MAX_BYTES,
            memory: DiskInbox::DEFAULT_MEMORY,
            max_identities: DiskInbox::DEFAULT_MAX_IDENTITIES,
            identity_ttl: DiskInbox::DEFAULT_IDENTITY_TTL,
            retain_done: DiskInbox::DEFAULT_RETAIN_DONE,
            retain_dead: DiskInbox::DEFAULT_RETAIN_DEAD,
            max_dead: DiskInbox::DEFAULT_MAX_DEAD,
            completion_delay: Duration::from_millis(10),
            clock: Arc::new(SystemClock::new()),
            tick: Duration::from_secs(1),
            spread: Duration::from_secs(5),
        })
    }

    /// Whether to begin anew where there was an inbox and its file is missing, empty, zeroed or cut
    /// off, or not an inbox's; not by default, as events are lost by that. What is left of it is
    /// set aside in the directory, for [`DiskInbox::salvage`].
    pub fn recreate(mut self, recreate: bool) -> Self {
        self.0.recreate = recreate;
        self
    }

    /// How many events may be unfinished at once; 4,000,000 by default, at least 1. Of one that
    /// waits for its first attempt only the identity is in memory; what a receiver holds of one
    /// that it has taken, or that failed and waits, comes on top.
    pub fn max_events(mut self, events: usize) -> Self {
        self.0.max_events = events;
        self
    }

    /// How many bytes the file may take, with finished events that are retained; 8 GiB by default.
    ///
    /// Finished events give way first, those that finished longest ago. When the bodies of
    /// unfinished and dead ones alone have reached the limit, new events are refused with a 503;
    /// the last one that came in may go beyond it, so one that is larger than the limit can come in
    /// too.
    pub fn max_bytes(mut self, bytes: u64) -> Self {
        self.0.max_bytes = bytes;
        self
    }

    /// How many bytes of bodies wait for their handlers in memory; 32 MiB by default. What comes
    /// beyond that is read back from the disk when its turn comes.
    pub fn memory(mut self, bytes: usize) -> Self {
        self.0.memory = bytes;
        self
    }

    /// How many identities are remembered; 1,000,000 by default, for at most 66 bytes of memory
    /// each. See
    /// [`MemoryInboxBuilder::max_identities`](crate::inbox::MemoryInboxBuilder::max_identities).
    pub fn max_identities(mut self, identities: usize) -> Self {
        self.0.max_identities = identities;
        self
    }

    /// How long an identity is remembered, across restarts too, from the moment its event was
    /// received; one hour by default. See
    /// [`MemoryInboxBuilder::identity_ttl`](crate::inbox::MemoryInboxBuilder::identity_ttl).
    pub fn identity_ttl(mut self, ttl: Duration) -> Self {
        self.0.identity_ttl = ttl;
        self
    }

    /// How long a finished event stays, to be looked at and handled again; 24 hours by default.
    ///
    /// Bodies are personal data. With [`Duration::ZERO`] they are removed within some seconds after
    /// all handlers are done. What is removed is overwritten, in the file and in its log.
    pub fn retain_done(mut self, retention: Duration) -> Self {
        self.0.retain_done = retention;
        self
    }

    /// How long a dead letter stays; 30 days by default. After that it is removed.
    pub fn retain_dead(mut self, retention: Duration) -> Self {
        self.0.retain_dead = retention;
        self
    }

    /// How many events that are dead letters stay; 100,000 by default. Nor do their bodies take
    /// more than a quarter of [`max_bytes`](Self::max_bytes).
    ///
    /// Beyond that finished events give way first and then the oldest dead letters, each of which
    /// is logged and [counted](crate::inbox::InboxStats::dead_dropped).
    pub fn max_dead(mut self, events: usize) -> Self {
        self.0.max_dead = events;
        self
    }

    /// How long the completion of a handler may wait to be written together with others; 10
    /// milliseconds by default. What ended in this time may be handled again after the process was
    /// killed; how many that can be stands at [`DiskInbox`].
    pub fn completion_delay(mut self, delay: Duration) -> Self {
        self.0.completion_delay = delay;
        self
    }

    /// Where the time comes from; the machine by default.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.0.clock = clock;
        self
    }

    /// Opens the inbox, and creates its directory when there is none, for its owner alone. The mode
    /// of one that is there stays as it is; where others may use it, that is logged as a warning.
    ///
    /// It takes a moment for an empty one, a second or two for a million unfinished events, and up
    /// to five seconds more where this process is just closing the same inbox. All of it is done on
    /// a thread of the inbox's own: it blocks no caller, and needs no runtime.
    ///
    /// # Errors
    ///
    /// When the path is no directory, or one that cannot be used, is in use by another process or
    /// by this one, or holds a file that cannot be read; [`DiskInboxError`] says which and what to
    /// do. Nothing is changed then.
    ///
    /// # Cancel safety
    ///
    /// When the future is dropped the inbox is opened to the end and closed again, in its own time.
    pub async fn open(self) -> Result<DiskInbox, DiskInboxError> {
        super::open::open(self.0).await
    }
}

impl fmt::Debug for DiskInboxBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DiskInboxBuilder")
            .field("directory", &self.0.directory)
            .field("max_events", &self.0.max_events)
            .field("max_bytes", &self.0.max_bytes)
            .finish_non_exhaustive()
    }
}
