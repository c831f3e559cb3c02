use std::collections::HashMap;
use std::fmt;
use std::hash::BuildHasher;
use std::panic::{AssertUnwindSafe, catch_unwind};

use foldhash::fast::RandomState;

use super::schedule::{Flow, Place};
use crate::event::Delivery;
use crate::handler::HandlerName;
use crate::inbox::Taken;
use crate::router::Handlers;

/// Which deliveries a handler gets one after the other.
#[derive(Default)]
pub(crate) enum LaneKey {
    /// Those of one resource.
    #[default]
    Resource,
    /// Those for which this gives the same key.
    Chosen(Box<LaneFn>),
    /// None: all may run beside each other.
    Off,
}

/// A user's choice of the lane of a delivery. `None` is no lane.
pub(crate) type LaneFn = dyn Fn(&Delivery) -> Option<String> + Send + Sync;

/// Where each job belongs.
pub(crate) struct Lanes {
    key: LaneKey,
    /// The place of each handler, and its own limit.
    handlers: HashMap<HandlerName, (usize, Option<usize>), RandomState>,
    hasher: RandomState,
}

impl Lanes {
    pub(crate) fn new(key: LaneKey, handlers: &Handlers) -> Self {
        let handlers = handlers.iter().enumerate();
        Self {
            key,
            handlers: handlers
                .map(|(place, (name, handler))| (name.clone(), (place, handler.concurrency)))
                .collect(),
            hasher: RandomState::default(),
        }
    }

    /// The own limits of the handlers, by place.
    pub(super) fn limits(&self) -> Vec<Option<usize>> {
        let mut limits = vec![None; self.handlers.len()];
        for (place, limit) in self.handlers.values() {
            if let Some(of_place) = limits.get_mut(*place) {
                *of_place = *limit;
            }
        }
        limits
    }

    /// Where a job belongs. A lane is told apart by a hash: that two of them share one is rare and costs
    /// nothing but the one waiting for the other.
    pub(super) fn place(&self, taken: &Taken) -> Place {
        let delivery = taken.delivery();
        let handler = self.handlers.get(taken.handler());
        let flow = Flow {
            handler: handler.map_or(self.handlers.len(), |(place, _)| *place),
            kind: self.hasher.hash_one(delivery.event_type()),
            again: taken.attempts() > 0,
        };
        let hash = |key: &[u8]| self.hasher.hash_one((taken.handler(), key));
        let lane = match &self.key {
            LaneKey::Resource => delivery.lane_id().map(|id| hash(id.as_bytes())),
            // One that panics puts the delivery into no lane.
            LaneKey::Chosen(choose) => {
                let chosen = catch_unwind(AssertUnwindSafe(|| choose(delivery)));
                chosen.ok().flatten().map(|key| hash(key.as_bytes()))
            }
            LaneKey::Off => None,
        };
        Place {
            flow,
            lane,
            suspect: taken.is_suspect(),
        }
    }
}

impl fmt::Debug for LaneKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Resource => "Resource",
            Self::Chosen(_) => "Chosen",
            Self::Off => "Off",
        })
    }
}
