use std::future::{Future, pending};
use std::pin::Pin;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::sync::{mpsc, watch};
use tokio::task::yield_now;
use tokio::time::{Instant, Sleep, sleep, sleep_until, timeout};

use super::dispatcher::Dispatch;
use crate::inbox::{Consumer, Job};
use crate::observe::{ShutdownReport, Transition};
use crate::sync::Arc;

/// How long what is cut short has to let go. One that blocks its thread does not.
const GRACE: Duration = Duration::from_millis(100);

/// How often long runs are looked for while anything runs.
const LOOK: Duration = Duration::from_secs(60);

/// The pump's end of the line to whoever shuts the receiver down.
pub(crate) struct Control {
    /// How long the drain may still take, told once or more.
    pub(crate) deadlines: mpsc::UnboundedReceiver<Duration>,
    pub(crate) report: watch::Sender<Option<ShutdownReport>>,
}

impl Dispatch {
    /// Takes events out of the inbox and has their handlers run, until the inbox is drained and
    /// nothing is left, or until the drain has taken too long.
    ///
    /// Also a future that is dropped before its first poll, as by a runtime that ends at once, ends
    /// the consumer.
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
    let workers = dispatch.start_workers();
    let drained = tokio::select! {
        biased;
        () = passed(deadlines) => false,
        () = feed(&dispatch, &*consumer) => true,
    };
    if !drained {
        dispatch.stop_now();
        workers.cut_off();
    }
    // What still comes to its own end meanwhile is settled.
    let _ = timeout(GRACE, workers.ended()).await;
    let unfinished = dispatch.close_all(&*consumer);
    for left in &unfinished {
        dispatch.hooks.tell(|| Transition::dropped(left));
    }
    let stored = consumer.flush().await.is_ok();
    guard.consumer = None;
    drop(consumer);
    let remaining = dispatch.inbox.stats().events;
    report.send_replace(Some(ShutdownReport::new(unfinished, stored, remaining)));
}

/// Takes jobs as there is room for them. Dropping this future at any await loses nothing: a job is
/// in the inbox, or open.
async fn feed(dispatch: &Arc<Dispatch>, consumer: &dyn Consumer) {
    let drained = dispatch.drained();
    tokio::pin!(drained);
    let mut draining = false;
    let mut taking: Option<BoxFuture<'_, Option<Vec<Job>>>> = None;
    let mut ended = false;
    // Made when there is something to look at: a clock that is paused goes on to the next timer.
    let mut look: Option<Pin<Box<Sleep>>> = None;
    loop {
        // What else is ready goes first: tokio would run the pump between any two answers, and a
        // job that is taken alone costs more than one of many.
        yield_now().await;
        let plan = dispatch.plan(|plan| ended || plan.prefetch.is_none());
        if ended && plan.is_idle {
            return;
        }
        let prefetch = plan.prefetch.filter(|_| !ended);
        if let (Some(prefetch), None) = (prefetch, &taking) {
            taking = Some(consumer.take(prefetch));
        }
        if !plan.is_idle {
            look.get_or_insert_with(|| Box::pin(sleep(LOOK)));
        }
        let looks = async {
            match &mut look {
                Some(timer) => timer.await,
                None => pending().await,
            }
        };
        let take = async {
            match &mut taking {
                Some(taking) if prefetch.is_some() => taking.await,
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
                dispatch.stop();
            }
            () = dispatch.progress() => {}
            () = due => {}
            () = looks => {
                look = None;
                dispatch.tell_of_long_runs();
            }
            jobs = take => {
                taking = None;
                match jobs {
                    Some(jobs) => dispatch.admit(jobs),
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

/// Waits until the time for the drain has passed. A later word may shorten it and not prolong it.
async fn passed(mut deadlines: mpsc::UnboundedReceiver<Duration>) {
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

/// A deadline beyond what the clock can count is as good as a century.
fn from_now(left: Duration) -> Instant {
    const CENTURY: Duration = Duration::from_secs(100 * 365 * 24 * 3600);
    Instant::now() + left.min(CENTURY)
}
