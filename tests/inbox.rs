//! Every inbox against the contract, and the contract against inboxes that break it.
#![allow(clippy::unwrap_used, clippy::panic, reason = "this is test code")]

use std::sync::atomic::{AtomicBool, Ordering};

use voipbin_receiver::async_trait;
use voipbin_receiver::inbox::{
    Durability, Inbox, InboxStats, Incoming, Jobs, Kept, MemoryInbox, Promises, Receipt, Repeats,
    Settled, Taken, contract,
};

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
        self.inner
            .take(if self.flaw == Flaw::TakesTooMany {
                1000
            } else {
                max
            })
            .await
    }

    fn settle(&self, job: &Taken, outcome: Settled) {
        if self.flaw != Flaw::NeverFinishes {
            self.inner.settle(job, outcome);
        }
    }

    fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
        self.inner.close();
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
        (Flaw::KeepsWhenClosed, "a closed inbox"),
        (Flaw::ClaimsDurability, "a closed inbox"),
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
