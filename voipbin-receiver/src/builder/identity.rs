//! Settings of what the identity of a delivery is, and which deliveries are kept.

use super::ReceiverBuilder;
use crate::event::Delivery;
use crate::inbox::Repeats;

impl ReceiverBuilder {
    /// Chooses the identity of deliveries by a function that sees the verified delivery. It is
    /// hashed; `None` leaves the delivery its own.
    ///
    /// Deliveries for which it gives the same bytes are one: all but the first are answered 200 and
    /// dropped. What goes wrong when it is wrong: `type` and `data.id` alone drop every second
    /// `call_updated`; `data.id` and `data.status` merge different events as well. Leave out
    /// nothing that tells two events apart, or do not set it: the default is the content itself.
    ///
    /// It runs on the path of the answer and must be quick. When it panics the sender gets a 503.
    ///
    /// ```
    /// use voipbin_receiver::catalog::Custom;
    /// use voipbin_receiver::{Delivery, Receiver};
    ///
    /// # fn main() -> Result<(), voipbin_receiver::BuildError> {
    /// #[derive(serde::Deserialize)]
    /// struct Order {
    ///     order_id: String,
    /// }
    ///
    /// let receiver = Receiver::builder()
    ///     .secret("the-webhook-secret-of-a-customer")
    ///     // Our flow sends `{"order_id": …}` and means each order once.
    ///     .identity(|delivery: &Delivery| {
    ///         let order = delivery.payload::<Order>().ok().filter(|_| delivery.is_custom())?;
    ///         Some(order.order_id.clone().into_bytes())
    ///     })
    ///     .on(Custom, |delivery: Delivery| async move { drop(delivery) })
    ///     .build()?;
    /// # Ok(()) }
    /// ```
    pub fn identity<F>(mut self, identity: F) -> Self
    where
        F: Fn(&Delivery) -> Option<Vec<u8>> + Send + Sync + 'static,
    {
        self.identity = Some(Box::new(identity));
        self
    }

    /// What happens to repeats of deliveries that carry no identity of their own: custom
    /// deliveries, and events without a resource id.
    ///
    /// By default they are handled each time, and marked by
    /// [`Context::possible_repeat`](crate::Context::possible_repeat) when the same bytes came
    /// within 100 seconds. [`Repeats::Drop`] treats them like all others.
    pub fn repeats(mut self, repeats: Repeats) -> Self {
        self.repeats = repeats;
        self
    }

    /// Gives deliveries that no handler is registered for to the inbox as well, which then knows
    /// them again; off by default.
    pub fn keep_unmatched(mut self) -> Self {
        self.keep_unmatched = true;
        self
    }
}
