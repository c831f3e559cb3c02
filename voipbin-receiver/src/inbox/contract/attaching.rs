//! Who takes: one receiver at a time, and the next one after it.

use std::collections::BTreeSet;

use super::{Check, Trial, Violation, incoming};
use crate::inbox::{Durability, Inbox, InboxErrorKind, KeepErrorKind, Repeats, Settled};

impl<I: Inbox> Trial<I> {
    fn attach(&self) -> Check {
        self.inbox.attach().map_err(|error| Violation {
            check: self.check,
            found: format!("a receiver is refused: {error:?}"),
        })
    }

    pub(super) async fn one_receiver(self) -> Check {
        self.attach()?;
        let second = self.inbox.attach().map_err(|error| error.kind());
        let expected = match self.inbox.promises().shared {
            true => Ok(()),
            false => Err(InboxErrorKind::InUse),
        };
        self.expect(second == expected, || {
            format!("a second receiver got {second:?}")
        })?;
        // The refusal changes nothing for the first.
        self.keep_new(&self.event(0)?, 1).await?;
        let taken = self.take(1).await?;
        self.expect(taken.len() == 1, || "the first one gets nothing".into())?;
        self.settle(&taken);
        let flushed = self.patiently(self.inbox.flush()).await?;
        self.expect(flushed.is_ok(), || format!("{flushed:?}"))
    }

    pub(super) async fn next_receiver(self) -> Check {
        self.attach()?;
        for number in 0..3 {
            self.keep_new(&self.event(number)?, 1).await?;
        }
        // One is put back before the end of the receiver and one after it is closed.
        let mut taken = Vec::new();
        while taken.len() < 2 {
            taken.extend(self.take(1).await?);
        }
        let mut taken = taken.into_iter();
        for job in taken.by_ref().take(1) {
            self.inbox.settle(&job, Settled::Released);
        }
        self.inbox.close();
        for job in taken {
            self.inbox.settle(&job, Settled::Released);
        }
        self.inbox.detach();
        if self.inbox.promises().durability == Durability::Process {
            let kept = self
                .keep(incoming(&self.event(3)?, 1, Repeats::Drop))
                .await?;
            let kind = kept.map_err(|error| error.kind());
            self.expect(kind == Err(KeepErrorKind::Draining), || {
                format!("it is closed, and a new event came out as {kind:?}")
            })?;
        } else {
            let taken = self.take(1).await?;
            self.expect(taken.is_empty(), || {
                "it is closed and hands out jobs".into()
            })?;
        }

        self.attach()?;
        self.keep_new(&self.event(3)?, 1).await?;
        let mut jobs = Vec::new();
        while jobs.len() < 4 {
            let taken = self.take(4).await?;
            self.expect(!taken.is_empty(), || {
                format!("it hands out {} of 4 jobs and ends", jobs.len())
            })?;
            jobs.extend(taken);
        }
        let events: BTreeSet<u64> = jobs.iter().map(|job| job.id()).collect();
        let attempts: u32 = jobs.iter().map(|job| job.attempts()).sum();
        self.expect((events.len(), jobs.len(), attempts) == (4, 4, 0), || {
            format!(
                "{} jobs of {} events with {attempts} attempts, of 4 that never ran",
                jobs.len(),
                events.len()
            )
        })?;
        let found: Vec<_> = jobs.iter().map(|job| job.delivery().identity()).collect();
        let mut kept = Vec::new();
        for number in 0..4 {
            kept.push(self.event(number)?.identity());
        }
        self.expect(found == kept, || {
            "what was left comes in another order than it was kept in".into()
        })?;
        self.settle(&jobs);
        self.until(|inbox| inbox.stats().events == 0).await?;
        self.inbox.close();
        self.inbox.detach();
        self.attach()
    }
}
