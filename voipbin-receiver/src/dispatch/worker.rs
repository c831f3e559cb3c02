//! Tasks that take the next job themselves: no more of them than the runtime has threads.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use futures_util::future::BoxFuture;
use tokio::runtime::Handle;
use tokio::task::yield_now;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::dispatcher::Dispatch;
use super::run::{discard, run};
use crate::sync::Arc;

/// How many jobs a worker runs before it yields to other tasks.
const RUNS_PER_TURN: usize = 256;

/// Where jobs run.
pub(super) struct Workers {
    runtime: Handle,
    pub(super) most: usize,
    /// Workers, and runs that wait for something.
    tasks: TaskTracker,
    /// Ends runs at their next await.
    cut_off: CancellationToken,
}

impl Workers {
    /// On the current runtime.
    pub(super) fn here() -> Self {
        let runtime = Handle::current();
        Self {
            most: runtime.metrics().num_workers(),
            runtime,
            tasks: TaskTracker::new(),
            cut_off: CancellationToken::new(),
        }
    }

    pub(super) fn start(&self, dispatch: &Arc<Dispatch>) {
        let worker = Worker(Some(Arc::clone(dispatch)));
        self.tasks.spawn_on(worker.work(), &self.runtime);
    }

    /// A run that waits for something goes on as a task of its own.
    pub(super) fn go_on(&self, run: BoxFuture<'static, ()>) {
        let run = self.cut_off.clone().run_until_cancelled_owned(run);
        self.tasks.spawn_on(run, &self.runtime);
    }

    /// Ends all runs at their next await.
    pub(super) fn cut_off(&self) {
        self.cut_off.cancel();
    }

    /// Waits until all tasks have ended.
    pub(super) async fn ended(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }
}

/// A task that looks for something to run. It is counted until it ends.
struct Worker(Option<Arc<Dispatch>>);

impl Worker {
    async fn work(mut self) {
        loop {
            for _ in 0..RUNS_PER_TURN {
                let Some(dispatch) = &self.0 else { return };
                let Some((key, job, permit)) = dispatch.next(true) else {
                    self.0 = None;
                    return;
                };
                // Boxed: most end at the first poll, and the others are moved into a task.
                let run = Box::pin(run(permit, Arc::clone(dispatch), key, job));
                if let (Some(run), Some(workers)) = (poll_once(run), dispatch.workers()) {
                    workers.go_on(run);
                }
            }
            yield_now().await;
        }
    }
}

/// Polls a run once, as most handlers do not wait. The waker does nothing: a pending run is given
/// back, and polled again by the task that it becomes.
fn poll_once(mut run: BoxFuture<'static, ()>) -> Option<BoxFuture<'static, ()>> {
    let mut cx = Context::from_waker(Waker::noop());
    let polled = catch_unwind(AssertUnwindSafe(|| Pin::new(&mut run).poll(&mut cx)));
    match polled {
        Ok(Poll::Pending) => return Some(run),
        Ok(Poll::Ready(())) => {}
        // A panic of an inbox or an observer; those of handlers are caught. The permit is dropped.
        Err(payload) => discard(payload),
    }
    None
}

impl Drop for Worker {
    fn drop(&mut self) {
        if let Some(dispatch) = self.0.take() {
            dispatch.worker_ended();
        }
    }
}
