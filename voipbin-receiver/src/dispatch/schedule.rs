//! Which of the jobs that were taken may run next: lanes, limits and turns, and nothing else.

use std::collections::{HashMap, VecDeque};

use foldhash::fast::RandomState;

/// Jobs that were taken and wait, and how many run.
///
/// A *lane* is what must not overlap: the jobs of one resource for one handler. It takes room only
/// while one of its jobs runs, waits or is delayed. A *flow* is a handler, a type of event, and whether
/// it is a first attempt; flows take turns. A handler may use all slots but those that are set aside for
/// others.
pub(super) struct Schedule<J> {
    slots: usize,
    running: usize,
    /// Numbers of slots that were in use and are not.
    vacated: Vec<usize>,
    handlers: Vec<Share>,
    /// How many slots each handler gets whatever the others do, as far as a quarter of all slots goes.
    assured: usize,
    /// How many of those are not in use.
    owed: usize,
    lanes: HashMap<u64, VecDeque<Waiting<J>>, RandomState>,
    flows: HashMap<Flow, VecDeque<Waiting<J>>, RandomState>,
    /// The room of a flow that has ended, for the next one that begins.
    spare: VecDeque<Waiting<J>>,
    /// The flows that have jobs which only wait for a slot, the next one first.
    turns: VecDeque<Flow>,
    /// Jobs that may be what killed the process: one of them is on trial at a time.
    suspects: VecDeque<Waiting<J>>,
    trial: Option<Trial>,
    trials: u64,
    waiting: usize,
}

/// What one handler may use and uses.
struct Share {
    limit: usize,
    running: usize,
}

/// A handler, by its place, and a type of event, by any number that tells types apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Flow {
    pub(super) handler: usize,
    pub(super) kind: u64,
    /// Whether it ran before: further attempts do not stand behind a flood of first ones.
    pub(super) again: bool,
}

/// A job and where it belongs.
struct Waiting<J> {
    job: J,
    place: Place,
}

/// Where a job belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) flow: Flow,
    pub(super) lane: Option<u64>,
    /// Whether it may be what killed the process.
    pub(super) suspect: bool,
}

/// The run of a suspect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Trial(u64);

/// What a running job takes up; to be given back when it has ended.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "its lane and its slot are taken until it is given back"]
pub(super) struct Ticket {
    place: Place,
    slot: usize,
    trial: Option<Trial>,
}

/// The lane of a job that waits for its next attempt, with all that is behind it.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "its lane is taken until it is resumed"]
pub(super) struct Delayed(Place);

impl Ticket {
    pub(super) fn has_lane(&self) -> bool {
        self.place.lane.is_some()
    }

    pub(super) fn trial(&self) -> Option<Trial> {
        self.trial
    }

    /// The number of the slot: below that of the most that were in use at once.
    pub(super) fn slot(&self) -> usize {
        self.slot
    }
}

impl<J> Schedule<J> {
    /// For this many slots, and handlers each with a limit of its own, if it has one.
    pub(super) fn new(slots: usize, limits: &[Option<usize>]) -> Self {
        let assured = (slots / 4 / limits.len().max(1)).max(1);
        let handlers: Vec<Share> = limits
            .iter()
            .map(|limit| Share {
                limit: limit.unwrap_or(slots).clamp(1, slots),
                running: 0,
            })
            .collect();
        Self {
            slots,
            running: 0,
            vacated: Vec::new(),
            assured,
            owed: handlers.iter().map(|share| share.owed(assured)).sum(),
            handlers,
            lanes: HashMap::default(),
            flows: HashMap::default(),
            spare: VecDeque::new(),
            turns: VecDeque::new(),
            suspects: VecDeque::new(),
            trial: None,
            trials: 0,
            waiting: 0,
        }
    }

    /// Takes a job in. Those of one lane run in the order in which they come here.
    pub(super) fn admit(&mut self, job: J, place: Place) {
        self.waiting += 1;
        let waiting = Waiting { job, place };
        if let Some(lane) = place.lane {
            if let Some(others) = self.lanes.get_mut(&lane) {
                return others.push_back(waiting);
            }
            self.lanes.insert(lane, VecDeque::new());
        }
        self.line_up(waiting);
    }

    /// The next job that may run now.
    pub(super) fn next(&mut self) -> Option<(J, Ticket)> {
        if self.running >= self.slots {
            return None;
        }
        if self.trial.is_none()
            && let Some(at) = self
                .suspects
                .iter()
                .position(|waiting| self.has_room(waiting.place.flow.handler))
            && let Some(waiting) = self.suspects.remove(at)
        {
            return Some(self.run(waiting));
        }
        // Ends when all flows in turn are those of handlers that may not use another slot.
        let mut passed_over = 0;
        while passed_over < self.turns.len() {
            let flow = self.turns.pop_front()?;
            if !self.has_room(flow.handler) {
                self.turns.push_back(flow);
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
                self.turns.push_back(flow);
            }
            let Some(waiting) = next else { continue };
            if waiting.place.suspect && self.trial.is_some() {
                self.suspects.push_back(waiting);
                // Its flow has come to something else: the others are to be looked at anew.
                passed_over = 0;
                continue;
            }
            return Some(self.run(waiting));
        }
        None
    }

    /// A job has ended.
    pub(super) fn ended(&mut self, ticket: Ticket) {
        let Delayed(place) = self.delayed(ticket);
        let Some(lane) = place.lane else { return };
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
    pub(super) fn delayed(&mut self, ticket: Ticket) -> Delayed {
        let Ticket { place, slot, trial } = ticket;
        self.vacated.push(slot);
        if let Some(trial) = trial {
            self.acquit(trial);
        }
        self.running = self.running.saturating_sub(1);
        if let Some(share) = self.handlers.get_mut(place.flow.handler) {
            let owed = share.owed(self.assured);
            share.running = share.running.saturating_sub(1);
            self.owed = self.owed + share.owed(self.assured) - owed;
        }
        Delayed(place)
    }

    /// A delayed job waits for a slot again, before all that is behind it in its lane.
    pub(super) fn resume(&mut self, job: J, delayed: Delayed) {
        let Delayed(place) = delayed;
        self.waiting += 1;
        self.line_up(Waiting { job, place });
    }

    /// The process has outlived this run, so far: the next suspect may begin.
    pub(super) fn acquit(&mut self, trial: Trial) {
        if self.trial == Some(trial) {
            self.trial = None;
        }
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

    /// Whether a handler may use another slot: always while it has fewer than it is assured of, and
    /// otherwise those that are not set aside for others.
    fn has_room(&self, handler: usize) -> bool {
        let Some(share) = self.handlers.get(handler) else {
            return true;
        };
        let aside = self.owed.min(self.slots / 4);
        share.running < share.limit && (share.owed(self.assured) > 0 || self.free() > aside)
    }

    /// Puts a job whose lane is its own where it waits for a slot alone.
    fn line_up(&mut self, waiting: Waiting<J>) {
        let flow = waiting.place.flow;
        let queue = self
            .flows
            .entry(flow)
            .or_insert_with(|| std::mem::take(&mut self.spare));
        if queue.is_empty() {
            self.turns.push_back(flow);
        }
        queue.push_back(waiting);
    }

    fn run(&mut self, waiting: Waiting<J>) -> (J, Ticket) {
        let Waiting { job, place } = waiting;
        self.waiting = self.waiting.saturating_sub(1);
        let slot = self.vacated.pop().unwrap_or(self.running);
        self.running += 1;
        if let Some(share) = self.handlers.get_mut(place.flow.handler) {
            let owed = share.owed(self.assured);
            share.running += 1;
            self.owed = self.owed + share.owed(self.assured) - owed;
        }
        let trial = place.suspect.then(|| {
            self.trials += 1;
            Trial(self.trials)
        });
        if trial.is_some() {
            self.trial = trial;
        }
        (job, Ticket { place, slot, trial })
    }
}

impl Share {
    /// How many of the slots that it is assured of it does not use.
    fn owed(&self, assured: usize) -> usize {
        assured.min(self.limit).saturating_sub(self.running)
    }
}

#[cfg(test)]
mod tests;
