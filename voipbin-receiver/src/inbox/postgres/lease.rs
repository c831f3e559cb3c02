//! For how long a consumer's partitions are its own.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Notify;

use super::state::Key;
use super::transactions::Transactions;
use crate::inbox::Lease;

/// A consumer between its joining and its end, known to the server by this number.
#[derive(Debug)]
pub(super) struct Membership {
    pub(super) id: i64,
    /// On the [clock](now); `None` once it has ended, which is for good.
    until: Mutex<Option<Duration>>,
    ended: Notify,
}

impl Membership {
    pub(super) fn new(id: i64, until: Duration) -> Self {
        Self {
            id,
            until: Mutex::new(Some(until)),
            ended: Notify::new(),
        }
    }

    /// Goes on until then, unless its time is over already. Says whether it does.
    pub(super) fn renew(&self, until: Duration) -> bool {
        let mut old = self.until.lock().unwrap_or_else(PoisonError::into_inner);
        let alive = old.is_some_and(|old| now() < old);
        *old = alive.then_some(until);
        drop(old);
        if !alive {
            self.ended.notify_waiters();
        }
        alive
    }

    pub(super) fn end(&self) {
        *self.until.lock().unwrap_or_else(PoisonError::into_inner) = None;
        self.ended.notify_waiters();
    }

    /// Waits until it has.
    pub(super) async fn ended(&self) {
        loop {
            let ended = self.ended.notified();
            let Some(left) = self.left() else {
                return;
            };
            tokio::select! {
                () = ended => {}
                () = tokio::time::sleep(left) => {}
            }
        }
    }

    /// How long it still lasts; `None` when it has ended. One whose time was once over stays ended.
    pub(super) fn left(&self) -> Option<Duration> {
        let mut until = self.until.lock().unwrap_or_else(PoisonError::into_inner);
        *until = until.filter(|until| now() < *until);
        until.map(|until| until.saturating_sub(now()))
    }
}

/// A job that a consumer has taken.
#[derive(Debug)]
pub(crate) struct JobLease {
    membership: Arc<Membership>,
    /// Its partition was given away before it began.
    revoked: AtomicBool,
    /// As `complete` in the schema knows it.
    job: i64,
    transactions: Weak<Transactions>,
}

impl JobLease {
    pub(super) fn new(
        membership: Arc<Membership>,
        (event, place): Key,
        transactions: Weak<Transactions>,
    ) -> Self {
        Self {
            membership,
            revoked: AtomicBool::new(false),
            job: event << 15 | i64::from(place),
            transactions,
        }
    }

    pub(crate) fn job(&self) -> i64 {
        self.job
    }

    pub(crate) fn epoch(&self) -> i64 {
        self.membership.id
    }

    /// Where handlers' transactions begin, as long as there is a receiver.
    pub(crate) fn transactions(&self) -> Option<Arc<Transactions>> {
        self.transactions.upgrade()
    }

    pub(super) fn revoke(&self) {
        self.revoked.store(true, Ordering::Release);
    }
}

#[async_trait]
impl Lease for JobLease {
    fn is_lost(&self) -> bool {
        self.revoked.load(Ordering::Acquire) || self.membership.left().is_none()
    }

    async fn lost(&self) {
        self.membership.ended().await;
    }
}

/// A clock that goes on while the machine is suspended, where there is one.
pub(super) fn now() -> Duration {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    let clock = rustix::time::ClockId::Boottime;
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    let clock = rustix::time::ClockId::Monotonic;
    let time = rustix::time::clock_gettime(clock);
    Duration::new(
        u64::try_from(time.tv_sec).unwrap_or_default(),
        u32::try_from(time.tv_nsec).unwrap_or_default(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lease(membership: &Arc<Membership>) -> JobLease {
        JobLease::new(Arc::clone(membership), (1, 0), Weak::new())
    }

    #[test]
    fn a_membership_that_was_once_over_cannot_be_renewed() {
        let late = now() + Duration::from_secs(60);
        let alive = Arc::new(Membership::new(1, late));
        let job = lease(&alive);
        assert!(alive.renew(late) && !job.is_lost());
        job.revoke();
        assert!(job.is_lost(), "given away alone");
        assert!(alive.left().is_some());

        let over = Arc::new(Membership::new(2, now()));
        let job = lease(&over);
        assert!(job.is_lost());
        assert!(!over.renew(late) && job.is_lost());
    }

    #[tokio::test]
    async fn whoever_waits_is_told_when_its_time_is_over_and_when_it_is_ended() {
        for ends_early in [true, false] {
            let lasts = match ends_early {
                true => Duration::from_secs(600),
                false => Duration::from_millis(5),
            };
            let membership = Arc::new(Membership::new(1, now() + lasts));
            let job = lease(&membership);
            let waits = tokio::spawn(async move { job.lost().await });
            if ends_early {
                tokio::task::yield_now().await;
                membership.end();
            }
            waits.await.unwrap();
        }
    }
}
