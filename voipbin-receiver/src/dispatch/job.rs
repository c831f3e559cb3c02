use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::{Duration, Instant as Moment};

use futures_util::FutureExt;
use tokio::time::{Instant, sleep, timeout};
use tracing::Instrument;

use super::open::Held;
use super::schedule::Trial;
use super::seat::Seat;
use super::shared::Dispatch;
use crate::handler::{Context, Next, with_seat};
use crate::inbox::{Attempt, AttemptEnd, Settled, Taken};
use crate::observe::{Run, Transition};
use crate::router::Handler;

/// After so long a run is not what ends the process, or cannot be told from one that is: a moment when the
/// process died during it once, as all that ran did, and longer when it did so again.
const TRIAL: Duration = Duration::from_millis(250);
const LONG_TRIAL: Duration = Duration::from_secs(30);

/// One handler for one event, that was taken out of the inbox.
pub(super) struct Job {
    pub(super) id: u64,
    pub(super) held: Held,
    /// When its next attempt may begin, if that is not at once.
    pub(super) not_before: Option<Instant>,
}

/// A run that ended badly, and what is to follow by the handler's own word.
pub(super) struct Failure {
    pub(super) attempt: Attempt,
    pub(super) next: Next,
}

impl Job {
    /// Runs the handler to its end and settles the job. Whatever the handler, its error or its
    /// payload do, the job is settled; only one that is cut short is not.
    pub(super) async fn run(self, dispatch: Arc<Dispatch>, seat: Arc<Seat>) {
        let Self { id, held, .. } = self;
        let taken = match held {
            Held::Here(taken) => taken,
            Held::Parked(parked) => match dispatch.inbox.unpark(&parked).await {
                Some(taken) => taken,
                None => {
                    dispatch.open.close(id);
                    return;
                }
            },
        };
        let Some(handler) = dispatch.handlers.get(taken.handler()) else {
            return dispatch.hold(id, &taken);
        };
        if let Some(reason) = dispatch.exhausted(&taken, handler) {
            // What is seldom is not part of each run's future.
            return Box::pin(dispatch.give_up(id, &taken, None, reason)).await;
        }
        let version = dispatch.completed.version(&taken);
        let stale = version.is_some_and(|version| dispatch.completed.has_later(version));
        if stale && handler.skip_stale {
            return dispatch.skip(id, &taken);
        }
        if !dispatch.inbox.begin(&taken).await {
            dispatch.settle(id, &taken, Settled::Released);
            return;
        }
        let running = dispatch.begin(id, &taken);
        dispatch.hooks.tell(|| Transition::Started {
            run: Run::of(&taken),
            waited: dispatch.waited(&taken),
        });
        let begun = Moment::now();
        let run = Start {
            taken: &taken,
            at: begun,
            stale,
        };
        let ended = run_handler(&dispatch, handler, run, &seat, running).await;
        match ended {
            Ok(()) => {
                if let Some(version) = version {
                    dispatch.completed.add(version);
                }
                dispatch.done(id, &taken, begun);
            }
            Err(failure) => {
                Box::pin(dispatch.failed(id, &taken, handler, failure, &seat)).await;
            }
        }
    }
}

/// A run that has begun.
#[derive(Clone, Copy)]
struct Start<'a> {
    taken: &'a Taken,
    at: Moment,
    /// Whether a later state of the resource is completed.
    stale: bool,
}

async fn run_handler(
    dispatch: &Dispatch,
    handler: &Handler,
    start: Start<'_>,
    seat: &Arc<Seat>,
    running: impl Send + Sync + 'static,
) -> Result<(), Failure> {
    let Start { taken, at, stale } = start;
    let number = taken.attempts().saturating_add(1);
    let began_at = dispatch.clock.wall();
    let failure = |end, next| {
        let attempt = Attempt::new(began_at, at.elapsed(), end);
        Err(Failure { attempt, next })
    };
    let context = Context::new(taken.delivery().clone(), taken.handler().clone())
        .attempt_number(number)
        .behind(stale)
        .repeating(taken.possible_repeat(), taken.replay_of());
    // A thread that goes on after this run is over goes on counting, and keeps the seat.
    let kept: Arc<dyn Any + Send + Sync> = Arc::new((Arc::clone(seat), running));
    let run = async {
        // Inside the future, so that a panic before the first await is caught as well.
        let call = with_seat(kept, async { handler.service.run(context).await });
        let call = pin!(AssertUnwindSafe(call).catch_unwind());
        let ended = match (handler.timeout, seat.trial()) {
            (None, None) => Some(call.await),
            (limit, trial) => {
                let call = async {
                    match trial {
                        Some(trial) => on_trial(seat, trial, taken, call).await,
                        None => call.await,
                    }
                };
                // Few runs need timers, and none of the others has room for them.
                Box::pin(within(limit, call)).await
            }
        };
        // User code that may panic: the text of an error, and its drop.
        let told = AssertUnwindSafe(|| match ended {
            Some(Ok(Ok(()))) => {
                tracing::debug!(millis = millis(at.elapsed()), "handled");
                Ok(())
            }
            Some(Ok(Err(error))) => failure(AttemptEnd::Failed(error.chain()), error.next()),
            Some(Err(payload)) => {
                discard(payload);
                failure(AttemptEnd::Panicked, Next::Policy)
            }
            None => failure(AttemptEnd::TimedOut, Next::Policy),
        });
        catch_unwind(told).unwrap_or_else(|payload| {
            discard(payload);
            failure(AttemptEnd::Panicked, Next::Policy)
        })
    };
    let run = async {
        let span = tracing::info_span!(
            parent: taken.span(),
            "voipbin.handle",
            handler = %taken.handler(),
            attempt = number,
        );
        run.instrument(span).await
    };
    match AssertUnwindSafe(run).catch_unwind().await {
        Ok(ended) => ended,
        Err(payload) => {
            discard(payload);
            failure(AttemptEnd::Panicked, Next::Policy)
        }
    }
}

/// `None` when the run takes longer than it may.
async fn within<T>(limit: Option<Duration>, run: impl Future<Output = T>) -> Option<T> {
    match limit {
        Some(limit) => timeout(limit, run).await.ok(),
        None => Some(run.await),
    }
}

/// Runs what may be what killed the process, and lets the next one of that kind begin when this one
/// takes long.
async fn on_trial<T>(
    seat: &Seat,
    trial: Trial,
    taken: &Taken,
    mut run: Pin<&mut impl Future<Output = T>>,
) -> T {
    let time = if taken.died_again() {
        LONG_TRIAL
    } else {
        TRIAL
    };
    tokio::select! {
        biased;
        ended = &mut run => return ended,
        () = sleep(time) => seat.outlived(trial),
    }
    run.await
}

pub(super) fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// Drops what a panic left, which can panic itself.
pub(super) fn discard(payload: Box<dyn Any + Send>) {
    if let Err(again) = catch_unwind(AssertUnwindSafe(move || drop(payload))) {
        std::mem::forget(again);
    }
}
