//! One event and how far its jobs have come.

use crate::event::EventKey;
use crate::handler::HandlerName;
use crate::inbox::Jobs;
use crate::inbox::disk::index::Keep;
use crate::inbox::disk::record::{EventProgress, Head, Heads, JobProgress, JobStage, Progress};

pub(crate) struct Event {
    pub(crate) seq: u64,
    pub(crate) identity: EventKey,
    pub(crate) kept_at: u64,
    pub(crate) body_len: u32,
    pub(crate) marks: bool,
    /// Whether its body is still in the file.
    pub(super) has_body: bool,
    pub(crate) jobs: Jobs,
    pub(super) stage: Stage,
}

pub(super) enum Stage {
    Fresh,
    /// One for each job.
    Open(Box<[JobProgress]>),
    /// As [`Stage::Open`]; each has ended, and at least one is dead or was replayed.
    Ended {
        jobs: Box<[JobProgress]>,
        at: u64,
    },
    Finished {
        at: u64,
    },
    Discarded {
        at: u64,
    },
}

impl Event {
    pub(crate) fn new(head: &Head, jobs: Jobs) -> Self {
        Self {
            seq: head.seq,
            identity: head.identity,
            kept_at: head.kept_at,
            body_len: head.body_len,
            marks: head.marks,
            has_body: true,
            // An event for nobody is finished as it comes: its identity is all that is kept.
            stage: if jobs.is_empty() {
                Stage::Finished { at: head.kept_at }
            } else {
                Stage::Fresh
            },
            jobs,
        }
    }

    /// Takes what is stored over. An attempt without an end was cut short by the death of the
    /// process.
    pub(super) fn resume(&mut self, progress: EventProgress) {
        self.stage = match progress {
            EventProgress::Finished { at } => Stage::Finished { at },
            EventProgress::Discarded { at } => Stage::Discarded { at },
            EventProgress::Jobs(_) if self.jobs.is_empty() => return,
            EventProgress::Jobs(mut jobs) => {
                jobs.resize_with(self.jobs.len(), fresh);
                for job in &mut jobs {
                    if matches!(job.stage, JobStage::Begun { .. }) {
                        job.stage = JobStage::Queued;
                        job.attempts = job.attempts.saturating_add(1);
                        job.interrupted = true;
                    }
                }
                Stage::of(jobs.into_boxed_slice())
            }
        };
    }

    pub(crate) fn is_open(&self) -> bool {
        matches!(self.stage, Stage::Fresh | Stage::Open(_))
    }

    /// Its jobs that have not ended, by place, with how far each has come.
    pub(crate) fn open_jobs(&self) -> Vec<(u16, HandlerName, JobProgress)> {
        let names = (0..).zip(self.jobs.iter().cloned());
        match &self.stage {
            Stage::Fresh => names.map(|(at, name)| (at, name, fresh())).collect(),
            Stage::Open(jobs) => names
                .zip(jobs.iter().copied())
                .map(|((at, name), job)| (at, name, job))
                .filter(|(_, _, job)| !job.has_ended())
                .collect(),
            Stage::Ended { .. } | Stage::Finished { .. } | Stage::Discarded { .. } => Vec::new(),
        }
    }

    /// Whether a job of it ran before and is to run again.
    pub(crate) fn has_tried(&self) -> bool {
        match &self.stage {
            Stage::Open(jobs) => jobs.iter().any(|job| job.attempts > 0 && !job.has_ended()),
            _ => false,
        }
    }

    /// The place of a job.
    pub(crate) fn place_of(&self, handler: &HandlerName) -> Option<u16> {
        let place = self.jobs.iter().position(|name| name == handler)?;
        u16::try_from(place).ok()
    }

    pub(super) fn dead_jobs(&self) -> usize {
        match &self.stage {
            Stage::Open(jobs) | Stage::Ended { jobs, .. } => {
                jobs.iter().filter(|job| job.is_dead()).count()
            }
            _ => 0,
        }
    }

    pub(super) fn progress(&self) -> Option<EventProgress> {
        match &self.stage {
            Stage::Fresh => None,
            Stage::Open(jobs) | Stage::Ended { jobs, .. } => {
                Some(EventProgress::Jobs(jobs.to_vec()))
            }
            Stage::Finished { at } => Some(EventProgress::Finished { at: *at }),
            Stage::Discarded { at } => Some(EventProgress::Discarded { at: *at }),
        }
    }

    /// Until when its body is wanted; `None` while it is not finished.
    pub(super) fn wanted_until(&self, keep: Keep) -> Option<u64> {
        match self.stage {
            Stage::Fresh | Stage::Open(_) => None,
            Stage::Ended { at, .. } if self.dead_jobs() > 0 => Some(at.saturating_add(keep.dead)),
            Stage::Ended { at, .. } => Some(at.saturating_add(keep.done)),
            Stage::Finished { at } => Some(at.saturating_add(keep.done)),
            Stage::Discarded { at } => Some(at),
        }
    }

    /// Its body is removed. What is left is that it is finished.
    pub(super) fn forget_body(&mut self) {
        self.has_body = false;
        if let Stage::Ended { at, .. } = self.stage {
            self.stage = Stage::Finished { at };
        }
    }

    pub(super) fn is_over(&self) -> bool {
        match self.stage {
            Stage::Finished { .. } | Stage::Discarded { .. } => true,
            Stage::Ended { .. } => self.dead_jobs() == 0,
            Stage::Fresh | Stage::Open(_) => false,
        }
    }

    /// Its dead jobs are replayed, those of these handlers. Returns how many there are.
    pub(super) fn replay(&mut self, handlers: &Jobs, at: u64) -> usize {
        let names = self.jobs.iter();
        let (Stage::Open(jobs) | Stage::Ended { jobs, .. }) = &mut self.stage else {
            return 0;
        };
        let mut replayed = 0;
        for (name, job) in names.zip(jobs.iter_mut()) {
            if job.is_dead() && handlers.iter().any(|handler| handler == name) {
                job.stage = JobStage::Replayed { at };
                replayed += 1;
            }
        }
        if replayed > 0 {
            self.stage = Stage::of(std::mem::take(jobs));
        }
        replayed
    }

    /// Its handlers that gave up.
    pub(crate) fn dead(&self) -> impl Iterator<Item = &HandlerName> {
        let jobs = match &self.stage {
            Stage::Open(jobs) | Stage::Ended { jobs, .. } => &**jobs,
            _ => &[],
        };
        let named = self.jobs.iter().zip(jobs);
        named.filter(|(_, job)| job.is_dead()).map(|(name, _)| name)
    }
}

impl Stage {
    pub(super) fn of(jobs: Box<[JobProgress]>) -> Self {
        if jobs.iter().any(|job| !job.has_ended()) {
            return Self::Open(jobs);
        }
        let at = jobs.iter().filter_map(JobProgress::ended_at).max();
        let at = at.unwrap_or_default();
        let plain = |job: &JobProgress| matches!(job.stage, JobStage::Done { .. });
        if !jobs.iter().all(plain) {
            Self::Ended { jobs, at }
        } else {
            Self::Finished { at }
        }
    }
}

pub(crate) fn fresh() -> JobProgress {
    JobProgress {
        attempts: 0,
        interrupted: false,
        stage: JobStage::Queued,
    }
}

impl JobProgress {
    pub(crate) fn has_ended(&self) -> bool {
        self.ended_at().is_some()
    }

    pub(super) fn is_dead(&self) -> bool {
        matches!(self.stage, JobStage::Dead { .. })
    }

    pub(super) fn ended_at(&self) -> Option<u64> {
        match self.stage {
            JobStage::Done { at } | JobStage::Dead { at } | JobStage::Replayed { at } => Some(at),
            _ => None,
        }
    }
}

/// The events of a chunk as they are stored.
pub(crate) fn resumed(heads: &Heads, jobs: Vec<Jobs>, progress: Option<Progress>) -> Vec<Event> {
    let progress = progress.map(|progress| progress.events).unwrap_or_default();
    let mut stored = progress.into_iter().peekable();
    let mut events = Vec::with_capacity(heads.heads.len());
    for (head, jobs) in heads.heads.iter().zip(jobs) {
        let mut event = Event::new(head, jobs);
        while stored.next_if(|(seq, _)| *seq < head.seq).is_some() {}
        match stored.next_if(|(seq, _)| *seq == head.seq) {
            Some((_, progress)) => event.resume(progress),
            None => event.resume(EventProgress::Jobs(Vec::new())),
        }
        events.push(event);
    }
    events
}

/// The jobs whose attempts were cut short: the place of each, how many attempts had ended before, and
/// when the last one began.
pub(super) fn begun(progress: &EventProgress) -> impl Iterator<Item = (u16, u32, u64)> {
    let jobs = match progress {
        EventProgress::Jobs(jobs) => jobs.as_slice(),
        _ => &[],
    };
    (0..).zip(jobs).filter_map(|(place, job)| match job.stage {
        JobStage::Begun { at } => Some((place, job.attempts, at)),
        _ => None,
    })
}
