//! Settings of how handlers run.

#[cfg(feature = "history")]
use std::time::Duration;

use tower_layer::Layer;
use tower_service::Service;

use super::ReceiverBuilder;
use crate::event::{Delivery, LaneChoice};
use crate::handler::{Context, HandlerError, HandlerOptions, HandlerService, box_layer};

impl ReceiverBuilder {
    /// The default of [`concurrency`](Self::concurrency).
    pub const DEFAULT_CONCURRENCY: usize = 256;

    /// How many handlers may run at once; 256 by default. One that failed and waits for its next
    /// attempt does not count.
    ///
    /// A quarter of the slots is shared out and set aside: a handler that hangs in all that it can
    /// get still leaves some for each of the others.
    pub fn concurrency(mut self, handlers: usize) -> Self {
        self.concurrency = handlers;
        self
    }

    /// Has no handler begin until a [catch-up](crate::Receiver::catch_up) has ended or, at the
    /// latest, until this time has passed: for one at the start. By default they begin at once.
    ///
    /// Events are taken and kept all the while. An inbox that is full when something is recovered,
    /// a drain and a shutdown end it. Then what an earlier process left is handled first, what was
    /// recovered next, and what has come since after that, as far as it is among the first 4,096
    /// jobs of the inbox.
    #[cfg(feature = "history")]
    pub fn hold_for_catch_up(mut self, most: Duration) -> Self {
        self.hold = Some(most);
        self
    }

    /// What all handlers are held to that do not say otherwise: attempts, timeout, order; see
    /// [`HandlerOptions`] for each and its default. What is not said here stays as it was.
    pub fn handler_options(mut self, options: HandlerOptions) -> Self {
        self.options = options.or(&self.options);
        self
    }

    /// Chooses which deliveries a handler gets one after the other, in the order in which they were
    /// kept: those for which this gives the same key. `None` is for deliveries that need no order.
    ///
    /// By default that is [`Delivery::lane_id`]: the events of one call, message or recording do
    /// not overlap, and different ones run side by side. Each handler has lanes of its own. A
    /// further attempt at an event may run after later events of its lane, unless the handler is
    /// [strict](HandlerOptions::strict).
    ///
    /// It is called on the path of the answer, as the lane is kept with the event: it must be
    /// quick. An event that is kept stays in the lane that it was kept with: when a release changes
    /// this function, two events of what is now one lane can overlap while the older of them is
    /// unfinished. Where that matters, let the inbox run empty first: stop what comes in, and wait
    /// until `stats().inbox.events` is zero.
    ///
    /// ```
    /// use voipbin_receiver::{Delivery, Receiver};
    ///
    /// #[derive(serde::Deserialize)]
    /// struct Owned {
    ///     customer_id: String,
    /// }
    ///
    /// # fn main() -> Result<(), voipbin_receiver::BuildError> {
    /// let receiver = Receiver::builder()
    ///     .secret("the-webhook-secret-of-a-customer")
    ///     // One at a time for each account.
    ///     .lane_key(|delivery: &Delivery| {
    ///         Some(delivery.payload::<Owned>().ok()?.customer_id.clone())
    ///     })
    ///     .on(voipbin_receiver::catalog::Any, |delivery: Delivery| async move { drop(delivery) })
    ///     .build()?;
    /// # Ok(()) }
    /// ```
    pub fn lane_key<F>(mut self, key: F) -> Self
    where
        F: Fn(&Delivery) -> Option<String> + Send + Sync + 'static,
    {
        self.lanes = LaneChoice::Chosen(Box::new(key));
        self
    }

    /// Lets all events run side by side, also those of one resource. By default those run one after
    /// the other; see [`lane_key`](Self::lane_key).
    pub fn without_lanes(mut self) -> Self {
        self.lanes = LaneChoice::Off;
        self
    }

    /// Wraps all handlers in a layer of tower's, around the layers that were given before; see
    /// [`Registration::layer`](crate::Registration::layer).
    ///
    /// ```
    /// use std::time::Duration;
    /// use voipbin_receiver::Receiver;
    /// use voipbin_receiver::catalog::Any;
    ///
    /// # fn main() -> Result<(), voipbin_receiver::BuildError> {
    /// let receiver = Receiver::builder()
    ///     .secret("the-webhook-secret-of-a-customer")
    ///     .on(Any, || async {})
    ///     .layer(tower::limit::GlobalConcurrencyLimitLayer::new(4))
    ///     .build()?;
    /// # Ok(()) }
    /// ```
    pub fn layer<L>(mut self, layer: L) -> Self
    where
        L: Layer<HandlerService> + Send + Sync + 'static,
        L::Service: Service<Context, Response = (), Error: Into<HandlerError>, Future: Send>
            + Clone
            + Send
            + Sync
            + 'static,
    {
        self.layers.push(box_layer(layer));
        self
    }
}
