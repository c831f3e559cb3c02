use std::any::Any;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant as Moment};

use tokio::time::Instant;

use super::call::{Begun, Call};
use super::open::{Held, JobId};
use super::seat::Seat;
use super::shared::Dispatch;
use crate::handler::Next;
use crate::inbox::{Attempt, Parked, Settled, Taken};
use crate::observe::{Run, Transition};

/// One handler for one event, that was taken out of the inbox.
pub(super) struct Job {
    pub(super) id: JobId,
    pub(super) held: Held,
    /// When its next attempt may begin, if that is not at once.
    pub(super) not_before: Option<Instant>,
}

/// A run that ended badly, and what is to follow by the handler's own word.
pub(super) struct Failure {
    pub(super) attempt: Attempt,
    pub(super) next: Next,
}

/// Runs the handler of a job whose bytes are to be found first.
pub(super) async fn unpark(id: JobId, parked: Parked, dispatch: Arc<Dispatch>, seat: Arc<Seat>) {
    match dispatch.inbox.unpark(&parked).await {
        Some(taken) => run(id, taken, dispatch, seat).await,
        None => {
            dispatch.open.close(id);
        }
    }
}

/// Runs the handler to its end and settles the job. Whatever the handler, its error or its payload do, the
/// job is settled; only one that is cut short is not.
///
/// As there may be many of this future, it is kept small: a block rather than a function, which would have
/// room for its arguments twice, and what is seldom stands on its own.
#[allow(clippy::manual_async_fn, reason = "its future would be larger")]
pub(super) fn run(
    id: JobId,
    taken: Taken,
    dispatch: Arc<Dispatch>,
    seat: Arc<Seat>,
) -> impl Future<Output = ()> + Send {
    async move {
        let Some(handler) = dispatch.handlers.get(taken.handler()) else {
            return dispatch.hold(id, &taken);
        };
        if let Some(reason) = dispatch.exhausted(&taken, handler) {
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
        seat.begin(dispatch.begin(id, &taken));
        dispatch.hooks.tell(|| Transition::Started {
            run: Run::of(&taken),
            waited: dispatch.waited(&taken),
        });
        let begun = Begun {
            at: Moment::now(),
            wall: dispatch.clock.wall(),
        };
        let mut call = Call::new(handler, &taken, stale, &seat);
        let ended = match (handler.timeout, seat.trial()) {
            (None, None) => Some((&mut call).await),
            // Few runs need timers, and none of the others has room for them.
            _ => Box::pin(call.within_its_time(handler, &taken, &seat)).await,
        };
        match call.end(ended, begun) {
            Ok(()) => {
                if let Some(version) = version {
                    dispatch.completed.add(version);
                }
                dispatch.done(id, &taken, begun.at);
            }
            Err(failure) => {
                Box::pin(dispatch.failed(id, &taken, handler, failure, &seat)).await;
            }
        }
    }
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
