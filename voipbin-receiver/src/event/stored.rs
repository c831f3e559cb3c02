use std::time::SystemTime;

use bytes::Bytes;

use super::delivery::{Delivery, Proof, VerifiedBody};
use super::envelope::{BodyError, classify};
use super::identity::Identity;
use super::origin::Origin;
use super::trace_context::TraceContext;

/// The parts of a delivery that an inbox stores, and makes it of again.
///
/// What is stored was verified before; making a delivery of it trusts the store.
///
/// ```
/// use voipbin_receiver::inbox::StoredDelivery;
/// use voipbin_receiver::testing::delivery;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let kept = delivery(r#"{"type":"call_hangup","data":{"id":"c7c1e226"}}"#)?;
/// let again = StoredDelivery::of(&kept).restore()?;
/// assert_eq!(again.identity(), kept.identity());
/// assert_eq!(again.body(), kept.body());
/// # Ok(()) }
/// ```
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct StoredDelivery {
    /// The body, byte for byte.
    pub body: Bytes,
    /// Its identity, which cannot be told from the body alone.
    pub identity: Identity,
    /// How it proved where it comes from.
    pub proof: Proof,
    /// How it came to the receiver.
    pub origin: Origin,
    /// When it was received.
    pub received_at: SystemTime,
    /// Its content type; `None` for `application/json`.
    pub content_type: Option<String>,
    /// The span in which it was received, where that is known.
    pub trace_context: Option<TraceContext>,
}

impl StoredDelivery {
    /// A webhook of the platform's content type.
    #[must_use]
    pub fn new(body: Bytes, identity: Identity, proof: Proof, received_at: SystemTime) -> Self {
        Self {
            body,
            identity,
            proof,
            origin: Origin::Webhook,
            received_at,
            content_type: None,
            trace_context: None,
        }
    }

    /// The parts of this delivery.
    #[must_use]
    pub fn of(delivery: &Delivery) -> Self {
        Self {
            body: delivery.body().clone(),
            identity: delivery.identity(),
            proof: delivery.proof(),
            origin: delivery.origin(),
            received_at: delivery.received_at(),
            content_type: delivery.other_content_type().map(str::to_owned),
            trace_context: delivery.trace_context().cloned(),
        }
    }

    /// The delivery.
    ///
    /// # Errors
    ///
    /// When the body is not JSON, as no delivery's is.
    pub fn restore(self) -> Result<Delivery, BodyError> {
        let Self {
            body,
            identity,
            proof,
            origin,
            received_at,
            content_type,
            trace_context,
        } = self;
        let envelope = classify(&body)?;
        let body = VerifiedBody {
            bytes: body,
            owned: true,
            proof,
            identity,
        };
        let delivery = Delivery::new(
            body,
            envelope,
            received_at,
            Some(content_type.as_deref().unwrap_or(super::delivery::JSON)),
            origin,
        );
        Ok(delivery.in_trace(trace_context))
    }
}

impl std::fmt::Debug for StoredDelivery {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StoredDelivery")
            .field("identity", &self.identity)
            .field("proof", &self.proof)
            .field("bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}
