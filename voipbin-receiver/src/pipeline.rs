//! The whole order of a delivery, on one screen.
//!
//! It knows no HTTP framework: the service hands it a head before it reads a body, and the bytes
//! after.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::request::Parts;
use http::{HeaderMap, Method};
use tracing::Span;

use crate::catalog::EventType;
use crate::clock::Clock;
use crate::dispatch::Dispatch;
use crate::event::{BodyError, Content, Delivery, EventKey, Time, classify};
use crate::gate::{Exceeded, Gate, Seat, SignatureError, Source, SourceError, Unverified};
use crate::inbox::{Inbox, Incoming, KeepError, KeepErrorKind, Kept, Receipt, Repeats};
use crate::observe::{Counters, Hooks, Outcome, RefusalReason, Transition};
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

/// When warnings were last told: those of one kind must not hide those of another.
#[derive(Debug, Default)]
pub(crate) struct Warnings {
    signatures: Seldom,
    secrets: Seldom,
    strangers: Seldom,
    replays: Seldom,
    overload: Seldom,
}

/// Lets one warning a minute pass: a wrong secret must not go unseen, and nobody may fill a log.
#[derive(Debug, Default)]
pub(crate) struct Seldom {
    /// The minute of the last one, from 1; 0 before the first.
    minute: AtomicU64,
}

impl Seldom {
    fn may_warn(&self, now: Duration) -> bool {
        let minute = now.as_secs() / 60 + 1;
        self.minute.swap(minute, Ordering::Relaxed) != minute
    }
}

/// Where a delivery stands when its body has been looked at.
pub(crate) enum Step {
    /// Answered without an inbox: no handler wants it.
    Unmatched(Option<EventType>),
    /// Handed to the inbox; with the delivery's span.
    Keeping(Receipt, Span, Option<EventType>),
}

/// A delivery that is refused, by the room that refuses it.
#[derive(Debug)]
pub(crate) enum Refusal {
    Method,
    TooLarge,
    TooSlow,
    Broken,
    Head,
    Busy,
    Rate(Exceeded),
    Source(SourceError),
    Signature(SignatureError),
    Secrets,
    Body(BodyError),
    TooOld(Duration),
    Identity,
    Keep(KeepError),
}

impl From<Unverified> for Refusal {
    fn from(unverified: Unverified) -> Self {
        match unverified {
            Unverified::Signature(error) => Self::Signature(error),
            Unverified::Undecided => Self::Secrets,
        }
    }
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

    /// Counts and logs how a delivery came out.
    pub(crate) fn record(&self, answered: &Answered) {
        let Answered {
            outcome,
            event_type,
            began,
        } = answered;
        self.hooks.tell(|| Transition::Answered {
            outcome: transition(outcome),
            event_type: event_type.as_ref(),
            took: began.map(|began| began.elapsed()).unwrap_or_default(),
        });
        let counters = &self.counters;
        match outcome {
            Ok(Answer::Kept(Kept::New)) => counters.accepted.add(),
            Ok(Answer::Kept(Kept::Duplicate)) => counters.duplicates.add(),
            Ok(Answer::Unmatched) => counters.unmatched.add(),
            // Anybody can cause these: they must not fill a log.
            Err(Refusal::Method) => counters.refused_method.add(),
            Err(Refusal::TooLarge) => {
                counters.refused_size.add();
                tracing::debug!(
                    limit = self.body_limit,
                    "refused: the body is over the limit"
                );
            }
            Err(refusal @ (Refusal::TooSlow | Refusal::Broken)) => {
                counters.refused_read.add();
                tracing::debug!(reason = %refusal, "refused");
            }
            Err(refusal @ Refusal::Head) => {
                counters.refused_head.add();
                tracing::debug!(reason = %refusal, "refused");
            }
            Err(refusal @ Refusal::Source(_)) => {
                counters.refused_source.add();
                self.warn_seldom(&self.warnings.strangers, refusal);
            }
            Err(refusal @ Refusal::Rate(Exceeded::Source)) => {
                counters.refused_rate.add();
                self.warn_seldom(&self.warnings.strangers, refusal);
            }
            Err(refusal @ Refusal::Rate(Exceeded::All)) => {
                counters.refused_rate.add();
                self.warn_seldom(&self.warnings.overload, refusal);
            }
            Err(refusal @ Refusal::Busy) => {
                counters.refused_busy.add();
                self.warn_seldom(&self.warnings.overload, refusal);
            }
            Err(refusal @ Refusal::Signature(_)) => {
                counters.refused_signature.add();
                self.warn_seldom(&self.warnings.signatures, refusal);
            }
            Err(refusal @ Refusal::Secrets) => {
                counters.refused_secrets.add();
                self.warn_seldom(&self.warnings.secrets, refusal);
            }
            // Only a sender with the secret gets this far.
            Err(Refusal::Body(error)) => {
                counters.refused_body.add();
                tracing::warn!(reason = %error, "refused for good: the event is lost");
            }
            Err(refusal @ Refusal::TooOld(_)) => {
                counters.refused_age.add();
                self.warn_seldom(&self.warnings.replays, refusal);
            }
            Err(Refusal::Identity) => {
                counters.refused_inbox.add();
                tracing::error!("the identity function panicked: the event is not kept");
            }
            Err(Refusal::Keep(error)) => {
                counters.refused_inbox.add();
                let cause = std::error::Error::source(error).map(ToString::to_string);
                tracing::warn!(reason = %error, cause, "not kept: the sender may try again");
            }
        }
    }

    /// Tells of what anybody can cause: often enough to be seen, too seldom to fill a log.
    fn warn_seldom(&self, seldom: &Seldom, refusal: &Refusal) {
        if seldom.may_warn(self.clock.monotonic()) {
            tracing::warn!(
                reason = %refusal,
                "a delivery was refused; of more like it, one a minute is told here"
            );
        } else {
            tracing::debug!(reason = %refusal, "refused");
        }
    }
}

/// A delivery that is about to be answered.
pub(crate) struct Answered {
    pub(crate) outcome: Result<Answer, Refusal>,
    pub(crate) event_type: Option<EventType>,
    /// When its head came, where somebody wants to know.
    pub(crate) began: Option<Instant>,
}

fn transition(outcome: &Result<Answer, Refusal>) -> Outcome {
    Outcome::Refused(match outcome {
        Ok(Answer::Kept(Kept::New)) => return Outcome::Accepted,
        Ok(Answer::Kept(Kept::Duplicate)) => return Outcome::Duplicate,
        Ok(Answer::Unmatched) => return Outcome::Unmatched,
        Err(Refusal::Method) => RefusalReason::Method,
        Err(Refusal::TooLarge) => RefusalReason::TooLarge,
        Err(Refusal::TooSlow) => RefusalReason::TooSlow,
        Err(Refusal::Broken) => RefusalReason::Broken,
        Err(Refusal::Head) => RefusalReason::HeadTooLarge,
        Err(Refusal::Busy) => RefusalReason::Busy,
        Err(Refusal::Rate(Exceeded::Source)) => RefusalReason::SourceRate,
        Err(Refusal::Rate(Exceeded::All)) => RefusalReason::Rate,
        Err(Refusal::Source(SourceError(Source::Unknown))) => RefusalReason::NoPeer,
        Err(Refusal::Source(_)) => RefusalReason::Source,
        Err(Refusal::Signature(_)) => RefusalReason::Signature,
        Err(Refusal::Secrets) => RefusalReason::Secrets,
        Err(Refusal::Body(_)) => RefusalReason::Body,
        Err(Refusal::TooOld(_)) => RefusalReason::TooOld,
        Err(Refusal::Identity) => RefusalReason::Identity,
        Err(Refusal::Keep(error)) => match error.kind() {
            KeepErrorKind::Full => RefusalReason::InboxFull,
            KeepErrorKind::Draining => RefusalReason::ShuttingDown,
            KeepErrorKind::Storage => RefusalReason::Storage,
        },
    })
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

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Method => f.write_str("the method is not one that VoIPBIN sends with"),
            Self::TooLarge => f.write_str("the body is over the limit"),
            Self::TooSlow => f.write_str("the body did not come in time"),
            Self::Broken => f.write_str("the body broke off"),
            Self::Head => f.write_str("the headers are over the limit"),
            Self::Busy => f.write_str("as many requests are being answered as in_flight_limit allows"),
            Self::Rate(Exceeded::Source) => {
                f.write_str("its source sends more than source_rate_limit allows")
            }
            Self::Rate(Exceeded::All) => f.write_str("more comes than rate_limit allows"),
            Self::Source(error) => fmt::Display::fmt(error, f),
            Self::Signature(error) => fmt::Display::fmt(error, f),
            Self::Secrets => f.write_str(
                "no known secret makes its signature, and a source of secrets has not said which there are: refresh them",
            ),
            Self::Body(error) => fmt::Display::fmt(error, f),
            Self::TooOld(age) => write!(
                f,
                "its resource last changed {} s ago, which is over max_event_age: it was sent again by somebody, or came by a long way",
                age.as_secs()
            ),
            Self::Identity => f.write_str("the identity could not be determined"),
            Self::Keep(error) => fmt::Display::fmt(error, f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_warning_passes_once_in_each_minute() {
        let seldom = Seldom::default();
        let passed: Vec<u64> = (0..200)
            .filter(|second| seldom.may_warn(Duration::from_secs(*second)))
            .collect();
        assert_eq!(passed, [0, 60, 120, 180]);
    }
}
