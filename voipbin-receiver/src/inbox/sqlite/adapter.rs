//! The inbox as a receiver uses it.

use std::sync::atomic::Ordering;

use async_trait::async_trait;
use rusqlite::Connection;
use tokio::time::sleep;

use super::DiskInbox;
use super::read::{read_again, read_from};
use super::ready::Next;
use super::shared::Shared;
use super::store_error::StoreError;
use crate::inbox::{
    Begun, Durability, Inbox, InboxError, InboxStats, Incoming, Promises, Receipt, Records,
    Settled, Taken,
};
use crate::sync::time::sleep_until;

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
                Next::Read(seqs) => {
                    // What came of the last attempt is to be in the file.
                    self.stored().await;
                    self.try_read(move |shared, file| read_again(shared, file, &seqs))
                        .await;
                }
                Next::ReadFrom(seq) => {
                    self.try_read(move |shared, file| read_from(shared, file, seq))
                        .await;
                }
            }
        }
    }

    fn begin(&self, job: &Taken) -> Begun {
        self.shared().begin(job.id(), job.handler())
    }

    fn settle(&self, job: &Taken, outcome: Settled) {
        self.shared().settle(job.id(), job.handler(), outcome);
    }

    fn close(&self) {
        self.shared().close();
    }

    async fn flush(&self) -> Result<(), InboxError> {
        let read = self.read(|_| Ok(()));
        let stored = self.stored().await;
        // One thread reads in turn. A failure of it says nothing about what was stored.
        let _ = read.await;
        match stored {
            true => Ok(()),
            false if self.shared().is_over() => {
                Err(InboxError::storage("the inbox's writer has ended"))
            }
            false => Err(InboxError::storage("the last write failed")),
        }
    }

    fn promises(&self) -> Promises {
        Promises::new(Durability::Machine).remembering(self.shared().settings.identity_ttl)
    }

    fn records(&self) -> Option<&dyn Records> {
        Some(self)
    }

    fn stats(&self) -> InboxStats {
        let shared = self.shared();
        let totals = shared.totals();
        let (waiting, held, stuck) = {
            let ready = shared.ready();
            (ready.waiting(), ready.held(), ready.stuck())
        };
        InboxStats {
            events: totals.events,
            bytes: usize::try_from(totals.bytes).unwrap_or(usize::MAX),
            identities: shared.seen.len() + shared.noted.len(),
            evicted: shared.seen.evicted() + shared.noted.evicted(),
            waiting,
            held,
            dead: totals.dead,
            dead_dropped: totals.dropped,
            max_dead: Some(shared.settings.max_dead),
            stuck,
            damaged: totals.damaged,
            full: shared.is_full(),
            failing: shared.is_failing(),
            disk_bytes: shared.disk_bytes.load(Ordering::Relaxed),
            max_events: Some(shared.settings.max_events),
            max_bytes: Some(shared.settings.max_bytes),
            used_bytes: totals.bytes + totals.dead_bytes,
        }
    }
}

impl DiskInbox {
    /// Reads what is to be handed out. The jobs stay where they are until they are read; what cannot be
    /// read now is tried again.
    async fn try_read(
        &self,
        read: impl FnOnce(&Shared, &Connection) -> Result<(), StoreError> + Send + 'static,
    ) {
        let shared = std::sync::Arc::clone(self.shared());
        let read = self.read(move |connection| read(&shared, connection)).await;
        if let Err(error) = read {
            tracing::warn!(%error, "the inbox cannot read its file: it is tried again");
            sleep(self.shared().settings.tick).await;
        }
    }
}
