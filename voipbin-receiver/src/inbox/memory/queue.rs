use std::sync::Arc;

use tracing::Span;

use super::dead::DeadLetters;
use crate::event::Delivery;
use crate::inbox::blocks::Blocks;
use crate::inbox::waiting::Waiting;
use crate::inbox::{Entry, Jobs, Taken};
use crate::sync::time::Instant;

/// What one lock covers: keeping an event is one push into it. It is never held across an await.
#[derive(Default)]
pub(super) struct Queue {
    /// Events of which no job was handed out.
    pub(super) fresh: Blocks<Fresh>,
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

impl Queue {
    /// Whether nothing will be handed out any more.
    pub(super) fn has_ended(&self) -> bool {
        self.closed && self.events == 0
    }

    /// Up to `max` jobs that may run now.
    pub(super) fn hand_out(&mut self, max: usize, now: Instant) -> Vec<Taken> {
        let ready = usize::from(self.opened.is_some()) + self.fresh.len();
        let mut jobs = Vec::with_capacity(ready.min(max));
        while jobs.len() < max {
            if let Some(job) = self.waiting.pop_due(now).or_else(|| self.next_fresh()) {
                jobs.push(job);
            } else {
                break;
            }
        }
        jobs
    }

    fn next_fresh(&mut self) -> Option<Taken> {
        loop {
            if let Some((entry, jobs, handed_out)) = &mut self.opened {
                if let Some(handler) = jobs.iter().nth(*handed_out) {
                    *handed_out += 1;
                    return Some(Taken::new(Arc::clone(entry), handler.clone()));
                }
                self.opened = None;
            }
            let Fresh {
                delivery,
                jobs,
                marks,
            } = self.fresh.pop()?;
            self.last_id += 1;
            let mut entry = Entry::new(self.last_id, delivery, jobs.len());
            if let Some(marks) = marks {
                entry = entry.marked(marks.possible_repeat).within(marks.span);
            }
            self.opened = Some((Arc::new(entry), jobs, 0));
        }
    }

    pub(super) fn has_ready(&self, now: Instant) -> bool {
        let opened = self.opened.as_ref();
        opened.is_some_and(|(_, jobs, handed_out)| *handed_out < jobs.len())
            || !self.fresh.is_empty()
            || self.waiting.next_due().is_some_and(|due| due <= now)
    }
}
