//! Looking into the inbox and changing what is in it.

use std::time::SystemTime;

use async_trait::async_trait;
use serde_json::Value;
use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::PostgresInbox;
use super::row::{DELIVERY, clean, delivery, history, names, of_unix_micros, unix_micros};
use super::server::{Params, Trouble, get};
use super::shared::Shared;
use crate::event::{HandlerName, RecordId};
use crate::inbox::{
    HandlerSet, JobRecord, Record, RecordFilter, RecordPage, RecordState, Records, RecordsError,
    Stage,
};

/// The handlers of an event: name, stage, its time, attempts, history. Where there is no row, it
/// was done at once.
const JOBS: &str = "(SELECT jsonb_agg(jsonb_build_array(h.name, \
        CASE WHEN j.running THEN 1 WHEN coalesce(j.due, j.delayed_to) > now() THEN 2 \
             WHEN j.event IS NOT NULL THEN 0 ELSE 2 + coalesce(d.stage, 1) END, \
        (extract(epoch FROM CASE WHEN j.running THEN j.began_at WHEN j.event IS NOT NULL \
             THEN coalesce(j.due, j.delayed_to) ELSE coalesce(d.at, e.ended_at) END) * 1e6)::bigint, \
        coalesce(j.attempts, d.attempts, 0), coalesce(j.history, d.history)) ORDER BY h.n)::text \
    FROM unnest(e.handlers) WITH ORDINALITY h(name, n) \
    LEFT JOIN inbox.job j ON j.event = e.id AND j.place = h.n - 1 \
    LEFT JOIN inbox.ended d ON d.event = e.id AND d.place = h.n - 1)";

/// Rows that are read at once.
const CHUNK: i64 = 100;

#[async_trait]
impl Records for PostgresInbox {
    async fn list(
        &self,
        filter: &RecordFilter,
        after: Option<RecordId>,
        most: usize,
    ) -> Result<RecordPage, RecordsError> {
        self.page(filter, First::Earliest, after, most).await
    }

    async fn latest(
        &self,
        filter: &RecordFilter,
        before: Option<RecordId>,
        most: usize,
    ) -> Result<RecordPage, RecordsError> {
        self.page(filter, First::Latest, before, most).await
    }

    async fn get(&self, id: RecordId) -> Result<Option<Record>, RecordsError> {
        let shared = self.shared.clone();
        let read = async move {
            shared.stored().await;
            let sql = shared.sql(&format!(
                "SELECT e.id, {DELIVERY}, {JOBS} FROM inbox.event e JOIN inbox.body b ON b.event = e.id \
                 WHERE e.id = $1"
            ));
            let id = id.get().cast_signed();
            let rows = shared
                .session
                .lock()
                .await
                .call(&sql, &[(&id, Type::INT8)])
                .await?;
            rows.first().map_or(Ok(None), |row| record(&shared, row))
        };
        self.on_its_thread(read).await
    }

    async fn replay(
        &self,
        id: RecordId,
        handlers: Option<&[HandlerName]>,
    ) -> Result<RecordId, RecordsError> {
        let handlers = handlers.map(|named| names(&named.iter().cloned().collect()));
        let new = self.replay_some(vec![(id, handlers)], false).await?;
        new.into_iter()
            .next()
            .unwrap_or_else(|| Err(RecordsError::not_found()))
    }

    async fn retry(&self, dead: &[(RecordId, HandlerSet)]) -> Vec<Result<RecordId, RecordsError>> {
        /// In one commit.
        const TOGETHER: usize = 256;
        let mut retried = Vec::with_capacity(dead.len());
        for some in dead.chunks(TOGETHER) {
            let each = some
                .iter()
                .map(|(id, handlers)| (*id, Some(names(handlers))));
            match self.replay_some(each.collect(), true).await {
                Ok(new) => retried.extend(new),
                Err(error) => {
                    let why = error.to_string();
                    let failed = || Err(RecordsError::storage(why.clone()));
                    retried.extend(some.iter().map(|_| failed()));
                }
            }
        }
        retried
    }

    async fn note(&self) -> Result<Option<String>, RecordsError> {
        let shared = self.shared.clone();
        let read = async move {
            let sql = "SELECT note FROM inbox.meta";
            shared.ask(sql, &[]).await
        };
        self.on_its_thread(read).await
    }

    async fn swap_note(&self, from: Option<&str>, to: Option<&str>) -> Result<bool, RecordsError> {
        let owned = |note: Option<&str>| note.map(|note| clean(note).into_owned());
        let (shared, from, to) = (self.shared.clone(), owned(from), owned(to));
        let swap = async move {
            // As for the times in that row: who waits for a standby locks it.
            let sql = "WITH swapped AS (UPDATE inbox.meta SET note = $2 \
                           WHERE note IS NOT DISTINCT FROM $1 RETURNING true) \
                       SELECT EXISTS (SELECT FROM swapped), \
                              set_config('synchronous_commit', 'local', true)";
            let params: Params<'_> = &[(&from, Type::TEXT), (&to, Type::TEXT)];
            shared.ask(sql, params).await
        };
        self.on_its_thread(swap).await
    }

    async fn discard(&self, ids: &[RecordId]) -> Result<usize, RecordsError> {
        let ids: Vec<i64> = ids.iter().map(|id| id.get().cast_signed()).collect();
        let shared = self.shared.clone();
        let discard = async move {
            let params: Params<'_> = &[(&ids, Type::INT8_ARRAY)];
            let count: i64 = shared.ask("SELECT inbox.discard($1)", params).await?;
            shared.refresh().await?;
            Ok(usize::try_from(count).unwrap_or_default())
        };
        self.on_its_thread(discard).await
    }
}

/// Which of the events come first.
#[derive(Clone, Copy)]
enum First {
    Earliest,
    Latest,
}

impl PostgresInbox {
    /// Has events handled again in one commit, each by these handlers; by those of them alone that
    /// gave up, where `dead`.
    async fn replay_some(
        &self,
        events: Vec<(RecordId, Option<String>)>,
        dead: bool,
    ) -> Result<Vec<Result<RecordId, RecordsError>>, RecordsError> {
        let shared = self.shared.clone();
        let replay = async move {
            shared.stored().await;
            let (ids, handlers): (Vec<_>, Vec<_>) = events
                .into_iter()
                .map(|(id, handlers)| (id.get().cast_signed(), handlers))
                .unzip();
            let params: Params<'_> = &[
                (&ids, Type::INT8_ARRAY),
                (&handlers, Type::TEXT_ARRAY),
                (&dead, Type::BOOL),
            ];
            let sql = "SELECT array_agg(inbox.replay(e.id, e.handlers::text[], $3) ORDER BY e.n) \
                       FROM unnest($1, $2) WITH ORDINALITY e(id, handlers, n)";
            let new: Vec<i64> = shared.ask(sql, params).await?;
            if new.len() != ids.len() {
                return Err(Trouble::Unknown("it answers for other events".into()));
            }
            if new.iter().any(|new| *new > 0) {
                shared.announce(u64::MAX);
                shared.refresh().await?;
            }
            Ok(new)
        };
        let new = self.on_its_thread(replay).await?;
        let each = new.into_iter().map(|new| match new {
            0 => Err(RecordsError::not_found()),
            -1 => Err(RecordsError::replayed()),
            new => Ok(RecordId::new(new.cast_unsigned())),
        });
        Ok(each.collect())
    }

    /// Events that the filter takes, those beyond this one.
    async fn page(
        &self,
        filter: &RecordFilter,
        first: First,
        beyond: Option<RecordId>,
        most: usize,
    ) -> Result<RecordPage, RecordsError> {
        let (shared, filter) = (self.shared.clone(), filter.clone());
        let beyond = beyond.map(|id| id.get().cast_signed());
        self.on_its_thread(async move {
            shared.stored().await;
            page(&shared, &filter, first, beyond, most).await
        })
        .await
    }
}

async fn page(
    shared: &Shared,
    filter: &RecordFilter,
    first: First,
    mut beyond: Option<i64>,
    most: usize,
) -> Result<RecordPage, Trouble> {
    let (is_beyond, order) = match first {
        First::Earliest => (">", "ASC"),
        First::Latest => ("<", "DESC"),
    };
    // What the database can tell; the filter itself has the last word.
    let sql = shared.sql(&format!(
        "SELECT e.id, {DELIVERY}, {JOBS} FROM inbox.event e JOIN inbox.body b ON b.event = e.id \
         WHERE ($1::bigint IS NULL OR e.id {is_beyond} $1) AND ($2::smallint IS NULL OR e.state = $2) \
           AND ($3::text IS NULL OR $3 = ANY (e.handlers)) AND ($4::text IS NULL OR e.resource_id = $4) \
           AND ($5::bigint IS NULL OR e.received_at < to_timestamp($5 / 1e6)) \
           AND ($6::bigint IS NULL OR e.received_at >= to_timestamp($6 / 1e6)) \
           AND ($7::bigint IS NULL OR e.ended_at < to_timestamp($7 / 1e6)) \
           AND ($8::text IS NULL OR e.type = $8) \
           AND ($2::smallint IS DISTINCT FROM 0 OR e.id >= (SELECT min(j.event) FROM inbox.job j)) \
         ORDER BY e.id {order} LIMIT $9"
    ));
    let state: Option<i16> = match (filter.state, filter.is_of_jobs()) {
        (Some(RecordState::Pending), false) => Some(0),
        (Some(RecordState::Done), false) => Some(1),
        (Some(RecordState::Dead), false) => Some(2),
        _ => None,
    };
    let handler = filter.handler.as_ref().map(HandlerName::as_str);
    let resource = filter.resource_id.as_deref().map(clean);
    let event_type = filter.event_type.as_ref().map(|of| clean(of.as_str()));
    let micros =
        |time: Option<SystemTime>, more| time.map(|time| unix_micros(time).saturating_add(more));
    let before = micros(filter.received_before, 1);
    let (from, ended) = (
        micros(filter.received_after, -1),
        micros(filter.ended_before, 1),
    );
    let mut records: Vec<Record> = Vec::new();
    while records.len() <= most {
        let params: Params<'_> = &[
            (&beyond, Type::INT8),
            (&state, Type::INT2),
            (&handler, Type::TEXT),
            (&resource, Type::TEXT),
            (&before, Type::INT8),
            (&from, Type::INT8),
            (&ended, Type::INT8),
            (&event_type, Type::TEXT),
            (&CHUNK, Type::INT8),
        ];
        let rows = shared.session.lock().await.call(&sql, params).await?;
        let Some(row) = rows.last() else { break };
        beyond = Some(get(row, 0)?);
        for row in &rows {
            records.extend(record(shared, row)?.filter(|record| filter.takes(record)));
        }
    }
    let more = records.len() > most;
    records.truncate(most);
    let next = records.last().map(|record| record.id);
    Ok(RecordPage::new(records, next.filter(|_| more)))
}

fn record(shared: &Shared, row: &Row) -> Result<Option<Record>, Trouble> {
    let id: i64 = get(row, 0)?;
    let Some(delivery) = delivery(row, 1)? else {
        return Ok(None);
    };
    let replay_of: Option<i64> = get(row, 8)?;
    let jobs: Option<&str> = get(row, 11)?;
    let jobs: Vec<Value> = jobs
        .and_then(|jobs| serde_json::from_str(jobs).ok())
        .unwrap_or_default();
    let unrouted = shared.unrouted();
    let job = |stored: &Value| {
        let name = stored.get(0)?.as_str()?;
        let at = of_unix_micros(stored.get(2).and_then(Value::as_i64).unwrap_or_default());
        let stage = match stored.get(1)?.as_u64()? {
            0 if unrouted.contains(name) => Stage::Held,
            0 => Stage::Queued,
            1 => Stage::Running { since: at },
            2 => Stage::Delayed { until: at },
            3 => Stage::Done { at },
            4 => Stage::Dead { at },
            _ => Stage::Replayed { at },
        };
        let mut job = JobRecord::new(HandlerName::new(name), stage);
        job.attempts = stored.get(3)?.as_u64()?.try_into().ok()?;
        job.history = history(stored.get(4).map(Value::to_string).as_deref());
        Some(job)
    };
    let jobs = jobs.iter().filter_map(job).collect();
    let replay_of = replay_of.map(|of| RecordId::new(of.cast_unsigned()));
    let id = RecordId::new(id.cast_unsigned());
    Ok(Some(Record::new(id, delivery, replay_of, jobs)))
}
