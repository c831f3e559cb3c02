mod fields;

use std::fmt;

use bytes::Bytes;
use serde::ser::{Error as _, SerializeMap, SerializeStruct};
use serde::{Serialize, Serializer};
use serde_json::{Map, Value};

use crate::catalog::EventType;

/// The body of an event as the platform sends it, for tests. Made by [`event`].
///
/// It converts into [`Bytes`], so everything here that takes a body takes it. `Debug` shows the
/// names of its fields and not what they hold.
#[derive(Clone, PartialEq)]
pub struct SampleEvent {
    event_type: EventType,
    data: Map<String, Value>,
}

/// A small valid body of an event: of the catalogue, by its type, or of any other, by its name.
///
/// What the platform always writes is there, with a fixed id and account, and the status fits the
/// event; whatever else a test is about, it [sets](SampleEvent::set). An event that the catalogue
/// does not know has nothing but an id. Two samples with the same content are copies of one event
/// to a receiver: give them [ids](SampleEvent::id) of their own.
///
/// ```
/// use http::Uri;
/// use voipbin_receiver::Event;
/// use voipbin_receiver::events::CallHangup;
/// use voipbin_receiver::resource::{Call, HangupReason};
/// use voipbin_receiver::testing::{Signer, delivery, event};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// // A request for any tower service or axum app.
/// let request = Signer::new("the-webhook-secret-of-a-customer")
///     .request(Uri::from_static("/voipbin/webhook"), event(CallHangup));
/// # drop(request);
///
/// // A payload for a handler.
/// let busy = delivery(event(CallHangup).id("c7c1e226").set("hangup_reason", "busy"))?;
/// let call = Event::<Call>::read(&busy)?;
/// assert_eq!(call.hangup_reason, Some(HangupReason::Busy));
/// # Ok(()) }
/// ```
#[must_use]
pub fn event(event_type: impl Into<EventType>) -> SampleEvent {
    let event_type = event_type.into();
    let data = fields::data(&event_type);
    SampleEvent { event_type, data }
}

impl SampleEvent {
    /// The id of a sample that was given no other.
    pub const ID: &'static str = "c7c1e226-8c86-4b43-9606-2d5bb2059a09";

    /// The account of a sample, in `customer_id`.
    pub const CUSTOMER_ID: &'static str = "5e4a0680-804e-11ec-8477-2fea5968d85b";

    /// The caller, or whoever wrote, of a [typical](Self::typical) sample; of a range that is
    /// nobody's.
    pub const FROM: &'static str = "+15550111";

    /// Who was called or written to in a [typical](Self::typical) sample.
    pub const TO: &'static str = "+15550100";

    /// Adds what handlers read most often and the small sample lacks, where the event's resource
    /// has it: numbers, a text, what it is about and when it began and ended. Always the same; what
    /// a test is about it sets after this.
    ///
    /// ```
    /// use voipbin_receiver::Event;
    /// use voipbin_receiver::events::MessageCreated;
    /// use voipbin_receiver::resource::Message;
    /// use voipbin_receiver::testing::{SampleEvent, delivery, event};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let sms = delivery(event(MessageCreated).typical())?;
    /// let message = Event::<Message>::read(&sms)?;
    /// assert_eq!(message.source.target.as_deref(), Some(SampleEvent::FROM));
    /// assert!(message.text.is_some());
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn typical(mut self) -> Self {
        fields::add_typical(&self.event_type, &mut self.data);
        self
    }

    /// Sets `data.id`: which resource the event is about.
    #[must_use]
    pub fn id(self, id: impl Into<String>) -> Self {
        self.set("id", id.into())
    }

    /// Sets one field of `data`, which the platform need not know.
    ///
    /// ```
    /// use serde_json::json;
    /// use voipbin_receiver::events::MessageCreated;
    /// use voipbin_receiver::testing::event;
    ///
    /// let sms = event(MessageCreated)
    ///     .set("text", "call me back")
    ///     .set("source", json!({"type": "tel", "target": "+15550100"}));
    /// # drop(sms);
    /// ```
    #[must_use]
    pub fn set(mut self, field: impl Into<String>, value: impl Into<Value>) -> Self {
        self.data.insert(field.into(), value.into());
        self
    }

    /// Takes one field of `data` away.
    #[must_use]
    pub fn without(mut self, field: &str) -> Self {
        self.data.remove(field);
        self
    }

    /// Sets all of `data`: a struct of [`resource`](crate::resource), or one of your own.
    ///
    /// ```
    /// use voipbin_receiver::events::CallHangup;
    /// use voipbin_receiver::resource::{Call, HangupReason};
    /// use voipbin_receiver::testing::event;
    ///
    /// let mut call = Call::default();
    /// call.hangup_reason = Some(HangupReason::Busy);
    /// let body = event(CallHangup).data(&call)?.id("c7c1e226");
    /// # drop(body);
    /// # Ok::<(), serde_json::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// When it cannot be written as a JSON object.
    pub fn data(self, data: impl Serialize) -> Result<Self, serde_json::Error> {
        match serde_json::to_value(data)? {
            Value::Object(data) => Ok(Self { data, ..self }),
            _ => Err(serde_json::Error::custom(
                "the data of an event is a JSON object",
            )),
        }
    }
}

impl Serialize for SampleEvent {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut body = serializer.serialize_struct("event", 2)?;
        body.serialize_field("type", self.event_type.as_str())?;
        body.serialize_field("data", &Data(self))?;
        body.end()
    }
}

/// The fields of `data`, those that the platform knows in its order.
struct Data<'a>(&'a SampleEvent);

impl Serialize for Data<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let SampleEvent { event_type, data } = self.0;
        let known = match event_type.resource() {
            Some(kind) => kind.fields(),
            None => &["id"],
        };
        let mut map = serializer.serialize_map(Some(data.len()))?;
        for name in known {
            if let Some(value) = data.get(*name) {
                map.serialize_entry(name, value)?;
            }
        }
        for (name, value) in data {
            if !known.contains(&name.as_str()) {
                map.serialize_entry(name, value)?;
            }
        }
        map.end()
    }
}

impl From<SampleEvent> for Bytes {
    fn from(event: SampleEvent) -> Self {
        Self::from(&event)
    }
}

impl From<&SampleEvent> for Bytes {
    fn from(event: &SampleEvent) -> Self {
        // JSON values under string keys can always be written.
        serde_json::to_vec(event).unwrap_or_default().into()
    }
}

impl fmt::Debug for SampleEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SampleEvent")
            .field("type", &self.event_type.loggable())
            .field("fields", &self.data.keys())
            .finish()
    }
}

#[cfg(test)]
mod tests;
