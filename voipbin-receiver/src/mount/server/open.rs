//! The open connections of a server, and which one is evicted where there are too many.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use lru::LruCache;
use tokio::task::{Id, JoinError, JoinSet, yield_now};
use tokio::time::{Instant, sleep_until};

use super::connection::{Conn, Waiting};
use super::warnings::Warnings;

/// The pause after a failed accept, such as for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A request comes in a packet or two: a client that takes longer for one is evicted first.
const SLOW_REQUEST: Duration = Duration::from_secs(1);

/// A connection is not evicted before it has waited for its client for so long: a request may lie
/// unread in it. Meanwhile new ones wait in the backlog.
pub(super) const GRACE: Duration = Duration::from_millis(50);

/// How many addresses are remembered that have sent a delivery that was accepted.
const SENDERS: NonZeroUsize = NonZeroUsize::new(1024).unwrap();

/// The open connections.
pub(super) struct OpenConnections {
    pub(super) tasks: JoinSet<()>,
    /// Without those that were evicted.
    connections: HashMap<Id, OpenConnection>,
    /// `max_connections`.
    max: usize,
    senders: LruCache<IpAddr, ()>,
    warnings: Arc<Warnings>,
}

struct OpenConnection {
    from: IpAddr,
    /// Whether that is a trusted proxy.
    trusted: bool,
    conn: Arc<Conn>,
}

impl OpenConnections {
    pub(super) fn new(max: usize, warnings: Arc<Warnings>) -> Self {
        Self {
            tasks: JoinSet::new(),
            connections: HashMap::new(),
            max,
            senders: LruCache::new(SENDERS),
            warnings,
        }
    }

    pub(super) fn insert(&mut self, id: Id, from: IpAddr, trusted: bool, conn: Arc<Conn>) {
        let connection = OpenConnection {
            from: client(from),
            trusted,
            conn,
        };
        self.connections.insert(id, connection);
    }

    pub(super) fn len(&self) -> usize {
        self.connections.len()
    }

    /// Closes each after the request that it serves, if any.
    pub(super) fn close(&self) {
        for connection in self.connections.values() {
            connection.conn.close();
        }
    }

    /// Removes the next connection that ends.
    pub(super) async fn reap(&mut self) {
        match self.tasks.join_next_with_id().await {
            Some(ended) => self.remove(ended),
            None => std::future::pending().await,
        }
    }

    /// Removes those that have ended.
    fn reap_ended(&mut self) {
        while let Some(ended) = self.tasks.try_join_next_with_id() {
            self.remove(ended);
        }
    }

    fn remove(&mut self, ended: Result<(Id, ()), JoinError>) {
        let id = ended.map_or_else(|error| error.id(), |(id, ())| id);
        if let Some(connection) = self.connections.remove(&id)
            && connection.conn.has_accepted()
        {
            self.senders.put(connection.from, ());
        }
    }

    /// After a failed accept: evicts one, and waits until one has ended or a pause is over.
    pub(super) async fn make_room(&mut self) {
        let until = match self.evict_one() {
            Err(Some(later)) => later,
            Ok(()) | Err(None) => Instant::now() + ACCEPT_PAUSE,
        };
        tokio::select! {
            () = self.reap() => {}
            () = sleep_until(until) => {}
        }
    }

    /// Waits until there is room for one more, evicting one.
    pub(super) async fn wait_for_room(&mut self) {
        if self.len() < self.max {
            return;
        }
        // The tasks of the others read what has come before one of them is evicted.
        yield_now().await;
        self.reap_ended();
        while self.len() >= self.max {
            let later = match self.evict_one() {
                Ok(()) => return,
                Err(Some(later)) => later,
                Err(None) => {
                    self.warnings.full(self.len());
                    Instant::now() + GRACE
                }
            };
            tokio::select! {
                () = self.reap() => {}
                () = sleep_until(later) => {}
            }
        }
    }

    /// Evicts a connection, in this order:
    ///
    /// 1. of addresses that are no trusted proxies and of which no delivery was accepted, then of
    ///    the others;
    /// 2. one whose client is slow with a request;
    /// 3. of the address with the most connections;
    /// 4. the one that has waited for its client the longest.
    ///
    /// # Errors
    ///
    /// When one may be evicted; `None` when all are being answered.
    pub(super) fn evict_one(&mut self) -> Result<(), Option<Instant>> {
        let mut of_each: HashMap<IpAddr, usize> = HashMap::new();
        for OpenConnection { from, conn, .. } in self.connections.values() {
            *of_each.entry(*from).or_default() += 1;
            if conn.has_accepted() {
                self.senders.put(*from, ());
            }
        }
        let waiting = self.connections.iter().filter_map(|(id, connection)| {
            let (slow, since) = match connection.conn.waiting()? {
                Waiting::Idle { since } => (false, since),
                Waiting::Slow { since } => (since.elapsed() >= SLOW_REQUEST, since),
            };
            let from = &connection.from;
            let known = connection.trusted || self.senders.contains(from);
            Some(((known, !slow, Reverse(of_each.get(from)), since), *id))
        });
        let ((.., since), id) = waiting.min_by_key(|(rank, _)| *rank).ok_or(None)?;
        if since.elapsed() < GRACE {
            return Err(Some(since + GRACE));
        }
        if let Some(connection) = self.connections.remove(&id) {
            connection.conn.abort();
        }
        Ok(())
    }
}

/// The addresses that one client can choose from: of IPv6 a /64.
fn client(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let network = address.to_bits() >> 64 << 64;
            Ipv6Addr::from_bits(network).into()
        }
        v4 => v4,
    }
}
