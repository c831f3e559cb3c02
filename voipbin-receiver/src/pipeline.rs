//! The whole order of a delivery, on one screen.
//!
//! It knows no HTTP framework: the service hands it a head before it reads a body, and the bytes
//! after.

mod record;
mod refusal;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::request::Parts;
use http::{HeaderMap, Method};
use tracing::Span;

pub(crate) use self::record::{Answered, Warnings};
pub(crate) use self::refusal::Refusal;
use crate::catalog::EventType;
use crate::clock::Clock;
use crate::dispatch::Dispatch;
use crate::event::{Content, Delivery, EventKey, Time, classify};
use crate::gate::{Gate, Seat};
use crate::inbox::{Inbox, Incoming, Kept, Receipt, Repeats};
use crate::observe::{Counters, Hooks};
use crate::router::Router;

/// A user's choice of what the identity of a delivery is. `None` leaves it as it is.
pub(crate) type IdentityFn = dyn Fn(&Delivery) -> Option<Vec<u8>> + Send + Sync;

pub(crate) struct Pipeline {
    pub(crate) gate: Gate,
    pub(crate) router: Router,
    pub(crate) inbox: Arc<dyn Inbox>,
    pub(crate) identity: Option<Box<IdentityFn>>,
    /// What happens to repeats of deliveries that have no identity of their own.
    pub(crate) repeats: Repeats,
    pub(crate) keep_unmatched: bool,
    /// How old an event may be by its own word.
    pub(crate) max_event_age: Option<Duration>,
    pub(crate) body_limit: usize,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) hooks: Arc<Hooks>,
    /// Only to tell it that nothing new can come.
    pub(crate) dispatch: Arc<Dispatch>,
    pub(crate) warnings: Warnings,
}

/// Where a delivery stands when its body has been looked at.
pub(crate) enum Step {
    /// Answered without an inbox: no handler wants it.
    Unmatched(Option<EventType>),
    /// Handed to the inbox; with the delivery's span.
    Keeping(Receipt, Span, Option<EventType>),
}

impl Pipeline {
    /// What can be told from the head alone, before anything is read: cheap checks first, and those that
    /// count last. The seat is the request's until it is answered.
    pub(crate) fn before_body(&self, head: &Parts, length: u64) -> Result<Seat, Refusal> {
        if !accepts(&head.method) {
            return Err(Refusal::Method);
        }
        if !self.gate.heads.allow(&head.headers) {
            return Err(Refusal::Head);
        }
        if length > self.body_limit as u64 {
            return Err(Refusal::TooLarge);
        }
        let source = self.gate.sources.check(head).map_err(Refusal::Source)?;
        self.gate.rates.check(source).map_err(Refusal::Rate)?;
        self.gate.in_flight.enter().ok_or(Refusal::Busy)
    }

    /// Signature, envelope, identity, handlers, inbox. Nothing is remembered before the inbox has
    /// the delivery, and handing it over is one step that does not wait.
    pub(crate) fn after_body(
        &self,
        headers: &HeaderMap,
        bytes: Bytes,
        owned: bool,
    ) -> Result<Step, Refusal> {
        let now = self.clock.wall();
        let body = self.gate.verifier.verify(headers, bytes, owned, now)?;
        let content = classify(&body.bytes).map_err(Refusal::Body)?;
        match content.event_type() {
            None => self.counters.custom.add(),
            Some(EventType::Other(_)) => self.counters.unknown_types.add(),
            Some(_) => {}
        }
        let jobs = self.router.route(&content, &body.bytes);
        if jobs.is_empty() && !self.keep_unmatched {
            let event = content.event_type().map(EventType::loggable);
            tracing::debug!(event, "no handler is registered for this delivery");
            return Ok(Step::Unmatched(self.observed_type(&content)));
        }
        let event_type = self.observed_type(&content);
        let delivery = Delivery::new(body, content, now, content_type(headers));
        self.check_age(&delivery)?;
        let (delivery, repeats) = self.identify(delivery)?;
        let span = span(&delivery);
        let incoming = Incoming::new(delivery, jobs, repeats).within(span.clone());
        Ok(Step::Keeping(
            span.in_scope(|| self.inbox.keep(incoming)),
            span,
            event_type,
        ))
    }

    /// The type of an event, where somebody wants to know.
    fn observed_type(&self, content: &Content) -> Option<EventType> {
        let wanted = self.hooks.observe();
        content
            .event_type()
            .filter(|_| wanted)
            .map(EventType::canonical)
    }

    /// A signature holds for ever, so whoever has seen a request can send it again when its identity is
    /// forgotten. Only events of the catalogue are judged: what a flow sends has times of its own.
    fn check_age(&self, delivery: &Delivery) -> Result<(), Refusal> {
        let (Some(limit), Some(_)) = (self.max_event_age, delivery.resource_kind()) else {
            return Ok(());
        };
        let received_at = Time::try_from(delivery.received_at()).ok();
        let age = received_at.zip(delivery.last_change());
        let age = age.and_then(|(received_at, change)| received_at.since(change));
        match age {
            Some(age) if age > limit => {
                let event = delivery.received_as().map(EventType::loggable);
                tracing::debug!(event, identity = %delivery.identity(), "over max_event_age");
                Err(Refusal::TooOld(age))
            }
            _ => Ok(()),
        }
    }

    /// Who the delivery is, and what that is worth.
    fn identify(&self, delivery: Delivery) -> Result<(Delivery, Repeats), Refusal> {
        if let Some(choose) = &self.identity {
            let chosen = catch_unwind(AssertUnwindSafe(|| choose(&delivery)));
            if let Some(identity) = chosen.map_err(|_| Refusal::Identity)? {
                return Ok((
                    delivery.identified(EventKey::of_chosen(&identity)),
                    Repeats::Drop,
                ));
            }
        }
        let repeats = if delivery.has_own_identity() {
            Repeats::Drop
        } else {
            self.repeats
        };
        Ok((delivery, repeats))
    }
}

/// With the last receiver and the last service: nothing new can come, so whoever takes events may end
/// when none is left.
impl Drop for Pipeline {
    fn drop(&mut self) {
        self.dispatch.close();
    }
}

/// How a delivery is answered when it is not refused.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Answer {
    Kept(Kept),
    Unmatched,
}

/// A header of a length that nobody means is as good as none.
fn content_type(headers: &HeaderMap) -> Option<&str> {
    const LONGEST: usize = 256;
    let content_type = headers.get(CONTENT_TYPE)?.to_str().ok()?;
    (content_type.len() <= LONGEST).then_some(content_type)
}

/// The methods that a customer can configure. The platform sends the name as it was typed there, so
/// lower case is real.
fn accepts(method: &Method) -> bool {
    ["POST", "PUT", "GET", "DELETE"]
        .iter()
        .any(|name| method.as_str().eq_ignore_ascii_case(name))
}

/// The span that a delivery has from here to the end of its handlers.
fn span(delivery: &Delivery) -> Span {
    tracing::info_span!(
        "voipbin.delivery",
        event = delivery.received_as().map(EventType::loggable),
        resource_id = delivery.loggable_id().map(tracing::field::display),
        identity = %delivery.identity(),
    )
}
