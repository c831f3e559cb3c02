use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Instant;

use futures_util::FutureExt;
use tokio::sync::OwnedSemaphorePermit;
use tracing::Instrument;

use super::pump::Dispatch;
use crate::catalog::EventType;
use crate::event::Delivery;
use crate::handler::{Call, Context, HandlerError, HandlerName};
use crate::inbox::{Settled, Taken};

/// One handler for one event.
pub(super) struct Job {
    pub(super) event: Arc<Taken>,
    pub(super) handler: HandlerName,
    pub(super) slot: OwnedSemaphorePermit,
}

/// A job that runs, as reports show it.
pub(super) struct Running {
    pub(super) delivery: Delivery,
    pub(super) handler: HandlerName,
}

/// How a run ended.
enum Ended {
    Well,
    Error(HandlerError),
    Panic,
}

impl Job {
    /// Runs the handler to its end and settles the job. Whatever the handler does, nothing gets out
    /// of here.
    pub(super) async fn run(self, dispatch: Arc<Dispatch>) {
        let Self {
            event,
            handler,
            slot,
        } = self;
        let Some(call) = dispatch.handlers.get(&handler) else {
            // Only a durable inbox can hold jobs for handlers that are gone.
            tracing::error!(%handler, "no handler of this name is registered; its event is held");
            return;
        };
        // Dropped last, also when the job is cut short at the end of a shutdown.
        let _running = dispatch.enter(&event, &handler);
        let span = tracing::info_span!(
            parent: event.delivery.span(),
            "voipbin.handle",
            %handler,
            attempt = FIRST,
        );
        let context = Context::new(
            event.delivery.clone(),
            handler.clone(),
            FIRST,
            event.possible_repeat,
        );
        let states = Arc::clone(&dispatch.states);

        async {
            let begun = Instant::now();
            let ended = match call {
                Call::Async(call) => {
                    // Inside the future, so that a panic before the first await is caught as well.
                    let run = async { call(context, states).await };
                    match AssertUnwindSafe(run).catch_unwind().await {
                        Ok(Ok(())) => Ended::Well,
                        Ok(Err(error)) => Ended::Error(error),
                        Err(_) => Ended::Panic,
                    }
                }
                Call::Blocking(call) => {
                    let (call, span) = (Arc::clone(call), tracing::Span::current());
                    let run = move || span.in_scope(|| call(context, states));
                    match tokio::task::spawn_blocking(run).await {
                        Ok(Ok(())) => Ended::Well,
                        Ok(Err(error)) => Ended::Error(error),
                        Err(_) => Ended::Panic,
                    }
                }
            };
            dispatch.conclude(&ended, begun, &event.delivery, &handler);
            let settled = match ended {
                Ended::Well => Settled::Done,
                Ended::Error(_) | Ended::Panic => Settled::Failed,
            };
            dispatch.inbox.settle(&event, &handler, settled);
        }
        .instrument(span)
        .await;
        drop(slot);
    }
}

/// There is one attempt at each job so far.
const FIRST: u32 = 1;

impl Dispatch {
    /// Counts and logs the end of a run; called in the job's span. A failure names the event and the
    /// handler itself, because at its level the span may be filtered out.
    fn conclude(&self, ended: &Ended, begun: Instant, delivery: &Delivery, handler: &HandlerName) {
        let millis = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        let error = match ended {
            Ended::Well => {
                self.counters.handled.add();
                tracing::debug!(millis, "handled");
                return;
            }
            Ended::Error(error) => error.chain(),
            Ended::Panic => "it panicked".to_owned(),
        };
        self.counters.failed.add();
        tracing::error!(
            %handler,
            event = delivery.received_as().map(EventType::as_str),
            resource_id = delivery.loggable_id().map(tracing::field::display),
            identity = %delivery.identity(),
            millis,
            error,
            "the handler failed"
        );
    }
}
