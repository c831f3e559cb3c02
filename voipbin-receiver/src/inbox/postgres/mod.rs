//! An inbox in a database that several processes share.
//!
//! ```text
//! keep   -> keeper: what waits shares a commit, copies join the first -> answers -> consumers are told
//! take   <- consumer <- reader: the first jobs of the partitions that this consumer owns
//! begin, settle -> consumer -> writer: one commit for what waits
//! lease, share of the partitions <- member: one consumer of all that there are
//! ```
//!
//! What is of one transaction is a function of the schema, in `schema.sql`, and each call of one is
//! a statement of its own: unnamed, with the schema's name, one round trip. So there is no state in
//! a session, and a pooler may give every statement another one. What is here is when to call, and
//! what an answer, or the lack of one, means.
//!
//! * **Keep.** One insert for all that waits, by four connections side by side. A unique index
//!   makes a copy wait for the first one's commit and share its fate. A batch that waits over 50 ms
//!   for that is rolled back, and each of its events has a commit of its own. Where the outcome is
//!   unknown, as with a broken connection or a warning (a commit that was cancelled while it waited
//!   for its standby gives one), the insert is repeated on a fresh connection, and knows itself
//!   again by a token. What is found to be known is answered after a commit of this call's own,
//!   whose log lies behind that of the first: a standby that has it has both.
//! * **Lanes.** A lane, by its number, is of one of 64 partitions, and a partition is one
//!   consumer's. Each has its share, the floor or the ceiling of 64/n, and gives what is too much
//!   once nothing runs in it. Rows of one partition are read in their order, so that it does not
//!   matter in which order they were committed.
//! * **Leases.** A consumer's lease is counted by the server for the others, and by this process
//!   from before it asked, less a tenth, on a clock that goes on in a machine that sleeps. `begin`
//!   and `settle` hold the consumer's row, which is never updated, in their transaction: a
//!   take-over deletes it, and so waits for those that are being committed, and those that come
//!   after it change nothing.
//!
//! * **Transactions of handlers.** What a handler writes by [`Tx`](crate::Tx) commits together with
//!   the completion of its job: `complete` comes last, in one message with the commit.
//!
//! All connections are on a thread of the inbox's own, so that handlers that block theirs hold up
//! no commit and no lease.

mod consumer;
mod error;
mod keep;
mod lease;
mod member;
#[cfg(feature = "disk-system")]
mod moving;
mod reader;
mod records;
mod row;
mod schema;
mod server;
mod settings;
mod shared;
mod state;
mod transactions;
mod writer;

use std::fmt;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, SystemTime};

use tokio::sync::{Mutex as AsyncMutex, Notify, mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::consumer::{Core, PostgresConsumer};
pub use self::error::{PostgresInboxError, PostgresInboxErrorKind};
use self::keep::{Keeper, New};
pub(crate) use self::lease::JobLease;
use self::schema::Schema;
pub(crate) use self::server::Trouble;
use self::server::{Address, Connection, Session, get};
pub use self::settings::PostgresInboxBuilder;
use self::settings::{Listen, Settings};
use self::shared::Shared;
pub(crate) use self::transactions::{Transaction, Transactions};
use super::{
    Consumer, Durability, Guarantees, Inbox, InboxError, InboxStats, Incoming, KeepError, Kept,
    LaneOrder, Records, Reply,
};

/// How many partitions a schema is created with.
const PARTITIONS: u16 = 64;

/// An inbox in a PostgreSQL database: several processes, on several machines, keep and handle its
/// events together.
///
/// A copy that reaches another process is known there. Each process handles its share of the lanes,
/// and another one takes that over when it ends or dies. [`Role`](crate::Role) says whether a
/// receiver keeps, handles, or both.
///
/// A 200 means that the database has committed it: to its disk, or with
/// [`require(Durability::Cluster)`](PostgresInboxBuilder::require) to that of a standby too. The
/// guide's page about PostgreSQL says how to set it up and what it does not promise.
///
/// Cheap to clone: all clones are the same inbox. It has a thread of its own, which ends after the
/// last clone and the last receiver.
///
/// ```no_run
/// use voipbin_receiver::inbox::PostgresInbox;
/// use voipbin_receiver::{Receiver, gate::Secret};
///
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let inbox = PostgresInbox::connect("postgresql://receiver@db.example.com/app").await?;
/// let receiver = Receiver::builder()
///     .secret(Secret::from_env("VOIPBIN_SECRET")?)
///     .inbox(inbox)
///     .build()?;
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct PostgresInbox {
    shared: Arc<Shared>,
    keep: mpsc::UnboundedSender<New>,
    alive: Arc<Alive>,
}

/// There is a handle or a consumer.
struct Alive(CancellationToken);

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

impl PostgresInbox {
    /// See [`schema`](PostgresInboxBuilder::schema).
    pub const DEFAULT_SCHEMA: &'static str = "voipbin_inbox";
    /// See [`connections`](PostgresInboxBuilder::connections).
    pub const DEFAULT_CONNECTIONS: usize = 4;
    /// See [`transactions`](PostgresInboxBuilder::transactions).
    pub const DEFAULT_TRANSACTIONS: usize = 8;
    /// See [`lease`](PostgresInboxBuilder::lease).
    pub const DEFAULT_LEASE: Duration = Duration::from_secs(10);
    /// See [`keep_timeout`](PostgresInboxBuilder::keep_timeout).
    pub const DEFAULT_KEEP_TIMEOUT: Duration = Duration::from_secs(10);
    /// See [`max_events`](PostgresInboxBuilder::max_events).
    pub const DEFAULT_MAX_EVENTS: usize = 4_000_000;
    /// See [`max_bytes`](PostgresInboxBuilder::max_bytes).
    pub const DEFAULT_MAX_BYTES: u64 = 8 << 30;
    /// See [`identity_ttl`](PostgresInboxBuilder::identity_ttl).
    pub const DEFAULT_IDENTITY_TTL: Duration = Duration::from_secs(3600);
    /// See [`retain_done`](PostgresInboxBuilder::retain_done).
    pub const DEFAULT_RETAIN_DONE: Duration = Duration::from_secs(24 * 3600);
    /// See [`retain_dead`](PostgresInboxBuilder::retain_dead).
    pub const DEFAULT_RETAIN_DEAD: Duration = Duration::from_secs(30 * 24 * 3600);

    /// Connects with the defaults; see [`builder`](Self::builder).
    ///
    /// # Errors
    ///
    /// As of [`connect`](PostgresInboxBuilder::connect).
    pub async fn connect(url: impl Into<String>) -> Result<Self, PostgresInboxError> {
        Self::builder(url).connect().await
    }

    /// Begins with a URL such as `postgresql://user:password@host:5432/database`, with several
    /// hosts where one of them is the primary at a time: `postgresql://user@host1,host2/database`.
    ///
    /// Over a network the connection is encrypted and the server's certificate verified, against
    /// those that the system trusts or that `SSL_CERT_FILE` names, unless the URL says
    /// `sslmode=disable`.
    pub fn builder(url: impl Into<String>) -> PostgresInboxBuilder {
        PostgresInboxBuilder::new(url.into())
    }

    /// Starts the thread and connects on it.
    async fn with(settings: Settings) -> Result<Self, PostgresInboxError> {
        let (ready, opened) = oneshot::channel();
        let failed = |error: std::io::Error| {
            PostgresInboxError::new(PostgresInboxErrorKind::Connect).because(error)
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(failed)?;
        let run = move || {
            runtime.block_on(async {
                match Self::open(settings).await {
                    Err(error) => drop(ready.send(Err(error))),
                    Ok(inbox) => {
                        let (tasks, closed) =
                            (inbox.shared.tasks.clone(), inbox.shared.closed.clone());
                        drop(ready.send(Ok(inbox)));
                        closed.cancelled().await;
                        tasks.close();
                        tasks.wait().await;
                    }
                }
            });
        };
        let thread = thread::Builder::new().name("voipbin-postgres".into());
        drop(thread.spawn(run).map_err(failed)?);
        opened.await.unwrap_or_else(|ended| {
            Err(PostgresInboxError::new(PostgresInboxErrorKind::Connect).because(ended))
        })
    }

    async fn open(settings: Settings) -> Result<Self, PostgresInboxError> {
        let address = Arc::new(Address::parse(&settings.url)?);
        let listen = match &settings.listen {
            Listen::Here => Some((*address).clone()),
            Listen::At(url) => Some(Address::parse(url)?),
            Listen::Never => None,
        };
        let schema = Schema::new(&settings.schema)?;
        let connection = address.connect(None).await.map_err(|error| {
            PostgresInboxError::new(PostgresInboxErrorKind::Connect).because(error)
        })?;
        schema.prepare(&connection, PARTITIONS).await?;
        let durability = durability(&connection, settings.require).await?;
        let closed = CancellationToken::new();
        let shared = Arc::new(Shared {
            guarantees: Guarantees::new(durability)
                .knowing_copies_for(settings.identity_ttl)
                .retaining_for(settings.retain_done.min(settings.retain_dead))
                .shared(LaneOrder::Cluster),
            session: AsyncMutex::new(Session::new(Arc::clone(&address))),
            transactions: Transactions::new(&address, &schema, &settings),
            address,
            schema,
            tag: format!("{:x}", fastrand::u64(..)),
            runtime: tokio::runtime::Handle::current(),
            tasks: TaskTracker::new(),
            closed: closed.clone(),
            cores: Mutex::default(),
            untold: Default::default(),
            tell: Notify::new(),
            members: watch::channel(()).0,
            tell_members: Default::default(),
            leaving: watch::channel(0).0,
            unrouted: Mutex::default(),
            stats: Mutex::default(),
            count: Notify::new(),
            failing: Default::default(),
            down_since: Mutex::default(),
            settings,
        });
        {
            let mut stats = shared.stats();
            stats.max_events = Some(shared.settings.max_events);
            stats.max_bytes = Some(shared.settings.max_bytes);
        }
        let refused =
            |trouble| PostgresInboxError::new(PostgresInboxErrorKind::Schema).because(trouble);
        shared.find_downtime().await.map_err(refused)?;
        shared.refresh().await.map_err(refused)?;
        let (keep, incoming) = mpsc::unbounded_channel();
        shared
            .tasks
            .spawn(Keeper::new(Arc::clone(&shared)).run(incoming));
        shared.tasks.spawn(Arc::clone(&shared).keep_house());
        shared.tasks.spawn(Arc::clone(&shared).tell_others());
        if let Some(address) = listen {
            shared.tasks.spawn(Arc::clone(&shared).listen(address));
        }
        Ok(Self {
            shared,
            keep,
            alive: Arc::new(Alive(closed)),
        })
    }

    /// Does something on the thread of the inbox.
    async fn on_its_thread<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, Trouble>> + Send + 'static,
    ) -> Result<T, super::RecordsError> {
        let done = self.shared.runtime.spawn(work).await;
        done.map_err(super::RecordsError::storage)?
            .map_err(super::RecordsError::storage)
    }
}

/// What a commit means, by the server's own word.
async fn durability(
    connection: &Connection,
    required: Durability,
) -> Result<Durability, PostgresInboxError> {
    let kind = PostgresInboxErrorKind::Schema;
    let refused = |trouble| PostgresInboxError::new(kind).because(trouble);
    let sql = "SELECT current_setting('fsync')::boolean, \
                      current_setting('synchronous_standby_names') <> '' \
                      AND current_setting('synchronous_commit') IN ('on', 'remote_apply')";
    let rows = connection.call(sql, &[]).await.map_err(refused)?;
    let row = rows.first().ok_or_else(|| PostgresInboxError::new(kind))?;
    let syncs: bool = get(row, 0).map_err(refused)?;
    let replicates: bool = get(row, 1).map_err(refused)?;
    let promised = match (syncs, replicates) {
        (false, _) => Durability::Process,
        (true, false) => Durability::Machine,
        (true, true) => Durability::Cluster,
    };
    if promised < required {
        return Err(PostgresInboxError::new(PostgresInboxErrorKind::Durability));
    }
    // More than is asked for is not looked after later.
    Ok(promised.min(required.max(Durability::Machine)))
}

impl Inbox for PostgresInbox {
    fn keep(&self, incoming: Incoming) -> Reply<Kept, KeepError> {
        let (reply, later) = Reply::pending();
        // When the thread has ended the reply says so.
        drop(self.keep.send(New { incoming, reply }));
        later
    }

    fn consume(&self) -> Result<Box<dyn Consumer>, InboxError> {
        let core = Arc::new(Core::new(Arc::clone(&self.shared)));
        self.shared.unrouted().clear();
        let mut cores = self
            .shared
            .cores
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        cores.push(Arc::downgrade(&core));
        drop(cores);
        core.start();
        Ok(Box::new(PostgresConsumer::new(
            core,
            Arc::clone(&self.alive),
        )))
    }

    fn guarantees(&self) -> Guarantees {
        self.shared.guarantees
    }

    fn stats(&self) -> InboxStats {
        let mut stats = *self.shared.stats();
        // Counted now and then; what is known here is known at once.
        stats.delayed = stats.delayed.max(self.shared.delayed());
        stats.failing = self.shared.failing.load(Ordering::Relaxed);
        stats
    }

    fn records(&self) -> Option<&dyn Records> {
        Some(self)
    }

    fn transactions(&self) -> usize {
        self.shared.settings.transactions
    }

    fn down_since(&self) -> Option<SystemTime> {
        *self.shared.down_since()
    }

    fn caught_up(&self) -> Reply<(), InboxError> {
        let (reply, later) = Reply::pending();
        let shared = Arc::clone(&self.shared);
        let forget = async move {
            let forgotten = shared.forget_downtime().await;
            reply.send(forgotten.map_err(InboxError::storage));
        };
        drop(self.shared.runtime.spawn(forget));
        later
    }
}

impl fmt::Debug for PostgresInbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresInbox")
            .field("schema", &self.shared.schema.name())
            .field("guarantees", &self.shared.guarantees)
            .finish_non_exhaustive()
    }
}
