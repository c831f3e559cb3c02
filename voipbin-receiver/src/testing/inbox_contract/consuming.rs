//! Who takes: one consumer at a time, and the next one after it.

use std::collections::BTreeSet;

use async_trait::async_trait;

use super::{Check, Fixture, Violation, incoming};
use crate::inbox::{
    Consumer, Inbox, InboxErrorKind, Job, KeepErrorKind, Prefetch, Repeats, Settled,
};

impl<I: Inbox> Fixture<I> {
    /// The consumer ends, and there is a next one.
    pub(super) fn renew(&mut self) -> Check {
        self.end_consumer();
        self.consumer = self.inbox.consume().map_err(|error| Violation {
            check: self.check,
            found: format!("the next consumer is refused: {error:?}"),
        })?;
        Ok(())
    }

    fn end_consumer(&mut self) {
        drop(std::mem::replace(
            &mut self.consumer,
            Box::new(EndedConsumer),
        ));
    }

    pub(super) async fn one_consumer(self) -> Check {
        let second = self.inbox.consume().map(drop).map_err(|error| error.kind());
        let expected = match self.guarantees.shared {
            true => Ok(()),
            false => Err(InboxErrorKind::InUse),
        };
        self.expect(second == expected, || {
            format!("a second consumer got {second:?}")
        })?;
        // It changes nothing for the first.
        self.keep_new(&self.event(0)?, 1).await?;
        let taken = self.take(1).await?;
        self.expect(taken.len() == 1, || "the first one gets nothing".into())?;
        self.settle(&taken);
        let flushed = self.patiently(self.consumer.flush()).await?;
        self.expect(flushed.is_ok(), || format!("{flushed:?}"))
    }

    pub(super) async fn next_consumer(mut self) -> Check {
        for number in 0..4 {
            self.keep_new(&self.event(number)?, 1).await?;
        }
        // One is released before the drain, one after it, and one that has begun goes with its
        // consumer.
        let taken = self.take_all(3).await?;
        for job in taken.iter().take(1) {
            self.consumer.settle(job, Settled::Released);
        }
        for job in taken.iter().skip(2) {
            self.may_begin(job).await?;
        }
        self.consumer.drain();
        for job in taken.iter().skip(1).take(1) {
            self.consumer.settle(job, Settled::Released);
        }
        self.end_consumer();
        if !self.keeps_rest() {
            let kept = self
                .keep(incoming(&self.event(4)?, 1, Repeats::Drop))
                .await?;
            let kind = kept.map_err(|error| error.kind());
            self.expect(kind == Err(KeepErrorKind::Draining), || {
                format!("nobody takes from it, and a new event came out as {kind:?}")
            })?;
        }

        self.renew()?;
        self.keep_new(&self.event(4)?, 1).await?;
        let jobs = self.take_all(5).await?;
        let events: BTreeSet<u64> = jobs.iter().map(|job| job.id()).collect();
        let attempts: u32 = jobs.iter().map(|job| job.attempts()).sum();
        self.expect((events.len(), jobs.len(), attempts) == (5, 5, 0), || {
            format!(
                "{} jobs of {} events with {attempts} attempts, of 5 that never ran to an end",
                jobs.len(),
                events.len()
            )
        })?;
        let found: Vec<_> = jobs.iter().map(|job| job.delivery().identity()).collect();
        let mut kept = Vec::new();
        for number in 0..5 {
            kept.push(self.event(number)?.identity());
        }
        self.expect(found == kept, || {
            "what was left comes in another order than it was kept in".into()
        })?;
        self.settle(&jobs);
        self.until(|inbox| inbox.stats().events == 0).await?;
        self.renew()
    }
}

/// Stands in the place of a consumer that was dropped.
struct EndedConsumer;

#[async_trait]
impl Consumer for EndedConsumer {
    async fn take(&self, _: Prefetch) -> Option<Vec<Job>> {
        None
    }

    fn settle(&self, _: &Job, _: Settled) {}

    fn drain(&self) {}
}
