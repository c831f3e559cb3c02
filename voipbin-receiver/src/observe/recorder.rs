//! How deliveries came out: counted, logged, and told to whoever observes.

use std::net::IpAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tracing::Span;

use super::hooks::{Hooks, Transition};
use super::outcome::{Accepted, Outcome};
use super::refusal::{Log, Refusal, Refused, WarnGroup};
use super::stats::Counters;
use crate::catalog::EventType;
use crate::clock::Clock;
use crate::event::{Delivery, Origin, TraceContext};

/// Records how each delivery came out.
pub(crate) struct OutcomeRecorder {
    counters: Arc<Counters>,
    hooks: Arc<Hooks>,
    clock: Arc<dyn Clock>,
    warnings: [WarnLimiter; WarnGroup::COUNT],
}

/// Lets one warning a minute pass.
#[derive(Debug, Default)]
pub(crate) struct WarnLimiter {
    /// The minute of the last one, from 1; 0 before the first.
    minute: AtomicU64,
}

impl WarnLimiter {
    /// Whether this is the first within a minute of a clock that never goes back.
    pub(crate) fn allow(&self, now: Duration) -> bool {
        let minute = now.as_secs() / 60 + 1;
        self.minute.swap(minute, Ordering::Relaxed) != minute
    }
}

/// What is known of a delivery on its way to its answer.
pub(crate) struct Trace {
    origin: Origin,
    /// Where somebody wants to know.
    began: Option<Instant>,
    client: Option<IpAddr>,
    event_type: Option<EventType>,
    delivery: Option<Delivery>,
    /// What a trusted proxy tells.
    parent: Option<TraceContext>,
    span: Span,
}

impl Trace {
    /// Where it comes from, if somebody wants to know.
    pub(crate) fn note_client(&mut self, client: impl FnOnce() -> Option<IpAddr>) {
        if self.began.is_some() {
            self.client = client();
        }
    }
}

impl OutcomeRecorder {
    pub(crate) fn new(counters: Arc<Counters>, hooks: Arc<Hooks>, clock: Arc<dyn Clock>) -> Self {
        Self {
            counters,
            hooks,
            clock,
            warnings: Default::default(),
        }
    }

    /// Before anything is looked at.
    pub(crate) fn begin(&self, origin: Origin) -> Trace {
        Trace {
            origin,
            began: self.hooks.is_observed().then(Instant::now),
            client: None,
            event_type: None,
            delivery: None,
            parent: None,
            span: Span::none(),
        }
    }

    /// Which span of another process it comes from, if that is of use.
    pub(crate) fn note_parent(
        &self,
        trace: &mut Trace,
        parent: impl FnOnce() -> Option<TraceContext>,
    ) {
        if self.hooks.propagation.is_on() {
            trace.parent = parent();
        }
    }

    /// What came is known; the rest of its way to the answer is in this span.
    pub(crate) fn enter(&self, delivery: Delivery, trace: &mut Trace) -> (Delivery, Span) {
        let span = delivery.span();
        let context = self.hooks.propagation.begin(&span, trace.parent.take());
        let delivery = delivery.in_trace(context);
        trace.delivery = Some(delivery.clone());
        trace.span = span.clone();
        (delivery, span)
    }

    /// Counts what is not in the catalogue, and remembers the type where somebody wants to know.
    pub(crate) fn note_type(&self, event_type: Option<&EventType>, trace: &mut Trace) {
        match event_type {
            None => self.counters.custom.add(),
            Some(EventType::Other(_)) => self.counters.unknown_types.add(),
            Some(_) => {}
        }
        if self.hooks.is_observed() {
            trace.event_type = event_type.map(EventType::canonical);
        }
    }

    /// No handler is registered for it.
    pub(crate) fn note_unmatched(&self, event_type: Option<&EventType>) {
        let event = event_type.map(EventType::loggable);
        tracing::debug!(event, "no handler is registered for this delivery");
    }

    /// Counts and logs how a delivery came out. A subscriber that panics, as one does that cannot
    /// write, must not eat the answer.
    pub(crate) fn record(&self, result: &Result<Accepted, Refusal>, trace: &Trace) {
        let outcome = match result {
            Ok(accepted) => (*accepted).into(),
            Err(refusal) => Outcome::Refused(refusal.reason()),
        };
        self.hooks.emit(|| Transition::Answered {
            outcome,
            origin: trace.origin,
            event_type: trace.event_type.as_ref(),
            took: trace.began.map(|began| began.elapsed()).unwrap_or_default(),
            refused: result
                .as_ref()
                .err()
                .map(|refusal| Refused::new(refusal, trace.client)),
        });
        match result {
            Ok(Accepted::New) => self.counters.accepted.add(),
            Ok(Accepted::Duplicate) => self.counters.duplicates.add(),
            Ok(Accepted::Unmatched) => self.counters.unmatched.add(),
            Err(refusal) => self.counters.refused.add(refusal.reason()),
        }
        if result.is_ok() && trace.span.is_disabled() {
            return;
        }
        let log = || {
            trace.span.record("outcome", outcome.as_str());
            if let Err(refusal) = result {
                trace.span.record("otel.status_code", "ERROR");
                self.log(refusal, trace.delivery.as_ref());
            }
        };
        let log = AssertUnwindSafe(|| trace.span.in_scope(log));
        if let Err(payload) = catch_unwind(log) {
            std::mem::forget(payload);
        }
    }

    /// What was refused after it was read is named: at these levels its span may be filtered out.
    fn log(&self, refusal: &Refusal, delivery: Option<&Delivery>) {
        let event = delivery
            .and_then(Delivery::received_as)
            .map(EventType::loggable);
        let identity = delivery.map(|delivery| tracing::field::display(delivery.identity()));
        match refusal.reason().row().log {
            Log::Never => {}
            Log::Limited(group) if self.may_warn(group) => tracing::warn!(
                reason = %refusal,
                "a delivery was refused; of more like it, one a minute is told here"
            ),
            Log::Limited(_) | Log::Debug => tracing::debug!(reason = %refusal, "refused"),
            Log::Warn(message) => {
                let cause = std::error::Error::source(refusal).map(ToString::to_string);
                tracing::warn!(event, identity, reason = %refusal, cause, "{message}");
            }
            Log::Error(message) => tracing::error!("{message}"),
        }
    }

    fn may_warn(&self, group: WarnGroup) -> bool {
        let limiter = self.warnings.get(group as usize);
        limiter.is_none_or(|limiter| limiter.allow(self.clock.monotonic()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_warning_passes_once_in_each_minute() {
        let limiter = WarnLimiter::default();
        let passed: Vec<u64> = (0..200)
            .filter(|second| limiter.allow(Duration::from_secs(*second)))
            .collect();
        assert_eq!(passed, [0, 60, 120, 180]);
    }
}
