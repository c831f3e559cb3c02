//! Which of the jobs that were taken may run next: lanes, limits and fair turns, and nothing else.

use std::collections::{HashMap, VecDeque};

use foldhash::fast::RandomState;

use crate::event::Lane;

/// Jobs that were taken and wait, and how many run.
///
/// A *lane* is what must not overlap: the jobs of one resource for one handler. It takes room only
/// while one of its jobs runs, waits or is parked. A *flow* is a handler, a type of event, and
/// whether it is a first attempt; flows take turns. A handler may use all slots but those that are
/// reserved for others.
pub(super) struct Schedule<J> {
    slots: usize,
    running: usize,
    handlers: Vec<HandlerQuota>,
    /// How many slots are reserved for each handler, as far as a quarter of all slots goes.
    reserved: usize,
    /// How many of those are not in use.
    reserved_free: usize,
    lanes: HashMap<LaneOfHandler, VecDeque<QueuedJob<J>>, RandomState>,
    flows: HashMap<FlowKey, VecDeque<QueuedJob<J>>, RandomState>,
    /// The room of a flow that has ended, for the next one that begins.
    spare: VecDeque<QueuedJob<J>>,
    /// The flows that have jobs which only wait for a slot, the next one first.
    ready_flows: VecDeque<FlowKey>,
    /// Jobs that may be what killed the process: one of them runs at a time.
    suspects: VecDeque<QueuedJob<J>>,
    quarantine: Option<QuarantineId>,
    quarantines: u64,
    waiting: usize,
}

/// A lane of a handler, by its index: what must not overlap.
pub(super) type LaneOfHandler = (usize, Lane);

/// What one handler may use and uses.
struct HandlerQuota {
    limit: usize,
    running: usize,
    /// Whether nothing of it begins.
    paused: bool,
}

/// A handler, by its index, and a type of event, by any number that tells types apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct FlowKey {
    pub(super) handler: usize,
    pub(super) kind: u64,
    /// Whether it ran before: further attempts do not stand behind a flood of first ones.
    pub(super) again: bool,
}

/// A job and where it belongs.
struct QueuedJob<J> {
    job: J,
    placement: Placement,
}

/// Where a job belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Placement {
    pub(super) flow: FlowKey,
    pub(super) lane: Option<LaneOfHandler>,
    /// Whether it may be what killed the process.
    pub(super) suspect: bool,
}

/// Tells runs of suspects apart; no other suspect begins during one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct QuarantineId(u64);

/// What a running job takes up; to be given back when it has ended.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "its lane and its slot are taken until it is given back"]
pub(super) struct RunSlot {
    placement: Placement,
    quarantine: Option<QuarantineId>,
}

/// The lane of a job that waits for its next attempt, with all that is behind it.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "its lane is taken until it is resumed"]
pub(super) struct ParkedLane(Placement);

impl RunSlot {
    pub(super) fn has_lane(&self) -> bool {
        self.placement.lane.is_some()
    }

    pub(super) fn quarantine(&self) -> Option<QuarantineId> {
        self.quarantine
    }
}

impl<J> Schedule<J> {
    /// For this many slots, and handlers each with a limit of its own, if it has one.
    pub(super) fn new(slots: usize, limits: &[Option<usize>]) -> Self {
        let reserved = (slots / 4 / limits.len().max(1)).max(1);
        let handlers: Vec<HandlerQuota> = limits
            .iter()
            .map(|limit| HandlerQuota {
                limit: limit.unwrap_or(slots).clamp(1, slots),
                running: 0,
                paused: false,
            })
            .collect();
        Self {
            slots,
            running: 0,
            reserved,
            reserved_free: handlers
                .iter()
                .map(|quota| quota.reserved_free(reserved))
                .sum(),
            handlers,
            lanes: HashMap::default(),
            flows: HashMap::default(),
            spare: VecDeque::new(),
            ready_flows: VecDeque::new(),
            suspects: VecDeque::new(),
            quarantine: None,
            quarantines: 0,
            waiting: 0,
        }
    }

    /// Takes a job in. Those of one lane run in the order in which they come here.
    pub(super) fn admit(&mut self, job: J, placement: Placement) {
        self.waiting += 1;
        let waiting = QueuedJob { job, placement };
        if let Some(lane) = placement.lane {
            if let Some(others) = self.lanes.get_mut(&lane) {
                return others.push_back(waiting);
            }
            self.lanes.insert(lane, VecDeque::new());
        }
        self.line_up(waiting);
    }

    /// The next job that may run now.
    pub(super) fn next(&mut self) -> Option<(J, RunSlot)> {
        if self.running >= self.slots {
            return None;
        }
        if self.quarantine.is_none()
            && let Some(at) = self
                .suspects
                .iter()
                .position(|waiting| self.has_room(waiting.placement.flow.handler))
            && let Some(waiting) = self.suspects.remove(at)
        {
            return Some(self.run(waiting));
        }
        // Until each ready flow was found to be of a handler without a free slot.
        let mut passed_over = 0;
        while passed_over < self.ready_flows.len() {
            let flow = self.ready_flows.pop_front()?;
            if !self.has_room(flow.handler) {
                self.ready_flows.push_back(flow);
                passed_over += 1;
                continue;
            }
            let Some(queue) = self.flows.get_mut(&flow) else {
                continue;
            };
            let next = queue.pop_front();
            if queue.is_empty() {
                const MOST: usize = 64;
                let ended = self.flows.remove(&flow);
                self.spare = ended
                    .filter(|queue| queue.capacity() <= MOST)
                    .unwrap_or_default();
            } else {
                self.ready_flows.push_back(flow);
            }
            let Some(waiting) = next else { continue };
            if waiting.placement.suspect && self.quarantine.is_some() {
                self.suspects.push_back(waiting);
                // Its flow has another job in front now, which may be allowed to run.
                passed_over = 0;
                continue;
            }
            return Some(self.run(waiting));
        }
        None
    }

    /// A job has ended.
    pub(super) fn ended(&mut self, slot: RunSlot) {
        let ParkedLane(placement) = self.park(slot);
        let Some(lane) = placement.lane else { return };
        let next = self.lanes.get_mut(&lane).and_then(VecDeque::pop_front);
        match next {
            Some(waiting) => self.line_up(waiting),
            None => {
                self.lanes.remove(&lane);
                if self.lanes.is_empty() && self.lanes.capacity() > 4096 {
                    self.lanes = HashMap::default();
                }
            }
        }
    }

    /// A job has given its slot back and keeps its lane, until it is [resumed](Self::resume).
    pub(super) fn park(&mut self, slot: RunSlot) -> ParkedLane {
        let RunSlot {
            placement,
            quarantine,
        } = slot;
        if let Some(quarantine) = quarantine {
            self.end_quarantine(quarantine);
        }
        self.running = self.running.saturating_sub(1);
        if let Some(quota) = self.handlers.get_mut(placement.flow.handler) {
            let reserved_free = quota.reserved_free(self.reserved);
            quota.running = quota.running.saturating_sub(1);
            self.reserved_free =
                self.reserved_free + quota.reserved_free(self.reserved) - reserved_free;
        }
        ParkedLane(placement)
    }

    /// A parked job waits for a slot again, before all that is behind it in its lane.
    pub(super) fn resume(&mut self, job: J, parked: ParkedLane) {
        let ParkedLane(placement) = parked;
        self.waiting += 1;
        self.line_up(QueuedJob { job, placement });
    }

    /// The suspect survived: the next one may begin.
    pub(super) fn end_quarantine(&mut self, quarantine: QuarantineId) {
        if self.quarantine == Some(quarantine) {
            self.quarantine = None;
        }
    }

    /// Pauses or resumes a handler. Its reserved slots are free for others while it is paused.
    pub(super) fn pause(&mut self, handler: usize, paused: bool) {
        if let Some(quota) = self.handlers.get_mut(handler) {
            quota.paused = paused;
        }
        let free = |quota: &HandlerQuota| quota.reserved_free(self.reserved);
        self.reserved_free = self.handlers.iter().map(free).sum();
    }

    /// The indices of paused handlers.
    pub(super) fn paused(&self) -> impl Iterator<Item = usize> {
        let handlers = self.handlers.iter().enumerate();
        handlers.filter_map(|(index, quota)| quota.paused.then_some(index))
    }

    /// Whether a job is next, or a suspect is in its way.
    pub(super) fn may_have_next(&self) -> bool {
        let mut suspects = self.suspects.iter().map(|waiting| waiting.placement.flow);
        self.free() > 0
            && (self.quarantine.is_none() && suspects.any(|flow| self.has_room(flow.handler))
                || self
                    .ready_flows
                    .iter()
                    .any(|flow| self.has_room(flow.handler)))
    }

    /// How many more jobs could run now, as far as slots are concerned.
    pub(super) fn free(&self) -> usize {
        self.slots.saturating_sub(self.running)
    }

    /// How many jobs run.
    pub(super) fn running(&self) -> usize {
        self.running
    }

    /// How many jobs wait here.
    pub(super) fn waiting(&self) -> usize {
        self.waiting
    }

    /// Whether a handler may use another slot: always while it has fewer than are reserved for it,
    /// and otherwise those that are not reserved for others.
    fn has_room(&self, handler: usize) -> bool {
        let Some(quota) = self.handlers.get(handler) else {
            return true;
        };
        let aside = self.reserved_free.min(self.slots / 4);
        !quota.paused
            && quota.running < quota.limit
            && (quota.reserved_free(self.reserved) > 0 || self.free() > aside)
    }

    /// Queues a job whose lane is free: it waits for a slot alone.
    fn line_up(&mut self, waiting: QueuedJob<J>) {
        let flow = waiting.placement.flow;
        let queue = self
            .flows
            .entry(flow)
            .or_insert_with(|| std::mem::take(&mut self.spare));
        if queue.is_empty() {
            self.ready_flows.push_back(flow);
        }
        queue.push_back(waiting);
    }

    fn run(&mut self, waiting: QueuedJob<J>) -> (J, RunSlot) {
        let QueuedJob { job, placement } = waiting;
        self.waiting = self.waiting.saturating_sub(1);
        self.running += 1;
        if let Some(quota) = self.handlers.get_mut(placement.flow.handler) {
            let reserved_free = quota.reserved_free(self.reserved);
            quota.running += 1;
            self.reserved_free =
                self.reserved_free + quota.reserved_free(self.reserved) - reserved_free;
        }
        let quarantine = placement.suspect.then(|| {
            self.quarantines += 1;
            QuarantineId(self.quarantines)
        });
        if quarantine.is_some() {
            self.quarantine = quarantine;
        }
        (
            job,
            RunSlot {
                placement,
                quarantine,
            },
        )
    }
}

impl HandlerQuota {
    /// How many of the slots that are reserved for it it does not use.
    fn reserved_free(&self, reserved: usize) -> usize {
        match self.paused {
            true => 0,
            false => reserved.min(self.limit).saturating_sub(self.running),
        }
    }
}

#[cfg(test)]
mod tests;
