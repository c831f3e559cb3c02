use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use futures_util::FutureExt;
use tracing::Instrument;

use super::pump::Dispatch;
use crate::catalog::EventType;
use crate::handler::{Call, Context, HandlerError, Next, RetryPolicy};
use crate::inbox::{Attempt, AttemptEnd, Parked, Settled, Taken};
use crate::router::Handler;

/// One handler for one event, that was taken out of the inbox.
pub(super) struct Job {
    pub(super) id: u64,
    pub(super) job: Held,
}

/// A job with the bytes of its event, or one that the inbox can find again.
#[derive(Clone)]
pub(super) enum Held {
    Here(Taken),
    Parked(Parked),
}

impl Held {
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Here(taken) => taken.delivery().body().len(),
            Self::Parked(_) => 0,
        }
    }
}

/// How a run ended.
enum Ended {
    Well,
    Error(HandlerError),
    Panic,
    /// It took too long.
    Late,
    /// The runtime went away.
    Cancelled,
}

/// A run that ended badly, and what is to follow by the handler's own word.
struct Failure {
    attempt: Attempt,
    next: Next,
}

impl Job {
    /// Runs the handler to its end and settles the job. Whatever the handler, its error or its
    /// payload do, the job is settled; only one that is cut short is not.
    pub(super) async fn run(self, dispatch: Arc<Dispatch>) {
        let Self { id, job } = self;
        let taken = match job {
            Held::Here(taken) => taken,
            Held::Parked(parked) => match dispatch.inbox.unpark(&parked).await {
                Some(taken) => taken,
                None => return dispatch.forget(id),
            },
        };
        let Some(handler) = dispatch.handlers.get(taken.handler()) else {
            dispatch.tell_held(&taken);
            return dispatch.settle(id, &taken, Settled::Held);
        };
        if let Some(reason) = dispatch.exhausted(&taken) {
            return dispatch.give_up(id, &taken, None, reason);
        }
        let version = dispatch.completed.version(&taken);
        let stale = version.is_some_and(|version| dispatch.completed.has_later(version));
        if stale && handler.skip_stale {
            dispatch.counters.skipped.add();
            return dispatch.settle(id, &taken, Settled::Done);
        }
        if !dispatch.inbox.begin(&taken).await {
            return dispatch.settle(id, &taken, Settled::Released);
        }
        let running = dispatch.begin(id, &taken);
        let ended = run(&dispatch, handler, &taken, stale).await;
        drop(running);
        match ended {
            Some(Ok(())) => {
                if let Some(version) = version {
                    dispatch.completed.add(version);
                }
                dispatch.done(id, &taken);
            }
            Some(Err(failure)) => dispatch.failed(id, &taken, failure.attempt, failure.next),
            None => {}
        }
    }
}

/// `None` when it was cut short.
async fn run(
    dispatch: &Dispatch,
    handler: &Handler,
    taken: &Taken,
    stale: bool,
) -> Option<Result<(), Failure>> {
    let attempt = taken.attempts().saturating_add(1);
    let began_at = dispatch.clock.wall();
    let begun = Instant::now();
    let failure = |end, next| {
        let attempt = Attempt::new(began_at, begun.elapsed(), end);
        Some(Err(Failure { attempt, next }))
    };
    let run = async {
        let call = call_handler(dispatch, &handler.call, taken, attempt, stale);
        let ended = match handler.timeout {
            Some(limit) => tokio::time::timeout(limit, call)
                .await
                .unwrap_or(Ended::Late),
            None => call.await,
        };
        // User code that may panic: the text of an error, and its drop.
        let told = AssertUnwindSafe(|| match ended {
            Ended::Well => {
                tracing::debug!(millis = millis(begun.elapsed()), "handled");
                Some(Ok(()))
            }
            Ended::Cancelled => None,
            Ended::Error(error) => failure(AttemptEnd::Failed(error.chain()), error.next()),
            Ended::Panic => failure(AttemptEnd::Panicked, Next::Policy),
            Ended::Late => failure(AttemptEnd::TimedOut, Next::Policy),
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
            attempt,
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

async fn call_handler(
    dispatch: &Dispatch,
    call: &Call,
    taken: &Taken,
    attempt: u32,
    stale: bool,
) -> Ended {
    let context = Context::new(taken.delivery().clone(), taken.handler().clone())
        .attempt_number(attempt)
        .behind(stale)
        .repeating(taken.possible_repeat(), taken.replay_of());
    let states = Arc::clone(&dispatch.states);
    match call {
        Call::Async(call) => {
            // Inside the future, so that a panic before the first await is caught as well.
            let run = async { call(context, states).await };
            match AssertUnwindSafe(run).catch_unwind().await {
                Ok(Ok(())) => Ended::Well,
                Ok(Err(error)) => Ended::Error(error),
                Err(payload) => panicked(payload),
            }
        }
        Call::Blocking(call) => {
            let (call, span) = (Arc::clone(call), tracing::Span::current());
            let run = move || span.in_scope(|| call(context, states));
            match tokio::task::spawn_blocking(run).await {
                Ok(Ok(())) => Ended::Well,
                Ok(Err(error)) => Ended::Error(error),
                Err(error) => error.try_into_panic().map_or(Ended::Cancelled, panicked),
            }
        }
    }
}

impl Dispatch {
    fn done(&self, id: u64, taken: &Taken) {
        self.counters.handled.add();
        self.settle(id, taken, Settled::Done);
    }

    /// Decides what follows a failed attempt.
    fn failed(&self, id: u64, taken: &Taken, attempt: Attempt, next: Next) {
        self.counters.failed.add();
        let made = taken.attempts().saturating_add(1);
        let policy = self.policy(taken);
        let wait = match next {
            Next::GiveUp => None,
            _ if made >= policy.attempts => None,
            Next::After(after) => Some(after),
            Next::Policy => Some(policy.wait(made, fastrand::f64())),
        };
        let wait = wait.filter(|wait| {
            self.age(taken)
                .checked_add(*wait)
                .is_some_and(|age| age <= policy.max_age)
        });
        let Some(after) = wait else {
            return self.give_up(id, taken, Some(attempt), "no attempt is left");
        };
        if self.loses_what_waits() {
            return self.leave_failed(id, taken, attempt);
        }
        self.counters.retried.add();
        self.tell(taken, &attempt, Some(after));
        self.settle(
            id,
            taken,
            Settled::Retry {
                failed: attempt,
                after,
            },
        );
        // The shutdown that began meanwhile has brought forward only what it found.
        if self.loses_what_waits() {
            self.inbox.close();
        }
    }

    /// Why a job is not to run any more, if so.
    fn exhausted(&self, taken: &Taken) -> Option<&'static str> {
        let attempts = taken.attempts();
        if attempts == 0 {
            return None;
        }
        let policy = self.policy(taken);
        if attempts >= policy.attempts {
            Some("no attempt is left")
        } else if self.age(taken) > policy.max_age {
            Some("it is too old for another attempt")
        } else {
            None
        }
    }

    fn policy(&self, taken: &Taken) -> &RetryPolicy {
        let handler = self.handlers.get(taken.handler());
        handler.map_or(&self.retry, |handler| &handler.retry)
    }

    /// Once for each name: an inbox may hold many of its events.
    fn tell_held(&self, taken: &Taken) {
        let first = self.missing.insert(taken.handler().clone(), ()).is_none();
        if first {
            log(|| {
                tracing::error!(
                    parent: taken.span(),
                    handler = %taken.handler(),
                    "no handler of this name is registered: its events are held until there is one"
                );
            });
        }
    }

    fn age(&self, taken: &Taken) -> Duration {
        // Somebody asked for it just now, however old it is.
        if taken.replay_of().is_some() {
            return Duration::ZERO;
        }
        let now: SystemTime = self.clock.wall();
        now.duration_since(taken.delivery().received_at())
            .unwrap_or_default()
    }

    /// The job becomes a dead letter.
    fn give_up(&self, id: u64, taken: &Taken, failed: Option<Attempt>, reason: &'static str) {
        self.counters.dead.add();
        match &failed {
            Some(attempt) => self.tell(taken, attempt, None),
            None => {
                let last = taken.past().and_then(|past| past.history.last());
                let delivery = taken.delivery();
                log(|| {
                    tracing::error!(
                        parent: taken.span(),
                        handler = %taken.handler(),
                        event = delivery.received_as().map(EventType::loggable),
                        resource_id = delivery.loggable_id().map(tracing::field::display),
                        identity = %delivery.identity(),
                        attempts = taken.attempts(),
                        reason,
                        error = last.map(|attempt| tracing::field::display(&attempt.ended)),
                        "the event is a dead letter"
                    );
                });
            }
        }
        self.settle(id, taken, Settled::Dead { failed });
    }

    /// A failure names the event and the handler itself, because at its level the spans may be
    /// filtered out.
    pub(super) fn tell(&self, taken: &Taken, failed: &Attempt, after: Option<Duration>) {
        let delivery = taken.delivery();
        let handler = taken.handler();
        let event = delivery.received_as().map(EventType::loggable);
        let resource_id = delivery.loggable_id().map(tracing::field::display);
        let identity = delivery.identity();
        let attempt = taken.attempts().saturating_add(1);
        let (millis, error) = (millis(failed.took), &failed.ended);
        log(|| match after {
            Some(after) => tracing::warn!(
                parent: taken.span(),
                %handler, event, resource_id, %identity, attempt, millis, %error,
                ?after,
                "the handler failed and will be tried again"
            ),
            None => tracing::error!(
                parent: taken.span(),
                %handler, event, resource_id, %identity, attempt, millis, %error,
                "the handler failed: the event is a dead letter"
            ),
        });
    }
}

/// Whatever the subscriber does: one that panics must leave no job open.
fn log(tell: impl FnOnce()) {
    if let Err(payload) = catch_unwind(AssertUnwindSafe(tell)) {
        discard(payload);
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn panicked(payload: Box<dyn Any + Send>) -> Ended {
    discard(payload);
    Ended::Panic
}

/// Drops what a panic left, which can panic itself.
fn discard(payload: Box<dyn Any + Send>) {
    if let Err(again) = catch_unwind(AssertUnwindSafe(move || drop(payload))) {
        std::mem::forget(again);
    }
}
