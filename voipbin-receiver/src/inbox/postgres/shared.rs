//! What the parts of an inbox in one process share.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, SystemTime};

use tokio::sync::{Mutex as AsyncMutex, Notify, watch};
use tokio_postgres::types::{FromSql, Type};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::consumer::Core;
#[cfg(feature = "disk-system")]
use super::row::unix_micros;
use super::schema::Schema;
use super::server::{Address, Params, Session, Trouble, get, single};
use super::settings::Settings;
use super::transactions::Transactions;
use crate::inbox::{Guarantees, InboxStats};

/// Beyond so many, delayed and held jobs are not counted.
const COUNTED: i64 = 100_000;

pub(super) struct Shared {
    pub(super) settings: Settings,
    pub(super) guarantees: Guarantees,
    pub(super) address: Arc<Address>,
    pub(super) schema: Schema,
    /// By which this process knows what it has told itself.
    pub(super) tag: String,
    pub(super) transactions: Arc<Transactions>,
    /// Whoever does not mind to wait for others: looking into it, cleaning, counting, telling.
    pub(super) session: AsyncMutex<Session>,
    /// The thread of the inbox, on which all connections are.
    pub(super) runtime: tokio::runtime::Handle,
    pub(super) tasks: TaskTracker,
    /// The last handle and the last consumer are gone.
    pub(super) closed: CancellationToken,
    /// Partitions with new jobs, as bits, that other processes are to be told of.
    pub(super) untold: AtomicU64,
    pub(super) tell: Notify,
    /// The consumers of this process.
    pub(super) cores: Mutex<Vec<Weak<Core>>>,
    /// Somebody joined, left or gave partitions away.
    pub(super) members: watch::Sender<()>,
    pub(super) tell_members: AtomicBool,
    /// Consumers of this process that are leaving: the next one joins after that.
    pub(super) leaving: watch::Sender<usize>,
    /// Handlers that are not registered in this process.
    pub(super) unrouted: Mutex<BTreeSet<String>>,
    pub(super) stats: Mutex<InboxStats>,
    pub(super) count: Notify,
    pub(super) failing: AtomicBool,
    /// Until what was missed since is recovered.
    pub(super) down_since: Mutex<Option<SystemTime>>,
}

/// What wakes a consumer.
#[derive(Default)]
pub(super) struct Wake {
    /// Partitions with new jobs, as bits.
    pub(super) partitions: AtomicU64,
    pub(super) woken: Notify,
}

impl Wake {
    pub(super) fn wake(&self, partitions: u64) {
        self.partitions.fetch_or(partitions, Ordering::AcqRel);
        self.woken.notify_one();
    }
}

impl Shared {
    pub(super) fn sql(&self, template: &str) -> String {
        self.schema.sql(template)
    }

    pub(super) fn unrouted(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.unrouted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn stats(&self) -> MutexGuard<'_, InboxStats> {
        self.stats.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn down_since(&self) -> MutexGuard<'_, Option<SystemTime>> {
        let down_since = self.down_since.lock();
        down_since.unwrap_or_else(PoisonError::into_inner)
    }

    /// Since when no process is known to have been up, or an earlier time in which events were
    /// missed that can still be recovered.
    ///
    /// No standby is waited for, here and below: a process starts without one, and what a failover
    /// takes back makes the next catch-up look further back.
    pub(super) async fn find_downtime(&self) -> Result<(), Trouble> {
        let known = self.guarantees.knows_events_for();
        let sql = "UPDATE inbox.meta SET up_at = now(), down_since = CASE \
                     WHEN down_since >= now() - $1 * interval '1 millisecond' THEN down_since \
                     ELSE up_at END \
                   RETURNING down_since, \
                     set_config('synchronous_commit', 'local', true)";
        *self.down_since() = self.ask(sql, &[(&ms(known), Type::INT8)]).await?;
        Ok(())
    }

    /// So was an inbox that is moved here, and what it missed has not been recovered.
    #[cfg(feature = "disk-system")]
    pub(super) async fn was_down_since(&self, since: Option<SystemTime>) -> Result<(), Trouble> {
        let since = since.map(unix_micros);
        let sql = "UPDATE inbox.meta SET down_since = least(down_since, to_timestamp($1 / 1e6)) \
                   RETURNING down_since, set_config('synchronous_commit', 'local', true)";
        *self.down_since() = self.ask(sql, &[(&since, Type::INT8)]).await?;
        Ok(())
    }

    /// What was missed is recovered.
    pub(super) async fn forget_downtime(&self) -> Result<(), Trouble> {
        let Some(since) = *self.down_since() else {
            return Ok(());
        };
        // Another process may have found a later one.
        let sql = "UPDATE inbox.meta SET down_since = \
                     CASE WHEN down_since <= $1 THEN NULL ELSE down_since END \
                   RETURNING true, set_config('synchronous_commit', 'local', true)";
        let _: bool = self.ask(sql, &[(&since, Type::TIMESTAMPTZ)]).await?;
        *self.down_since() = None;
        Ok(())
    }

    /// Writes down that this process is up.
    async fn beat(&self) -> Result<(), Trouble> {
        let sql = "UPDATE inbox.meta SET up_at = now() \
                   RETURNING true, set_config('synchronous_commit', 'local', true)";
        let _: bool = self.ask(sql, &[]).await?;
        Ok(())
    }

    /// New jobs in these partitions are committed.
    pub(super) fn announce(&self, partitions: u64) {
        if partitions != 0 {
            self.wake(partitions);
            self.untold.fetch_or(partitions, Ordering::AcqRel);
            self.tell.notify_one();
        }
        self.count.notify_one();
    }

    fn cores(&self) -> Vec<Arc<Core>> {
        let mut cores = self.cores.lock().unwrap_or_else(PoisonError::into_inner);
        cores.retain(|core| core.strong_count() > 0);
        cores.iter().filter_map(Weak::upgrade).collect()
    }

    /// Has the consumers of this process look into these partitions.
    pub(super) fn wake(&self, partitions: u64) {
        for core in self.cores() {
            core.wake.wake(partitions);
        }
    }

    /// Jobs that failed in this process and have not come back.
    pub(super) fn delayed(&self) -> usize {
        let cores = self.cores().into_iter();
        cores.map(|core| core.state().delayed.len()).sum()
    }

    /// Until what was settled in this process is written down, where it can be.
    pub(super) async fn stored(&self) {
        for core in self.cores() {
            // What cannot be is told to whoever flushes.
            let _ = core.all_written().await;
        }
    }

    /// Partitions may be had.
    pub(super) fn announce_members(&self) {
        self.members.send_replace(());
        self.tell_members.store(true, Ordering::Release);
        self.tell.notify_one();
    }

    /// Asks for one value.
    pub(super) async fn ask<T: for<'a> FromSql<'a>>(
        &self,
        template: &str,
        params: Params<'_>,
    ) -> Result<T, Trouble> {
        let sql = self.sql(template);
        let rows = self.session.lock().await.call(&sql, params).await?;
        single(&rows)
    }

    /// Counts what there is.
    pub(super) async fn refresh(&self) -> Result<(), Trouble> {
        let sql = self.sql(
            "SELECT coalesce(sum(events), 0)::bigint, coalesce(sum(bytes), 0)::bigint, \
                    coalesce(sum(identities), 0)::bigint, coalesce(sum(dead), 0)::bigint, \
                    (SELECT count(*) FROM (SELECT FROM inbox.job WHERE due > now() LIMIT $1) delayed), \
                    CASE WHEN cardinality($2) = 0 THEN 0 ELSE \
                     (SELECT count(*) FROM (SELECT FROM inbox.job WHERE handler = ANY ($2) LIMIT $1) held) END \
             FROM inbox.tally",
        );
        let unrouted: Vec<String> = self.unrouted().iter().cloned().collect();
        let params: Params<'_> = &[(&COUNTED, Type::INT8), (&unrouted, Type::TEXT_ARRAY)];
        let rows = self.session.lock().await.call(&sql, params).await?;
        let [row] = &rows[..] else { return Ok(()) };
        let number = |column| -> Result<usize, Trouble> {
            Ok(usize::try_from(get::<i64>(row, column)?).unwrap_or_default())
        };
        let mut stats = self.stats();
        stats.events = number(0)?;
        stats.bytes = number(1)?;
        stats.identities = number(2)?;
        stats.dead = number(3)?;
        stats.delayed = number(4)?;
        stats.held = number(5)?;
        stats.used_bytes = stats.bytes as u64;
        stats.full =
            stats.events >= self.settings.max_events || stats.used_bytes >= self.settings.max_bytes;
        Ok(())
    }

    pub(super) async fn refresh_disk(&self) -> Result<(), Trouble> {
        let bytes: i64 = self
            .ask(
                "SELECT coalesce(sum(pg_total_relation_size(c.oid)), 0)::bigint FROM pg_class c \
                 JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relkind = 'r'",
                &[(&self.schema.name(), Type::TEXT)],
            )
            .await?;
        self.stats().disk_bytes = u64::try_from(bytes).unwrap_or_default();
        Ok(())
    }

    /// Counts and cleans, as long as the inbox is there.
    pub(super) async fn keep_house(self: Arc<Self>) {
        /// Between two counts, when much is going on.
        const PAUSE: Duration = Duration::from_millis(100);
        /// When nothing is. Other processes change things too.
        const IDLE: Duration = Duration::from_secs(1);
        const CLEAN: Duration = Duration::from_secs(5);
        const DISK: Duration = Duration::from_secs(30);
        let (mut clean_at, mut disk_at) = (Duration::ZERO, Duration::ZERO);
        while !self.closed.is_cancelled() {
            let now = super::lease::now();
            let mut result = self.refresh().await;
            if now >= disk_at {
                result = result.and(self.refresh_disk().await);
                disk_at = now + DISK;
            }
            if now >= clean_at {
                let beat = self.beat().await;
                let more = self.clean().await;
                clean_at = now
                    + if matches!(more, Ok(true)) {
                        PAUSE
                    } else {
                        CLEAN
                    };
                result = result.and(more.map(drop)).and(beat);
            }
            if let Err(trouble) = result {
                tracing::debug!(%trouble, "the inbox cannot be counted or cleaned");
            }
            tokio::select! {
                () = self.closed.cancelled() => return,
                () = async {
                    tokio::time::sleep(PAUSE).await;
                    let rest = tokio::time::timeout(IDLE, self.count.notified());
                    drop(rest.await);
                } => {}
            }
        }
    }

    /// Removes some of what is over. Says whether there may be more.
    async fn clean(&self) -> Result<bool, Trouble> {
        const MOST: i32 = 2000;
        let Settings {
            retain_done,
            retain_dead,
            identity_ttl,
            ..
        } = self.settings;
        self.ask(
            "SELECT inbox.clean($1, $2, $3, $4)",
            &[
                (&ms(retain_done), Type::INT8),
                (&ms(retain_dead), Type::INT8),
                (&ms(identity_ttl), Type::INT8),
                (&MOST, Type::INT4),
            ],
        )
        .await
    }

    /// Tells other processes what happened here. They look by themselves too, only later.
    pub(super) async fn tell_others(self: Arc<Self>) {
        /// After this, what has happened meanwhile is told together.
        const PAUSE: Duration = Duration::from_millis(10);
        let mut session = Session::new(Arc::clone(&self.address));
        loop {
            tokio::select! {
                () = self.closed.cancelled() => return,
                () = self.tell.notified() => {}
            }
            let partitions = self.untold.swap(0, Ordering::AcqRel);
            let members = u8::from(self.tell_members.swap(false, Ordering::AcqRel));
            let told = format!("{} {members} {partitions:x}", self.tag);
            // Of its own, as a transaction that tells something holds up the commits of others that
            // do. It waits for no disk and no standby.
            let sql = "SELECT set_config('synchronous_commit', 'off', true), pg_notify($1, $2)";
            let params: Params<'_> = &[(&self.schema.name(), Type::TEXT), (&told, Type::TEXT)];
            if let Err(trouble) = session.call(sql, params).await {
                tracing::debug!(%trouble, "other processes are not told of new events");
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Hears what other processes tell, where a connection can.
    pub(super) async fn listen(self: Arc<Self>, address: Address) {
        const AGAIN: Duration = Duration::from_secs(1);
        loop {
            let (heard, mut hears) = tokio::sync::mpsc::unbounded_channel();
            let connected = address.connect(Some(heard)).await;
            let listens = match connected {
                Ok(connection) => {
                    let listen = format!("LISTEN {}", self.schema.name());
                    connection.batch(&listen).await.ok().map(|()| connection)
                }
                Err(_) => None,
            };
            // What was told before is found by looking.
            self.wake(u64::MAX);
            if let Some(connection) = listens {
                loop {
                    let told: Option<String> = tokio::select! {
                        () = self.closed.cancelled() => return,
                        () = connection.closed() => break,
                        told = hears.recv() => told,
                    };
                    let Some(told) = told else { break };
                    let mut told = told.split(' ');
                    if told.next() == Some(&self.tag) {
                        continue;
                    }
                    if told.next() == Some("1") {
                        self.members.send_replace(());
                    }
                    let partitions = told.next().map(|told| u64::from_str_radix(told, 16));
                    self.wake(partitions.and_then(Result::ok).unwrap_or(u64::MAX));
                }
            }
            tokio::select! {
                () = self.closed.cancelled() => return,
                () = tokio::time::sleep(AGAIN) => {}
            }
        }
    }
}

/// Milliseconds, of no more than an interval and a time of the server's hold.
fn ms(time: Duration) -> i64 {
    const MOST: i64 = 100 * 365 * 24 * 60 * 60 * 1000;
    i64::try_from(time.as_millis()).map_or(MOST, |time| time.min(MOST))
}
