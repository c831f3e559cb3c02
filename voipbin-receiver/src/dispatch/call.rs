use std::any::Any;
use std::future::{Future, pending};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{self, Poll};
use std::time::{Duration, Instant as Moment, SystemTime};

use futures_util::future::BoxFuture;
use tokio::time::{sleep, timeout};
use tracing::Span;

use super::job::{Failure, discard, millis};
use super::schedule::Trial;
use super::seat::Seat;
use crate::handler::{Context, HandlerError, Kept, Next, in_seat};
use crate::inbox::{Attempt, AttemptEnd, Taken};
use crate::router::Handler;

/// After so long a run is not what ends the process, or cannot be told from one that is: a moment when the
/// process died during it once, as all that ran did, and longer when it did so again.
const TRIAL: Duration = Duration::from_millis(250);
const LONG_TRIAL: Duration = Duration::from_secs(30);

/// A call of a handler, in its span, until it has ended. Whatever panics in it is caught.
pub(super) struct Call {
    span: Span,
    /// A thread that goes on after this run is over keeps the seat.
    seat: Kept,
    future: BoxFuture<'static, Result<(), HandlerError>>,
}

/// How a call came to its end: by itself, or by a panic that left this.
pub(super) type Ended = Result<Result<(), HandlerError>, Box<dyn Any + Send>>;

/// When a run began.
#[derive(Clone, Copy)]
pub(super) struct Begun {
    pub(super) at: Moment,
    pub(super) wall: SystemTime,
}

impl Call {
    pub(super) fn new(handler: &Handler, taken: &Taken, stale: bool, seat: &Arc<Seat>) -> Self {
        let number = taken.attempts().saturating_add(1);
        let mut span = Span::none();
        let future = caught(|| {
            span = tracing::debug_span!(
                parent: taken.span(),
                "voipbin.handle",
                handler = %taken.handler(),
                attempt = number,
            );
            let context = Context::new(taken.delivery().clone(), taken.handler().clone())
                .attempt_number(number)
                .behind(stale)
                .repeating(taken.possible_repeat(), taken.replay_of());
            span.in_scope(|| handler.service.run(context))
        });
        Self {
            span,
            seat: Arc::clone(seat) as Kept,
            future: future.unwrap_or_else(|payload| Box::pin(async { resume_unwind(payload) })),
        }
    }

    /// For a handler with a time limit, or a job that may be what killed the process. `None` when it takes
    /// longer than it may.
    pub(super) async fn within_its_time(
        &mut self,
        handler: &Handler,
        taken: &Taken,
        seat: &Seat,
    ) -> Option<Ended> {
        let call = async {
            match seat.trial() {
                Some(trial) => self.on_trial(seat, trial, taken).await,
                None => self.await,
            }
        };
        match handler.timeout {
            Some(limit) => timeout(limit, call).await.ok(),
            None => Some(call.await),
        }
    }

    /// Lets the next job of the kind that may have killed the process begin when this one takes long.
    async fn on_trial(&mut self, seat: &Seat, trial: Trial, taken: &Taken) -> Ended {
        let time = if taken.died_again() {
            LONG_TRIAL
        } else {
            TRIAL
        };
        tokio::select! {
            biased;
            ended = &mut *self => return ended,
            () = sleep(time) => seat.outlived(trial),
        }
        self.await
    }

    /// What it came to; `None` for one that took too long.
    pub(super) fn end(self, ended: Option<Ended>, begun: Begun) -> Result<(), Failure> {
        let failed = |end, next| {
            let attempt = Attempt::new(begun.wall, begun.at.elapsed(), end);
            Err(Failure { attempt, next })
        };
        // User code that may panic: the text of an error, and what is dropped.
        let told = caught(|| {
            let call = self;
            call.span.in_scope(|| match ended {
                Some(Ok(Ok(()))) => {
                    tracing::debug!(millis = millis(begun.at.elapsed()), "handled");
                    Ok(())
                }
                Some(Ok(Err(error))) => failed(AttemptEnd::Failed(error.chain()), error.next()),
                Some(Err(payload)) => {
                    discard(payload);
                    failed(AttemptEnd::Panicked, Next::Policy)
                }
                None => failed(AttemptEnd::TimedOut, Next::Policy),
            })
        });
        told.unwrap_or_else(|payload| {
            discard(payload);
            failed(AttemptEnd::Panicked, Next::Policy)
        })
    }
}

impl Future for Call {
    type Output = Ended;

    fn poll(self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<Ended> {
        let Self { span, seat, future } = self.get_mut();
        let polled = caught(|| in_seat(seat, || span.in_scope(|| future.as_mut().poll(cx))));
        match polled {
            Ok(polled) => polled.map(Ok),
            Err(payload) => Poll::Ready(Err(payload)),
        }
    }
}

/// What is left of a call that was cut short ends in its span.
impl Drop for Call {
    fn drop(&mut self) {
        let left = std::mem::replace(&mut self.future, Box::pin(pending()));
        self.span.in_scope(|| drop(left));
    }
}

fn caught<T>(run: impl FnOnce() -> T) -> Result<T, Box<dyn Any + Send>> {
    catch_unwind(AssertUnwindSafe(run))
}

#[cfg(test)]
#[cfg(not(shuttle))]
mod tests;
