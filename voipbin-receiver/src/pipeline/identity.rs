//! Who a delivery is, and whether it may still come.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::Pipeline;
use crate::catalog::EventType;
use crate::event::{Delivery, Identity, Origin};
use crate::inbox::Repeats;
use crate::observe::{Refusal, RefusalReason};

/// A user's choice of what the identity of a delivery is. `None` leaves it as it is.
pub(crate) type IdentityFn = dyn Fn(&Delivery) -> Option<Vec<u8>> + Send + Sync;

impl Pipeline {
    /// A signature holds for ever, so whoever has seen a request can send it again when its
    /// identity is forgotten. Only events of the catalogue are judged, as what a flow sends has
    /// times of its own, and only webhooks: what was missed is old.
    pub(super) fn check_age(&self, delivery: &Delivery) -> Result<(), Refusal> {
        let limit = self.max_event_age;
        let limit = limit.filter(|_| delivery.origin() == Origin::Webhook);
        let Some(age) = limit.and_then(|limit| delivery.age().filter(|age| *age > limit)) else {
            return Ok(());
        };
        let event = delivery.received_as().map(EventType::loggable);
        tracing::debug!(event, identity = %delivery.identity(), "over max_event_age");
        Err(Refusal::TooOld(age))
    }

    /// Who the delivery is, and what that is worth.
    pub(super) fn identify(&self, delivery: Delivery) -> Result<(Delivery, Repeats), Refusal> {
        if let Some(choose) = &self.identity {
            let chosen = catch_unwind(AssertUnwindSafe(|| choose(&delivery)));
            if let Some(identity) = chosen.map_err(|_| RefusalReason::Identity)? {
                let identity = Identity::of_chosen(&identity);
                return Ok((delivery.identified(identity), Repeats::Drop));
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
