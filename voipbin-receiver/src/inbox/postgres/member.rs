//! A consumer among others: it joins, renews its lease, takes its share and gives what is too much.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::time::{sleep, timeout};
use tokio_postgres::types::Type;

use super::consumer::Core;
use super::lease::{Membership, now};
use super::server::{Session, Trouble, get, single};
use super::shared::Shared;

/// Before the next try, when the database does not answer.
pub(super) const PAUSE: Duration = Duration::from_millis(100);

/// Ends a consumer at the server.
pub(super) async fn remove(shared: &Shared, id: i64, died: bool) -> Result<(), Trouble> {
    let sql = shared.sql("SELECT inbox.remove($1, $2)::text");
    let mut session = shared.session.lock().await;
    let params = &[(&id as _, Type::INT8), (&died as _, Type::BOOL)];
    session.call(&sql, params).await.map(drop)
}

impl Core {
    /// Starts the tasks of a consumer.
    pub(super) fn start(self: &Arc<Self>) {
        let Shared { tasks, runtime, .. } = &*self.shared;
        let until_stopped = |task: BoxFuture<'static, ()>| {
            let core = Arc::clone(self);
            async move {
                core.stopped.run_until_cancelled(task).await;
            }
        };
        let (member, reader, writer) = (Arc::clone(self), Arc::clone(self), Arc::clone(self));
        drop(tasks.spawn_on(until_stopped(Box::pin(reader.read())), runtime));
        drop(tasks.spawn_on(until_stopped(Box::pin(writer.write_down())), runtime));
        let member = tasks.spawn_on(member.be_member(), runtime);
        *self.member.lock().unwrap_or_else(PoisonError::into_inner) = Some(member);
    }

    fn lease_ms(&self) -> i64 {
        i64::try_from(self.shared.settings.lease.as_millis()).unwrap_or(i64::MAX)
    }

    /// Counted from before the server was asked, and with room for clocks that do not run alike.
    fn valid_from(&self, sent: Duration) -> Duration {
        sent + self.shared.settings.lease * 9 / 10
    }

    /// Joins, again and again, as a consumer whose lease was over is none any more.
    async fn be_member(self: Arc<Self>) {
        let mut leaving = self.shared.leaving.subscribe();
        let mut session = Session::new(Arc::clone(&self.shared.address));
        let name = format!("process {}", std::process::id());
        let join = self.shared.sql("SELECT inbox.join($1, $2)");
        while !self.state().left {
            // Somebody before in this process may still have what this one is to get.
            let _ = leaving.wait_for(|count| *count == 0).await;
            let sent = now();
            let params = &[
                (&name as _, Type::TEXT),
                (&self.lease_ms() as _, Type::INT8),
            ];
            let joined = session.call(&join, params).await;
            let id: i64 = match joined.and_then(|rows| single(&rows)) {
                Ok(id) => id,
                Err(trouble) => {
                    tracing::warn!(%trouble, "the inbox cannot be taken from");
                    tokio::select! {
                        () = sleep(PAUSE * 10) => continue,
                        () = self.stopped.cancelled() => return,
                    }
                }
            };
            let membership = Arc::new(Membership::new(id, self.valid_from(sent)));
            let left = {
                let mut state = self.state();
                state.membership = (!state.left).then(|| Arc::clone(&membership));
                state.left
            };
            if left {
                drop(remove(&self.shared, id, false).await);
                return self.shared.announce_members();
            }
            self.shared.announce_members();
            tokio::select! {
                () = self.renew(&membership, &mut session) => {}
                () = self.balance(&membership) => {}
                () = membership.ended() => {}
                () = self.stopped.cancelled() => return,
            }
            membership.end();
            if self.state().left {
                return;
            }
            tracing::warn!(
                "the lease is lost: what this process had taken may be another's by now"
            );
            self.clear();
            // Of a run that had begun nobody knows whether it came to its end.
            let removed = timeout(self.shared.settings.lease, remove(&self.shared, id, true));
            drop(removed.await);
        }
    }

    /// Ends when the lease is lost.
    async fn renew(&self, membership: &Membership, session: &mut Session) {
        let period = self.shared.settings.lease / 3;
        let renew = self.shared.sql("SELECT inbox.renew($1, $2)");
        let params = &[
            (&membership.id as _, Type::INT8),
            (&self.lease_ms() as _, Type::INT8),
        ];
        let mut wait = period;
        loop {
            sleep(wait).await;
            let sent = now();
            let renewed = timeout(period, session.call(&renew, params)).await;
            match renewed.map(|rows| rows.and_then(|rows| single(&rows))) {
                Ok(Ok(true)) if membership.renew(self.valid_from(sent)) => wait = period,
                Ok(Ok(_)) => return,
                Ok(Err(_)) | Err(_) => wait = PAUSE,
            }
            if membership.left().is_none() {
                return;
            }
        }
    }

    /// Takes this consumer's share, and gives what is too much. Ends when the lease is lost.
    async fn balance(&self, membership: &Membership) {
        const LATE: Duration = Duration::from_millis(50);
        let mut members = self.shared.members.subscribe();
        let mut session = Session::new(Arc::clone(&self.shared.address));
        let period = self.shared.settings.lease / 3;
        while membership.left().is_some() {
            members.mark_unchanged();
            let written = self.written.notified();
            let next = match self.balance_once(membership, &mut session).await {
                // The one that ends first, if it is not renewed.
                Ok(next) => next.map_or(period, |next| period.min(next + LATE)),
                Err(trouble) => {
                    tracing::debug!(%trouble, "the share of the lanes cannot be taken");
                    PAUSE
                }
            };
            let gives = !self.state().giving.is_empty();
            tokio::select! {
                () = sleep(next) => {}
                _ = members.changed() => {}
                () = written, if gives => {}
            }
        }
    }

    async fn balance_once(
        &self,
        membership: &Membership,
        session: &mut Session,
    ) -> Result<Option<Duration>, Trouble> {
        let sql = self
            .shared
            .sql("SELECT owned, surplus, next_ms FROM inbox.balance($1)");
        let id = &membership.id as _;
        let rows = session.call(&sql, &[(id, Type::INT8)]).await?;
        let [row] = &rows[..] else {
            return Ok(None);
        };
        let owned: Vec<i16> = get(row, 0)?;
        let surplus = usize::try_from(get::<i32>(row, 1)?).unwrap_or_default();
        let next: Option<i64> = get(row, 2)?;
        let next = next.map(|next| Duration::from_millis(u64::try_from(next).unwrap_or_default()));
        let given = self.share(owned, surplus);
        if !given.is_empty() {
            let sql = self.shared.sql("SELECT inbox.give($1, $2)::text");
            let params = &[(id, Type::INT8), (&given as _, Type::INT2_ARRAY)];
            session.call(&sql, params).await?;
            let mut state = self.state();
            for partition in &given {
                state.owned.remove(partition);
                state.giving.remove(partition);
            }
            state.generation += 1;
            state.delayed.clear();
            drop(state);
            self.shared.announce_members();
        }
        Ok(next)
    }

    /// These are owned, and so many too many. Gives those that can be given now.
    fn share(&self, owned: Vec<i16>, surplus: usize) -> Vec<i16> {
        let mut state = self.state();
        let owned = owned.into_iter().collect();
        let lost: Vec<i16> = state.owned.difference(&owned).copied().collect();
        if state.owned != owned {
            state.generation += 1;
            state.ask_due = true;
            self.wake.wake(u64::MAX);
        }
        state.owned = owned;
        if !lost.is_empty() {
            state.delayed.clear();
        }
        for partition in lost {
            state.giving.remove(&partition);
            state.revoke(partition);
        }
        while state.giving.len() > surplus {
            state.giving.pop_first();
            self.wake.wake(u64::MAX);
        }
        if state.giving.len() < surplus {
            // Rather those in which nothing runs.
            let busy = state.busy();
            let mut may_go = state.readable();
            may_go.sort_by_key(|partition| (busy.contains(partition), -partition));
            let more = surplus - state.giving.len();
            for partition in may_go.into_iter().take(more) {
                state.giving.insert(partition);
                state.revoke(partition);
            }
        }
        let busy = state.busy();
        let idle = state
            .giving
            .iter()
            .filter(|partition| !busy.contains(partition));
        idle.copied().collect()
    }
}
