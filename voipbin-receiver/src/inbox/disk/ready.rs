//! What waits to be handed out.

mod stuck;

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use self::stuck::Stuck;
use super::record::JobProgress;
use crate::handler::HandlerName;
use crate::inbox::waiting::Waiting;
use crate::inbox::{Attempt, Entry, Jobs, Past, Taken};
use crate::sync::time::Instant;

/// Jobs in the order in which they are handed out.
///
/// Events that were just kept stand in line with their bodies, up to a number of bytes. What comes
/// after that is read back from the file when its turn comes; from then on everything is, until the
/// line has caught up, so that the order is kept.
pub(super) struct Ready {
    /// Jobs that were handed out before and may run again: before all others.
    again: VecDeque<Slot>,
    line: VecDeque<Slot>,
    /// The number of the first event that is in the file alone.
    pub(super) in_file: Option<u64>,
    /// The number after the last event that was read in its turn.
    pub(super) read_to: u64,
    /// Jobs in the file that the line has not come to and must pass by: they wait for their time
    /// since the file was opened, or were handed out after it.
    ahead: HashSet<(u64, HandlerName)>,
    waiting: Waiting<Again>,
    stuck: Stuck,
    /// How soon what cannot be read is tried again.
    tick: Duration,
    /// Bytes of the bodies in the line.
    bytes: usize,
    max_bytes: usize,
    pub(super) closed: bool,
    /// Whether a receiver takes from it.
    pub(super) attached: bool,
}

/// A job that comes again. What is known of its attempts is read back with its event.
#[derive(Clone, Debug)]
pub(super) struct Again {
    pub(super) seq: u64,
    pub(super) handler: HandlerName,
    pub(super) attempts: u32,
    pub(super) interrupted: bool,
}

impl Again {
    pub(super) fn of(seq: u64, handler: HandlerName, job: &JobProgress) -> Self {
        Self {
            seq,
            handler,
            attempts: job.attempts,
            interrupted: job.interrupted,
        }
    }
}

/// What is known of the attempts at each job of an event.
pub(super) type Histories = HashMap<HandlerName, Vec<Attempt>>;

/// Jobs of one event.
struct Slot {
    seq: u64,
    /// `None` until it is read back.
    entry: Option<Arc<Entry>>,
    jobs: SlotJobs,
}

enum SlotJobs {
    /// All of them, none of which ever ran; so many were handed out.
    Fresh(Jobs, usize),
    /// These.
    Listed(VecDeque<(HandlerName, Past)>),
}

/// What comes next.
pub(super) enum Next {
    Jobs(Vec<Taken>),
    /// The events of these numbers must be read first.
    Read(Vec<u64>),
    /// The file must be read from this number on.
    ReadFrom(u64),
    /// This row was set aside and is to be tried again.
    ReadAside(u64),
    /// Nothing as yet; perhaps at this time.
    Wait(Option<Instant>),
    Closed,
}

impl SlotJobs {
    fn next(&mut self) -> Option<(HandlerName, Past)> {
        match self {
            Self::Fresh(jobs, handed_out) => {
                let handler = jobs.iter().nth(*handed_out)?.clone();
                *handed_out += 1;
                Some((handler, Past::default()))
            }
            Self::Listed(jobs) => jobs.pop_front(),
        }
    }
}

impl Ready {
    pub(super) fn new(max_bytes: usize, tick: Duration) -> Self {
        Self {
            again: VecDeque::new(),
            line: VecDeque::new(),
            in_file: None,
            read_to: 0,
            ahead: HashSet::new(),
            waiting: Waiting::default(),
            stuck: Stuck::default(),
            tick,
            bytes: 0,
            max_bytes,
            closed: false,
            attached: false,
        }
    }

    /// An event that is in the file as of now.
    pub(super) fn push_kept(&mut self, entry: Entry, jobs: Jobs) {
        // It may have been read back before the writer got here.
        if self.in_file.is_some() || entry.id() < self.read_to {
            return;
        }
        let bytes = entry.delivery().body().len();
        if self.bytes.saturating_add(bytes) > self.max_bytes && self.bytes > 0 {
            self.in_file = Some(entry.id());
            return;
        }
        self.bytes += bytes;
        self.line.push_back(Slot {
            seq: entry.id(),
            entry: Some(Arc::new(entry)),
            jobs: SlotJobs::Fresh(jobs, 0),
        });
    }

    /// An event that was read back in its turn, with its jobs that may run.
    pub(super) fn push_read(&mut self, entry: Entry, jobs: VecDeque<(HandlerName, Past)>) {
        self.bytes += entry.delivery().body().len();
        self.line.push_back(Slot {
            seq: entry.id(),
            entry: Some(Arc::new(entry)),
            jobs: SlotJobs::Listed(jobs),
        });
    }

    /// A job that may run again after this time.
    pub(super) fn push_again(&mut self, again: Again, after: Duration) {
        self.waiting.push(Instant::now(), after, again);
    }

    /// A job that is found waiting for its time when the file is opened.
    pub(super) fn push_found(&mut self, again: Again, after: Duration) {
        self.ahead.insert((again.seq, again.handler.clone()));
        self.push_again(again, after);
    }

    /// Whether the line, where it comes to this job, passes it by.
    pub(super) fn is_ahead(&self, seq: u64, handler: &HandlerName) -> bool {
        !self.ahead.is_empty() && self.ahead.contains(&(seq, handler.clone()))
    }

    /// The line is read up to this number, and goes on in the file from there or not.
    pub(super) fn has_read(&mut self, to: u64, more: bool) {
        self.read_to = to;
        self.in_file = more.then_some(to);
        if !more {
            self.ahead = HashSet::new();
        }
    }

    /// The event of jobs that come again was read, with what is known of their attempts; `None` when
    /// it is gone.
    pub(super) fn fill(&mut self, seq: u64, read: Option<(&Arc<Entry>, &Histories)>) {
        self.is_read(seq);
        let Some((entry, histories)) = read else {
            return self.again.retain(|slot| slot.seq != seq);
        };
        for slot in self.again.iter_mut().filter(|slot| slot.seq == seq) {
            slot.entry = Some(Arc::clone(entry));
            if let SlotJobs::Listed(jobs) = &mut slot.jobs {
                for (handler, past) in jobs {
                    past.history = histories.get(handler).cloned().unwrap_or_default();
                }
            }
        }
    }

    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    pub(super) fn next(&mut self, max: usize) -> Next {
        if self.closed {
            return Next::Closed;
        }
        let now = Instant::now();
        while let Some(again) = self.waiting.pop_due(now) {
            let Again {
                seq,
                handler,
                attempts,
                interrupted,
            } = again;
            let past = Past {
                attempts,
                interrupted,
                history: Vec::new(),
                wait: None,
            };
            self.again.push_back(Slot {
                seq,
                entry: None,
                jobs: SlotJobs::Listed(VecDeque::from([(handler, past)])),
            });
        }
        if let Some(key) = self.due_row(now) {
            return Next::ReadAside(key);
        }
        let mut jobs = Vec::new();
        while jobs.len() < max {
            if let Some(slot) = self.again.front_mut() {
                let Some(entry) = &slot.entry else {
                    return jobs_or(jobs, Next::Read(self.unread(max)));
                };
                match slot.jobs.next() {
                    Some((handler, past)) => {
                        jobs.push(Taken::new(Arc::clone(entry), handler).after(past));
                    }
                    None => {
                        self.again.pop_front();
                    }
                }
            } else if let Some(slot) = self.line.front_mut() {
                match (&slot.entry, slot.jobs.next()) {
                    (Some(entry), Some((handler, past))) => {
                        jobs.push(Taken::new(Arc::clone(entry), handler).after(past));
                    }
                    _ => self.pop_line(),
                }
            } else if let Some(from) = self.in_file {
                return jobs_or(jobs, Next::ReadFrom(from));
            } else {
                break;
            }
        }
        let dues = [self.waiting.next_due(), self.next_row()];
        let until = dues.into_iter().flatten().min();
        jobs_or(jobs, Next::Wait(until))
    }

    /// Whether somebody else who waits should look again.
    pub(super) fn has_more(&self) -> bool {
        !self.again.is_empty() || !self.line.is_empty() || self.in_file.is_some()
    }

    /// The first events of jobs that come again, no more than are read at once.
    fn unread(&self, max: usize) -> Vec<u64> {
        const MOST: usize = 64;
        let slots = self.again.iter().take(max.min(MOST));
        let unread = slots.filter(|slot| slot.entry.is_none());
        let mut seqs: Vec<u64> = unread.map(|slot| slot.seq).collect();
        seqs.dedup();
        seqs
    }

    fn pop_line(&mut self) {
        if let Some(Slot {
            entry: Some(entry), ..
        }) = self.line.pop_front()
        {
            self.bytes = self.bytes.saturating_sub(entry.delivery().body().len());
        }
        if self.line.is_empty() && self.line.capacity() > 4096 {
            self.line = VecDeque::new();
        }
    }
}

fn jobs_or(jobs: Vec<Taken>, otherwise: Next) -> Next {
    if jobs.is_empty() {
        otherwise
    } else {
        Next::Jobs(jobs)
    }
}
