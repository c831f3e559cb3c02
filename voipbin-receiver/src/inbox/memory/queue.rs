use std::collections::VecDeque;
use std::sync::Arc;

use tracing::Span;

use super::dead::DeadLetters;
use crate::event::Delivery;
use crate::inbox::waiting::Waiting;
use crate::inbox::{Entry, Jobs, Taken};
use crate::sync::time::Instant;

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
    pub(super) next_id: u64,
    pub(super) closed: bool,
    /// Whether a receiver takes from it.
    pub(super) attached: bool,
}

pub(super) struct Fresh {
    pub(super) id: u64,
    pub(super) delivery: Delivery,
    pub(super) jobs: Jobs,
    pub(super) possible_repeat: bool,
    /// Where it is recorded: nearly half of what stands here would else be room for one that is not.
    pub(super) span: Option<Box<Span>>,
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
            let fresh = self.fresh.pop_front();
            if self.fresh.is_empty() && self.fresh.capacity() > 4096 {
                self.fresh = VecDeque::new();
            }
            let Fresh {
                id,
                delivery,
                jobs,
                possible_repeat,
                span,
            } = fresh?;
            let entry = Entry::new(id, delivery, jobs.len());
            let span = span.map_or_else(Span::none, |span| *span);
            let entry = entry.marked(possible_repeat).within(span);
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
