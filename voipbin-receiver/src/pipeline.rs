//! The whole order of a delivery, on one screen: from the head of a request to its answer.
//!
//! The service maps its result to HTTP. What is no webhook enters at [`Pipeline::accept`].

mod accept;
mod body;
mod identity;
mod webhook;

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use http::request::Parts;
use http_body::Body;

use self::accept::AcceptFuture;
pub(crate) use self::identity::IdentityFn;
pub(crate) use self::webhook::WebhookFuture;
use self::webhook::WebhookStateProjection as WebhookState;
use crate::clock::Clock;
use crate::event::{Delivery, LaneChoice, Origin, VerifiedBody, classify, content_type};
use crate::gate::{self, Gate, InFlightPermit};
use crate::inbox::{Inbox, Incoming, Repeats};
use crate::observe::{Accepted, OutcomeRecorder, Refusal, RefusalReason, Trace};
use crate::router::Router;

pub(crate) struct Pipeline {
    pub(crate) gate: Gate,
    pub(crate) router: Router,
    pub(crate) inbox: Arc<dyn Inbox>,
    pub(crate) identity: Option<Box<IdentityFn>>,
    pub(crate) lane: LaneChoice,
    /// What happens to repeats of deliveries that have no identity of their own.
    pub(crate) repeats: Repeats,
    pub(crate) keep_unmatched: bool,
    /// Whether nothing is kept: in a worker always, and from a drain on. The sender is to try
    /// another machine.
    pub(crate) closed: AtomicBool,
    /// How old an event may be by its own word.
    pub(crate) max_event_age: Option<Duration>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) recorder: OutcomeRecorder,
}

impl<B: Body> WebhookFuture<B> {
    /// As a future's `poll`. Its head was [admitted](Pipeline::admit) when it was made.
    pub(crate) fn poll(
        self: Pin<&mut Self>,
        pipeline: &Pipeline,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Accepted, Refusal>> {
        let mut this = self.project();
        let result = loop {
            let bytes = match this.state.as_mut().project() {
                WebhookState::Refused { refusal } => break Err(refusal.take().unwrap_or_default()),
                WebhookState::Reading { body } => {
                    ready!(body.poll_read(&pipeline.gate.limits, cx))
                }
                WebhookState::Accepting { future } => break ready!(Pin::new(future).poll(cx)),
            };
            let accepted = bytes
                .and_then(|(bytes, owned)| pipeline.verify(this.headers, bytes, owned))
                .and_then(|body| {
                    let kind = content_type(this.headers);
                    pipeline.accept(body, kind, Origin::Webhook, this.trace)
                });
            match accepted {
                Ok(future) => this.state.as_mut().accept(future),
                Err(refusal) => break Err(refusal),
            }
        };
        *this.permit = None;
        pipeline.recorder.record(&result, this.trace);
        Poll::Ready(result)
    }
}

impl Pipeline {
    /// By the head alone, before anything is read: cheap checks first, and those that count last.
    fn admit(&self, head: &Parts, length: u64) -> Result<InFlightPermit, Refusal> {
        if !gate::accepts_method(&head.method) {
            return Err(RefusalReason::Method.into());
        }
        if !self.gate.limits.allow(&head.headers) {
            return Err(RefusalReason::HeadTooLarge.into());
        }
        if length > self.gate.limits.body as u64 {
            return Err(RefusalReason::TooLarge.into());
        }
        let source = self.gate.sources.check(head)?;
        self.gate.rates.check(source)?;
        let permit = self.gate.in_flight.try_acquire();
        permit.ok_or(RefusalReason::Busy.into())
    }

    /// By the signature over the raw bytes.
    fn verify(
        &self,
        headers: &HeaderMap,
        bytes: Bytes,
        owned: bool,
    ) -> Result<VerifiedBody, Refusal> {
        let now = self.clock.wall();
        Ok(self.gate.verifier.verify(headers, bytes, owned, now)?)
    }

    /// Envelope, handlers, age, identity, inbox: after the gate, whatever the origin. Nothing is
    /// remembered before the inbox has the delivery, and handing it over is this call.
    pub(crate) fn accept(
        &self,
        body: VerifiedBody,
        content_type: Option<&str>,
        origin: Origin,
        trace: &mut Trace,
    ) -> Result<AcceptFuture, Refusal> {
        let envelope = classify(&body.bytes)?;
        self.recorder.note_type(envelope.event_type.as_ref(), trace);
        let handlers = self.router.route(&envelope, &body.bytes);
        if handlers.is_empty() && !self.keep_unmatched {
            self.recorder.note_unmatched(envelope.event_type.as_ref());
            return Ok(AcceptFuture::Unmatched);
        }
        if self.closed.load(Ordering::Relaxed) {
            return Err(RefusalReason::ShuttingDown.into());
        }
        let delivery = Delivery::new(body, envelope, self.clock.wall(), content_type, origin);
        self.check_age(&delivery)?;
        let (delivery, repeats) = self.identify(delivery)?;
        let (delivery, span) = self.recorder.enter(delivery, trace);
        let lane = self.lane.of(&delivery);
        let incoming = Incoming::new(delivery, handlers, repeats).in_lane(lane);
        Ok(AcceptFuture::Reply(
            span.in_scope(|| self.inbox.keep(incoming)),
        ))
    }
}
