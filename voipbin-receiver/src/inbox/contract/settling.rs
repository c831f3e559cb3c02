//! What goes out: until each job is done or dead.

use std::time::Duration;

use futures_util::FutureExt;

use super::{Check, PATIENCE, Trial, failed, incoming};
use crate::handler::HandlerName;
use crate::inbox::{
    Durability, Inbox, KeepErrorKind, Kept, RecordFilter, RecordState, Repeats, Settled, Stage,
    Taken,
};

impl<I: Inbox> Trial<I> {
    pub(super) async fn finished(self) -> Check {
        self.keep_new(&self.event(0)?, 2).await?;
        let dead = Settled::Dead {
            failed: Some(failed()),
        };
        for (outcome, left) in [(dead, 1), (Settled::Done, 0)] {
            for job in self.take(1).await? {
                self.inbox.settle(&job, outcome.clone());
            }
            self.until(|inbox| inbox.stats().events == left).await?;
        }
        let again = self.inbox.take(1).now_or_never();
        self.expect(again.is_none(), || "a settled job was handed out".into())
    }

    pub(super) async fn jobs(self) -> Check {
        self.keep_new(&self.event(0)?, 3).await?;
        let mut jobs = Vec::new();
        while jobs.len() < 3 {
            jobs.extend(self.take(2).await?);
        }
        let names: Vec<&str> = jobs.iter().map(|job| job.handler().as_str()).collect();
        self.expect(names == ["handler 0", "handler 1", "handler 2"], || {
            format!("{names:?}")
        })?;
        let same = jobs
            .iter()
            .all(|job| Some(job.id()) == jobs.first().map(Taken::id));
        self.expect(same, || "the jobs of one event have different ids".into())
    }

    pub(super) async fn retried(self) -> Check {
        self.keep_new(&self.event(0)?, 1).await?;
        for attempts in 0..3 {
            let after = Duration::from_millis(5);
            for job in self.take(1).await? {
                let past = job.past().cloned().unwrap_or_default();
                let counted = (past.attempts, past.history.len());
                self.expect(counted == (attempts, attempts as usize), || {
                    format!("{counted:?} attempts and records after {attempts}")
                })?;
                self.expect(!past.interrupted, || "it counts as interrupted".into())?;
                self.may_begin(&job).await?;
                let failed = failed();
                self.inbox.settle(&job, Settled::Retry { failed, after });
            }
            let at_once = self.inbox.take(1).now_or_never();
            self.expect(at_once.is_none(), || "it came before its time".into())?;
            let waiting = self.inbox.stats().waiting;
            self.expect(waiting == 1, || format!("{waiting} jobs are waiting"))?;
        }
        self.keep_known(&self.event(0)?).await
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
                self.inbox.settle(&job, Settled::Released);
            }
        }
        Ok(())
    }

    pub(super) async fn begun(self) -> Check {
        self.keep_new(&self.event(0)?, 1).await?;
        for job in self.take(1).await? {
            self.may_begin(&job).await?;
            self.inbox.settle(&job, Settled::Done);
        }
        self.until(|inbox| inbox.stats().events == 0).await
    }

    pub(super) async fn recorded(self) -> Check {
        let Some(records) = self.inbox.records() else {
            return Ok(());
        };
        self.keep_new(&self.event(0)?, 2).await?;
        let mut jobs = Vec::new();
        while jobs.len() < 2 {
            jobs.extend(self.take(2).await?);
        }
        for (number, job) in jobs.iter().enumerate() {
            self.may_begin(job).await?;
            let failed = (number == 0).then(failed);
            let outcome = match failed {
                Some(_) => Settled::Dead { failed },
                None => Settled::Done,
            };
            self.inbox.settle(job, outcome);
        }
        self.until(|inbox| inbox.stats().dead == 1).await?;
        let dead = RecordFilter::new().state(RecordState::Dead);
        let page = self.patiently(records.list(&dead, None, 10)).await?;
        let found = page.map(|page| page.records).unwrap_or_default();
        let Some(record) = found.first() else {
            return self.expect(false, || "it is not listed".into());
        };
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
            self.inbox.settle(job, Settled::Dead { failed });
        }
        self.until(|inbox| inbox.stats().dead == 1).await?;
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

    pub(super) async fn closed(self) -> Check {
        self.keep_new(&self.event(0)?, 1).await?;
        self.inbox.close();
        self.keep_known(&self.event(0)?).await?;
        let mut left = 1;
        let kept = self
            .keep(incoming(&self.event(1)?, 1, Repeats::Drop))
            .await?;
        match (kept, self.inbox.promises().durability) {
            (Err(error), Durability::Process) if error.kind() == KeepErrorKind::Draining => {}
            // One that loses nothing goes on keeping until its own limits.
            (Ok(Kept::New), Durability::Machine | Durability::Cluster) => left = 2,
            (kept, durability) => {
                return self.expect(false, || {
                    format!("a new event came out as {kept:?} with the durability {durability:?}")
                });
            }
        }
        if self.inbox.promises().durability == Durability::Process {
            let taken = self.take(1).await?;
            self.expect(taken.len() == 1, || "it ended with events in it".into())?;
            let rest = self.inbox.take(1).now_or_never();
            self.expect(rest.is_none(), || "it ended before its last job".into())?;
            self.settle(&taken);
            left -= 1;
        }
        self.expect(self.take(1).await?.is_empty(), || {
            "it handed out more than it should".into()
        })?;
        let flushed = self.patiently(self.inbox.flush()).await?;
        self.expect(flushed.is_ok(), || format!("{flushed:?}"))?;
        let events = self.inbox.stats().events;
        self.expect(events == left, || format!("{events} events are left"))
    }

    pub(super) async fn brought_forward(self) -> Check {
        if self.inbox.promises().durability != Durability::Process {
            return Ok(());
        }
        self.keep_new(&self.event(0)?, 1).await?;
        for job in self.take(1).await? {
            self.may_begin(&job).await?;
            let (failed, after) = (failed(), PATIENCE * 360);
            self.inbox.settle(&job, Settled::Retry { failed, after });
        }
        self.inbox.close();
        let taken = self.take(1).await?;
        let attempts: Vec<u32> = taken.iter().map(Taken::attempts).collect();
        self.expect(attempts == [1], || format!("{attempts:?}"))?;
        self.settle(&taken);
        self.expect(self.take(1).await?.is_empty(), || {
            "it handed out more than it should".into()
        })
    }
}
