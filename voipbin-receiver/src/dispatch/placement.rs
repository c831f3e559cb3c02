//! Where each job belongs in the schedule.

use std::collections::HashMap;
use std::hash::BuildHasher;

use foldhash::fast::RandomState;

use super::schedule::{FlowKey, Placement};
use crate::handler::HandlerName;
use crate::inbox::Job;
use crate::router::Handlers;

/// The handlers by name: the index of each, and its own limit.
pub(super) struct Placements {
    handlers: HashMap<HandlerName, (usize, Option<usize>), RandomState>,
    hasher: RandomState,
}

impl Placements {
    pub(super) fn new(handlers: &Handlers) -> Self {
        let handlers = handlers.iter().enumerate();
        Self {
            handlers: handlers
                .map(|(index, (name, handler))| {
                    (name.clone(), (index, handler.options.concurrency))
                })
                .collect(),
            hasher: RandomState::default(),
        }
    }

    /// The own limits of the handlers, by index.
    pub(super) fn limits(&self) -> Vec<Option<usize>> {
        let mut handlers: Vec<_> = self.handlers.values().copied().collect();
        handlers.sort_unstable();
        handlers.into_iter().map(|(_, limit)| limit).collect()
    }

    /// The index of a handler.
    pub(super) fn index(&self, handler: &HandlerName) -> Option<usize> {
        self.handlers.get(handler).map(|(index, _)| *index)
    }

    /// The handlers at these places.
    pub(super) fn names(&self, indices: &[usize]) -> Vec<HandlerName> {
        let handlers = self.handlers.iter();
        let named = handlers.filter(|(_, (index, _))| indices.contains(index));
        let mut names: Vec<_> = named.map(|(name, _)| name.clone()).collect();
        names.sort_unstable();
        names
    }

    /// Jobs of a handler that is not registered come after the last one.
    pub(super) fn of(&self, job: &Job) -> Placement {
        let handler = self.handlers.get(job.handler());
        let handler = handler.map_or(self.handlers.len(), |(index, _)| *index);
        Placement {
            flow: FlowKey {
                handler,
                kind: self.hasher.hash_one(job.delivery().event_type()),
                again: job.attempts() > 0,
            },
            lane: job.event().lane().map(|lane| (handler, lane)),
            suspect: job.is_suspect(),
        }
    }
}
