use std::future::{Future, pending};
use std::pin::Pin;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::sync::{mpsc, watch};
use tokio::task::yield_now;
use tokio::time::{Instant, Sleep, sleep, sleep_until, timeout};

use super::dispatcher::Dispatch;
use crate::inbox::{Consumer, Job};
use crate::observe::{ShutdownReport, Transition};
use crate::sync::Arc;

/// How long cancelled runs have to be dropped. One that blocks its thread is not waited for.
const GRACE: Duration = Duration::from_millis(100);

/// How often long runs are looked for while anything runs.
const LONG_RUN_CHECK: Duration = Duration::from_secs(60);

/// How long after it has emptied the inbox the pump looks into it again: while events come faster,
/// other threads need not wake it for each of them, which costs them more than a run. On a runtime
/// of one thread it would save little.
const REST: Duration = Duration::from_millis(1);

/// The pump's side of a shutdown.
pub(crate) struct Control {
    /// How long the drain may still take; may come more than once.
    pub(crate) deadlines: mpsc::UnboundedReceiver<Duration>,
    pub(crate) report: watch::Sender<Option<ShutdownReport>>,
}

impl Dispatch {
    /// Takes jobs out of the inbox and has them run, until the inbox is drained and nothing is
    /// left, or until the drain's deadline.
    ///
    /// The future ends the consumer even when it is dropped before its first poll, as by a runtime
    /// that ends at once.
    pub(crate) fn pump(
        self: Arc<Self>,
        consumer: Arc<dyn Consumer>,
        control: Control,
    ) -> impl Future<Output = ()> + Send {
        let guard = PumpGuard {
            consumer: Some(Arc::clone(&consumer)),
            dispatch: self,
        };
        pump(guard, consumer, control)
    }
}

async fn pump(mut guard: PumpGuard, consumer: Arc<dyn Consumer>, control: Control) {
    let Control { deadlines, report } = control;
    let dispatch = Arc::clone(&guard.dispatch);
    if dispatch.stepped {
        dispatch.drained().await;
    }
    let held = dispatch.held(&*consumer).await;
    let workers = dispatch.start_workers();
    dispatch.admit(held);
    let drained = tokio::select! {
        biased;
        () = drain_deadline(deadlines) => false,
        () = feed(&dispatch, &*consumer) => true,
    };
    if !drained {
        dispatch.stop_now();
        workers.cut_off();
    }
    // Runs that end within the grace period are settled.
    let _ = timeout(GRACE, workers.ended()).await;
    let unfinished = dispatch.close_all(&*consumer);
    for left in &unfinished {
        dispatch.hooks.emit(|| Transition::dropped(left));
    }
    let stored = consumer.flush().await.is_ok();
    guard.consumer = None;
    drop(consumer);
    let remaining = dispatch.inbox.stats().events;
    report.send_replace(Some(ShutdownReport::new(unfinished, stored, remaining)));
}

/// Takes jobs as the prefetch allows. Cancel-safe: a job is in the inbox, or open.
async fn feed(dispatch: &Arc<Dispatch>, consumer: &dyn Consumer) {
    let drained = dispatch.drained();
    tokio::pin!(drained);
    let mut draining = false;
    let mut taking: Option<BoxFuture<'_, Option<Vec<Job>>>> = None;
    let mut asked = 0;
    let rests = Handle::current().runtime_flavor() == RuntimeFlavor::MultiThread;
    let mut rest: Option<Instant> = None;
    let mut ended = false;
    // Made only while something runs: a paused clock advances to the next timer.
    let mut look: Option<Pin<Box<Sleep>>> = None;
    loop {
        // Lets other ready tasks go first: tokio's LIFO slot would run the pump after every single
        // answer, and a job costs more taken alone than in a batch.
        yield_now().await;
        let plan = dispatch.plan(|plan| ended || plan.prefetch.is_none());
        if ended && plan.is_idle {
            return;
        }
        let prefetch = plan.prefetch.filter(|_| !ended);
        if let (Some(prefetch), None) = (prefetch, &taking) {
            asked = prefetch.jobs;
            taking = Some(consumer.take(prefetch));
        }
        if !plan.is_idle {
            look.get_or_insert_with(|| Box::pin(sleep(LONG_RUN_CHECK)));
        }
        let looks = async {
            match &mut look {
                Some(timer) => timer.await,
                None => pending().await,
            }
        };
        let take = async {
            match &mut taking {
                Some(taking) if prefetch.is_some() => {
                    if let Some(until) = rest {
                        sleep_until(until).await;
                    }
                    taking.await
                }
                _ => pending().await,
            }
        };
        let due = async {
            match plan.next_due {
                Some(due) => sleep_until(due).await,
                None => pending().await,
            }
        };
        tokio::select! {
            biased;
            () = &mut drained, if !draining => {
                draining = true;
                rest = None;
                dispatch.stop();
            }
            () = dispatch.progress() => {}
            () = due => {}
            () = looks => {
                look = None;
                dispatch.warn_of_long_runs();
            }
            jobs = take => {
                taking = None;
                match jobs {
                    Some(jobs) => {
                        let rests = rests && !draining && jobs.len() < asked;
                        rest = rests.then(|| Instant::now() + REST);
                        dispatch.admit(jobs);
                    }
                    None => {
                        ended = true;
                        dispatch.stop();
                    }
                }
            }
        }
    }
}

/// Ends the consumer when the pump ends before its time.
struct PumpGuard {
    consumer: Option<Arc<dyn Consumer>>,
    dispatch: Arc<Dispatch>,
}

impl Drop for PumpGuard {
    fn drop(&mut self) {
        if let Some(consumer) = self.consumer.take() {
            self.dispatch.abandon(consumer);
        }
    }
}

/// Waits for the drain's deadline, which may be brought forward and not put off.
async fn drain_deadline(mut deadlines: mpsc::UnboundedReceiver<Duration>) {
    // When the receiver is dropped without a shutdown, what it kept runs to its end.
    let Some(left) = deadlines.recv().await else {
        return pending().await;
    };
    let mut until = from_now(left);
    loop {
        tokio::select! {
            () = sleep_until(until) => return,
            left = deadlines.recv() => match left {
                Some(left) => until = until.min(from_now(left)),
                None => return sleep_until(until).await,
            },
        }
    }
}

/// Capped at a century, as the clock would overflow.
fn from_now(left: Duration) -> Instant {
    const CENTURY: Duration = Duration::from_secs(100 * 365 * 24 * 3600);
    Instant::now() + left.min(CENTURY)
}
