//! Which of the jobs that were taken may run next: lanes, limits and turns, and nothing else.

use std::collections::{HashMap, VecDeque};

use foldhash::fast::RandomState;

/// Jobs that were taken and wait, and how many run.
///
/// A *lane* is what must not overlap: the jobs of one resource for one handler. It takes room only
/// while one of its jobs runs or waits. A *flow* is a handler and a type of event; flows take turns.
/// A handler may use all slots but those that are set aside for the others.
pub(super) struct Schedule<J> {
    slots: usize,
    running: usize,
    handlers: Vec<Limit>,
    lanes: HashMap<u64, VecDeque<Waiting<J>>, RandomState>,
    flows: HashMap<Flow, VecDeque<Waiting<J>>, RandomState>,
    /// The flows that have jobs which only wait for a slot, the next one first.
    turns: VecDeque<Flow>,
    /// Jobs that may be what killed the process: one of them runs at a time.
    suspects: VecDeque<Waiting<J>>,
    suspect_runs: bool,
    waiting: usize,
}

struct Limit {
    most: usize,
    running: usize,
}

/// A handler, by its place, and a type of event, by any number that tells types apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Flow {
    pub(super) handler: usize,
    pub(super) kind: u64,
}

/// A job and where it belongs.
struct Waiting<J> {
    job: J,
    flow: Flow,
    lane: Option<u64>,
    suspect: bool,
}

/// What a running job takes up; to be given back when it has ended.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "its lane and its slot are taken until it is given back"]
pub(super) struct Ticket {
    handler: usize,
    lane: Option<u64>,
    suspect: bool,
}

impl<J> Schedule<J> {
    /// For this many slots, and handlers each with a limit of its own, if it has one.
    pub(super) fn new(slots: usize, limits: &[Option<usize>]) -> Self {
        let aside = set_aside(slots, limits.len());
        let others = limits.len().saturating_sub(1);
        let most = slots.saturating_sub(aside * others).max(1);
        let handlers = limits
            .iter()
            .map(|limit| Limit {
                most: limit.unwrap_or(most).clamp(1, most),
                running: 0,
            })
            .collect();
        Self {
            slots,
            running: 0,
            handlers,
            lanes: HashMap::default(),
            flows: HashMap::default(),
            turns: VecDeque::new(),
            suspects: VecDeque::new(),
            suspect_runs: false,
            waiting: 0,
        }
    }

    /// Takes a job in. Those of one lane run in the order in which they come here.
    pub(super) fn admit(&mut self, job: J, flow: Flow, lane: Option<u64>, suspect: bool) {
        self.waiting += 1;
        let waiting = Waiting {
            job,
            flow,
            lane,
            suspect,
        };
        if let Some(lane) = lane {
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
        if !self.suspect_runs
            && let Some(place) = self
                .suspects
                .iter()
                .position(|waiting| self.has_room(waiting.flow.handler))
            && let Some(waiting) = self.suspects.remove(place)
        {
            self.suspect_runs = true;
            return Some(self.run(waiting));
        }
        // Ends when all flows in turn are those of handlers that are at their limit.
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
                self.flows.remove(&flow);
            } else {
                self.turns.push_back(flow);
            }
            let Some(waiting) = next else { continue };
            if waiting.suspect {
                if self.suspect_runs {
                    self.suspects.push_back(waiting);
                    // Its flow has come to something else: the others are to be looked at anew.
                    passed_over = 0;
                    continue;
                }
                self.suspect_runs = true;
            }
            return Some(self.run(waiting));
        }
        None
    }

    /// A job has ended.
    pub(super) fn ended(&mut self, ticket: Ticket) {
        let Ticket {
            handler,
            lane,
            suspect,
        } = ticket;
        self.running = self.running.saturating_sub(1);
        if let Some(limit) = self.handlers.get_mut(handler) {
            limit.running = limit.running.saturating_sub(1);
        }
        if suspect {
            self.suspect_runs = false;
        }
        let Some(lane) = lane else { return };
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

    fn has_room(&self, handler: usize) -> bool {
        let limit = self.handlers.get(handler);
        limit.is_none_or(|limit| limit.running < limit.most)
    }

    /// Puts a job whose lane is its own where it waits for a slot alone.
    fn line_up(&mut self, waiting: Waiting<J>) {
        let flow = waiting.flow;
        let queue = self.flows.entry(flow).or_default();
        if queue.is_empty() {
            self.turns.push_back(flow);
        }
        queue.push_back(waiting);
    }

    fn run(&mut self, waiting: Waiting<J>) -> (J, Ticket) {
        let Waiting {
            job,
            flow,
            lane,
            suspect,
        } = waiting;
        self.waiting = self.waiting.saturating_sub(1);
        self.running += 1;
        if let Some(limit) = self.handlers.get_mut(flow.handler) {
            limit.running += 1;
        }
        let ticket = Ticket {
            handler: flow.handler,
            lane,
            suspect,
        };
        (job, ticket)
    }
}

/// How many slots no other handler may take from one: a quarter of them, shared out. So a handler
/// that hangs in all it can get still leaves room for each of the others.
fn set_aside(slots: usize, handlers: usize) -> usize {
    (slots / 4 / handlers.max(1)).max(1)
}

#[cfg(test)]
mod tests;
