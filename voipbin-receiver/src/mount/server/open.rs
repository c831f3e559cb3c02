//! The connections of a server, and which of them goes when there is room for no more.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use lru::LruCache;
use tokio::task::{Id, JoinError, JoinSet, yield_now};
use tokio::time::{Instant, sleep_until};

use super::connection::{Conn, Waiting};
use crate::observe::WarnLimiter;

/// After a failed accept, such as for want of file descriptors: time for others to close theirs.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A request comes in one piece or two. One that takes longer is the first to go when there is no room.
const SLOW: Duration = Duration::from_secs(1);

/// For so long no client loses its place, whoever comes: it may have sent what was not looked at yet, or be
/// about to answer. Those that come meanwhile wait, which the system does for them.
pub(super) const GRACE: Duration = Duration::from_millis(50);

/// How many addresses are remembered of which something was accepted.
const KNOWN: NonZeroUsize = NonZeroUsize::new(1024).unwrap();

/// The connections that there are.
pub(super) struct Open {
    pub(super) tasks: JoinSet<()>,
    /// Without those that were told to close.
    places: HashMap<Id, Place>,
    /// How many there may be.
    most: usize,
    known: LruCache<IpAddr, ()>,
    since: Instant,
    failed: WarnLimiter,
    full: WarnLimiter,
}

struct Place {
    from: IpAddr,
    conn: Arc<Conn>,
}

impl Open {
    pub(super) fn new(most: usize) -> Self {
        Self {
            tasks: JoinSet::new(),
            places: HashMap::new(),
            most,
            known: LruCache::new(KNOWN),
            since: Instant::now(),
            failed: WarnLimiter::default(),
            full: WarnLimiter::default(),
        }
    }

    pub(super) fn insert(&mut self, id: Id, from: IpAddr, conn: Arc<Conn>) {
        let from = client(from);
        self.places.insert(id, Place { from, conn });
    }

    /// Has all of them closed as soon as they are in no request.
    pub(super) fn close(&self) {
        for place in self.places.values() {
            place.conn.close();
        }
    }

    /// Once a minute.
    pub(super) fn tell_of_failed_accept(&self, error: &io::Error) {
        if self.failed.allow(self.since.elapsed()) {
            tracing::warn!(
                %error,
                connections = self.places.len(),
                "cannot accept a connection: where the process may open no more files, others are closed; told once a minute"
            );
        }
    }

    /// Once a minute.
    pub(super) fn tell_of_no_room(&self) {
        if self.full.allow(self.since.elapsed()) {
            tracing::warn!(
                connections = self.places.len(),
                "all connections are being answered, and one more is refused; told once a minute"
            );
        }
    }

    /// Forgets the next connection that ends.
    pub(super) async fn reap(&mut self) {
        match self.tasks.join_next_with_id().await {
            Some(ended) => self.forget(ended),
            None => std::future::pending().await,
        }
    }

    /// Forgets those that have ended.
    fn reap_ended(&mut self) {
        while let Some(ended) = self.tasks.try_join_next_with_id() {
            self.forget(ended);
        }
    }

    fn forget(&mut self, ended: Result<(Id, ()), JoinError>) {
        let id = ended.map_or_else(|error| error.id(), |(id, ())| id);
        if let Some(place) = self.places.remove(&id)
            && place.conn.is_known()
        {
            self.known.put(place.from, ());
        }
    }

    /// After a failed accept: has one closed, and waits until one is.
    pub(super) async fn free_one(&mut self) {
        let until = match self.make_room() {
            Err(Some(later)) => later,
            Ok(()) | Err(None) => Instant::now() + ACCEPT_PAUSE,
        };
        tokio::select! {
            () = self.reap() => {}
            () = sleep_until(until) => {}
        }
    }

    /// Makes room for one more than there are; false when it is all clients that wait.
    pub(super) async fn wait_for_room(&mut self) -> bool {
        if self.places.len() < self.most {
            return true;
        }
        // In a crowd that comes at once, what others have sent is looked at first.
        yield_now().await;
        self.reap_ended();
        while self.places.len() >= self.most {
            match self.make_room() {
                Ok(()) => return true,
                Err(None) => return false,
                Err(Some(later)) => tokio::select! {
                    () = self.reap() => {}
                    () = sleep_until(later) => {}
                },
            }
        }
        true
    }

    /// Closes a connection whose client has been slow with a request for long, or else, of the address with
    /// the most, the one that has been waiting for its client the longest; before any of an address of which
    /// something was accepted, all the others. Where none may go it tells when one may; never, when it is all
    /// clients that wait.
    pub(super) fn make_room(&mut self) -> Result<(), Option<Instant>> {
        let mut of_each: HashMap<IpAddr, usize> = HashMap::new();
        for Place { from, conn } in self.places.values() {
            *of_each.entry(*from).or_default() += 1;
            if conn.is_known() {
                self.known.put(*from, ());
            }
        }
        let waiting = self.places.iter().filter_map(|(id, Place { from, conn })| {
            let (slow, since) = match conn.waiting()? {
                Waiting::Idle { since } => (false, since),
                Waiting::Slow { since } => (since.elapsed() >= SLOW, since),
            };
            let known = self.known.contains(from);
            Some(((known, !slow, Reverse(of_each.get(from)), since), *id))
        });
        let ((.., since), id) = waiting.min_by_key(|(rank, _)| *rank).ok_or(None)?;
        if since.elapsed() < GRACE {
            return Err(Some(since + GRACE));
        }
        if let Some(place) = self.places.remove(&id) {
            place.conn.close_at_once();
        }
        Ok(())
    }
}

/// One client's addresses as one: a /64 is what one connection to the net has to choose from.
fn client(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let network = address.to_bits() >> 64 << 64;
            Ipv6Addr::from_bits(network).into()
        }
        v4 => v4,
    }
}
