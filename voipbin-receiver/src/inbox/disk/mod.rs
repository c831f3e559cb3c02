//! An inbox on disk: what its rows look like, the file that they are kept in, the thread that writes
//! it, and what is known of it in memory.
//!
//! ```text
//! keep  -> shared: is it a copy? -> writer: gathers, commits, answers -> ready
//! take  <- ready: from memory, or read back through store
//! begin, settle -> shared -> writer: index -> progress rows
//! ```
//!
//! The file is one of redb's: written in Rust, one file, transactions, a stable format, no threads of
//! its own, and a storage below it that tests can break. Events lie in rows of up to 60 KB in the order
//! in which they came, identities are looked up in memory, and one commit serves all that wait. Rows of
//! one event each were tried first: they reached 0.15 of a plain file with the same group commit, these
//! 0.43 (256 senders of 1.5 KB events; `cargo bench -p voipbin-receiver-tests --bench inbox` measures
//! what it is now).

mod convert;
mod error;
#[cfg(test)]
mod faults;
mod index;
mod lock;
mod ready;
mod record;
mod records;
mod rescue;
mod salvage;
mod settings;
mod shared;
mod store;
mod store_error;
#[cfg(test)]
mod tests;
mod writer;

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::fs::DirBuilder;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::thread;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::oneshot;
use tokio::time::{sleep, sleep_until};

pub use self::error::{DiskInboxError, DiskInboxErrorKind};
use self::index::{Index, Row};
use self::lock::DirLock;
use self::ready::{Again, Next};
use self::record::Head;
pub use self::rescue::SalvageReport;
pub use self::settings::DiskInboxBuilder;
use self::settings::Settings;
use self::shared::{Begin, Command, Outcome, Shared};
use self::store::{Loaded, Store};
use self::store_error::{StoreError, StoreErrorKind};
use self::writer::Writer;
use super::{
    Attempt, AttemptEnd, Begun, Durability, Entry, Inbox, InboxStats, Incoming, Jobs, Parked, Past,
    Promises, Receipt, RecordId, Records, Settled, Taken,
};
use crate::handler::HandlerName;

/// The files in the directory.
const EVENTS_FILE: &str = "events.redb";
const LOCK_FILE: &str = "inbox.lock";

/// After so many starts in a row without a write, every page of the file is checked: damage may be
/// what ends the process.
const DOUBTFUL_STARTS: u32 = 2;

/// Between two tries at a file that cannot be read.
const PAUSE: Duration = Duration::from_secs(1);

/// Memory of the engine for pages of the file.
const CACHE_BYTES: usize = 16 << 20;

/// An inbox in a directory on disk: a 200 means that the event survives `kill -9` and a power cut.
///
/// An event and its identity are written and synced together before the answer; all that wait share
/// one sync. What is unfinished when the process ends, however it ends, is taken up by the next one
/// that opens the directory. One process at a time can.
///
/// The beginning of a run is on disk before the handler is called, its end shortly after, together
/// with others or with the next beginning. So when a process is killed, what is handled again are the
/// runs that had begun and whose end was not written: never more than there are handlers at once,
/// [`ReceiverBuilder::concurrency`](crate::ReceiverBuilder::concurrency). Each of them has a higher
/// number of the attempt then, and they run one at a time.
///
/// It is cheap to clone; keep a clone to look into it while a receiver uses it.
///
/// ```
/// use voipbin_receiver::Receiver;
/// use voipbin_receiver::events::CallHangup;
/// use voipbin_receiver::inbox::DiskInbox;
/// use voipbin_receiver::resource::Call;
/// use voipbin_receiver::Event;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let directory = tempfile::tempdir()?;
/// # let directory = directory.path().join("inbox");
/// let receiver = Receiver::builder()
///     .secret("the customer's webhook secret")
///     .inbox(DiskInbox::open(directory)?)
///     .on(CallHangup, |call: Event<Call>| async move { drop(call) })
///     .build()?;
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct DiskInbox(Arc<Handle>);

/// The writer ends with the last of these.
struct Handle {
    shared: Arc<Shared>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.stop();
    }
}

impl DiskInbox {
    /// The default of [`DiskInboxBuilder::max_events`].
    pub const DEFAULT_MAX_EVENTS: usize = 4_000_000;
    /// The default of [`DiskInboxBuilder::max_bytes`]: 8 GiB.
    pub const DEFAULT_MAX_BYTES: u64 = 8 << 30;
    /// The default of [`DiskInboxBuilder::memory`]: 32 MiB.
    pub const DEFAULT_MEMORY: usize = 32 << 20;
    /// The default of [`DiskInboxBuilder::max_identities`].
    pub const DEFAULT_MAX_IDENTITIES: usize = 1_000_000;
    /// The default of [`DiskInboxBuilder::identity_ttl`]: one hour.
    pub const DEFAULT_IDENTITY_TTL: Duration = Duration::from_secs(3600);
    /// The default of [`DiskInboxBuilder::retain_done`]: 24 hours.
    pub const DEFAULT_RETAIN_DONE: Duration = Duration::from_secs(24 * 3600);
    /// The default of [`DiskInboxBuilder::retain_dead`]: 30 days.
    pub const DEFAULT_RETAIN_DEAD: Duration = Duration::from_secs(30 * 24 * 3600);

    /// Opens the inbox in a directory with the default settings; see [`DiskInboxBuilder::open`].
    ///
    /// # Errors
    ///
    /// When the directory cannot be used, is in use, or holds a file that cannot be read.
    pub fn open(directory: impl Into<PathBuf>) -> Result<Self, DiskInboxError> {
        Self::builder(directory).open()
    }

    /// The settings of an inbox in this directory, to change them.
    pub fn builder(directory: impl Into<PathBuf>) -> DiskInboxBuilder {
        DiskInboxBuilder::new(directory.into())
    }

    /// Waits until the file is closed and the directory may be opened again: everything is written, and
    /// this was the last handle. A receiver holds one until it and its services are dropped.
    ///
    /// Not needed before a process ends.
    ///
    /// # Cancel safety
    ///
    /// The handle is gone when the future is dropped, and the file is closed without being waited
    /// for.
    pub async fn closed(self) {
        let mut closed = self.shared().closed.subscribe();
        drop(self);
        // It is told before the sender goes.
        let _ = closed.wait_for(|closed| *closed).await;
    }

    fn with(settings: Settings) -> Result<Self, DiskInboxError> {
        let directory = settings.directory.clone();
        create(&directory).map_err(|error| DiskInboxError::io(&directory, error))?;
        let lock = DirLock::acquire(&directory.join(LOCK_FILE))
            .map_err(|error| DiskInboxError::locked(&directory, error))?;
        let path = directory.join(EVENTS_FILE);
        let checked = lock.unclean_starts() >= DOUBTFUL_STARTS;
        if checked {
            tracing::warn!(
                "the inbox was left uncleanly several times in a row: checking its file"
            );
        }
        let open = move |check: bool| {
            if check {
                Store::open_checked(&path, CACHE_BYTES)
            } else {
                Store::open(&path, CACHE_BYTES)
            }
        };
        Self::on(settings, open, checked, Some(lock))
            .map_err(|error| DiskInboxError::store(&directory, error))
    }

    /// An inbox on whatever `open` opens, now and again after a failure; with a check of all of it
    /// where that is asked for.
    fn on(
        settings: Settings,
        open: impl Fn(bool) -> Result<Store, StoreError> + Send + 'static,
        check: bool,
        lock: Option<DirLock>,
    ) -> Result<Self, StoreError> {
        let shared = Arc::new(Shared::new(settings, open(check)?));
        let damaged = load(&shared)?;
        if damaged && !check {
            // Where rows are damaged the tables may be: nothing is written before that is known.
            let mut store = shared.store.write().unwrap_or_else(PoisonError::into_inner);
            if let Some(store) = store.take() {
                store.abandon();
            }
            *store = Some(open(true)?);
        }
        let open = Box::new(move || open(false));
        let writer = Writer::new(Arc::clone(&shared), open, lock);
        let held = Arc::clone(&shared);
        let run = move || {
            let lock = writer.run();
            let mut store = held.store.write().unwrap_or_else(PoisonError::into_inner);
            *store = None;
            drop(lock);
            held.closed.send_replace(true);
        };
        thread::Builder::new()
            .name("voipbin-inbox".into())
            .spawn(run)
            .map_err(|error| StoreError::caused(StoreErrorKind::Io, error))?;
        Ok(Self(Arc::new(Handle { shared })))
    }

    fn shared(&self) -> &Arc<Shared> {
        &self.0.shared
    }

    /// Waits until all that came before is stored. False when that failed.
    async fn stored(&self) -> bool {
        let (told, done) = oneshot::channel();
        self.shared().command(Command::Flush(told));
        done.await.is_ok()
    }
}

fn create(directory: &Path) -> std::io::Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(directory)
}

/// Reads what the file holds into memory, the bodies aside. Tells whether something was damaged.
fn load(shared: &Arc<Shared>) -> Result<bool, StoreError> {
    let now = shared.now();
    let mut lists: HashMap<Vec<HandlerName>, Jobs> = HashMap::new();
    let mut index = shared.index();
    let mut ready = shared.ready();
    let mut lost = 0_usize;
    let store = shared.store.read().unwrap_or_else(PoisonError::into_inner);
    let Some(store) = store.as_ref() else {
        return Ok(false);
    };
    let mut damaged = false;
    store.load(|loaded| {
        let Loaded {
            key,
            heads,
            progress,
            has_bodies,
            damage,
        } = loaded;
        if damage.any() {
            damaged = true;
            tracing::error!(
                row = key,
                ?damage,
                "the inbox's file is damaged here: where progress is lost its events are handled again"
            );
        }
        let Some(heads) = heads else {
            lost += 1;
            return;
        };
        let mut jobs_of = |head: &Head| {
            let names: Vec<HandlerName> = head
                .jobs
                .iter()
                .filter_map(|place| heads.names.get(usize::from(*place)).cloned())
                .collect();
            lists
                .entry(names)
                .or_insert_with_key(|names| names.iter().cloned().collect())
                .clone()
        };
        let jobs: Vec<Jobs> = heads.heads.iter().map(&mut jobs_of).collect();
        let row = Row {
            key,
            heads,
            jobs,
            progress,
            has_bodies,
        };
        index.load(row, shared.keep, |event, head| {
            let age = Duration::from_millis(now.saturating_sub(event.kept_at));
            let open = event.is_open();
            if head.replay_of.is_none() {
                if event.marks {
                    shared.noted.restore(event.identity, age, false);
                } else {
                    shared.seen.restore(event.identity, age, open);
                }
            }
            if !open {
                return;
            }
            if ready.in_file.is_none() {
                ready.in_file = Some(event.seq);
            }
            for (handler, job) in event.open_jobs() {
                if let Some(until) = convert::is_waiting(&job) {
                    let past = convert::past(&job);
                    let again = Again {
                        seq: event.seq,
                        handler,
                        past,
                    };
                    let after = overdue(until, now, event.seq, shared.settings.spread);
                    ready.push_found(again, after);
                }
            }
        });
    })?;
    if lost > 0 {
        tracing::error!(
            rows = lost,
            "rows of the inbox's file cannot be read at all"
        );
    }
    shared.publish_totals(&index);
    Ok(damaged)
}

/// How long a job still waits that was to run at this time. What is overdue is spread over a few
/// seconds, so that what waited while the process was down does not come all at once.
fn overdue(until: u64, now: u64, seq: u64, spread: Duration) -> Duration {
    let left = until.saturating_sub(now);
    if left > 0 {
        return Duration::from_millis(left);
    }
    let place = seq.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 33;
    let spread = convert::as_millis(spread).max(1);
    Duration::from_millis(place.checked_rem(spread).unwrap_or_default())
}

impl fmt::Debug for DiskInbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DiskInbox")
            .field("directory", &self.shared().settings.directory)
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl Inbox for DiskInbox {
    fn keep(&self, incoming: Incoming) -> Receipt {
        self.shared().admit(incoming)
    }

    async fn take(&self, max: usize) -> Vec<Taken> {
        let shared = self.shared();
        if max == 0 {
            return Vec::new();
        }
        loop {
            // Before the look, so that nothing that comes between is missed.
            let arrived = shared.arrived.notified();
            let next = {
                let mut ready = shared.ready();
                let next = ready.next(max);
                if matches!(next, Next::Jobs(_)) && ready.has_more() {
                    shared.arrived.notify_one();
                }
                next
            };
            match next {
                Next::Jobs(jobs) => return jobs,
                Next::Closed => return Vec::new(),
                Next::Wait(None) => arrived.await,
                Next::Wait(Some(due)) => tokio::select! {
                    () = arrived => {}
                    () = sleep_until(due) => {}
                },
                Next::Read(seq) => read(shared, move |shared| read_again(shared, seq)).await,
                Next::ReadFrom(seq) => read(shared, move |shared| read_from(shared, seq)).await,
            }
        }
    }

    fn begin(&self, job: &Taken) -> Begun {
        let (starter, begun) = Begun::pending();
        self.shared().begin(Begin {
            seq: job.id(),
            handler: job.handler().clone(),
            starter,
        });
        begun
    }

    fn settle(&self, job: &Taken, outcome: Settled) {
        let shared = self.shared();
        let again = |past: Past| Again {
            seq: job.id(),
            handler: job.handler().clone(),
            past,
        };
        let then = match &outcome {
            Settled::Retry { failed, after } => {
                let mut past = job.past().cloned().unwrap_or_default();
                past.attempts = past.attempts.saturating_add(1);
                past.interrupted = false;
                past.add(failed.clone());
                Some((again(past), *after))
            }
            Settled::Released => {
                let past = job.past().cloned().unwrap_or_default();
                Some((again(past), Duration::ZERO))
            }
            Settled::Held => {
                shared.index().hold(job.id(), job.handler());
                None
            }
            Settled::Done | Settled::Dead { .. } => None,
        };
        // First the outcome, so that a next attempt cannot be written before it.
        shared.outcome(Outcome {
            seq: job.id(),
            handler: job.handler().clone(),
            settled: outcome,
        });
        // It may have been given up meanwhile.
        if let Some((again, after)) = then
            && shared.index().wants(job.id(), job.handler())
        {
            shared.again(again, after);
        }
    }

    fn park(&self, job: &Taken) -> Option<Parked> {
        Some(Parked::new(job))
    }

    async fn unpark(&self, parked: &Parked) -> Option<Taken> {
        let shared = self.shared();
        let seq = parked.id();
        loop {
            let held = Arc::clone(shared);
            let read = tokio::task::spawn_blocking(move || fetch(&held, seq)).await;
            match read {
                Ok(Fetched::Entry(entry)) => return Some(parked.with(Arc::new(entry))),
                Ok(Fetched::Gone) | Err(_) => return None,
                Ok(Fetched::Failed) => sleep(PAUSE).await,
            }
        }
    }

    fn put_back(&self, parked: &Parked) {
        let shared = self.shared();
        if shared.index().wants(parked.id(), parked.handler()) {
            let again = Again {
                seq: parked.id(),
                handler: parked.handler().clone(),
                past: parked.past().cloned().unwrap_or_default(),
            };
            shared.again(again, Duration::ZERO);
        }
    }

    fn close(&self) {
        let shared = self.shared();
        shared.ready().closed = true;
        shared.arrived.notify_waiters();
    }

    async fn flush(&self) {
        self.stored().await;
    }

    fn promises(&self) -> Promises {
        Promises::new(Durability::Machine)
    }

    fn stats(&self) -> InboxStats {
        let shared = self.shared();
        let waiting = shared.ready().waiting();
        let (totals, held) = {
            let index = shared.index();
            (index.totals, index.held())
        };
        InboxStats {
            events: totals.events,
            bytes: usize::try_from(totals.bytes).unwrap_or(usize::MAX),
            identities: shared.seen.len() + shared.noted.len(),
            evicted: shared.seen.evicted() + shared.noted.evicted(),
            waiting,
            held,
            dead: totals.dead,
            damaged: shared.damaged.load(Ordering::Relaxed),
            full: totals.events >= shared.settings.max_events
                || totals.bytes + totals.dead_bytes >= shared.settings.max_bytes,
            failing: shared.failing.load(Ordering::Relaxed),
            disk_bytes: shared.disk_bytes.load(Ordering::Relaxed),
        }
    }

    fn records(&self) -> Option<&dyn Records> {
        Some(self)
    }
}

/// Reads where that hurts nobody. The jobs stay where they are until they are read.
async fn read(shared: &Arc<Shared>, work: impl FnOnce(&Shared) -> bool + Send + 'static) {
    let held = Arc::clone(shared);
    let read = tokio::task::spawn_blocking(move || work(&held)).await;
    if !read.unwrap_or(false) {
        sleep(shared.settings.tick).await;
    }
}

/// The events of one chunk, by number.
enum Read {
    Events(Vec<(Head, bytes::Bytes)>),
    Damaged,
    /// The file cannot be read now.
    Failed,
}

fn read_chunk(shared: &Shared, key: u64) -> Read {
    let store = shared.store.read().unwrap_or_else(PoisonError::into_inner);
    let Some(store) = store.as_ref() else {
        return Read::Failed;
    };
    match store.chunk(key) {
        Ok(Some(chunk)) => Read::Events(chunk.events),
        Ok(None) => Read::Damaged,
        Err(error) if error.kind() == StoreErrorKind::Damaged => Read::Damaged,
        Err(error) => {
            tracing::error!(%error, "the inbox cannot read");
            Read::Failed
        }
    }
}

fn entry(head: &Head, body: bytes::Bytes) -> Option<Entry> {
    let delivery = convert::delivery(head, body)?;
    let entry = Entry::new(head.seq, delivery, head.jobs.len())
        .marked(head.possible_repeat)
        .replaying(head.replay_of.map(RecordId::new));
    Some(entry)
}

/// What came of reading one event.
enum Fetched {
    Entry(Entry),
    /// It was given up, or its bytes are damaged.
    Gone,
    /// The file cannot be read now.
    Failed,
}

fn fetch(shared: &Shared, seq: u64) -> Fetched {
    let key = shared.index().key_of(seq);
    let events = match key.map(|key| read_chunk(shared, key)) {
        Some(Read::Failed) => return Fetched::Failed,
        Some(Read::Events(events)) => events,
        Some(Read::Damaged) | None => Vec::new(),
    };
    let found = events
        .into_iter()
        .find(|(head, _)| head.seq == seq)
        .and_then(|(head, body)| entry(&head, body));
    match found {
        Some(entry) => Fetched::Entry(entry),
        None => {
            // None of its jobs is open when it was given up meanwhile: then nothing is lost.
            give_up(shared, &[seq]);
            Fetched::Gone
        }
    }
}

/// Reads the event of jobs that come again.
fn read_again(shared: &Shared, seq: u64) -> bool {
    let entry = match fetch(shared, seq) {
        Fetched::Entry(entry) => Some(Arc::new(entry)),
        Fetched::Gone => None,
        Fetched::Failed => return false,
    };
    shared.ready().fill(seq, entry.as_ref());
    true
}

/// Reads the next chunk from this number on into the line.
fn read_from(shared: &Shared, from: u64) -> bool {
    let next = shared.index().next_open(from);
    let Some((key, after)) = next else {
        let mut ready = shared.ready();
        // Under both locks: what is kept from here on finds the line open again.
        if ready.in_file == Some(from) && shared.index().next_open(from).is_none() {
            ready.has_read(from, false);
        }
        return true;
    };
    let mut bodies: HashMap<u64, (Head, bytes::Bytes)> = match read_chunk(shared, key) {
        Read::Failed => return false,
        Read::Damaged => HashMap::new(),
        Read::Events(events) => events
            .into_iter()
            .map(|event| (event.0.seq, event))
            .collect(),
    };
    let mut lost = Vec::new();
    {
        let mut ready = shared.ready();
        if ready.in_file != Some(from) {
            return true;
        }
        let index = shared.index();
        for event in index.events(key) {
            if event.seq < from || !event.is_open() {
                continue;
            }
            let jobs: VecDeque<(HandlerName, Past)> = event
                .open_jobs()
                .into_iter()
                .filter(|(_, job)| job.stage == record::JobStage::Queued)
                .filter(|(handler, _)| !ready.is_ahead(event.seq, handler))
                .map(|(handler, job)| (handler, convert::past(&job)))
                .collect();
            let body = bodies.remove(&event.seq);
            match body.and_then(|(head, body)| entry(&head, body)) {
                Some(_) if jobs.is_empty() => {}
                Some(entry) => ready.push_read(entry, jobs),
                None => lost.push(event.seq),
            }
        }
        ready.has_read(after, index.next_open(after).is_some());
    }
    give_up(shared, &lost);
    true
}

/// These events cannot be read any more: nobody can handle them, and that must not go unseen.
fn give_up(shared: &Shared, lost: &[u64]) {
    for seq in lost {
        let (jobs, identity) = lost_jobs(&shared.index(), *seq);
        if jobs.is_empty() {
            continue;
        }
        shared.damaged.fetch_add(1, Ordering::Relaxed);
        tracing::error!(
            record = seq,
            identity = identity.map(tracing::field::display),
            "the bytes of an event are damaged on disk: it cannot be handled"
        );
        for handler in jobs {
            let failed = Attempt::new(
                shared.settings.clock.wall(),
                Duration::ZERO,
                AttemptEnd::Failed("its bytes are damaged on disk".into()),
            );
            shared.outcome(Outcome {
                seq: *seq,
                handler,
                settled: Settled::Dead {
                    failed: Some(failed),
                },
            });
        }
    }
}

fn lost_jobs(index: &Index, seq: u64) -> (Vec<HandlerName>, Option<crate::event::EventKey>) {
    let event = index.event(seq);
    let jobs = event.map(|event| {
        let jobs = event.open_jobs().into_iter();
        jobs.map(|(handler, _)| handler).collect()
    });
    (jobs.unwrap_or_default(), event.map(|event| event.identity))
}
