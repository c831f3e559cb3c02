use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use futures_util::FutureExt;
use tokio::sync::OwnedSemaphorePermit;
use tracing::Instrument;

use super::pump::{Dispatch, Running};
use crate::catalog::EventType;
use crate::event::Delivery;
use crate::handler::{Call, Context, HandlerError, HandlerName};
use crate::inbox::{Settled, Taken};

/// There is one attempt at each job so far.
const FIRST: u32 = 1;

/// One handler for one event.
pub(super) struct Job {
    pub(super) id: u64,
    pub(super) event: Arc<Taken>,
    pub(super) handler: HandlerName,
}

/// How a run ended.
enum Ended {
    Well,
    Error(HandlerError),
    Panic,
    /// The runtime went away.
    Cancelled,
}

impl Job {
    /// Runs the handler to its end and settles the job. Whatever the handler, its error or its
    /// payload do, the job is settled; only one that is cut short is not.
    pub(super) async fn run(
        self,
        dispatch: Arc<Dispatch>,
        slot: OwnedSemaphorePermit,
        running: Running,
    ) {
        let Self { id, event, handler } = self;
        let span = tracing::info_span!(
            parent: event.span(),
            "voipbin.handle",
            %handler,
            attempt = FIRST,
        );
        let run = async {
            let begun = Instant::now();
            let ended = call(&dispatch, &event, &handler).await;
            let settled = match ended {
                Ended::Well => Some(Settled::Done),
                Ended::Error(_) | Ended::Panic => Some(Settled::Failed),
                Ended::Cancelled => None,
            };
            // User code that may panic: the text of an error, and its drop.
            let told = AssertUnwindSafe(|| log(ended, begun, event.delivery(), &handler));
            if let Err(payload) = catch_unwind(told) {
                discard(payload);
            }
            settled
        };
        let settled = match AssertUnwindSafe(run.instrument(span)).catch_unwind().await {
            Ok(settled) => settled,
            Err(payload) => {
                discard(payload);
                Some(Settled::Failed)
            }
        };
        drop(running);
        if let Some(settled) = settled {
            dispatch.settle(id, &event, &handler, settled);
        }
        drop(slot);
    }
}

async fn call(dispatch: &Dispatch, event: &Taken, handler: &HandlerName) -> Ended {
    let Some(call) = dispatch.handlers.get(handler) else {
        // Only a durable inbox can hold jobs for handlers that are gone.
        tracing::error!(%handler, "no handler of this name is registered; its event is held");
        return Ended::Cancelled;
    };
    let delivery = event.delivery().clone();
    let context = Context::new(delivery, handler.clone(), FIRST, event.possible_repeat());
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

/// A failure names the event and the handler itself, because at its level the spans may be filtered
/// out.
fn log(ended: Ended, begun: Instant, delivery: &Delivery, handler: &HandlerName) {
    let millis = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
    let error = match &ended {
        Ended::Well => return tracing::debug!(millis, "handled"),
        Ended::Cancelled => return,
        Ended::Error(error) => error.chain(),
        Ended::Panic => "it panicked".to_owned(),
    };
    tracing::error!(
        %handler,
        event = delivery.received_as().map(EventType::loggable),
        resource_id = delivery.loggable_id().map(tracing::field::display),
        identity = %delivery.identity(),
        millis,
        error,
        "the handler failed"
    );
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
