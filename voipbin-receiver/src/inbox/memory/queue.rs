use std::collections::VecDeque;
use std::sync::Arc;

use tracing::Span;

use super::dead::DeadLetters;
use crate::event::Delivery;
use crate::inbox::waiting::Waiting;
use crate::inbox::{Entry, Jobs, Taken};
use crate::sync::time::Instant;

/// For how many events the queue keeps room once it is empty.
const SPARE: usize = 1024;

/// What one lock covers: keeping an event is one push into it. It is never held across an await.
#[derive(Default)]
pub(super) struct Queue {
    /// Events of which no job was handed out.
    pub(super) fresh: VecDeque<Fresh>,
    /// The event whose jobs are being handed out, and how many of them were.
    pub(super) opened: Option<(Arc<Entry>, Jobs, usize)>,
    /// Jobs that have failed and wait for their time.
    pub(super) waiting: Waiting<Taken>,
    /// Events that are not finished.
    pub(super) events: usize,
    /// Bytes of their bodies.
    pub(super) bytes: usize,
    pub(super) dead: DeadLetters,
    /// The last number of an event: it gets one as it is handed out or replayed.
    pub(super) last_id: u64,
    pub(super) closed: bool,
    /// Whether a receiver takes from it.
    pub(super) attached: bool,
}

/// An event that waits. There may be many, so it is as little as can be.
pub(super) struct Fresh {
    pub(super) delivery: Delivery,
    pub(super) jobs: Jobs,
    /// What few have.
    pub(super) marks: Option<Box<Marks>>,
}

pub(super) struct Marks {
    pub(super) possible_repeat: bool,
    pub(super) span: Span,
}

impl Marks {
    /// What there is to note, if anything.
    pub(super) fn new(possible_repeat: bool, span: Span) -> Option<Box<Self>> {
        let some = possible_repeat || !span.is_disabled();
        some.then(|| {
            Box::new(Self {
                possible_repeat,
                span,
            })
        })
    }
}

impl Fresh {
    fn entry(self, id: u64) -> Entry {
        let entry = Entry::new(id, self.delivery, self.jobs.len());
        match self.marks {
            Some(marks) => entry.marked(marks.possible_repeat).within(marks.span),
            None => entry,
        }
    }
}

/// What was taken off the queue under its lock, to be made jobs of without it: whoever keeps an event must not
/// wait for that.
pub(super) struct HandedOut {
    jobs: Vec<Taken>,
    /// With their numbers.
    events: Vec<(u64, Fresh)>,
    /// Those of an event that has more.
    last: Vec<Taken>,
}

impl HandedOut {
    pub(super) fn is_empty(&self) -> bool {
        self.jobs.is_empty() && self.events.is_empty() && self.last.is_empty()
    }

    pub(super) fn into_jobs(self) -> Vec<Taken> {
        let Self {
            mut jobs,
            events,
            last,
        } = self;
        jobs.reserve(events.len() + last.len());
        for (id, event) in events {
            let handlers = event.jobs.clone();
            let entry = Arc::new(event.entry(id));
            let of_event = handlers.iter().cloned();
            jobs.extend(of_event.map(|handler| Taken::new(Arc::clone(&entry), handler)));
        }
        jobs.extend(last);
        jobs
    }
}

impl Queue {
    /// Whether nothing will be handed out any more.
    pub(super) fn has_ended(&self) -> bool {
        self.closed && self.events == 0
    }

    /// Up to `max` jobs that may run now.
    pub(super) fn hand_out(&mut self, max: usize, now: Instant) -> HandedOut {
        let mut jobs = Vec::new();
        while jobs.len() < max
            && let Some(job) = self.waiting.pop_due(now).or_else(|| self.next_opened())
        {
            jobs.push(job);
        }
        let mut room = max - jobs.len();
        let mut events = Vec::with_capacity(room.min(self.fresh.len()));
        let mut last = Vec::new();
        while room > 0
            && let Some(event) = self.fresh.pop_front()
        {
            self.last_id += 1;
            if let Some(left) = room.checked_sub(event.jobs.len()) {
                room = left;
                events.push((self.last_id, event));
                continue;
            }
            let jobs = event.jobs.clone();
            self.opened = Some((Arc::new(event.entry(self.last_id)), jobs, 0));
            last.extend(std::iter::from_fn(|| self.next_opened()).take(room));
            break;
        }
        // After a backlog its room is given back.
        if self.fresh.is_empty() {
            self.fresh.shrink_to(SPARE);
        }
        HandedOut { jobs, events, last }
    }

    fn next_opened(&mut self) -> Option<Taken> {
        let (entry, jobs, handed_out) = self.opened.as_mut()?;
        match jobs.iter().nth(*handed_out) {
            Some(handler) => {
                *handed_out += 1;
                Some(Taken::new(Arc::clone(entry), handler.clone()))
            }
            None => {
                self.opened = None;
                None
            }
        }
    }

    pub(super) fn has_ready(&self, now: Instant) -> bool {
        let opened = self.opened.as_ref();
        opened.is_some_and(|(_, jobs, handed_out)| *handed_out < jobs.len())
            || !self.fresh.is_empty()
            || self.waiting.next_due().is_some_and(|due| due <= now)
    }
}
