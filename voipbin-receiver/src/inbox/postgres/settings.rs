use std::fmt;
use std::time::Duration;

use super::PostgresInbox;
use super::error::PostgresInboxError;
use crate::inbox::Durability;

/// Settings of an inbox on PostgreSQL; see [`PostgresInbox::builder`].
#[must_use = "it is connected by `connect`"]
pub struct PostgresInboxBuilder(Settings);

#[derive(Clone)]
pub(super) struct Settings {
    pub(super) url: String,
    pub(super) listen: Listen,
    pub(super) schema: String,
    pub(super) connections: usize,
    pub(super) transactions: usize,
    pub(super) lease: Duration,
    pub(super) keep_timeout: Duration,
    pub(super) max_events: usize,
    pub(super) max_bytes: u64,
    pub(super) identity_ttl: Duration,
    pub(super) retain_done: Duration,
    pub(super) retain_dead: Duration,
    pub(super) require: Durability,
}

#[derive(Clone)]
pub(super) enum Listen {
    Here,
    At(String),
    Never,
}

impl PostgresInboxBuilder {
    pub(super) fn new(url: String) -> Self {
        Self(Settings {
            url,
            listen: Listen::Here,
            schema: PostgresInbox::DEFAULT_SCHEMA.to_owned(),
            connections: PostgresInbox::DEFAULT_CONNECTIONS,
            transactions: PostgresInbox::DEFAULT_TRANSACTIONS,
            lease: PostgresInbox::DEFAULT_LEASE,
            keep_timeout: PostgresInbox::DEFAULT_KEEP_TIMEOUT,
            max_events: PostgresInbox::DEFAULT_MAX_EVENTS,
            max_bytes: PostgresInbox::DEFAULT_MAX_BYTES,
            identity_ttl: PostgresInbox::DEFAULT_IDENTITY_TTL,
            retain_done: PostgresInbox::DEFAULT_RETAIN_DONE,
            retain_dead: PostgresInbox::DEFAULT_RETAIN_DEAD,
            require: Durability::Process,
        })
    }

    /// The name of the schema, created when there is none; `voipbin_inbox` by default. Lower-case
    /// letters, digits and underscores. Receivers with the same schema share their events.
    pub fn schema(mut self, name: impl Into<String>) -> Self {
        self.0.schema = name.into();
        self
    }

    /// How many connections keep events; 4 by default, at least 1. Requests that wait share a
    /// commit. Besides, each process has three connections of its own, and each receiver that
    /// handles events four.
    pub fn connections(mut self, connections: usize) -> Self {
        self.0.connections = connections.max(1);
        self
    }

    /// How many transactions handlers may have at once, by [`Tx`](crate::Tx), each on a connection
    /// that is made when it is first needed; 8 by default, at least 1.
    pub fn transactions(mut self, transactions: usize) -> Self {
        self.0.transactions = transactions.max(1);
        self
    }

    /// Where to hear of new events, when the URL is that of a pooler in transaction mode, which
    /// cannot pass on what the server tells: the server itself. By default the same URL.
    pub fn listen_at(mut self, url: impl Into<String>) -> Self {
        self.0.listen = Listen::At(url.into());
        self
    }

    /// Looks for new events of other processes every 100 ms, instead of hearing of them: behind a
    /// pooler in transaction mode, when the server itself cannot be reached.
    pub fn polling(mut self) -> Self {
        self.0.listen = Listen::Never;
        self
    }

    /// For how long a process owns its share of the lanes without a sign of life; 10 seconds by
    /// default, at least one. So long the events of a process that died wait for another one. One
    /// that is paused for longer loses its share, and runs of handlers that it had begun may be
    /// repeated elsewhere.
    pub fn lease(mut self, lease: Duration) -> Self {
        self.0.lease = lease.max(Duration::from_secs(1));
        self
    }

    /// How long a request may wait for its commit before it is answered 503; 10 seconds by default.
    /// The sender waits 15.
    pub fn keep_timeout(mut self, timeout: Duration) -> Self {
        self.0.keep_timeout = timeout;
        self
    }

    /// How many events may be unfinished at once, about; 4,000,000 by default.
    pub fn max_events(mut self, events: usize) -> Self {
        self.0.max_events = events.max(1);
        self
    }

    /// How many bytes the bodies of unfinished events may take, about; 8 GiB by default.
    pub fn max_bytes(mut self, bytes: u64) -> Self {
        self.0.max_bytes = bytes.max(1);
        self
    }

    /// How long an identity is remembered at least, from the moment its event was kept; one hour by
    /// default. One whose event is not finished is never forgotten.
    pub fn identity_ttl(mut self, ttl: Duration) -> Self {
        self.0.identity_ttl = ttl;
        self
    }

    /// How long a finished event stays, to be looked at and handled again; 24 hours by default.
    pub fn retain_done(mut self, retention: Duration) -> Self {
        self.0.retain_done = retention;
        self
    }

    /// How long a dead letter stays; 30 days by default.
    pub fn retain_dead(mut self, retention: Duration) -> Self {
        self.0.retain_dead = retention;
        self
    }

    /// What a 200 must mean at least. Without, an inbox on a server that syncs its commits to its
    /// disk claims [`Durability::Machine`], and any other one [`Durability::Process`].
    ///
    /// With [`Durability::Cluster`] the server must wait for a standby
    /// (`synchronous_standby_names`, and `synchronous_commit` is `on` or `remote_apply`). That is
    /// asked with each event: where it is not so any more, new ones are refused with a 503.
    pub fn require(mut self, durability: Durability) -> Self {
        self.0.require = durability;
        self
    }

    /// Connects, and creates the schema when there is none.
    ///
    /// # Errors
    ///
    /// When a setting is not valid, the server cannot be reached, its schema is a later release's,
    /// or it promises less than is [required](Self::require). [`PostgresInboxError`] says which and
    /// what to do.
    pub async fn connect(self) -> Result<PostgresInbox, PostgresInboxError> {
        PostgresInbox::with(self.0).await
    }
}

/// Without the URL, which may hold a password.
impl fmt::Debug for PostgresInboxBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresInboxBuilder")
            .field("schema", &self.0.schema)
            .field("lease", &self.0.lease)
            .finish_non_exhaustive()
    }
}
