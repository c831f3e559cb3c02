//! The inbox as a receiver uses it.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::SystemTime;

use async_trait::async_trait;
use rusqlite::Connection;
use tokio::time::sleep;

use super::batch::Batch;
use super::queue::Next;
use super::read::{read_again, read_from};
use super::shared::{OnCommit, Shared, Work};
use super::time::unix;
use super::{DiskInbox, DiskInboxError, load};
use crate::inbox::{
    Consumer, Durability, Guarantees, Inbox, InboxError, InboxStats, Incoming, Job, KeepError,
    Kept, Prefetch, Records, Reply, Settled,
};
use crate::sync::time::sleep_until;

impl Inbox for DiskInbox {
    fn keep(&self, incoming: Incoming) -> Reply<Kept, KeepError> {
        self.shared().keep(incoming)
    }

    fn consume(&self) -> Result<Box<dyn Consumer>, InboxError> {
        self.shared().attach()?;
        Ok(Box::new(DiskConsumer(self.clone())))
    }

    fn guarantees(&self) -> Guarantees {
        let settings = &self.shared().settings;
        Guarantees::new(Durability::Machine)
            .knowing_copies_for(settings.identity_ttl)
            .retaining_for(settings.retain_done.min(settings.retain_dead))
    }

    fn records(&self) -> Option<&dyn Records> {
        Some(self)
    }

    fn down_since(&self) -> Option<SystemTime> {
        self.shared().down_since().map(unix)
    }

    fn caught_up(&self) -> Reply<(), InboxError> {
        let (reply, later) = Reply::pending();
        let shared = Arc::clone(self.shared());
        let command = move |batch: &mut Batch<'_>| -> OnCommit {
            // Whatever else this commit saves is without it.
            let before = shared.set_down_since(None);
            let forgotten = load::forget_downtime(batch.connection);
            Box::new(move |committed| {
                if !committed || forgotten.is_err() {
                    shared.set_down_since(before);
                }
                reply.send(match (forgotten, committed) {
                    (Ok(()), true) => Ok(()),
                    (Err(error), _) => Err(InboxError::storage(error)),
                    (Ok(()), false) => Err(InboxError::storage("the write failed")),
                });
            })
        };
        self.shared().push(Work::Command(Some(Box::new(command))));
        later
    }

    fn stats(&self) -> InboxStats {
        let shared = self.shared();
        let totals = shared.totals();
        let (delayed, held) = {
            let queue = shared.queue();
            (queue.delayed(), queue.held())
        };
        InboxStats {
            events: totals.events,
            bytes: usize::try_from(totals.bytes).unwrap_or(usize::MAX),
            identities: shared.identities.len() + shared.repeats.len(),
            evicted: shared.identities.evicted() + shared.repeats.evicted(),
            delayed,
            held,
            dead: totals.dead,
            dead_dropped: totals.dropped,
            max_dead: Some(shared.settings.max_dead),
            dead_nearly_full: shared.settings.dead_nearly_full(&totals),
            stuck: shared.unread.load(Ordering::Relaxed),
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

/// The one that takes. Its handle keeps the file open.
struct DiskConsumer(DiskInbox);

#[async_trait]
impl Consumer for DiskConsumer {
    async fn take(&self, room: Prefetch) -> Option<Vec<Job>> {
        self.0.take(room).await
    }

    fn begin(&self, job: &Job) -> Reply<(), InboxError> {
        self.0.begin(job)
    }

    fn settle(&self, job: &Job, outcome: Settled) {
        self.0.settle(job, outcome);
    }

    fn drain(&self) {
        self.0.shared().close();
    }

    async fn flush(&self) -> Result<(), InboxError> {
        self.0.flush().await
    }
}

impl Drop for DiskConsumer {
    fn drop(&mut self) {
        self.0.shared().detach();
    }
}

impl DiskInbox {
    pub(super) async fn take(&self, room: Prefetch) -> Option<Vec<Job>> {
        let shared = self.shared();
        loop {
            // Before the look, so that nothing that comes between is missed.
            let arrived = shared.arrived.notified();
            let next = {
                let mut queue = shared.queue();
                let next = queue.next(room, shared.time.now());
                if matches!(next, Next::Jobs(_)) && queue.has_more() {
                    shared.arrived.notify_one();
                }
                next
            };
            match next {
                Next::Jobs(jobs) => return Some(jobs),
                Next::Closed => return None,
                Next::Wait(None) => arrived.await,
                Next::Wait(Some(due)) => tokio::select! {
                    () = arrived => {}
                    () = sleep_until(due) => {}
                },
                Next::Read(seqs) => {
                    // What came of the last attempt is to be in the file.
                    self.stored().await;
                    let again = move |shared: &_, file: &_| read_again(shared, file, &seqs);
                    self.read_back(again).await;
                }
                Next::ReadFrom(seq) => {
                    let from = move |shared: &_, file: &_| read_from(shared, file, seq);
                    self.read_back(from).await;
                }
            }
        }
    }

    pub(super) fn begin(&self, job: &Job) -> Reply<(), InboxError> {
        self.shared().begin(job.id().cast_signed(), job.handler())
    }

    pub(super) fn settle(&self, job: &Job, outcome: Settled) {
        self.shared()
            .settle(job.id().cast_signed(), job.handler(), outcome);
    }

    pub(super) async fn flush(&self) -> Result<(), InboxError> {
        let stored = self.stored().await;
        // One thread reads in turn. A failure of it says nothing about what was stored.
        let _ = self.read(|_| Ok(())).await;
        match stored {
            true => Ok(()),
            false if self.shared().is_over() => {
                Err(InboxError::storage("the inbox's writer has ended"))
            }
            false => Err(InboxError::storage("the last write failed")),
        }
    }

    /// Reads what is to be handed out. The jobs stay where they are until they are read; what
    /// cannot be read now is tried again.
    async fn read_back<F>(&self, read: F)
    where
        F: Fn(&Shared, &Connection) -> Result<(), DiskInboxError> + Clone + Send + 'static,
    {
        let shared = self.shared();
        // On a connection that is new after a failure. Where damage was met, all of the file is
        // looked at first.
        let attempt = |again: bool| {
            let (shared, read) = (Arc::clone(shared), read.clone());
            self.read(move |file| match again && !shared.is_readable() {
                true => Err(DiskInboxError::unanswered()),
                false => read(&shared, file),
            })
        };
        let mut done = attempt(false).await;
        if done.as_ref().is_err_and(DiskInboxError::is_damaged) {
            done = attempt(true).await;
        }
        let unread = match done.is_ok() {
            true => 0,
            false => shared.totals().events.max(1),
        };
        shared.unread.store(unread, Ordering::Relaxed);
        if let Err(error) = done {
            tracing::warn!(%error, "the inbox cannot read its file: it is tried again");
            sleep(shared.settings.tick).await;
        }
    }
}
