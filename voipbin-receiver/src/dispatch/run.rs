//! One run of a handler, from its permit to its outcome.

use std::any::Any;
use std::future::{Future, pending};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::sync::Weak;
use std::task::{self, Poll};
use std::time::{Duration, Instant as Moment, SystemTime};

use futures_util::future::BoxFuture;
use tokio::time::{sleep, timeout};
use tracing::Span;

use super::dispatcher::Dispatch;
use super::permit::JobPermit;
use super::queue::JobKey;
use crate::handler::{Context, HandlerError, RetryHint, RunPermit};
use crate::inbox::{Attempt, AttemptEnd, Job, Lease, Settled};
use crate::observe::{Propagation, Run, Transition};
use crate::router::Handler;
use crate::sync::Arc;

/// How long no other suspect begins beside one. One that survives this long is not considered the
/// cause of the crash.
const QUARANTINE_TIME: Duration = Duration::from_secs(1);

/// Runs the handler and settles the job, whatever the handler, its error or its panic do. Only a
/// run that is cancelled does not settle it.
///
/// Many of these futures may exist: rare paths are boxed to keep them small. The permit is the
/// first argument because it must be dropped last.
pub(super) async fn run(permit: Arc<JobPermit>, dispatch: Arc<Dispatch>, key: JobKey, job: Job) {
    let Some(handler) = dispatch.handlers.get(job.handler()) else {
        return dispatch.unroutable(key, &job);
    };
    if job.is_lost() {
        return dispatch.lost(key, &job);
    }
    if let Some(reason) = dispatch.exhausted(&job, handler) {
        return Box::pin(dispatch.give_up(key, &job, None, reason)).await;
    }
    let version = dispatch.completed.version(&job);
    let stale = version.is_some_and(|version| dispatch.completed.has_later(version));
    if stale && handler.options.skip_stale {
        return dispatch.skip(key, &job);
    }
    // The pump has ended, and closed the job.
    let Some(consumer) = dispatch.consumer() else {
        return;
    };
    let may_begin = consumer.begin(&job);
    drop(consumer);
    if let Err(error) = may_begin.await {
        tracing::debug!(handler = %job.handler(), %error, "the attempt cannot be written down");
        dispatch.settle(key, &job, Settled::Released);
        return;
    }
    // The process may have been paused since.
    if job.is_lost() {
        return dispatch.lost(key, &job);
    }
    permit.begin(key);
    dispatch.hooks.emit(|| Transition::Started {
        run: Run::of(&job),
        waited: dispatch.waited(&job),
    });
    let start = RunStart {
        at: Moment::now(),
        wall: dispatch.clock.wall(),
    };
    let propagation = &dispatch.hooks.propagation;
    let mut call = HandlerCall::new(handler, &job, stale, &permit, propagation);
    let ended = match (handler.options.timeout, permit.quarantine(), job.lease()) {
        (None, None, None) => CallEnd::Returned((&mut call).await),
        _ => Box::pin(call.within_its_time(&dispatch, handler, &job, &permit)).await,
    };
    match call.end(ended, start) {
        Ok(true) => {
            if let Some(version) = version {
                dispatch.completed.add(version);
            }
            dispatch.done(key, &job, start.at);
        }
        Ok(false) => dispatch.lost(key, &job),
        Err(failure) => {
            Box::pin(dispatch.failed(key, &job, handler, failure, &permit)).await;
        }
    }
}

/// A failed run, and what the handler says of a retry.
pub(super) struct Failure {
    pub(super) attempt: Attempt,
    pub(super) next: RetryHint,
}

/// When a run began.
#[derive(Clone, Copy)]
pub(super) struct RunStart {
    pub(super) at: Moment,
    pub(super) wall: SystemTime,
}

/// A call of a handler, in its span. Panics are caught.
pub(super) struct HandlerCall {
    span: Span,
    future: BoxFuture<'static, Result<(), HandlerError>>,
}

/// What a call returned, or what its panic left.
type Returned = Result<Result<(), HandlerError>, Box<dyn Any + Send>>;

/// How a call came to its end.
pub(super) enum CallEnd {
    Returned(Returned),
    TimedOut,
    LeaseLost,
}

impl HandlerCall {
    pub(super) fn new(
        handler: &Handler,
        job: &Job,
        stale: bool,
        permit: &Arc<JobPermit>,
        propagation: &Propagation,
    ) -> Self {
        let number = job.attempts().saturating_add(1);
        let mut span = Span::none();
        let future = caught(|| {
            span = job.delivery().handler_span(job.handler(), number);
            propagation.join(&span, job.delivery());
            let permit = Arc::downgrade(permit) as Weak<dyn RunPermit>;
            let context = Context::new(job.delivery().clone(), job.handler().clone())
                .attempt_number(number)
                .behind(stale)
                .repeating(job.possible_repeat(), job.replay_of())
                .holding(permit);
            span.in_scope(|| handler.service.run(context))
        });
        Self {
            span,
            future: future.unwrap_or_else(|payload| Box::pin(async { resume_unwind(payload) })),
        }
    }

    /// The slow path: for a handler with a timeout, a poison suspect, or a job under a lease.
    async fn within_its_time(
        &mut self,
        dispatch: &Arc<Dispatch>,
        handler: &Handler,
        job: &Job,
        permit: &JobPermit,
    ) -> CallEnd {
        let call = async {
            if let Some(quarantine) = permit.quarantine() {
                tokio::select! {
                    biased;
                    ended = &mut *self => return ended,
                    () = sleep(QUARANTINE_TIME) => dispatch.end_quarantine(quarantine),
                }
            }
            self.await
        };
        let in_time = async {
            match handler.options.timeout {
                Some(limit) => timeout(limit, call).await.ok(),
                None => Some(call.await),
            }
        };
        tokio::select! {
            biased;
            returned = in_time => returned.map_or(CallEnd::TimedOut, CallEnd::Returned),
            () = lost(job.lease()) => CallEnd::LeaseLost,
        }
    }

    /// The outcome; `false` when the lease is lost.
    pub(super) fn end(self, ended: CallEnd, start: RunStart) -> Result<bool, Failure> {
        let failed = |end, next| {
            let attempt = Attempt::new(start.wall, start.at.elapsed(), end);
            Err(Failure { attempt, next })
        };
        let span = self.span.clone();
        // Displaying an error and dropping the call run user code, which may panic.
        let told = caught(|| {
            let call = self;
            call.span.in_scope(|| match ended {
                CallEnd::Returned(Ok(Ok(()))) => {
                    tracing::debug!(millis = millis(start.at.elapsed()), "handled");
                    Ok(true)
                }
                CallEnd::Returned(Ok(Err(error))) => {
                    failed(AttemptEnd::Failed(error.chain()), error.next())
                }
                CallEnd::Returned(Err(payload)) => {
                    discard(payload);
                    failed(AttemptEnd::Panicked, RetryHint::Policy)
                }
                CallEnd::TimedOut => failed(AttemptEnd::TimedOut, RetryHint::Policy),
                CallEnd::LeaseLost => Ok(false),
            })
        });
        let told = told.unwrap_or_else(|payload| {
            discard(payload);
            failed(AttemptEnd::Panicked, RetryHint::Policy)
        });
        if let Err(failure) = &told {
            log(|| {
                span.record("otel.status_code", "ERROR");
                span.record("error.type", failure.attempt.ended.as_str());
            });
        }
        told
    }
}

async fn lost(lease: Option<&Arc<dyn Lease>>) {
    match lease {
        Some(lease) => lease.lost().await,
        None => pending().await,
    }
}

impl Future for HandlerCall {
    type Output = Returned;

    fn poll(self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<Returned> {
        let Self { span, future } = self.get_mut();
        match caught(|| span.in_scope(|| future.as_mut().poll(cx))) {
            Ok(polled) => polled.map(Ok),
            Err(payload) => Poll::Ready(Err(payload)),
        }
    }
}

/// A cancelled call is dropped in its span.
impl Drop for HandlerCall {
    fn drop(&mut self) {
        let left = std::mem::replace(&mut self.future, Box::pin(pending()));
        self.span.in_scope(|| drop(left));
    }
}

fn caught<T>(run: impl FnOnce() -> T) -> Result<T, Box<dyn Any + Send>> {
    catch_unwind(AssertUnwindSafe(run))
}

pub(super) fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// Logs, and catches what a subscriber panics with: it must leave no job open.
pub(super) fn log(emit: impl FnOnce()) {
    if let Err(payload) = caught(emit) {
        discard(payload);
    }
}

/// Drops a panic's payload, whose own Drop may panic.
pub(super) fn discard(payload: Box<dyn Any + Send>) {
    if let Err(again) = catch_unwind(AssertUnwindSafe(move || drop(payload))) {
        std::mem::forget(again);
    }
}

#[cfg(test)]
#[cfg(not(shuttle))]
mod tests;
