//! What becomes of jobs that were handed out: first in memory, then in the file.

use std::time::Duration;

use super::batch::{Change, Ended};
use super::ready::{Job, JobId, Open, Stage};
use super::row::{JobRow, JobStage};
use super::shared::{Shared, Work};
use super::time::millis;
use crate::event::HandlerName;
use crate::inbox::{InboxError, Reply, Settled};

impl Open {
    /// How a job stands from now on.
    fn row(&self, id: JobId, stage: JobStage, now: i64, wait: Option<Duration>) -> Option<JobRow> {
        let job: &Job = self.jobs.get(usize::from(id.place))?;
        Some(JobRow {
            seq: id.seq.cast_signed(),
            handler: *self.fact.list.ids.get(usize::from(id.place))?,
            stage,
            attempts: job.attempts,
            interrupted: job.interrupted,
            at: now,
            wait: wait.map(millis),
        })
    }
}

impl Shared {
    /// An attempt may begin once it is written down that it does.
    pub(super) fn begin(&self, seq: u64, handler: &HandlerName) -> Reply<(), InboxError> {
        let (starter, reply) = Reply::pending();
        let now = self.time.now();
        let mut ready = self.ready();
        let Some((open, id)) = ready.job(seq, handler) else {
            return reply;
        };
        if let Some(job) = open.jobs.get_mut(usize::from(id.place)) {
            (job.stage, job.stored) = (Stage::Begun, true);
        }
        if let Some(row) = open.row(id, JobStage::Running, now, None) {
            self.push(Work::Begin(Change::Job(row), starter));
        }
        reply
    }

    pub(super) fn settle(&self, seq: u64, handler: &HandlerName, outcome: Settled) {
        let now = self.time.now();
        let mut ready = self.ready();
        let Some((open, id)) = ready.job(seq, handler) else {
            return;
        };
        let Some(job) = open.jobs.get_mut(usize::from(id.place)) else {
            return;
        };
        let was = job.stage;
        let mut fail = || {
            job.attempts = job.attempts.saturating_add(1);
            job.interrupted = false;
        };
        let (stage, stored, failed, after) = match outcome {
            Settled::Done => (Stage::Done, JobStage::Done, None, None),
            Settled::Retry {
                failed,
                after,
                in_place: false,
            } => {
                fail();
                (Stage::Waiting, JobStage::Waiting, Some(failed), Some(after))
            }
            // Whoever took it has it.
            Settled::Retry {
                failed,
                after,
                in_place: true,
            } => {
                fail();
                (
                    Stage::HandedOut,
                    JobStage::WaitingInLane,
                    Some(failed),
                    Some(after),
                )
            }
            Settled::Dead { failed } => {
                if failed.is_some() {
                    fail();
                }
                (Stage::Dead, JobStage::Dead, failed, None)
            }
            Settled::Released => (Stage::Waiting, JobStage::Queued, None, None),
            Settled::Unroutable => {
                job.stage = Stage::Held;
                return;
            }
        };
        // One that did not begin stands in the file as it did.
        let unchanged = stored == JobStage::Queued && was == Stage::HandedOut;
        job.stage = stage;
        job.stored |= !unchanged;
        if stage == Stage::Waiting {
            ready.wait(id, after.unwrap_or_default());
            self.arrived.notify_one();
        }
        let Some(open) = ready.open(seq) else { return };
        if unchanged {
            return;
        }
        let Some(row) = open.row(id, stored, now, after) else {
            return;
        };
        if !open.is_over() {
            let change = match failed {
                Some(failed) => Change::Failed(row, failed),
                None => Change::Job(row),
            };
            return self.push(Work::Change(change));
        }
        let dead = open.is_dead();
        let replayed = open.jobs.iter().any(|job| job.stage == Stage::Replayed);
        let ended = Ended {
            seq: id.seq.cast_signed(),
            base: open.fact.base,
            body_len: open.fact.body_len,
            dead,
            at: now,
            stored: !replayed,
        };
        // Of one that is plainly done no rows of jobs stay.
        let last = (dead || replayed).then_some((row, failed));
        self.finish(open.fact.identity, open.fact.marks);
        // It stays open until that is committed: the file has it as pending until then.
        self.push(Work::Change(Change::Ended(ended, last)));
    }
}
