//! Every inbox against the contract, and the contract against inboxes that break it.
#![allow(clippy::unwrap_used, clippy::panic, reason = "this is test code")]

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, UNIX_EPOCH};

use futures_util::FutureExt;
use support::call_hangup;
use voipbin_receiver::async_trait;
use voipbin_receiver::handler::HandlerName;
use voipbin_receiver::inbox::{
    Attempt, AttemptEnd, Begun, DiskInbox, Durability, Inbox, InboxError, InboxStats, Incoming,
    Jobs, Kept, MemoryInbox, Past, Promises, Receipt, Repeats, Settled, Taken, contract,
};
use voipbin_receiver::testing::delivery;

#[tokio::test]
async fn the_memory_inbox_keeps_the_contract() {
    contract::check(MemoryInbox::new).await.unwrap();
}

#[tokio::test]
async fn a_memory_inbox_that_remembers_next_to_nothing_keeps_the_contract() {
    // Only open identities are in the trials, and those may go over the limit.
    contract::check(|| MemoryInbox::builder().max_events(100).build())
        .await
        .unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_take_that_is_dropped_takes_along_no_time_that_another_waits_for() {
    let inbox = MemoryInbox::new();
    let jobs = Jobs::from_iter([HandlerName::new("handler")]);
    let event = delivery(call_hangup(1)).unwrap();
    assert!(
        inbox
            .keep(Incoming::new(event, jobs, Repeats::Drop))
            .await
            .is_ok()
    );
    let job = inbox.take(1).await.remove(0);
    let (mut first, mut second) = (inbox.take(1), inbox.take(1));
    assert!(futures_util::poll!(&mut first).is_pending());
    assert!(futures_util::poll!(&mut second).is_pending());
    let outcome = Settled::Retry {
        failed: Attempt::new(UNIX_EPOCH, Duration::ZERO, AttemptEnd::Panicked),
        after: Duration::from_secs(1),
    };
    inbox.settle(&job, outcome);
    assert!(futures_util::poll!(&mut first).is_pending());
    drop(first);
    let taken = tokio::time::timeout(Duration::from_secs(60), second).await;
    assert_eq!(taken.unwrap().len(), 1);
}

/// One way to break the contract.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Flaw {
    ForgetsCopies,
    LosesEvents,
    TakesTooMany,
    NeverMarks,
    NeverFinishes,
    KeepsWhenClosed,
    ClaimsDurability,
    LeavesDeadEventsOpen,
    ForgetsAttempts,
    ComesTooEarly,
    CountsReleased,
    NeverBegins,
    EndsBeforeTheLastJob,
    WaitsWhenClosed,
    LetsEverybodyIn,
    StaysClosed,
    MixesWhatWasLeft,
}

#[derive(Debug)]
struct Flawed {
    inner: MemoryInbox,
    flaw: Flaw,
    first: AtomicBool,
    closed: AtomicBool,
}

#[async_trait]
impl Inbox for Flawed {
    fn attach(&self) -> Result<(), InboxError> {
        match self.flaw {
            Flaw::LetsEverybodyIn => Ok(()),
            Flaw::StaysClosed if self.closed.load(Ordering::SeqCst) => Ok(()),
            _ => self.inner.attach(),
        }
    }

    fn detach(&self) {
        self.inner.detach();
    }

    fn keep(&self, mut incoming: Incoming) -> Receipt {
        match self.flaw {
            Flaw::ForgetsCopies => incoming.repeats = Repeats::Mark,
            Flaw::NeverMarks => incoming.repeats = Repeats::Drop,
            Flaw::LosesEvents if self.first.swap(false, Ordering::SeqCst) => {
                incoming.jobs = Jobs::from_iter([]);
            }
            Flaw::KeepsWhenClosed if self.closed.load(Ordering::SeqCst) => {
                return Receipt::ready(Ok(Kept::New));
            }
            _ => {}
        }
        self.inner.keep(incoming)
    }

    async fn take(&self, max: usize) -> Vec<Taken> {
        let max = match self.flaw {
            Flaw::TakesTooMany => 1000,
            _ => max,
        };
        let take = self.inner.take(max);
        match self.flaw {
            Flaw::EndsBeforeTheLastJob if self.closed.load(Ordering::SeqCst) => {
                take.now_or_never().unwrap_or_default()
            }
            Flaw::MixesWhatWasLeft if self.closed.load(Ordering::SeqCst) => {
                let mut jobs = take.await;
                jobs.reverse();
                jobs
            }
            _ => take.await,
        }
    }

    fn begin(&self, job: &Taken) -> Begun {
        match self.flaw {
            Flaw::NeverBegins => Begun::pending().1,
            _ => self.inner.begin(job),
        }
    }

    fn settle(&self, job: &Taken, outcome: Settled) {
        let job = match self.flaw {
            Flaw::ForgetsAttempts => job.clone().after(Past::default()),
            _ => job.clone(),
        };
        let outcome = match (self.flaw, outcome) {
            (Flaw::NeverFinishes, _) | (Flaw::LeavesDeadEventsOpen, Settled::Dead { .. }) => return,
            (Flaw::ComesTooEarly, Settled::Retry { failed, .. }) => Settled::Retry {
                failed,
                after: Duration::ZERO,
            },
            (Flaw::CountsReleased, Settled::Released) => Settled::Retry {
                failed: Attempt::new(UNIX_EPOCH, Duration::ZERO, AttemptEnd::Interrupted),
                after: Duration::ZERO,
            },
            (_, outcome) => outcome,
        };
        self.inner.settle(&job, outcome);
    }

    fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
        if self.flaw != Flaw::WaitsWhenClosed || self.inner.stats().waiting == 0 {
            self.inner.close();
        }
    }

    fn promises(&self) -> Promises {
        match self.flaw {
            Flaw::ClaimsDurability => Promises::new(Durability::Machine),
            _ => self.inner.promises(),
        }
    }

    fn stats(&self) -> InboxStats {
        self.inner.stats()
    }
}

#[tokio::test(start_paused = true)]
async fn the_contract_finds_what_is_broken() {
    for (flaw, check) in [
        (Flaw::ForgetsCopies, "a copy is known"),
        (Flaw::LosesEvents, "handed out once"),
        (Flaw::TakesTooMany, "handed out once"),
        (Flaw::NeverMarks, "marked"),
        (Flaw::NeverFinishes, "finished with its last job"),
        (Flaw::KeepsWhenClosed, "a closed inbox hands out"),
        (Flaw::ClaimsDurability, "a closed inbox hands out"),
        (Flaw::LeavesDeadEventsOpen, "finished with its last job"),
        (Flaw::ForgetsAttempts, "after its time, and is counted"),
        (Flaw::ComesTooEarly, "after its time, and is counted"),
        (Flaw::NeverBegins, "after its time, and is counted"),
        (Flaw::CountsReleased, "put back comes again"),
        (Flaw::EndsBeforeTheLastJob, "a closed inbox hands out"),
        (Flaw::WaitsWhenClosed, "a closed inbox lets nothing wait"),
        (Flaw::LetsEverybodyIn, "one receiver at a time"),
        (Flaw::StaysClosed, "the next receiver goes on"),
        (Flaw::MixesWhatWasLeft, "the next receiver goes on"),
    ] {
        let make = || Flawed {
            inner: MemoryInbox::new(),
            flaw,
            first: AtomicBool::new(true),
            closed: AtomicBool::new(false),
        };
        let violation = contract::check(make).await.unwrap_err();
        assert!(violation.check().contains(check), "{flaw:?}: {violation}");
    }
}

#[tokio::test]
async fn the_disk_inbox_keeps_the_contract() {
    let directory = tempfile::tempdir().unwrap();
    let number = std::sync::atomic::AtomicU32::new(0);
    let make = || {
        let number = number.fetch_add(1, Ordering::Relaxed);
        DiskInbox::open(directory.path().join(number.to_string())).unwrap()
    };
    contract::check(make).await.unwrap();
}
