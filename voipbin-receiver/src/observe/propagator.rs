use std::panic::{AssertUnwindSafe, catch_unwind};

use tracing::Span;

use crate::event::{Delivery, TraceContext};

/// Makes one trace of a delivery, from the request to each attempt of each handler, also in other
/// processes and after a restart. Given to
/// [`ReceiverBuilder::propagator`](crate::ReceiverBuilder::propagator).
///
/// A delivery has a span `voipbin.delivery` from the inbox to its answer, and each attempt of a
/// handler a span `voipbin.handle`; both are at `debug`, below the target `voipbin_receiver`. The
/// context of the first is kept with the event and made the parent of the others. For `tracing`
/// itself these have no parent: it would have to stay open for as long as the event waits.
///
/// The parent of the first is the span in which the service is called. Where that is in another
/// trace than a header `traceparent` tells, or in none, it is the header's, of a [trusted
/// proxy](crate::ReceiverBuilder::trust_proxies) alone. Without either it begins a trace.
///
/// With OpenTelemetry the two are `context` and `set_parent` of `tracing-opentelemetry`'s
/// `OpenTelemetrySpanExt`, with a `TraceContextPropagator` between its contexts and this crate's:
/// the example `opentelemetry` in [the repository](crate#in-the-repository) has it.
///
/// Both are called on the path of the answer and of the handlers: they must not block. A panic is
/// caught, and costs no more than the trace.
pub trait Propagator: Send + Sync + 'static {
    /// The context of a span; `None` for one that is in no trace.
    fn context(&self, span: &Span) -> Option<TraceContext>;

    /// Makes a span, which was not entered before, a child of the one with this context.
    fn set_parent(&self, span: &Span, parent: &TraceContext);
}

/// The user's propagator, if there is one.
#[derive(Default)]
pub(crate) struct Propagation(Option<Box<dyn Propagator>>);

impl Propagation {
    pub(crate) fn by(propagator: impl Propagator) -> Self {
        Self(Some(Box::new(propagator)))
    }

    pub(crate) fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// The span of a delivery has begun. Gives the context to keep with the event.
    pub(crate) fn begin(&self, span: &Span, told: Option<TraceContext>) -> Option<TraceContext> {
        let propagator = self.0.as_deref()?;
        let context = caught(|| {
            if let Some(told) = &told {
                let around = propagator.context(&Span::current());
                // The app's own span is nearer than the proxy's.
                if around.is_none_or(|around| around.trace_id() != told.trace_id()) {
                    propagator.set_parent(span, told);
                }
            }
            propagator.context(span)
        });
        // The span may be filtered out in this process, and those of handlers not in theirs.
        context.flatten().or(told)
    }

    /// The span of an attempt has begun.
    pub(crate) fn join(&self, span: &Span, delivery: &Delivery) {
        if let (Some(propagator), Some(context)) = (&self.0, delivery.trace_context()) {
            caught(|| propagator.set_parent(span, context));
        }
    }
}

fn caught<T>(call: impl FnOnce() -> T) -> Option<T> {
    let called = catch_unwind(AssertUnwindSafe(call));
    called.map_err(std::mem::forget).ok()
}
