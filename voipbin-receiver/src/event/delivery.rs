use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use serde::de::DeserializeOwned;

use super::envelope::Envelope;
#[cfg(any(test, feature = "testing"))]
use super::envelope::{BodyError, classify};
use super::head::{Head, Part, Text, text_at};
use super::identity::Identity;
use super::loggable::LoggableId;
use super::origin::Origin;
use super::payload::{Payload, PayloadError};
use super::time::Time;
use super::trace_context::TraceContext;
use crate::catalog::{EventType, ResourceKind};

/// How a body proved where it comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Proof {
    /// Its signature matched a configured secret.
    Signed,
    /// It had no signature: the receiver allows that, or it came from [elsewhere](Origin).
    Unsigned,
}

/// Bytes that passed the gate, and the identity that follows from them. Only the gate makes one.
pub(crate) struct VerifiedBody {
    pub(crate) bytes: Bytes,
    /// Whether the bytes are in memory of their own; otherwise they are a slice of the connection's
    /// buffer.
    pub(crate) owned: bool,
    pub(crate) proof: Proof,
    pub(crate) identity: Identity,
}

/// One thing that the platform delivered: the exact bytes, what they are and who they are.
///
/// Cheap to clone; all clones share the bytes. Everything that it tells comes from the verified
/// body. `Debug` shows no payload.
#[derive(Clone)]
pub struct Delivery(Arc<Inner>);

#[derive(Clone)]
struct Inner {
    body: Bytes,
    /// As it came; `None` for a custom delivery.
    event_type: Option<EventType>,
    /// Where the payload is in the body, and in it the resource's id, if it has one.
    data: Range<u32>,
    id: Option<Range<u32>>,
    last_change: Option<Time>,
    identity: Identity,
    proof: Proof,
    origin: Origin,
    received_at: SystemTime,
    rare: Option<Box<RareFields>>,
    payload: Payload,
}

/// What few deliveries have.
#[derive(Clone, Default, PartialEq)]
struct RareFields {
    /// The resource's id where it was written with escapes.
    unescaped_id: Option<Box<str>>,
    part: Option<Part>,
    /// Where it is not [`JSON`].
    content_type: Option<Box<str>>,
    trace_context: Option<TraceContext>,
}

/// The content type of all events.
pub(super) const JSON: &str = "application/json";

impl Delivery {
    /// A delivery of a verified body and what it was found to be. A body that lies in the
    /// connection's buffer is copied out: a slice of it would hold the whole buffer in memory for
    /// as long as the event waits.
    pub(crate) fn new(
        body: VerifiedBody,
        envelope: Envelope,
        received_at: SystemTime,
        content_type: Option<&str>,
        origin: Origin,
    ) -> Self {
        let content_type = content_type.unwrap_or_default();
        let Head {
            id,
            last_change,
            part,
        } = envelope.head;
        let (id, unescaped_id) = match id {
            Some(Text::At(place)) => (Some(place), None),
            Some(Text::Unescaped(id)) => (None, Some(id)),
            None => (None, None),
        };
        let rare = RareFields {
            unescaped_id,
            part,
            content_type: (content_type != JSON).then(|| content_type.into()),
            trace_context: None,
        };
        Self(Arc::new(Inner {
            body: if body.owned {
                body.bytes
            } else {
                Bytes::copy_from_slice(&body.bytes)
            },
            event_type: envelope.event_type,
            data: envelope.payload,
            id,
            last_change,
            identity: body.identity,
            proof: body.proof,
            origin,
            received_at,
            rare: (rare != RareFields::default()).then(|| Box::new(rare)),
            payload: Payload::default(),
        }))
    }

    /// A delivery with this body, as a receiver that allows unsigned ones makes it.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn unsigned(bytes: Bytes, received_at: SystemTime) -> Result<Self, BodyError> {
        let envelope = classify(&bytes)?;
        let body = VerifiedBody {
            identity: Identity::of_unsigned(&bytes),
            bytes,
            owned: true,
            proof: Proof::Unsigned,
        };
        Ok(Self::new(
            body,
            envelope,
            received_at,
            Some(JSON),
            Origin::Webhook,
        ))
    }

    /// The type of the event under its current name, or `None` for a custom delivery.
    ///
    /// An older name is resolved here: `call_hungup` reads [`EventType::CallHangup`]. What really
    /// came is [`received_as`](Self::received_as).
    #[must_use]
    pub fn event_type(&self) -> Option<EventType> {
        self.received_as().map(EventType::canonical)
    }

    /// The type exactly as it came, or `None` for a custom delivery.
    #[must_use]
    pub fn received_as(&self) -> Option<&EventType> {
        self.0.event_type.as_ref()
    }

    /// Whether this is valid JSON other than an envelope, as the flow action `webhook_send` sends.
    #[must_use]
    pub fn is_custom(&self) -> bool {
        self.0.event_type.is_none()
    }

    /// The kind of resource that the event carries, as far as the catalogue knows it.
    #[must_use]
    pub fn resource_kind(&self) -> Option<ResourceKind> {
        self.received_as().and_then(EventType::resource)
    }

    /// `data.id`, unless it is absent, empty or the nil UUID.
    ///
    /// The id of a webchat session is a credential: for logs there is
    /// [`loggable_id`](Self::loggable_id).
    #[must_use]
    pub fn resource_id(&self) -> Option<&str> {
        match &self.0.id {
            Some(place) => Some(text_at(&self.0.body, place)),
            None => self.rare()?.unescaped_id.as_deref(),
        }
    }

    /// The id whose events belong in one order: that of the resource or, where it is a part of
    /// another, of that one, such as the transcription of a transcript, the AI call of an AI
    /// message or the chat of a chat message. `None` for a custom delivery and for an event without
    /// an id.
    #[must_use]
    pub fn lane_id(&self) -> Option<&str> {
        let container = self.part().and_then(|part| part.container_id.as_deref());
        container.or_else(|| self.resource_id())
    }

    /// The resource's id in a form that may be logged: hashed unless it is a UUID and no
    /// credential.
    #[must_use]
    pub fn loggable_id(&self) -> Option<LoggableId<'_>> {
        let id = self.resource_id()?;
        let secret = self.received_as().is_some_and(EventType::id_is_credential);
        Some(LoggableId::new(id, secret))
    }

    /// When the resource was last changed or, while that has not happened, created, as the payload
    /// tells. Events come in any order: of two with the same resource id, the later one counts.
    #[must_use]
    pub fn last_change(&self) -> Option<Time> {
        self.0.last_change
    }

    /// How long ago, as of its receipt, the event's resource last changed; `None` for what is no
    /// event of the catalogue or does not tell.
    pub(crate) fn age(&self) -> Option<Duration> {
        self.resource_kind()?;
        let received_at = Time::try_from(self.received_at()).ok()?;
        received_at.since(self.last_change()?)
    }

    /// The number of this part, for the one resource that is sent in parts.
    pub(crate) fn sequence(&self) -> Option<i64> {
        self.part()?.sequence
    }

    /// Who this delivery is: copies of it have the same identity.
    #[must_use]
    pub fn identity(&self) -> Identity {
        self.0.identity
    }

    /// Whether two deliveries with this identity are certainly the same event.
    ///
    /// A custom delivery, or an event without a resource id, can repeat byte for byte and mean
    /// something new each time.
    #[must_use]
    pub fn has_own_identity(&self) -> bool {
        self.resource_id().is_some()
    }

    /// How the body proved where it comes from.
    #[must_use]
    pub fn proof(&self) -> Proof {
        self.0.proof
    }

    /// How it came to the receiver.
    #[must_use]
    pub fn origin(&self) -> Origin {
        self.0.origin
    }

    /// When the receiver had read the whole body, by the machine's clock.
    #[must_use]
    pub fn received_at(&self) -> SystemTime {
        self.0.received_at
    }

    /// The `Content-Type` that the body came with; empty when it came with none.
    ///
    /// Every event of the platform has `application/json`; the flow action `webhook_send` sends
    /// what its author wrote. A header is not signed: do not decide anything by it.
    #[must_use]
    pub fn content_type(&self) -> &str {
        self.other_content_type().unwrap_or(JSON)
    }

    /// The content type unless it is the usual one.
    pub(crate) fn other_content_type(&self) -> Option<&str> {
        self.rare()?.content_type.as_deref()
    }

    /// The span in which it was received, where a
    /// [`Propagator`](crate::observe::Propagator) tells it.
    #[must_use]
    pub fn trace_context(&self) -> Option<&TraceContext> {
        self.rare()?.trace_context.as_ref()
    }

    fn rare(&self) -> Option<&RareFields> {
        self.0.rare.as_deref()
    }

    fn part(&self) -> Option<&Part> {
        self.rare()?.part.as_ref()
    }

    /// The body exactly as it came. It is personal data, and some bodies hold credentials: do not
    /// log it.
    #[must_use]
    pub fn body(&self) -> &Bytes {
        &self.0.body
    }

    /// The payload as it was written: `data` of an envelope, the whole body of a custom delivery.
    #[must_use]
    pub fn payload_json(&self) -> &str {
        text_at(&self.0.body, &self.0.data)
    }

    /// The payload as a `T`, read once for all handlers that ask for the type that was asked for
    /// first.
    ///
    /// # Errors
    ///
    /// When the JSON does not fit `T`. The error names the place, never the content.
    pub fn payload<T>(&self) -> Result<Arc<T>, PayloadError>
    where
        T: DeserializeOwned + Send + Sync + 'static,
    {
        self.payload_by(|json| serde_json::from_str(json))
    }

    /// The same, by a function that reads what is known to be JSON.
    pub(crate) fn payload_by<T>(
        &self,
        read: fn(&str) -> serde_json::Result<T>,
    ) -> Result<Arc<T>, PayloadError>
    where
        T: Send + Sync + 'static,
    {
        self.0.payload.get(self.payload_json(), read)
    }

    /// The same delivery under the identity that a user's function chose. The function may have
    /// kept a clone of the one it saw.
    pub(crate) fn identified(self, identity: Identity) -> Self {
        let inner = Arc::unwrap_or_clone(self.0);
        Self(Arc::new(Inner { identity, ..inner }))
    }

    /// The same delivery, received in this span.
    pub(crate) fn in_trace(self, context: Option<TraceContext>) -> Self {
        if context.is_none() {
            return self;
        }
        let mut inner = Arc::unwrap_or_clone(self.0);
        inner.rare.get_or_insert_default().trace_context = context;
        Self(Arc::new(inner))
    }
}

impl fmt::Debug for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Delivery")
            .field("event_type", &self.received_as().map(EventType::loggable))
            .field("resource_id", &self.loggable_id())
            .field("identity", &self.0.identity)
            .field("proof", &self.proof())
            .field("origin", &self.origin())
            .field("bytes", &self.0.body.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
