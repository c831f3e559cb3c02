//! Reads the jobs of a consumer's partitions.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};
use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::consumer::Core;
use super::lease::{JobLease, Membership};
use super::member::PAUSE;
use super::row::{delivery, history};
use super::server::{Session, Trouble, get, single};
use super::settings::Listen;
use super::transactions::Transactions;
use crate::event::{HandlerName, RecordId};
use crate::inbox::{Job, JobHistory, KeptEvent, Lane};

impl Core {
    /// Reads jobs, as long as there is a consumer.
    pub(super) async fn read(self: Arc<Self>) {
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
                let mut state = self.state();
                state.ask_due |= looks;
                state
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

    /// Reads jobs until there are enough or no more. Gives when the next one is due, where that is
    /// known.
    async fn read_once(&self, session: &mut Session) -> Result<Option<Duration>, Trouble> {
        const MOST: i32 = 256;
        const OF_EACH: i32 = 64;
        const BYTES: i64 = 8 << 20;
        let load = self.shared.sql(
            "SELECT event, place, partition, handler, attempts, interrupted, history, delay_ms, identity, signed, \
                    origin, possible_repeat, received, content_type, lane, replay_of, body, trace \
             FROM inbox.load($1, $2, $3, $4, $5, $6, $7)",
        );
        loop {
            let (membership, partitions, events, places, generation) = {
                let state = self.state();
                let Some(membership) = state.membership.clone().filter(|_| state.wants_jobs())
                else {
                    return Ok(None);
                };
                let (events, places): (Vec<i64>, Vec<i16>) = state.known().unzip();
                (
                    membership,
                    state.readable(),
                    events,
                    places,
                    state.generation,
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
            let jobs = jobs(&rows, &membership, &self.shared.transactions)?;
            let mut added = false;
            let asks = {
                let mut state = self.state();
                if state.generation != generation {
                    continue;
                }
                for (job, partition, lease) in jobs {
                    if state.owned.contains(&partition) && !state.giving.contains(&partition) {
                        added |= state.add(job, partition, lease);
                    }
                }
                let asks = !added && state.ask_due;
                state.ask_due &= !asks;
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
            self.state().ask_due |= due.is_some();
            return Ok(due.map(|due| Duration::from_millis(u64::try_from(due).unwrap_or_default())));
        }
    }
}

/// The jobs of these rows, those of one event with one delivery.
fn jobs(
    rows: &[Row],
    membership: &Arc<Membership>,
    transactions: &Arc<Transactions>,
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
        let lease = JobLease::new(
            Arc::clone(membership),
            (id, place),
            Arc::downgrade(transactions),
        );
        let lease = Arc::new(lease);
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
