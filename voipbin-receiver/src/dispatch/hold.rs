//! Keeps handlers from beginning until what was missed is recovered.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::dispatcher::Dispatch;
use super::queue::{PREFETCH_BYTES, PREFETCH_JOBS};
use crate::event::Origin;
use crate::inbox::{Consumer, Job, Prefetch};

/// How long an inbox may take to hand out what it has.
const TAKE: Duration = Duration::from_millis(200);

pub(super) struct Hold {
    most: Duration,
    released: watch::Sender<bool>,
}

impl Hold {
    pub(super) fn new(most: Duration) -> Self {
        Self {
            most,
            released: watch::Sender::new(false),
        }
    }
}

impl Dispatch {
    /// Lets handlers begin.
    pub(crate) fn release(&self) {
        if let Some(hold) = &self.hold {
            hold.released.send_replace(true);
        }
    }

    /// Waits until handlers may begin, and gives the jobs that are to run first, in this order:
    /// what an earlier process left, what was recovered, what has come since. They are as many as
    /// are taken ahead; others stay in the inbox.
    ///
    /// A future that is dropped has settled none of them: the inbox hands them out again.
    pub(super) async fn held(&self, consumer: &dyn Consumer) -> Vec<Job> {
        let mut jobs = Vec::new();
        let Some(hold) = &self.hold else {
            return jobs;
        };
        let mut released = hold.released.subscribe();
        tokio::select! {
            // Cannot fail: the sender is this dispatcher's.
            _ = released.wait_for(|released| *released) => {}
            () = sleep(hold.most) => {}
            () = self.drained() => return jobs,
        }
        let mut prefetch = Prefetch {
            jobs: PREFETCH_JOBS,
            bytes: PREFETCH_BYTES,
        };
        while !prefetch.is_full()
            && let Ok(Some(taken)) = timeout(TAKE, consumer.take(prefetch)).await
        {
            for job in taken {
                prefetch.add(job.delivery().body().len());
                jobs.push(job);
            }
        }
        jobs.sort_by_key(|job| {
            let delivery = job.delivery();
            match delivery.origin() {
                _ if delivery.received_at() < self.built_at => 0,
                Origin::History => 1,
                _ => 2,
            }
        });
        jobs
    }
}
