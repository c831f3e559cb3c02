//! An inbox on disk that is moved into the database.

use std::path::PathBuf;
use std::time::SystemTime;

use serde_json::{Value, json};
use tokio::task::spawn_blocking;
use tokio_postgres::types::Type;

use super::row::{attempt_json, clean};
use super::server::{Trouble, get};
use super::shared::Shared;
use super::{PARTITIONS, PostgresInbox, PostgresInboxError, PostgresInboxErrorKind};
use crate::event::{Proof, RecordId, Time, TraceContext};
use crate::inbox::sqlite::{CopyReport, Leaving, LeavingEvent};
use crate::inbox::{AttemptEnd, Record, RecordState, Stage};

impl PostgresInbox {
    /// Moves all that an [inbox on disk](crate::inbox::DiskInbox) holds into this one: events with
    /// what has become of them, dead letters, finished ones, identities. What is not finished is
    /// handled here from then on, in the order in which it was kept, before what this inbox keeps
    /// later.
    ///
    /// First its files go into a directory `moving-…` within its own, so that no receiver opens
    /// them any more; in the end that is called `moved-…`, and may be removed. When it fails or the
    /// process ends, it is to be done again: it goes on after the last events that are here, so
    /// that none is here twice. An event that this inbox got a copy of meanwhile is handled as
    /// that.
    ///
    /// The role of the database needs the right to `UPDATE` the schema's sequences.
    ///
    /// # Errors
    ///
    /// [`PostgresInboxErrorKind::Move`]: a process has the directory, there is no inbox in it, it
    /// is damaged and to be [salvaged](crate::inbox::DiskInbox::salvage) first, or the database
    /// cannot be written.
    ///
    /// # Cancel safety
    ///
    /// As when the process ends.
    pub async fn move_from(
        &self,
        directory: impl Into<PathBuf>,
    ) -> Result<CopyReport, PostgresInboxError> {
        let directory = directory.into();
        let mut all = CopyReport::default();
        // Where a receiver began anew after a first try, there are two.
        for round in 0.. {
            let from = directory.clone();
            let leaving = spawn_blocking(move || Leaving::begin(&from)).await;
            let Some(leaving) = leaving.map_err(failed)?.map_err(failed)? else {
                // The last try may have ended with all of it, and not told.
                if round == 0 && !Leaving::has_left(&directory) {
                    return Err(failed("there is no inbox in the directory"));
                }
                break;
            };
            self.move_one(&leaving, &mut all).await?;
            leaving.end().map_err(failed)?;
        }
        Ok(all)
    }

    async fn move_one(
        &self,
        leaving: &Leaving,
        all: &mut CopyReport,
    ) -> Result<(), PostgresInboxError> {
        let last = leaving.last().await.map_err(failed)?.get().cast_signed();
        let source = leaving.number().cast_signed();
        let down_since = leaving.down_since().await.map_err(failed)?;
        let shared = self.shared.clone();
        let begun = self.on_its_thread(async move {
            shared.was_down_since(down_since).await?;
            begin(&shared, source, last).await
        });
        let (shift, mut here) = begun.await.map_err(failed)?;
        loop {
            let after = RecordId::new(here.cast_unsigned());
            let events = leaving.after(after).await.map_err(failed)?;
            let Some(event) = events.last() else {
                return Ok(());
            };
            here = event.id.get().cast_signed();
            let gone = events.iter().filter(|event| event.record.is_none()).count();
            let batch = Batch::of(events, shift);
            let shared = self.shared.clone();
            let adopted =
                self.on_its_thread(async move { batch.adopt(&shared, source, here).await });
            let (events, unfinished) = adopted.await.map_err(failed)?;
            all.events += events;
            all.unfinished += unfinished;
            all.identities += gone as u64;
        }
    }
}

fn failed(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> PostgresInboxError {
    PostgresInboxError::new(PostgresInboxErrorKind::Move).because(source)
}

/// By how much the numbers of events grow, and the last one that is here.
async fn begin(shared: &Shared, source: i64, last: i64) -> Result<(i64, i64), Trouble> {
    let sql = shared.sql("SELECT shift, last FROM inbox.begin_move($1, $2)");
    let params = &[(&source as _, Type::INT8), (&last as _, Type::INT8)];
    let rows = shared.session.lock().await.call(&sql, params).await?;
    let [row] = &rows[..] else {
        return Err(Trouble::Unknown(
            "it answers with other rows than one".into(),
        ));
    };
    Ok((get(row, 0)?, get(row, 1)?))
}

/// Rows of the tables, as `adopt` takes them.
#[derive(Default)]
struct Batch {
    seen: Vec<Value>,
    events: Vec<Value>,
    jobs: Vec<Value>,
    ended: Vec<Value>,
    marked: Vec<i64>,
    numbers: Vec<i64>,
    bodies: Vec<bytes::Bytes>,
}

impl Batch {
    fn of(events: Vec<LeavingEvent>, shift: i64) -> Self {
        let mut batch = Self::default();
        for event in events {
            let number = |id: RecordId| id.get().cast_signed().saturating_add(shift);
            let id = number(event.id);
            let identity = format!("\\x{}", event.identity);
            let record = event.record.as_ref();
            let replay_of = record.and_then(|record| record.replay_of).map(number);
            if replay_of.is_none() {
                batch.seen.push(json!({
                    "identity": identity, "event": id, "token": fastrand::i64(..),
                    "kept_at": time(event.kept_at),
                }));
            }
            if event.shares_identity {
                batch.marked.push(id);
            }
            if let Some(record) = record {
                batch.add(record, id, replay_of, &event);
            }
        }
        batch
    }

    fn add(&mut self, record: &Record, id: i64, replay_of: Option<i64>, event: &LeavingEvent) {
        let delivery = &record.delivery;
        let handlers: Vec<&str> = record.jobs.iter().map(|job| job.handler.as_str()).collect();
        let lane = event.lane.map(|lane| lane.get().cast_signed());
        let event_type = delivery.event_type();
        self.events.push(json!({
            "id": id,
            "state": match record.state {
                RecordState::Pending => 0,
                RecordState::Done => 1,
                RecordState::Dead => 2,
            },
            "kept_at": time(event.kept_at),
            "ended_at": record.ended_at().and_then(time),
            "received_at": time(delivery.received_at()),
            "identity": format!("\\x{}", event.identity),
            "signed": delivery.proof() == Proof::Signed,
            "origin": delivery.origin().as_str(),
            "possible_repeat": event.possible_repeat,
            "type": event_type.as_ref().map(|of| clean(of.as_str())),
            "resource_id": delivery.resource_id().map(clean),
            "content_type": delivery.other_content_type().map(clean),
            "trace": delivery.trace_context().map(TraceContext::as_str),
            "lane": lane,
            "handlers": handlers,
            "replay_of": replay_of,
            "bytes": delivery.body().len(),
        }));
        self.numbers.push(id);
        self.bodies.push(delivery.body().clone());
        let partition = lane.unwrap_or(id) & i64::from(PARTITIONS - 1);
        for (place, job) in record.jobs.iter().enumerate() {
            let history: Vec<Value> = job.history.iter().map(attempt_json).collect();
            let mut row = json!({
                "event": id,
                "place": place,
                "handler": job.handler.as_str(),
                "attempts": job.attempts,
                "history": (!history.is_empty()).then_some(history),
            });
            let stage = match job.stage {
                Stage::Done { at } => Some((1, at)),
                Stage::Dead { at } => Some((2, at)),
                Stage::Replayed { at } => Some((3, at)),
                _ => None,
            };
            let Some(fields) = row.as_object_mut() else {
                continue;
            };
            let mut set = |name: &str, value: Value| drop(fields.insert(name.to_owned(), value));
            match stage {
                Some((stage, at)) => {
                    set("stage", stage.into());
                    set("at", json!(time(at)));
                    self.ended.push(row);
                }
                None => {
                    let interrupted = job.history.last().map(|attempt| &attempt.ended);
                    set("partition", partition.into());
                    set("running", false.into());
                    set(
                        "interrupted",
                        (interrupted == Some(&AttemptEnd::Interrupted)).into(),
                    );
                    if let Stage::Delayed { until } = job.stage {
                        let waits_in_lane = event.in_lane.contains(&job.handler);
                        let name = if waits_in_lane { "delayed_to" } else { "due" };
                        set(name, json!(time(until)));
                    }
                    self.jobs.push(row);
                }
            }
        }
    }

    /// How many events are here now, and how many of them are not finished.
    async fn adopt(self, shared: &Shared, source: i64, last: i64) -> Result<(u64, u64), Trouble> {
        let sql = shared.sql(
            "SELECT events, unfinished \
             FROM inbox.adopt($1, $2, $3::jsonb, $4::jsonb, $5::jsonb, $6::jsonb, $7, $8, $9)",
        );
        let rows_in_json = [self.seen, self.events, self.jobs, self.ended];
        let [seen, events, jobs, ended] = rows_in_json.map(|rows| Value::Array(rows).to_string());
        let bodies: Vec<&[u8]> = self.bodies.iter().map(|body| &body[..]).collect();
        let rows = shared
            .session
            .lock()
            .await
            .call(
                &sql,
                &[
                    (&source, Type::INT8),
                    (&last, Type::INT8),
                    (&seen, Type::TEXT),
                    (&events, Type::TEXT),
                    (&jobs, Type::TEXT),
                    (&ended, Type::TEXT),
                    (&self.marked, Type::INT8_ARRAY),
                    (&self.numbers, Type::INT8_ARRAY),
                    (&bodies, Type::BYTEA_ARRAY),
                ],
            )
            .await?;
        shared.announce(u64::MAX);
        let [row] = &rows[..] else {
            return Err(Trouble::Unknown(
                "it answers with other rows than one".into(),
            ));
        };
        let count = |column| -> Result<u64, Trouble> {
            let count: Option<i64> = get(row, column)?;
            Ok(count.unwrap_or_default().cast_unsigned())
        };
        Ok((count(0)?, count(1)?))
    }
}

/// As the database reads it out of JSON.
fn time(time: SystemTime) -> Option<String> {
    Some(Time::try_from(time).ok()?.to_string())
}
