//! What goes out: until each job is done or dead.

use std::time::Duration;

use futures_util::future::join;

use super::{Check, Fixture, PATIENCE, failed, incoming};
use crate::handler::HandlerName;
use crate::inbox::RecordsErrorKind::Unsupported;
use crate::inbox::{
    Consumer, HandlerSet, Inbox, Job, KeepErrorKind, Kept, Record, RecordFilter, RecordId,
    RecordState, Records, Repeats, Settled, Stage,
};

impl<I: Inbox> Fixture<I> {
    pub(super) async fn finished(self) -> Check {
        self.keep_new(&self.event(0)?, 2).await?;
        let dead = Settled::Dead {
            failed: Some(failed()),
        };
        for (outcome, left) in [(dead, 1), (Settled::Done, 0)] {
            for job in self.take(1).await? {
                self.consumer.settle(&job, outcome.clone());
            }
            self.until(|inbox| inbox.stats().events == left).await?;
        }
        self.has_none("a settled job was handed out")
    }

    pub(super) async fn jobs(self) -> Check {
        self.keep_new(&self.event(0)?, 3).await?;
        let mut jobs = self.take(2).await?;
        jobs.extend(self.take_all(3 - jobs.len()).await?);
        let names: Vec<&str> = jobs.iter().map(|job| job.handler().as_str()).collect();
        self.expect(names == ["handler 0", "handler 1", "handler 2"], || {
            format!("{names:?}")
        })?;
        let same = jobs
            .iter()
            .all(|job| Some(job.id()) == jobs.first().map(Job::id));
        self.expect(same, || "the jobs of one event have different ids".into())
    }

    pub(super) async fn retried(self) -> Check {
        self.keep_new(&self.event(0)?, 1).await?;
        for attempts in 0..3 {
            let after = Duration::from_millis(5);
            for job in self.take(1).await? {
                let past = job.history().cloned().unwrap_or_default();
                let counted = (past.attempts, past.history.len());
                self.expect(counted == (attempts, attempts as usize), || {
                    format!("{counted:?} attempts and records after {attempts}")
                })?;
                self.expect(!past.interrupted, || "it counts as interrupted".into())?;
                self.may_begin(&job).await?;
                let failed = failed();
                self.consumer.settle(
                    &job,
                    Settled::Retry {
                        failed,
                        after,
                        in_place: false,
                    },
                );
            }
            self.has_none("it came before its time")?;
            let delayed = self.inbox.stats().delayed;
            self.expect(delayed == 1, || format!("{delayed} jobs are delayed"))?;
        }
        self.keep_known(&self.event(0)?).await
    }

    pub(super) async fn in_place(mut self) -> Check {
        self.keep_new(&self.event(0)?, 1).await?;
        let after = Duration::ZERO;
        let fail = |consumer: &dyn Consumer, job: &Job| {
            let (failed, in_place) = (failed(), true);
            consumer.settle(
                job,
                Settled::Retry {
                    failed,
                    after,
                    in_place,
                },
            );
        };
        for job in self.take_all(1).await? {
            self.may_begin(&job).await?;
            fail(&*self.consumer, &job);
            self.has_none("it was handed out again")?;
        }
        self.renew()?;
        for job in self.take_all(1).await? {
            self.expect(job.attempts() == 1, || {
                format!("{} attempts are counted after one", job.attempts())
            })?;
            self.may_begin(&job).await?;
            fail(&*self.consumer, &job);
            self.may_begin(&job).await?;
            self.consumer.settle(&job, Settled::Done);
        }
        self.until(|inbox| inbox.stats().events == 0).await
    }

    pub(super) async fn released(self) -> Check {
        self.keep_new(&self.event(0)?, 1).await?;
        for begins in [true, false, true] {
            for job in self.take(1).await? {
                self.expect(job.attempts() == 0, || {
                    format!("{} attempts are counted", job.attempts())
                })?;
                if begins {
                    self.may_begin(&job).await?;
                }
                self.consumer.settle(&job, Settled::Released);
            }
        }
        Ok(())
    }

    pub(super) async fn begun(self) -> Check {
        self.keep_new(&self.event(0)?, 1).await?;
        for job in self.take(1).await? {
            self.may_begin(&job).await?;
            self.consumer.settle(&job, Settled::Done);
        }
        self.until(|inbox| inbox.stats().events == 0).await
    }

    /// There is one dead letter, of handler 0.
    async fn retried_once(&self, records: &dyn Records, dead: &RecordFilter) -> Check {
        let found = self.patiently(records.list(dead, None, 1)).await?;
        let found = found.map(|page| page.records).unwrap_or_default();
        let id = found.first().map_or(RecordId::new(0), |record| record.id);
        let by = |name| (id, HandlerSet::from_iter([HandlerName::new(name)]));
        // Of two that are asked for at once, one is handled again, and none of another handler.
        let asked = [by("handler 1"), by("handler 0"), by("handler 0")];
        let retried = self.patiently(records.retry(&asked)).await?;
        let once = matches!(&retried[..], [Err(_), Ok(_), Err(_)]);
        self.expect(once, || format!("retried: {retried:?}"))?;
        let again = self.take(2).await?;
        self.expect(again.len() == 1, || format!("{} jobs", again.len()))?;
        for job in &again {
            let failed = Some(failed());
            self.consumer.settle(job, Settled::Dead { failed });
        }
        self.until(|inbox| inbox.stats().dead == 1).await?;
        self.swapped_once(records).await
    }

    /// There is no note.
    async fn swapped_once(&self, records: &dyn Records) -> Check {
        let swap = |from, to| self.patiently(records.swap_note(from, to));
        let both = join(swap(None, Some("one")), swap(None, Some("two"))).await;
        let kept = match (both.0?, both.1?) {
            (Ok(true), Ok(false)) => "one",
            (Ok(false), Ok(true)) => "two",
            (Err(one), Err(two)) if [one.kind(), two.kind()] == [Unsupported; 2] => return Ok(()),
            both => return self.expect(false, || format!("swapped at once: {both:?}")),
        };
        for (from, to, swaps) in [
            (None, Some("three"), false),
            (Some("three"), None, false),
            (Some(kept), Some("three"), true),
            (Some("three"), None, true),
        ] {
            let swapped = swap(from, to).await?;
            let note = self.patiently(records.note()).await?.unwrap_or_default();
            let kept = if swaps { to } else { Some(kept) };
            let holds =
                matches!(swapped, Ok(swapped) if swapped == swaps) && note.as_deref() == kept;
            self.expect(holds, || {
                format!("{from:?} to {to:?}: {swapped:?}, {note:?}")
            })?;
        }
        Ok(())
    }

    pub(super) async fn recorded(self) -> Check {
        let Some(records) = self.inbox.records() else {
            return Ok(());
        };
        self.keep_new(&self.event(0)?, 2).await?;
        let jobs = self.take_all(2).await?;
        for (number, job) in jobs.iter().enumerate() {
            self.may_begin(job).await?;
            let failed = (number == 0).then(failed);
            let outcome = match failed {
                Some(_) => Settled::Dead { failed },
                None => Settled::Done,
            };
            self.consumer.settle(job, outcome);
        }
        self.until(|inbox| inbox.stats().dead == 1).await?;
        let dead = RecordFilter::new().state(RecordState::Dead);
        let page = self.patiently(records.list(&dead, None, 10)).await?;
        let found = page.map(|page| page.records).unwrap_or_default();
        let Some(record) = found.first() else {
            return self.expect(false, || "it is not listed".into());
        };
        let latest = self.patiently(records.latest(&dead, None, 10)).await?;
        let latest = latest.map(|page| (page.records, page.next));
        let same = |(latest, next): &(Vec<Record>, Option<RecordId>)| {
            next.is_none() && latest.iter().map(|latest| latest.id).eq([record.id])
        };
        self.expect(latest.as_ref().is_ok_and(same), || {
            format!("as the latest: {latest:?}")
        })?;
        let before = self
            .patiently(records.latest(&dead, Some(record.id), 10))
            .await?;
        let before = before.map(|page| page.records.len());
        self.expect(matches!(before, Ok(0)), || {
            format!("before itself: {before:?}")
        })?;
        let attempts: usize = record.jobs.iter().map(|job| job.history.len()).sum();
        self.expect(found.len() == 1 && attempts == 1, || {
            format!("{} are listed, with {attempts} attempts", found.len())
        })?;
        let same = record.delivery.body() == self.event(0)?.body();
        self.expect(same, || "its body is another".into())?;

        let replayed = self.patiently(records.replay(record.id, None)).await?;
        self.expect(replayed.is_ok(), || format!("{replayed:?}"))?;
        let again = self.take(2).await?;
        let fresh = again.len() == 1
            && again.iter().all(|job| {
                job.attempts() == 0
                    && job.replay_of() == Some(record.id)
                    && job.handler().as_str() == "handler 0"
            });
        self.expect(fresh, || format!("handed out again as {again:?}"))?;
        // What is handled again is no dead letter any more, and not found a second time.
        let dead_now = self.inbox.stats().dead;
        self.expect(dead_now == 0, || {
            format!("{dead_now} dead letters are left")
        })?;
        let replayed = self.patiently(records.replay_all(&dead, None)).await?;
        self.expect(matches!(replayed, Ok(0)), || format!("{replayed:?}"))?;
        let left = self.patiently(records.get(record.id)).await?;
        let left = left.unwrap_or_default();
        let stages = left.iter().flat_map(|record| &record.jobs);
        let stages: Vec<Stage> = stages.map(|job| job.stage).collect();
        let resolved = stages
            .iter()
            .all(|stage| stage.has_ended() && !matches!(stage, Stage::Dead { .. }));
        self.expect(resolved, || format!("it was replayed and is {stages:?}"))?;
        // One that fails again is a dead letter of its own.
        for job in &again {
            let failed = Some(failed());
            self.consumer.settle(job, Settled::Dead { failed });
        }
        self.until(|inbox| inbox.stats().dead == 1).await?;
        self.retried_once(records, &dead).await?;
        // A handler that is named twice runs once.
        let twice = ["handler 0"; 2].map(HandlerName::new);
        let replayed = self.patiently(records.replay_all(&dead, Some(&twice)));
        let replayed = replayed.await?;
        self.expect(matches!(replayed, Ok(1)), || format!("{replayed:?}"))?;
        let again = self.take(2).await?;
        self.expect(again.len() == 1, || format!("{} jobs", again.len()))?;
        self.settle(&again);
        self.until(|inbox| inbox.stats().events == 0).await?;

        let there = usize::from(left.is_some());
        let discarded = self.patiently(records.discard(&[record.id])).await?;
        self.expect(matches!(discarded, Ok(count) if count == there), || {
            format!("{discarded:?}")
        })?;
        let gone = self.patiently(records.get(record.id)).await?;
        self.expect(matches!(gone, Ok(None)), || "it is still there".into())?;
        self.keep_known(&self.event(0)?).await
    }

    pub(super) async fn drained(self) -> Check {
        self.keep_new(&self.event(0)?, 1).await?;
        self.consumer.drain();
        self.keep_known(&self.event(0)?).await?;
        let mut left = 1;
        let kept = self
            .keep(incoming(&self.event(1)?, 1, Repeats::Drop))
            .await?;
        match (kept, self.keeps_rest()) {
            (Err(error), false) if error.kind() == KeepErrorKind::Draining => {}
            // One that loses nothing goes on keeping until its own limits.
            (Ok(Kept::New), true) => left = 2,
            (kept, _) => {
                let guarantees = self.guarantees;
                return self.expect(false, || {
                    format!("a new event came out as {kept:?} with {guarantees:?}")
                });
            }
        }
        if !self.keeps_rest() {
            let taken = self.take(1).await?;
            self.expect(taken.len() == 1, || "it ended with events in it".into())?;
            self.has_none("it ended before its last job")?;
            self.settle(&taken);
            left -= 1;
        }
        self.expect(self.take(1).await?.is_empty(), || {
            "it handed out more than it should".into()
        })?;
        let flushed = self.patiently(self.consumer.flush()).await?;
        self.expect(flushed.is_ok(), || format!("{flushed:?}"))?;
        let events = self.inbox.stats().events;
        self.expect(events == left, || format!("{events} events are left"))
    }

    pub(super) async fn expired(self) -> Check {
        if self.keeps_rest() {
            return Ok(());
        }
        self.keep_new(&self.event(0)?, 1).await?;
        // Told so again, for what has come to wait since.
        for attempts in 0..2 {
            for job in self.take(1).await? {
                self.expect(job.attempts() == attempts, || format!("{job:?}"))?;
                self.may_begin(&job).await?;
                let retry = Settled::Retry {
                    failed: failed(),
                    after: PATIENCE * 360,
                    in_place: false,
                };
                self.consumer.settle(&job, retry);
            }
            self.consumer.drain();
        }
        let taken = self.take(1).await?;
        let attempts: Vec<u32> = taken.iter().map(Job::attempts).collect();
        self.expect(attempts == [2], || format!("{attempts:?}"))?;
        self.settle(&taken);
        self.expect(self.take(1).await?.is_empty(), || {
            "it handed out more than it should".into()
        })
    }
}
