//! From new events to the rows that they are stored in.

use std::collections::{BTreeMap, HashMap, HashSet};

use bytes::Bytes;

use super::{CHUNK_BYTES, CHUNK_EVENTS, Plan, Writer, refuse};
use crate::handler::HandlerName;
use crate::inbox::disk::convert::{head, millis};
use crate::inbox::disk::index::{Event, Replay};
use crate::inbox::disk::record::{
    AttemptId, AttemptRecord, Attempts, Chunk, Progress, RecordError,
};
use crate::inbox::disk::shared::{New, Told};
use crate::inbox::disk::store::Changes;
use crate::inbox::{Entry, Incoming, Jobs, KeepErrorKind, RecordsErrorKind, Repeats};

/// A chunk that is about to be stored.
pub(super) struct Staged {
    pub(super) key: u64,
    pub(super) chunk: Chunk,
    pub(super) events: Vec<(Event, New)>,
    pub(super) bytes: usize,
}

impl Writer {
    /// Lets go of replays of dead letters that are none any more.
    pub(super) fn still_dead(&self, new: Vec<New>) -> Vec<New> {
        let replays = |new: &New| matches!(new.told, Told::Replay { if_dead: true, .. });
        if !new.iter().any(replays) {
            return new;
        }
        let mut taken: HashSet<(u64, HandlerName)> = HashSet::new();
        let index = self.shared.index();
        let (mut still, mut gone) = (Vec::with_capacity(new.len()), Vec::new());
        for mut new in new {
            if let Told::Replay {
                original,
                if_dead: true,
                ..
            } = &new.told
            {
                let seq = original.get();
                let dead = index.event(seq).into_iter().flat_map(Event::dead);
                let dead = dead.filter(|name| new.incoming.jobs.iter().any(|job| job == *name));
                let dead = dead.filter(|name| taken.insert((seq, (*name).clone())));
                new.incoming.jobs = dead.cloned().collect();
                if new.incoming.jobs.is_empty() {
                    gone.push(new);
                    continue;
                }
            }
            still.push(new);
        }
        drop(index);
        for new in &mut gone {
            if let Told::Replay { told, .. } = std::mem::replace(&mut new.told, Told::Nobody) {
                let _ = told.send(Err(RecordsErrorKind::Replayed));
            }
        }
        refuse(&self.shared, gone, KeepErrorKind::Storage);
        still
    }

    /// Puts new events into chunks. Gives them back when they do not fit the format.
    pub(super) fn stage(&mut self, new: Vec<New>) -> Result<Vec<Staged>, Vec<New>> {
        let mut staged: Vec<Staged> = Vec::new();
        // The events of one receiver share a few lists of handlers.
        let mut places: HashMap<*const HandlerName, Vec<u16>> = HashMap::new();
        for new in new {
            let Incoming {
                delivery,
                jobs,
                repeats,
                ..
            } = &new.incoming;
            let body = if jobs.is_empty() {
                Bytes::new()
            } else {
                delivery.body().clone()
            };
            let full = staged.last().is_none_or(|last| {
                last.bytes + body.len() > CHUNK_BYTES || last.events.len() >= CHUNK_EVENTS
            });
            let seq = self.next_seq;
            self.next_seq += 1;
            if full {
                places.clear();
                staged.push(Staged {
                    key: seq,
                    chunk: Chunk::default(),
                    events: Vec::new(),
                    bytes: 0,
                });
            }
            let Some(last) = staged.last_mut() else {
                continue;
            };
            let list = places
                .entry(jobs.iter().as_slice().as_ptr())
                .or_insert_with(|| places_of(jobs, &mut last.chunk.names));
            let replay_of = match &new.told {
                Told::Replay { original, .. } => Some(*original),
                Told::Sender(_) | Told::Nobody => None,
            };
            let marks = *repeats == Repeats::Mark || replay_of.is_some();
            let kept_at = millis(delivery.received_at());
            let mut head = head(
                seq,
                kept_at,
                delivery,
                marks,
                new.possible_repeat,
                replay_of,
                list.clone(),
            );
            head.body_len = u32::try_from(body.len()).unwrap_or(u32::MAX);
            last.bytes += body.len();
            let event = Event::new(&head, jobs.clone());
            last.chunk.events.push((head, body));
            last.events.push((event, new));
        }
        Ok(staged)
    }

    pub(super) fn store_progress(&self, changes: &mut Changes, key: u64, progress: &Progress) {
        match progress.encode(key) {
            Ok(row) => changes.progress.push((key, row)),
            Err(error) => tracing::error!(%error, "how far events have come cannot be stored"),
        }
    }

    /// Adds attempts to those that are stored of an event. Where those cannot be read, neither can
    /// the commit be made.
    pub(super) fn store_attempts(
        &self,
        plan: &mut Plan,
        seq: u64,
        counted: Vec<(AttemptId, AttemptRecord)>,
    ) {
        let stored = match &*self.store() {
            Some(store) => store.attempts(seq..=seq).unwrap_or_default(),
            None => BTreeMap::new(),
        };
        let mut attempts: Attempts = stored.into_values().next().unwrap_or_default();
        for (id, record) in counted {
            attempts.add(id, record);
            plan.attempts.push((seq, id));
        }
        match attempts.encode(seq) {
            Ok(row) => plan.changes.attempts.push((seq, row)),
            Err(error) => tracing::error!(%error, "how attempts ended cannot be stored"),
        }
    }

    /// Events that the format has no room for: more than four billion bytes, or handlers.
    pub(super) fn unfit(&self, staged: Staged, error: RecordError) {
        tracing::error!(%error, "events cannot be stored");
        let new = staged.events.into_iter().map(|(_, new)| new).collect();
        refuse(&self.shared, new, KeepErrorKind::Storage);
    }
}

/// The dead letters that are handled again by what is about to be stored.
pub(super) fn replays(staged: &[Staged]) -> Vec<Replay> {
    let new = staged.iter().flat_map(|staged| &staged.events);
    new.filter_map(|(_, new)| match &new.told {
        Told::Replay { original, .. } => Some(Replay {
            original: original.get(),
            handlers: new.incoming.jobs.clone(),
        }),
        Told::Sender(_) | Told::Nobody => None,
    })
    .collect()
}

pub(super) fn entry(seq: u64, new: &New) -> Entry {
    let Incoming {
        delivery,
        jobs,
        span,
        ..
    } = &new.incoming;
    let replay_of = match &new.told {
        Told::Replay { original, .. } => Some(*original),
        Told::Sender(_) | Told::Nobody => None,
    };
    Entry::new(seq, delivery.clone(), jobs.len())
        .marked(new.possible_repeat)
        .replaying(replay_of)
        .within(span.clone())
}

/// Where the names of these handlers are among the names of a chunk.
fn places_of(jobs: &Jobs, names: &mut Vec<HandlerName>) -> Vec<u16> {
    jobs.iter()
        .map(|name| {
            let place = names.iter().position(|known| known == name);
            let place = place.unwrap_or_else(|| {
                names.push(name.clone());
                names.len() - 1
            });
            u16::try_from(place).unwrap_or(u16::MAX)
        })
        .collect()
}
