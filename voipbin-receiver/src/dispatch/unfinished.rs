//! What was not done when a shutdown ends, or when the pump ends before its time.

use futures_util::FutureExt;

use super::dispatcher::Dispatch;
use crate::inbox::{Consumer, Job, Prefetch, Settled};
use crate::observe::{JobState, Unfinished};

impl Dispatch {
    pub(super) fn leave_failed(&self, job: &Job) {
        self.left().push(Unfinished::new(job, JobState::Failed));
    }

    /// What was not done, when the time is over and the pump does not come to its end. With an
    /// inbox that loses nothing, only what runs: the rest stays there.
    pub(crate) fn unfinished(&self) -> Vec<Unfinished> {
        let mut unfinished = self.queue().unfinished(!self.keeps_rest());
        if let Some(consumer) = self.consumer() {
            unfinished.extend(self.take_rest(&*consumer));
        }
        unfinished.extend(self.left().iter().cloned());
        unfinished
    }

    /// The same at the pump's end: nothing more is settled here, and all of it is in the inbox
    /// again when the consumer is dropped.
    pub(super) fn close_all(&self, consumer: &dyn Consumer) -> Vec<Unfinished> {
        let mut queue = self.queue();
        let mut unfinished = queue.unfinished(!self.keeps_rest());
        queue.close_all();
        drop(queue);
        unfinished.extend(self.take_rest(consumer));
        unfinished.append(&mut self.left());
        unfinished
    }

    /// What is left in an inbox that loses it with the process.
    pub(super) fn take_rest(&self, consumer: &dyn Consumer) -> Vec<Unfinished> {
        let mut rest = Vec::<Job>::new();
        if self.keeps_rest() {
            return Vec::new();
        }
        while let Some(Some(jobs)) = consumer.take(Prefetch::for_jobs(64)).now_or_never() {
            rest.extend(jobs);
        }
        // Back again: another receiver may be built on this inbox.
        let back = rest.into_iter().map(|job| {
            consumer.settle(&job, Settled::Released);
            Unfinished::new(&job, JobState::before_a_run(&job))
        });
        back.collect()
    }
}
