//! Several consumers at once, where an inbox says that there may be.

use std::collections::BTreeSet;

use futures_util::FutureExt;

use super::{Check, Fixture, Violation, incoming};
use crate::inbox::{Consumer, Inbox, Job, Lane, LaneOrder, Prefetch, Repeats, Settled};

impl<I: Inbox> Fixture<I> {
    fn further_consumer(&self) -> Result<Box<dyn Consumer>, Violation> {
        self.inbox.consume().map_err(|error| Violation {
            check: self.check,
            found: format!("a further consumer is refused: {error:?}"),
        })
    }

    /// One job, if there is one now.
    fn one(consumer: &dyn Consumer) -> Vec<Job> {
        let taken = consumer.take(Prefetch::for_jobs(1)).now_or_never();
        taken.flatten().unwrap_or_default()
    }

    pub(super) async fn shared(self) -> Check {
        const EVENTS: usize = 20;
        if !self.guarantees.shared {
            return Ok(());
        }
        let other = self.further_consumer()?;
        for number in 0..EVENTS as u32 {
            self.keep_new(&self.event(number)?, 1).await?;
        }
        let mut events = BTreeSet::new();
        self.patiently(async {
            while events.len() < EVENTS {
                tokio::select! {
                    taken = self.consumer.take(Prefetch::for_jobs(1)) => {
                        events.extend(taken.iter().flatten().map(Job::id));
                    }
                    taken = other.take(Prefetch::for_jobs(1)) => {
                        events.extend(taken.iter().flatten().map(Job::id));
                    }
                }
            }
        })
        .await?;
        let more = Self::one(&*self.consumer).len() + Self::one(&*other).len();
        self.expect(more == 0, || format!("{more} jobs were handed out twice"))?;
        // What the one that ends has taken is the other's.
        drop(other);
        self.keep_new(&self.event(EVENTS as u32)?, 1).await?;
        let rest = self.take_all(1).await?;
        self.settle(&rest);
        Ok(())
    }

    pub(super) async fn lanes_across_consumers(self) -> Check {
        const EVENTS: u32 = 6;
        if !self.guarantees.shared || self.guarantees.order != LaneOrder::Cluster {
            return Ok(());
        }
        let other = self.further_consumer()?;
        let consumers = [&*self.consumer, &*other];
        for number in 0..EVENTS {
            let event = self.event(number)?;
            let incoming = incoming(&event, 1, Repeats::Drop).in_lane(Some(Lane::of("one")));
            self.keep_as_new(incoming).await?;
        }
        let mut handled = Vec::new();
        let all = async {
            while handled.len() < EVENTS as usize {
                let mut holders = 0;
                let mut held = Vec::new();
                for consumer in consumers {
                    let jobs = Self::one(consumer);
                    holders += usize::from(!jobs.is_empty());
                    held.extend(jobs.into_iter().map(|job| (consumer, job)));
                }
                if holders > 1 {
                    return false;
                }
                for (consumer, job) in held {
                    handled.push(job.delivery().identity());
                    consumer.settle(&job, Settled::Done);
                }
                tokio::task::yield_now().await;
            }
            true
        };
        let apart = self.patiently(all).await?;
        self.expect(apart, || "two consumers hold a job of one lane".into())?;
        let mut kept = Vec::new();
        for number in 0..EVENTS {
            kept.push(self.event(number)?.identity());
        }
        self.expect(handled == kept, || "another order in the lane".into())
    }
}
