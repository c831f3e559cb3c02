//! The tasks of a consumer: it joins, renews its lease, takes its share, reads jobs and writes down what became of them.

use std::collections::HashSet;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::consumer::{Core, Key, What, Write};
use super::lease::{JobLease, Membership, now};
use super::row::{delivery, history};
use super::server::{Session, Trouble, get, single};
use super::settings::Listen;
use super::shared::Shared;
use crate::event::{HandlerName, RecordId};
use crate::inbox::{Job, JobHistory, KeptEvent, Lane};

/// Before the next try, when the database does not answer.
const PAUSE: Duration = Duration::from_millis(100);

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
        while !self.local().left {
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
                let mut local = self.local();
                local.membership = (!local.left).then(|| Arc::clone(&membership));
                local.left
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
            if self.local().left {
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
            let gives = !self.local().giving.is_empty();
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
            let mut local = self.local();
            for partition in &given {
                local.owned.remove(partition);
                local.giving.remove(partition);
            }
            local.generation += 1;
            local.waiting.clear();
            drop(local);
            self.shared.announce_members();
        }
        Ok(next)
    }

    /// These are owned, and so many too many. Gives those that can be given now.
    fn share(&self, owned: Vec<i16>, surplus: usize) -> Vec<i16> {
        let mut local = self.local();
        let owned = owned.into_iter().collect();
        let lost: Vec<i16> = local.owned.difference(&owned).copied().collect();
        if local.owned != owned {
            local.generation += 1;
            local.ask_due = true;
            self.wake.wake(u64::MAX);
        }
        local.owned = owned;
        if !lost.is_empty() {
            local.waiting.clear();
        }
        for partition in lost {
            local.giving.remove(&partition);
            local.revoke(partition);
        }
        while local.giving.len() > surplus {
            local.giving.pop_first();
            self.wake.wake(u64::MAX);
        }
        if local.giving.len() < surplus {
            // Rather those in which nothing runs.
            let busy = local.busy();
            let mut may_go = local.readable();
            may_go.sort_by_key(|partition| (busy.contains(partition), -partition));
            let more = surplus - local.giving.len();
            for partition in may_go.into_iter().take(more) {
                local.giving.insert(partition);
                local.revoke(partition);
            }
        }
        let busy = local.busy();
        let idle = local
            .giving
            .iter()
            .filter(|partition| !busy.contains(partition));
        idle.copied().collect()
    }

    /// Reads jobs, as long as there is a consumer.
    async fn read(self: Arc<Self>) {
        let poll = match self.shared.settings.listen {
            Listen::Never => PAUSE,
            _ => Duration::from_secs(1),
        };
        let mut session = Session::new(Arc::clone(&self.shared.address));
        let mut look_at = Instant::now() + poll;
        loop {
            let looks = tokio::select! {
                () = self.wake.woken.notified() => false,
                () = sleep_until(look_at) => true,
            };
            let partitions = self.wake.partitions.swap(0, Ordering::AcqRel);
            let concerned = {
                let mut local = self.local();
                local.ask_due |= looks;
                local
                    .owned
                    .iter()
                    .any(|id| partitions >> (id & 63) & 1 == 1)
            };
            if !looks && !concerned {
                continue;
            }
            look_at = Instant::now()
                + match self.read_once(&mut session).await {
                    Ok(due) => due.map_or(poll, |due| poll.min(due)),
                    Err(trouble) => {
                        tracing::debug!(%trouble, "jobs cannot be read");
                        PAUSE
                    }
                };
        }
    }

    /// Reads jobs until there are enough or no more. Gives when the next one is due, where that is known.
    async fn read_once(&self, session: &mut Session) -> Result<Option<Duration>, Trouble> {
        const MOST: i32 = 256;
        const OF_EACH: i32 = 64;
        const BYTES: i64 = 8 << 20;
        let load = self.shared.sql(
            "SELECT event, place, partition, handler, attempts, interrupted, history, delay_ms, identity, signed, \
                    origin, possible_repeat, received, content_type, lane, replay_of, body \
             FROM inbox.load($1, $2, $3, $4, $5, $6, $7)",
        );
        loop {
            let (membership, partitions, events, places, generation) = {
                let local = self.local();
                let Some(membership) = local.membership.clone().filter(|_| local.wants_jobs())
                else {
                    return Ok(None);
                };
                let (events, places): (Vec<i64>, Vec<i16>) = local.known().unzip();
                (
                    membership,
                    local.readable(),
                    events,
                    places,
                    local.generation,
                )
            };
            let unrouted: Vec<String> = self.shared.unrouted().iter().cloned().collect();
            let rows = session
                .call(
                    &load,
                    &[
                        (&partitions, Type::INT2_ARRAY),
                        (&events, Type::INT8_ARRAY),
                        (&places, Type::INT2_ARRAY),
                        (&unrouted, Type::TEXT_ARRAY),
                        (&OF_EACH, Type::INT4),
                        (&MOST, Type::INT4),
                        (&BYTES, Type::INT8),
                    ],
                )
                .await?;
            let jobs = jobs(&rows, &membership)?;
            let mut added = false;
            let asks = {
                let mut local = self.local();
                if local.generation != generation {
                    continue;
                }
                for (job, partition, lease) in jobs {
                    if local.owned.contains(&partition) && !local.giving.contains(&partition) {
                        added |= local.add(job, partition, lease);
                    }
                }
                let waiting = local.waiting.len();
                self.wake.waiting.store(waiting, Ordering::Release);
                let asks = !added && local.ask_due;
                local.ask_due &= !asks;
                asks
            };
            self.tell();
            if added {
                continue;
            }
            if !asks {
                return Ok(None);
            }
            let sql = self.shared.sql("SELECT inbox.next_due($1)");
            let due = session
                .call(&sql, &[(&partitions, Type::INT2_ARRAY)])
                .await?;
            let due: Option<i64> = single(&due)?;
            self.local().ask_due |= due.is_some();
            return Ok(due.map(|due| Duration::from_millis(u64::try_from(due).unwrap_or_default())));
        }
    }

    /// Writes down what became of jobs, as long as there is a consumer.
    async fn write_down(self: Arc<Self>) {
        let mut session = Session::new(Arc::clone(&self.shared.address));
        loop {
            let next = self.local().next_writes();
            let Some((membership, mut writes)) = next else {
                self.written.notify_waiters();
                self.write.notified().await;
                continue;
            };
            let begun = loop {
                if membership.left().is_none() {
                    break None;
                }
                match settle(&self.shared, &mut session, &membership, &writes).await {
                    Ok(begun) => break begun,
                    Err(trouble) => {
                        tracing::warn!(%trouble, "what became of events cannot be written down yet");
                        self.could_not_write();
                        sleep(PAUSE).await;
                    }
                }
            };
            let Some(begun) = begun else {
                // Who takes over does so from what is written down.
                self.local().wrote(&writes);
                membership.end();
                continue;
            };
            self.local().wrote(&writes);
            for write in &mut writes {
                if let Some(starter) = write.begins.take().filter(|_| begun.contains(&write.key)) {
                    starter.send(Ok(()));
                }
            }
            let comes_again = |write: &Write| matches!(write.what, What::Again | What::Released);
            if writes.iter().any(comes_again) {
                self.wake.wake(u64::MAX);
            }
            self.shared.count.notify_one();
        }
    }
}

/// Gives the jobs that may begin; `None` when the lease is lost.
async fn settle(
    shared: &Shared,
    session: &mut Session,
    membership: &Membership,
    writes: &[Write],
) -> Result<Option<HashSet<Key>>, Trouble> {
    let sql = shared.sql("SELECT inbox.settle($1, $2, $3, $4, $5, $6, $7)");
    let (events, places): (Vec<i64>, Vec<i16>) = writes.iter().map(|write| write.key).unzip();
    let what: Vec<i16> = writes.iter().map(|write| write.what as i16).collect();
    let attempts: Vec<i32> = writes.iter().map(|write| write.attempts).collect();
    // Beyond a century it makes no difference.
    const CENTURY: u128 = 100 * 365 * 24 * 3600 * 1000;
    let after = |write: &Write| i64::try_from(write.after.as_millis().min(CENTURY));
    let after: Vec<i64> = writes
        .iter()
        .map(|write| after(write).unwrap_or_default())
        .collect();
    let failed: Vec<Option<&str>> = writes.iter().map(|write| write.failed.as_deref()).collect();
    let rows = session
        .call(
            &sql,
            &[
                (&membership.id, Type::INT8),
                (&events, Type::INT8_ARRAY),
                (&places, Type::INT2_ARRAY),
                (&what, Type::INT2_ARRAY),
                (&attempts, Type::INT4_ARRAY),
                (&after, Type::INT8_ARRAY),
                (&failed, Type::TEXT_ARRAY),
            ],
        )
        .await?;
    let begun: Option<Vec<i64>> = single(&rows)?;
    Ok(begun.map(|begun| {
        let (events, places) = begun.split_at(begun.len() / 2);
        let place = |place: &i64| i16::try_from(*place).unwrap_or_default();
        events
            .iter()
            .copied()
            .zip(places.iter().map(place))
            .collect()
    }))
}

/// The jobs of these rows, those of one event with one delivery.
fn jobs(
    rows: &[Row],
    membership: &Arc<Membership>,
) -> Result<Vec<(Job, i16, Arc<JobLease>)>, Trouble> {
    let mut jobs = Vec::with_capacity(rows.len());
    let mut last: Option<Arc<KeptEvent>> = None;
    for row in rows {
        let id: i64 = get(row, 0)?;
        let event = match last.take().filter(|last| last.id() == id.cast_unsigned()) {
            Some(event) => event,
            None => match delivery(row, 8)? {
                Some(delivery) => {
                    let lane: Option<i64> = get(row, 14)?;
                    let replay_of: Option<i64> = get(row, 15)?;
                    let event = KeptEvent::new(id.cast_unsigned(), delivery)
                        .in_lane(lane.map(|lane| Lane::from_number(lane.cast_unsigned())))
                        .marked(get(row, 11)?)
                        .replaying(replay_of.map(|of| RecordId::new(of.cast_unsigned())));
                    Arc::new(event)
                }
                None => {
                    tracing::error!(
                        event = id,
                        "an event is not as it was kept: it is not handled"
                    );
                    continue;
                }
            },
        };
        let place: i16 = get(row, 1)?;
        let handler: &str = get(row, 3)?;
        let attempts: i32 = get(row, 4)?;
        let delay: i64 = get(row, 7)?;
        let lease = Arc::new(JobLease::new(Arc::clone(membership)));
        let history = JobHistory {
            attempts: u32::try_from(attempts).unwrap_or_default(),
            interrupted: get(row, 5)?,
            history: history(get(row, 6)?),
            delay: u64::try_from(delay)
                .ok()
                .filter(|delay| *delay > 0)
                .map(Duration::from_millis),
        };
        let job = Job::new(
            Arc::clone(&event),
            HandlerName::new(handler),
            u64::try_from(place).unwrap_or_default(),
        );
        let of_job = Arc::clone(&lease);
        jobs.push((job.after(history).under(of_job), get(row, 2)?, lease));
        last = Some(event);
    }
    Ok(jobs)
}
