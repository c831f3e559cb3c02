//! A consumer: it takes jobs, and says what becomes of them.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::Alive;
use super::server::Trouble;
use super::shared::{Shared, Wake};
use super::state::ConsumerState;
use crate::inbox::{Consumer, InboxError, Job, Prefetch, Reply, Settled};

/// What a consumer and its tasks share.
pub(super) struct Core {
    pub(super) shared: Arc<Shared>,
    pub(super) state: Mutex<ConsumerState>,
    pub(super) wake: Wake,
    /// There are jobs to be taken, or there will be none any more.
    ready: Notify,
    /// There is something to be written down.
    pub(super) write: Notify,
    /// Something was written down, or could not be.
    pub(super) written: Notify,
    /// The consumer is gone.
    pub(super) stopped: CancellationToken,
    pub(super) member: Mutex<Option<JoinHandle<()>>>,
}

impl Core {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self {
            shared,
            state: Mutex::default(),
            wake: Wake::default(),
            ready: Notify::new(),
            write: Notify::new(),
            written: Notify::new(),
            stopped: CancellationToken::new(),
            member: Mutex::default(),
        }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, ConsumerState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whoever takes is told.
    pub(super) fn tell(&self) {
        self.ready.notify_waiters();
    }

    pub(super) fn could_not_write(&self) {
        self.state().failures += 1;
        self.written.notify_waiters();
    }

    /// Until all is written down that was settled, or some of it could not be.
    pub(super) async fn all_written(&self) -> Result<(), InboxError> {
        let before = self.state().failures;
        loop {
            let written = self.written.notified();
            tokio::pin!(written);
            written.as_mut().enable();
            {
                let state = self.state();
                if state.is_written() {
                    return Ok(());
                }
                if state.failures > before {
                    return Err(InboxError::storage("the database cannot be written"));
                }
            }
            written.await;
        }
    }

    /// Nothing is this consumer's any more.
    pub(super) fn clear(&self) {
        self.state().clear();
        self.written.notify_waiters();
    }

    /// Gives all up, so that others need not wait until the lease is over.
    async fn leave(&self) -> Result<(), Trouble> {
        let membership = {
            let mut state = self.state();
            state.left = true;
            state.membership.clone()
        };
        let Some(membership) = membership else {
            return Ok(());
        };
        let removed = super::member::remove(&self.shared, membership.id, false).await;
        membership.end();
        self.clear();
        self.shared.announce_members();
        removed
    }
}

/// Takes jobs of the partitions that it owns.
pub(super) struct PostgresConsumer {
    core: Arc<Core>,
    _alive: Arc<Alive>,
}

impl PostgresConsumer {
    pub(super) fn new(core: Arc<Core>, alive: Arc<Alive>) -> Self {
        Self {
            core,
            _alive: alive,
        }
    }
}

#[async_trait]
impl Consumer for PostgresConsumer {
    async fn take(&self, mut room: Prefetch) -> Option<Vec<Job>> {
        loop {
            let ready = self.core.ready.notified();
            tokio::pin!(ready);
            ready.as_mut().enable();
            let (jobs, is_low) = {
                let mut state = self.core.state();
                if state.drained {
                    return None;
                }
                state.take(&mut room)
            };
            if is_low && !jobs.is_empty() {
                self.core.wake.wake(u64::MAX);
            }
            if !jobs.is_empty() {
                return Some(jobs);
            }
            ready.await;
        }
    }

    fn begin(&self, job: &Job) -> Reply<(), InboxError> {
        let (begins, reply) = Reply::pending();
        self.core.state().begin(job, begins);
        self.core.write.notify_one();
        reply
    }

    fn settle(&self, job: &Job, outcome: Settled) {
        let unroutable = matches!(outcome, Settled::Unroutable);
        let writes = self.core.state().settle(job, outcome);
        match writes {
            Some(false) => {}
            Some(true) => return self.core.write.notify_one(),
            None => return,
        }
        if unroutable {
            let name = job.handler().as_str().to_owned();
            self.core.shared.unrouted().insert(name);
        }
        self.core.written.notify_waiters();
        self.core.wake.wake(u64::MAX);
    }

    fn drain(&self) {
        self.core.state().drained = true;
        self.core.tell();
    }

    async fn flush(&self) -> Result<(), InboxError> {
        let core = Arc::clone(&self.core);
        let flushed = self.core.shared.runtime.spawn(async move {
            core.all_written().await?;
            if core.state().drained {
                core.leave().await.map_err(InboxError::storage)?;
            }
            core.shared.refresh().await.map_err(InboxError::storage)
        });
        flushed
            .await
            .unwrap_or_else(|ended| Err(InboxError::storage(ended)))
    }
}

impl Drop for PostgresConsumer {
    fn drop(&mut self) {
        /// What cannot be written in this time comes to the next one when the lease is over.
        const LAST: Duration = Duration::from_secs(5);
        let core = Arc::clone(&self.core);
        core.state().drained = true;
        core.tell();
        core.shared.leaving.send_modify(|count| *count += 1);
        let alive = Arc::clone(&self._alive);
        let leave = async move {
            let member = core
                .member
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .take();
            let all = async {
                let _ = core.all_written().await;
                if let Err(trouble) = core.leave().await {
                    tracing::debug!(%trouble, "a consumer ends by its lease");
                }
                core.stopped.cancel();
                if let Some(member) = member {
                    drop(member.await);
                }
            };
            drop(tokio::time::timeout(LAST, all).await);
            core.stopped.cancel();
            core.shared.leaving.send_modify(|count| *count -= 1);
            drop(alive);
        };
        let shared = &self.core.shared;
        drop(shared.tasks.spawn_on(leave, &shared.runtime));
    }
}
