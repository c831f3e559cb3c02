//! The inbox as a receiver uses it.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::{sleep, sleep_until};

use super::DiskInbox;
use super::read::{Fetched, fetch, read, read_again, read_from};
use super::ready::{Again, Next};
use super::shared::{Begin, Outcome};
use crate::inbox::{
    Begun, Durability, Inbox, InboxError, InboxStats, Incoming, Parked, Past, Promises, Receipt,
    Records, Settled, Taken,
};

/// Between two tries at a file that cannot be read.
const PAUSE: Duration = Duration::from_secs(1);

#[async_trait]
impl Inbox for DiskInbox {
    fn attach(&self) -> Result<(), InboxError> {
        self.shared().attach()
    }

    fn detach(&self) {
        self.shared().ready().attached = false;
    }

    fn keep(&self, incoming: Incoming) -> Receipt {
        self.shared().admit(incoming)
    }

    async fn take(&self, max: usize) -> Vec<Taken> {
        let shared = self.shared();
        if max == 0 {
            return Vec::new();
        }
        loop {
            // Before the look, so that nothing that comes between is missed.
            let arrived = shared.arrived.notified();
            let next = {
                let mut ready = shared.ready();
                let next = ready.next(max);
                if matches!(next, Next::Jobs(_)) && ready.has_more() {
                    shared.arrived.notify_one();
                }
                next
            };
            match next {
                Next::Jobs(jobs) => return jobs,
                Next::Closed => return Vec::new(),
                Next::Wait(None) => arrived.await,
                Next::Wait(Some(due)) => tokio::select! {
                    () = arrived => {}
                    () = sleep_until(due) => {}
                },
                Next::Read(seq) => read(shared, move |shared| read_again(shared, seq)).await,
                Next::ReadFrom(seq) => read(shared, move |shared| read_from(shared, seq)).await,
            }
        }
    }

    fn begin(&self, job: &Taken) -> Begun {
        let (starter, begun) = Begun::pending();
        self.shared().begin(Begin {
            seq: job.id(),
            handler: job.handler().clone(),
            starter,
        });
        begun
    }

    fn settle(&self, job: &Taken, outcome: Settled) {
        let shared = self.shared();
        let again = |past: Past| Again {
            seq: job.id(),
            handler: job.handler().clone(),
            past,
        };
        let then = match &outcome {
            Settled::Retry { failed, after } => {
                let mut past = job.past().cloned().unwrap_or_default();
                past.fail(failed.clone());
                Some((again(past), *after))
            }
            Settled::Released => {
                let past = job.past().cloned().unwrap_or_default();
                Some((again(past), Duration::ZERO))
            }
            Settled::Held => {
                shared.index().hold(job.id(), job.handler());
                None
            }
            Settled::Done | Settled::Dead { .. } | Settled::Delayed { .. } => None,
        };
        // First the outcome, so that a next attempt cannot be written before it.
        shared.outcome(Outcome {
            seq: job.id(),
            handler: job.handler().clone(),
            settled: outcome,
        });
        // It may have been given up meanwhile.
        if let Some((again, after)) = then
            && shared.index().wants(job.id(), job.handler())
        {
            shared.again(again, after);
        }
    }

    fn park(&self, job: &Taken) -> Option<Parked> {
        Some(Parked::new(job))
    }

    async fn unpark(&self, parked: &Parked) -> Option<Taken> {
        let shared = self.shared();
        let seq = parked.id();
        loop {
            let held = Arc::clone(shared);
            let read = tokio::task::spawn_blocking(move || fetch(&held, seq)).await;
            match read {
                Ok(Fetched::Entry(entry)) => return Some(parked.with(Arc::new(entry))),
                Ok(Fetched::Gone) => return None,
                Ok(Fetched::Failed) | Err(_) => sleep(PAUSE).await,
            }
        }
    }

    fn put_back(&self, parked: &Parked) {
        let shared = self.shared();
        if shared.index().wants(parked.id(), parked.handler()) {
            let again = Again {
                seq: parked.id(),
                handler: parked.handler().clone(),
                past: parked.past().cloned().unwrap_or_default(),
            };
            shared.again(again, Duration::ZERO);
        }
    }

    fn close(&self) {
        self.shared().close();
    }

    async fn flush(&self) -> Result<(), InboxError> {
        match self.stored().await {
            true => Ok(()),
            false if self.shared().is_over() => {
                Err(InboxError::storage("the inbox's writer has ended"))
            }
            false => Err(InboxError::storage("the last write failed")),
        }
    }

    fn promises(&self) -> Promises {
        Promises::new(Durability::Machine)
    }

    fn stats(&self) -> InboxStats {
        let shared = self.shared();
        let waiting = shared.ready().waiting();
        let (totals, held) = {
            let index = shared.index();
            (index.totals, index.held())
        };
        InboxStats {
            events: totals.events,
            bytes: usize::try_from(totals.bytes).unwrap_or(usize::MAX),
            identities: shared.seen.len() + shared.noted.len(),
            evicted: shared.seen.evicted() + shared.noted.evicted(),
            waiting,
            held,
            dead: totals.dead,
            damaged: shared.damaged.load(Ordering::Relaxed),
            full: shared.is_full(),
            failing: shared.is_failing(),
            disk_bytes: shared.disk_bytes.load(Ordering::Relaxed),
        }
    }

    fn records(&self) -> Option<&dyn Records> {
        Some(self)
    }
}
