//! Reading events back when their turn comes, on the thread for it.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::ops::RangeInclusive;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use super::convert;
use super::index::{Event, Index};
use super::ready::Histories;
use super::record::{Attempts, Head, JobStage};
use super::shared::{Ended, Outcome, Shared};
use super::store_error::StoreErrorKind;
use crate::event::{EventKey, RecordId};
use crate::handler::HandlerName;
use crate::inbox::{Attempt, AttemptEnd, Entry, Past};
use bytes::Bytes;

/// The events of one chunk, by number.
enum Read {
    Events(Vec<(Head, Bytes)>),
    Damaged,
    /// The file cannot be read now.
    Failed,
}

fn read_chunk(shared: &Shared, key: u64) -> Read {
    let store = shared.store.read().unwrap_or_else(PoisonError::into_inner);
    let Some(store) = store.as_ref() else {
        return Read::Failed;
    };
    match store.chunk(key) {
        Ok(Some(chunk)) => Read::Events(chunk.events),
        Ok(None) => Read::Damaged,
        Err(error) if error.kind() == StoreErrorKind::Damaged => Read::Damaged,
        Err(error) => {
            tracing::error!(%error, "the inbox cannot read");
            Read::Failed
        }
    }
}

fn entry(head: &Head, body: Bytes) -> Option<Entry> {
    let delivery = convert::delivery(head, body)?;
    let entry = Entry::new(head.seq, delivery, head.jobs.len())
        .marked(head.possible_repeat)
        .replaying(head.replay_of.map(RecordId::new));
    Some(entry)
}

/// What came of reading one event.
pub(super) enum Fetched {
    Event(Arc<Entry>, Histories),
    /// It was given up, or its bytes are damaged.
    Gone,
    /// The file cannot be read now.
    Failed,
}

pub(super) fn fetch(shared: &Shared, seq: u64) -> Fetched {
    let key = shared.index().key_of(seq);
    let events = match key.map(|key| read_chunk(shared, key)) {
        Some(Read::Failed) => return Fetched::Failed,
        Some(Read::Events(events)) => events,
        Some(Read::Damaged) | None => Vec::new(),
    };
    let found = events
        .into_iter()
        .find(|(head, _)| head.seq == seq)
        .and_then(|(head, body)| entry(&head, body));
    match found {
        Some(entry) => match histories(shared, seq) {
            Some(histories) => Fetched::Event(Arc::new(entry), histories),
            None => Fetched::Failed,
        },
        None => {
            // None of its jobs is open when it was given up meanwhile: then nothing is lost.
            give_up(shared, &[seq]);
            Fetched::Gone
        }
    }
}

/// What is known of the attempts at the jobs of an event. `None` when the file cannot be read now.
fn histories(shared: &Shared, seq: u64) -> Option<Histories> {
    let attempts = read_attempts(shared, seq..=seq)?;
    let index = shared.index();
    let jobs = index.event(seq).map(|event| &event.jobs);
    let places = (0..).zip(jobs.into_iter().flatten());
    let attempts = attempts.get(&seq);
    let history = |(place, handler): (u16, &HandlerName)| {
        (handler.clone(), convert::history(place, attempts))
    };
    Some(places.map(history).collect())
}

/// What is stored and noted of the attempts at these events.
fn read_attempts(shared: &Shared, seqs: RangeInclusive<u64>) -> Option<BTreeMap<u64, Attempts>> {
    // What is noted first: what is stored meanwhile would be missed the other way.
    let noted = shared.index().noted(seqs.clone());
    let store = shared.store.read().unwrap_or_else(PoisonError::into_inner);
    let mut attempts = store.as_ref()?.attempts(seqs).ok()?;
    for (seq, id, record) in noted {
        attempts.entry(seq).or_default().add(id, record);
    }
    Some(attempts)
}

/// Reads the event of jobs that come again.
pub(super) fn read_again(shared: &Shared, seqs: &[u64]) -> bool {
    seqs.iter().all(|seq| {
        match fetch(shared, *seq) {
            Fetched::Event(entry, histories) => {
                shared.ready().fill(*seq, Some((&entry, &histories)));
            }
            Fetched::Gone => shared.ready().fill(*seq, None),
            Fetched::Failed => return false,
        }
        true
    })
}

/// Reads the next chunk from this number on into the line.
pub(super) fn read_from(shared: &Shared, from: u64) -> bool {
    let next = shared.index().next_open(from);
    let Some((key, after)) = next else {
        let mut ready = shared.ready();
        // Under both locks: what is kept from here on finds the line open again.
        if ready.in_file == Some(from) && shared.index().next_open(from).is_none() {
            ready.has_read(from, false);
        }
        return true;
    };
    let mut bodies: HashMap<u64, (Head, Bytes)> = match read_chunk(shared, key) {
        Read::Failed => return false,
        Read::Damaged => HashMap::new(),
        Read::Events(events) => events
            .into_iter()
            .map(|event| (event.0.seq, event))
            .collect(),
    };
    let tried = {
        let index = shared.index();
        index.events(key).iter().any(Event::has_tried)
    };
    let attempts = match tried {
        true => match read_attempts(shared, key..=after.saturating_sub(1)) {
            Some(attempts) => attempts,
            None => return false,
        },
        false => BTreeMap::new(),
    };
    let mut lost = Vec::new();
    {
        let mut ready = shared.ready();
        if ready.in_file != Some(from) {
            return true;
        }
        let now = shared.now();
        let index = shared.index();
        for event in index.events(key) {
            if event.seq < from || !event.is_open() {
                continue;
            }
            let jobs: VecDeque<(HandlerName, Past)> = event
                .open_jobs()
                .into_iter()
                .filter(|(_, handler, job)| {
                    let in_line = matches!(
                        job.stage,
                        JobStage::Queued | JobStage::Waiting { in_lane: true, .. }
                    );
                    in_line && !ready.is_ahead(event.seq, handler)
                })
                .map(|(place, handler, job)| {
                    let attempts = attempts.get(&event.seq).filter(|_| job.attempts > 0);
                    (handler, convert::past(&job, place, attempts, now))
                })
                .collect();
            let body = bodies.remove(&event.seq);
            match body.and_then(|(head, body)| entry(&head, body)) {
                Some(_) if jobs.is_empty() => {}
                Some(entry) => ready.push_read(entry, jobs),
                None => lost.push(event.seq),
            }
        }
        ready.has_read(after, index.next_open(after).is_some());
    }
    give_up(shared, &lost);
    true
}

/// These events cannot be read any more: nobody can handle them, and that must not go unseen.
fn give_up(shared: &Shared, lost: &[u64]) {
    for seq in lost {
        let (jobs, identity) = lost_jobs(&shared.index(), *seq);
        if jobs.is_empty() {
            continue;
        }
        shared.damaged.fetch_add(1, Ordering::Relaxed);
        tracing::error!(
            record = seq,
            identity = identity.map(tracing::field::display),
            "the bytes of an event are damaged on disk: it cannot be handled"
        );
        for handler in jobs {
            let failed = Attempt::new(
                shared.settings.clock.wall(),
                Duration::ZERO,
                AttemptEnd::Failed("its bytes are damaged on disk".into()),
            );
            let number = shared.index().note(*seq, &handler, convert::record(failed));
            shared.outcome(Outcome {
                seq: *seq,
                handler,
                ended: Ended::Dead { number },
            });
        }
    }
}

/// The jobs that are lost with an event.
fn lost_jobs(index: &Index, seq: u64) -> (Vec<HandlerName>, Option<EventKey>) {
    let event = index.event(seq);
    let jobs = event.map(|event| {
        let jobs = event.open_jobs().into_iter();
        jobs.map(|(_, handler, _)| handler).collect()
    });
    (jobs.unwrap_or_default(), event.map(|event| event.identity))
}
