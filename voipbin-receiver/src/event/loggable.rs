use std::fmt;

use tracing::Span;
use tracing::field::{self, Empty};

use super::delivery::Delivery;
use super::handler_name::HandlerName;
use super::identity::Identity;
use crate::catalog::EventType;

/// A resource's id as logs may show it: a UUID as it is, and anything else, which whoever writes a
/// flow can choose, as a hash. So is a UUID that is itself a credential. See
/// [`Delivery::loggable_id`](super::Delivery::loggable_id).
#[derive(Clone, Copy)]
pub struct LoggableId<'a> {
    id: &'a str,
    secret: bool,
}

impl<'a> LoggableId<'a> {
    /// An id that is a secret or not.
    pub(super) fn new(id: &'a str, secret: bool) -> Self {
        Self { id, secret }
    }
}

impl fmt::Display for LoggableId<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.secret || !is_uuid(self.id) {
            write!(f, "hash:{}", Identity::of_credential(self.id.as_bytes()))
        } else {
            f.write_str(self.id)
        }
    }
}

impl fmt::Debug for LoggableId<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Both spans are at `debug`: what they show is formatted when they are made, for each delivery.
/// What is logged at higher levels names the delivery itself.
///
/// No span outlives what it is of: an event may wait for days, and in another process.
///
/// Fields with a dot are those of `tracing-opentelemetry`, and of [OpenTelemetry's conventions for
/// messaging](https://opentelemetry.io/docs/specs/semconv/messaging/messaging-spans/): a delivery
/// is sent to its handlers, and each attempt processes it.
impl Delivery {
    /// From the inbox to the answer.
    pub(crate) fn span(&self) -> Span {
        tracing::debug_span!(
            "voipbin.delivery",
            event = self.received_as().map(EventType::loggable),
            resource_id = self.loggable_id().map(field::display),
            identity = %self.identity(),
            origin = self.origin().as_str(),
            outcome = Empty,
            "messaging.system" = "voipbin",
            "messaging.operation.type" = "send",
            "otel.kind" = "producer",
            "otel.status_code" = Empty,
        )
    }

    /// An attempt of a handler.
    pub(crate) fn handler_span(&self, handler: &HandlerName, attempt: u32) -> Span {
        tracing::debug_span!(
            parent: None,
            "voipbin.handle",
            event = self.received_as().map(EventType::loggable),
            resource_id = self.loggable_id().map(field::display),
            identity = %self.identity(),
            origin = self.origin().as_str(),
            %handler,
            attempt,
            "messaging.system" = "voipbin",
            "messaging.operation.type" = "process",
            "otel.kind" = "consumer",
            "otel.status_code" = Empty,
            "error.type" = Empty,
        )
    }
}

fn is_uuid(id: &str) -> bool {
    id.len() == 36
        && id.bytes().enumerate().all(|(place, byte)| match place {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}
