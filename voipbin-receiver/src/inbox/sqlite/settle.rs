//! What becomes of jobs that were handed out: first in memory, then in the file.

use super::batch::{Change, Ended};
use super::queue::{ActiveEvent, Position};
use super::row::{JobRow, JobStage};
use super::shared::{Shared, Work};
use super::time::millis;
use crate::event::HandlerName;
use crate::inbox::{Attempt, InboxError, Reply, Settled};

impl ActiveEvent {
    /// What is written once one of its jobs stands like this.
    fn change(&self, row: JobRow, failed: Option<Attempt>) -> Change {
        let has = |stage| self.jobs.iter().any(|job| job.row.stage == stage);
        if !self.jobs.iter().all(|job| job.row.stage.has_ended()) {
            return Change::Job(row, failed);
        }
        let (dead, replayed) = (has(JobStage::Dead), has(JobStage::Replayed));
        Change::Ended(Ended {
            seq: row.seq,
            fixed_sum: self.meta.fixed_sum,
            body_len: self.meta.body_len,
            dead,
            at: row.at,
            // Of one that is plainly done no rows of jobs stay.
            last: (dead || replayed).then_some((row, failed)),
        })
    }
}

impl Shared {
    /// An attempt may begin once it is written down that it does.
    pub(super) fn begin(&self, seq: i64, handler: &HandlerName) -> Reply<(), InboxError> {
        let (sender, reply) = Reply::pending();
        let now = self.time.now();
        let mut queue = self.queue();
        if let Some((_, job)) = queue.taken_job(seq, handler) {
            (job.row.stage, job.row.at, job.row.wait) = (JobStage::Running, now, None);
            self.push(Work::Begin(Change::Job(job.row, None), sender));
        }
        reply
    }

    pub(super) fn settle(&self, seq: i64, handler: &HandlerName, outcome: Settled) {
        let now = self.time.now();
        let mut queue = self.queue();
        let Some((id, job)) = queue.taken_job(seq, handler) else {
            return;
        };
        let (position, stage, wait, failed) = match outcome {
            Settled::Done => (Position::Ended, JobStage::Done, None, None),
            Settled::Retry {
                failed,
                after,
                in_place,
            } => match in_place {
                // Whoever took it has it.
                true => (
                    Position::HandedOut,
                    JobStage::DelayedInLane,
                    Some(after),
                    Some(failed),
                ),
                false => (
                    Position::Delayed,
                    JobStage::Delayed,
                    Some(after),
                    Some(failed),
                ),
            },
            Settled::Dead { failed } => (Position::Ended, JobStage::Dead, None, failed),
            Settled::Released => (Position::Delayed, JobStage::Queued, None, None),
            Settled::Unroutable => {
                job.position = Position::Held;
                return;
            }
        };
        // One that did not begin stands in the file as it did.
        let unchanged = stage == JobStage::Queued && job.row.stage != JobStage::Running;
        job.position = position;
        if !unchanged {
            (job.row.stage, job.row.at, job.row.wait) = (stage, now, wait.map(millis));
            if failed.is_some() {
                job.row.attempts = job.row.attempts.saturating_add(1);
                job.row.interrupted = false;
            }
        }
        let row = job.row;
        if position == Position::Delayed {
            match wait {
                Some(wait) => queue.delay(id, wait),
                None => queue.retry(id),
            }
            self.arrived.notify_one();
        }
        let Some(event) = queue.active(seq).filter(|_| !unchanged) else {
            return;
        };
        let change = event.change(row, failed);
        if let Change::Ended(_) = &change {
            self.finish(event.meta.identity, event.meta.shares_identity);
        }
        // It stays active until that is committed: the file has it as pending until then.
        self.push(Work::Change(change));
    }
}
