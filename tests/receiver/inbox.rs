//! Every inbox against the contract, and the contract against inboxes that break it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, UNIX_EPOCH};

use futures_util::FutureExt;
use support::call_hangup;
use voipbin_receiver::async_trait;
use voipbin_receiver::handler::HandlerName;
use voipbin_receiver::inbox::{
    Attempt, AttemptEnd, Consumer, DiskInbox, Durability, Guarantees, HandlerSet, Inbox,
    InboxError, InboxStats, Incoming, Job, JobHistory, KeepError, Kept, LaneOrder, MemoryInbox,
    Prefetch, Repeats, Reply, Settled,
};
use voipbin_receiver::testing::{delivery, inbox_contract};

#[tokio::test]
async fn the_memory_inbox_keeps_the_contract() {
    inbox_contract::check(async || MemoryInbox::new())
        .await
        .unwrap();
}

#[tokio::test]
async fn a_memory_inbox_that_remembers_next_to_nothing_keeps_the_contract() {
    // Only open identities are in the trials, and those may go over the limit.
    inbox_contract::check(async || MemoryInbox::builder().max_events(100).build())
        .await
        .unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_take_that_is_dropped_takes_along_no_time_that_another_waits_for() {
    let inbox = MemoryInbox::new();
    let jobs = HandlerSet::from_iter([HandlerName::new("handler")]);
    let event = delivery(call_hangup(1)).unwrap();
    assert!(
        inbox
            .keep(Incoming::new(event, jobs, Repeats::Drop))
            .await
            .is_ok()
    );
    let consumer = inbox.consume().unwrap();
    let one = || consumer.take(Prefetch::for_jobs(1));
    let job = one().await.unwrap().remove(0);
    let (mut first, mut second) = (one(), one());
    assert!(futures_util::poll!(&mut first).is_pending());
    assert!(futures_util::poll!(&mut second).is_pending());
    let outcome = Settled::Retry {
        failed: Attempt::new(UNIX_EPOCH, Duration::ZERO, AttemptEnd::Panicked),
        after: Duration::from_secs(1),
        in_place: false,
    };
    consumer.settle(&job, outcome);
    assert!(futures_util::poll!(&mut first).is_pending());
    drop(first);
    let taken = tokio::time::timeout(Duration::from_secs(60), second).await;
    assert_eq!(taken.unwrap().unwrap().len(), 1);
}

/// One way to break the contract.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Flaw {
    ForgetsCopies,
    LosesEvents,
    LosesLanes,
    TakesTooMany,
    TakesTooMuch,
    NeverMarks,
    NeverFinishes,
    KeepsWhenDrained,
    ClaimsDurability,
    LeavesDeadEventsOpen,
    ForgetsAttempts,
    ForgetsAttemptsInPlace,
    ComesTooEarly,
    CountsReleased,
    NeverBegins,
    EndsBeforeTheLastJob,
    WaitsWhenDrained,
    LetsEverybodyIn,
    ClaimsToBeShared,
    StaysDrained,
    MixesWhatWasLeft,
}

#[derive(Debug)]
struct Flawed {
    inner: MemoryInbox,
    flaw: Flaw,
    first: AtomicBool,
    drained: Arc<AtomicBool>,
}

impl Inbox for Flawed {
    fn keep(&self, mut incoming: Incoming) -> Reply<Kept, KeepError> {
        match self.flaw {
            Flaw::ForgetsCopies => incoming.repeats = Repeats::Mark,
            Flaw::NeverMarks => incoming.repeats = Repeats::Drop,
            Flaw::LosesLanes => incoming.lane = None,
            Flaw::LosesEvents if self.first.swap(false, Ordering::SeqCst) => {
                incoming.handlers = HandlerSet::from_iter([]);
            }
            Flaw::KeepsWhenDrained if self.drained.load(Ordering::SeqCst) => {
                return Reply::ready(Ok(Kept::New));
            }
            _ => {}
        }
        self.inner.keep(incoming)
    }

    fn consume(&self) -> Result<Box<dyn Consumer>, InboxError> {
        let drained = self.drained.load(Ordering::SeqCst);
        let inner: Box<dyn Consumer> = match (self.flaw, self.inner.consume()) {
            (_, Ok(inner)) => inner,
            (Flaw::LetsEverybodyIn | Flaw::ClaimsToBeShared, Err(_)) => Box::new(Nothing),
            (_, Err(error)) => return Err(error),
        };
        if self.flaw == Flaw::StaysDrained && drained {
            inner.drain();
        }
        Ok(Box::new(FlawedConsumer {
            inner,
            flaw: self.flaw,
            drained: Arc::clone(&self.drained),
        }))
    }

    fn guarantees(&self) -> Guarantees {
        match self.flaw {
            Flaw::ClaimsDurability => {
                let copies = Duration::from_secs(3600);
                Guarantees::new(Durability::Machine).knowing_copies_for(copies)
            }
            Flaw::ClaimsToBeShared => self.inner.guarantees().shared(LaneOrder::Process),
            _ => self.inner.guarantees(),
        }
    }

    fn stats(&self) -> InboxStats {
        self.inner.stats()
    }
}

/// A consumer of nothing at all.
struct Nothing;

#[async_trait]
impl Consumer for Nothing {
    async fn take(&self, _: Prefetch) -> Option<Vec<Job>> {
        std::future::pending().await
    }

    fn settle(&self, _: &Job, _: Settled) {}

    fn drain(&self) {}
}

struct FlawedConsumer {
    inner: Box<dyn Consumer>,
    flaw: Flaw,
    drained: Arc<AtomicBool>,
}

#[async_trait]
impl Consumer for FlawedConsumer {
    async fn take(&self, mut room: Prefetch) -> Option<Vec<Job>> {
        match self.flaw {
            Flaw::TakesTooMany => room.jobs = 1000,
            Flaw::TakesTooMuch => room.bytes = usize::MAX,
            _ => {}
        }
        let take = self.inner.take(room);
        match self.flaw {
            Flaw::EndsBeforeTheLastJob if self.drained.load(Ordering::SeqCst) => {
                take.now_or_never().flatten()
            }
            Flaw::MixesWhatWasLeft if self.drained.load(Ordering::SeqCst) => {
                let mut jobs = take.await?;
                jobs.reverse();
                Some(jobs)
            }
            Flaw::ForgetsAttemptsInPlace => {
                let jobs = take.await?.into_iter();
                let forgets = |job: Job| job.after(JobHistory::default());
                Some(jobs.map(forgets).collect())
            }
            _ => take.await,
        }
    }

    fn begin(&self, job: &Job) -> Reply<(), InboxError> {
        match self.flaw {
            Flaw::NeverBegins => Reply::pending().1,
            _ => self.inner.begin(job),
        }
    }

    fn settle(&self, job: &Job, outcome: Settled) {
        let outcome = match (self.flaw, outcome) {
            (Flaw::NeverFinishes, _) | (Flaw::LeavesDeadEventsOpen, Settled::Dead { .. }) => return,
            (Flaw::ComesTooEarly, Settled::Retry { failed, .. }) => retry(failed, Duration::ZERO),
            // At once, as if nothing had been: a paused clock lets no time pass by itself.
            (
                Flaw::ForgetsAttempts,
                Settled::Retry {
                    in_place: false, ..
                },
            ) => Settled::Released,
            (Flaw::CountsReleased, Settled::Released) => {
                let ended = AttemptEnd::Interrupted;
                let failed = Attempt::new(UNIX_EPOCH, Duration::ZERO, ended);
                retry(failed, Duration::ZERO)
            }
            (Flaw::WaitsWhenDrained, Settled::Retry { .. })
                if self.drained.load(Ordering::SeqCst) =>
            {
                return;
            }
            (_, outcome) => outcome,
        };
        self.inner.settle(job, outcome);
    }

    fn drain(&self) {
        self.drained.store(true, Ordering::SeqCst);
        self.inner.drain();
    }
}

fn retry(failed: Attempt, after: Duration) -> Settled {
    Settled::Retry {
        failed,
        after,
        in_place: false,
    }
}

#[tokio::test(start_paused = true)]
async fn the_contract_finds_what_is_broken() {
    for (flaw, check) in [
        (Flaw::ForgetsCopies, "a copy is known"),
        (Flaw::LosesEvents, "handed out once"),
        (Flaw::LosesLanes, "comes with the lane"),
        (Flaw::TakesTooMany, "handed out once"),
        (Flaw::TakesTooMuch, "fits the room"),
        (Flaw::NeverMarks, "marked"),
        (Flaw::NeverFinishes, "finished with its last job"),
        (Flaw::KeepsWhenDrained, "that is drained hands out"),
        (Flaw::ClaimsDurability, "that is drained hands out"),
        (Flaw::LeavesDeadEventsOpen, "finished with its last job"),
        (Flaw::ForgetsAttempts, "after its time, and is counted"),
        (
            Flaw::ForgetsAttemptsInPlace,
            "after its time, and is counted",
        ),
        (Flaw::ComesTooEarly, "after its time, and is counted"),
        (Flaw::NeverBegins, "after its time, and is counted"),
        (Flaw::CountsReleased, "released comes again"),
        (Flaw::EndsBeforeTheLastJob, "that is drained hands out"),
        (Flaw::WaitsWhenDrained, "drained lets nothing wait"),
        (Flaw::LetsEverybodyIn, "one consumer at a time"),
        (Flaw::ClaimsToBeShared, "that is drained hands out"),
        (Flaw::StaysDrained, "the next consumer goes on"),
        (Flaw::MixesWhatWasLeft, "the next consumer goes on"),
    ] {
        let make = async || Flawed {
            inner: MemoryInbox::new(),
            flaw,
            first: AtomicBool::new(true),
            drained: Arc::default(),
        };
        let violation = inbox_contract::check(make).await.unwrap_err();
        assert!(violation.check().contains(check), "{flaw:?}: {violation}");
    }
}

#[tokio::test]
async fn the_disk_inbox_keeps_the_contract() {
    let directory = tempfile::tempdir().unwrap();
    let number = std::sync::atomic::AtomicU32::new(0);
    let make = async || {
        let number = number.fetch_add(1, Ordering::Relaxed);
        DiskInbox::open(directory.path().join(number.to_string()))
            .await
            .unwrap()
    };
    inbox_contract::check(make).await.unwrap();
}
