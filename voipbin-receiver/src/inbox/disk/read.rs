//! Reading events back when their turn comes, on the thread for it.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::ops::RangeInclusive;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use super::convert;
use super::index::{Event, Index};
use super::ready::{Histories, Ready};
use super::record::{Attempts, Head, JobStage};
use super::shared::{Ended, Outcome, Shared};
use super::store_error::{StoreError, StoreErrorKind};
use crate::event::{EventKey, RecordId};
use crate::handler::HandlerName;
use crate::inbox::{Attempt, AttemptEnd, Entry, Past};
use bytes::Bytes;

/// The events of one chunk, by number.
enum Read {
    Events(Vec<(Head, Bytes)>),
    Damaged,
    /// The file cannot be read now, or not here.
    Failed(StoreError),
}

fn read_chunk(shared: &Shared, key: u64) -> Read {
    let store = shared.store.read().unwrap_or_else(PoisonError::into_inner);
    let Some(store) = store.as_ref() else {
        return Read::Failed(StoreError::closed());
    };
    match store.chunk(key) {
        Ok(Some(chunk)) => Read::Events(chunk.events),
        Ok(None) => Read::Damaged,
        Err(error) if error.kind() == StoreErrorKind::Damaged => Read::Damaged,
        Err(error) => Read::Failed(error),
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
    /// The file cannot be read now, or not here.
    Failed,
}

pub(super) fn fetch(shared: &Shared, seq: u64) -> Fetched {
    let key = shared.index().key_of(seq);
    let events = match key.map(|key| read_chunk(shared, key)) {
        Some(Read::Failed(error)) => {
            tracing::debug!(%error, record = seq, "an event cannot be read");
            return Fetched::Failed;
        }
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

/// Reads the events of jobs that come again. Those that cannot be read now wait.
pub(super) fn read_again(shared: &Shared, seqs: &[u64]) -> bool {
    for seq in seqs {
        match fetch(shared, *seq) {
            Fetched::Event(entry, histories) => {
                shared.ready().fill(*seq, Some((&entry, &histories)));
            }
            Fetched::Gone => shared.ready().fill(*seq, None),
            Fetched::Failed => {
                if shared.ready().defer(*seq) {
                    tracing::error!(
                        record = seq,
                        "an event cannot be read from the inbox: it is tried again"
                    );
                }
            }
        }
    }
    true
}

/// Reads the next chunk from this number on into the line. One that cannot be read, while another
/// can, is set aside.
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
    let others_can = shared.ready().may_pass(key) && can_read_after(shared, after);
    let read = Row::read(shared, key);
    if read.is_none() && others_can {
        tracing::error!(
            row = key,
            "some events cannot be read from the inbox while others can: they are set aside and tried again less and less often"
        );
        let mut ready = shared.ready();
        if ready.in_file == Some(from) {
            ready.set_aside(key, from, shared.settings.tick);
            ready.has_read(after, shared.index().next_open(after).is_some());
        }
        return true;
    }
    let Some(read) = read else {
        if shared.ready().not_read(key) == 1 {
            tracing::error!(row = key, "the inbox cannot read: it tries again");
        }
        return false;
    };
    let lost = {
        let mut ready = shared.ready();
        if ready.in_file != Some(from) {
            return true;
        }
        let index = shared.index();
        let lost = read.push(&mut ready, &index, from, shared.now());
        ready.has_read(after, index.next_open(after).is_some());
        lost
    };
    give_up(shared, &lost);
    true
}

/// Tries a chunk again that was set aside.
pub(super) fn read_aside(shared: &Shared, key: u64) -> bool {
    let Some(read) = Row::read(shared, key) else {
        return true;
    };
    let lost = {
        let mut ready = shared.ready();
        let Some(from) = ready.unstick(key) else {
            return true;
        };
        read.push(&mut ready, &shared.index(), from, shared.now())
    };
    tracing::info!(row = key, "events that were set aside can be read again");
    shared.arrived.notify_one();
    give_up(shared, &lost);
    true
}

/// Whether the next chunk can be read: then the file can, and only the one before it cannot.
fn can_read_after(shared: &Shared, after: u64) -> bool {
    let next = shared.index().next_open(after);
    let read = next.map(|(key, _)| read_chunk(shared, key));
    matches!(read, Some(Read::Events(_) | Read::Damaged))
}

/// A chunk that was read, with what is known of the attempts at its events.
struct Row {
    key: u64,
    bodies: HashMap<u64, (Head, Bytes)>,
    attempts: BTreeMap<u64, Attempts>,
}

impl Row {
    /// `None` when it cannot be read now.
    fn read(shared: &Shared, key: u64) -> Option<Self> {
        let bodies = match read_chunk(shared, key) {
            Read::Failed(error) => {
                tracing::debug!(%error, row = key, "events cannot be read");
                return None;
            }
            Read::Damaged => HashMap::new(),
            Read::Events(events) => events
                .into_iter()
                .map(|event| (event.0.seq, event))
                .collect(),
        };
        let (tried, numbers) = {
            let index = shared.index();
            let tried = index.events(key).iter().any(Event::has_tried);
            (tried, index.numbers(key))
        };
        let attempts = match tried {
            true => read_attempts(shared, numbers)?,
            false => BTreeMap::new(),
        };
        Some(Self {
            key,
            bodies,
            attempts,
        })
    }

    /// Puts the events that are open from this number on into the line. Returns those whose bytes are
    /// lost.
    fn push(mut self, ready: &mut Ready, index: &Index, from: u64, now: u64) -> Vec<u64> {
        let mut lost = Vec::new();
        for event in index.events(self.key) {
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
                    let attempts = self.attempts.get(&event.seq);
                    let attempts = attempts.filter(|_| job.attempts > 0);
                    (handler, convert::past(&job, place, attempts, now))
                })
                .collect();
            let body = self.bodies.remove(&event.seq);
            match body.and_then(|(head, body)| entry(&head, body)) {
                Some(_) if jobs.is_empty() => {}
                Some(entry) => ready.push_read(entry, jobs),
                None => lost.push(event.seq),
            }
        }
        lost
    }
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
