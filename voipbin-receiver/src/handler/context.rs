use std::any::Any;
use std::fmt;
use std::sync::{Arc, Weak};
use std::time::SystemTime;

use crate::catalog::EventType;
use crate::event::{Delivery, HandlerName, Identity, Origin, RecordId};

/// What a run holds for as long as it lives, and a blocking one's thread for as long as that does:
/// a clone of the context does not.
pub(crate) trait RunPermit: Send + Sync {
    /// Whether the job may be somebody else's by now.
    fn is_lost(&self) -> bool;

    /// The lease of its job.
    fn lease(&self) -> Option<Arc<dyn Any + Send + Sync>>;
}

/// That of a context without a run.
enum NoPermit {}

impl RunPermit for NoPermit {
    fn is_lost(&self) -> bool {
        match *self {}
    }

    fn lease(&self) -> Option<Arc<dyn Any + Send + Sync>> {
        match *self {}
    }
}

/// What a handler may know about the run it is in, beside the payload.
///
/// Ask for it as an argument, in any place:
///
/// ```
/// use voipbin_receiver::{Context, HandlerError, on};
///
/// #[on(any)]
/// async fn audit(context: Context) -> Result<(), HandlerError> {
///     println!("{} {}", context.identity(), context.attempt());
///     Ok(())
/// }
/// ```
#[derive(Clone)]
pub struct Context {
    delivery: Delivery,
    handler: HandlerName,
    attempt: u32,
    possible_repeat: bool,
    replay_of: Option<RecordId>,
    stale: bool,
    permit: Weak<dyn RunPermit>,
}

impl Context {
    /// The context of a first attempt.
    pub(crate) fn new(delivery: Delivery, handler: HandlerName) -> Self {
        Self {
            delivery,
            handler,
            attempt: 1,
            possible_repeat: false,
            replay_of: None,
            stale: false,
            permit: Weak::<NoPermit>::new(),
        }
    }

    pub(crate) fn holding(self, permit: Weak<dyn RunPermit>) -> Self {
        Self { permit, ..self }
    }

    /// What the run holds; `None` when it is over.
    pub(crate) fn permit(&self) -> Option<Arc<dyn RunPermit>> {
        self.permit.upgrade()
    }

    pub(crate) fn behind(self, stale: bool) -> Self {
        Self { stale, ..self }
    }

    pub(crate) fn attempt_number(self, attempt: u32) -> Self {
        Self { attempt, ..self }
    }

    pub(crate) fn repeating(self, possible_repeat: bool, replay_of: Option<RecordId>) -> Self {
        Self {
            possible_repeat,
            replay_of,
            ..self
        }
    }

    /// The delivery: its exact bytes, type, resource and identity.
    #[must_use]
    pub fn delivery(&self) -> &Delivery {
        &self.delivery
    }

    /// The type of the event under its current name, or `None` for a custom delivery.
    #[must_use]
    pub fn event_type(&self) -> Option<EventType> {
        self.delivery.event_type()
    }

    /// Who the delivery is: the key to make your own work idempotent with.
    #[must_use]
    pub fn identity(&self) -> Identity {
        self.delivery.identity()
    }

    /// How the delivery came to the receiver: as a webhook, or from elsewhere.
    #[must_use]
    pub fn origin(&self) -> Origin {
        self.delivery.origin()
    }

    /// When the receiver had read the whole request.
    #[must_use]
    pub fn received_at(&self) -> SystemTime {
        self.delivery.received_at()
    }

    /// The name of the registration that runs.
    #[must_use]
    pub fn handler(&self) -> &HandlerName {
        &self.handler
    }

    /// Which attempt of this handler at this delivery it is, from 1. Those during which the process
    /// died are counted.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.attempt
    }

    /// Whether the same bytes came shortly before and this may be the sender's next try.
    ///
    /// Only ever true for deliveries that carry no identity of their own: a custom delivery, or an
    /// event without a resource id. They can repeat byte for byte and mean something new, so they
    /// are marked and never dropped unless the builder was told to.
    #[must_use]
    pub fn possible_repeat(&self) -> bool {
        self.possible_repeat
    }

    /// Whether this handler has already completed a later state of this resource: the platform
    /// sends in no order, and a `call_progressing` can come after its `call_hangup`.
    ///
    /// States are ordered by the resource's last change and, for AI messages that are sent in
    /// parts, by the number of the part. An event is not stale when nothing tells its place, when
    /// the times are equal, and when it is a replay. What was completed is remembered for the last
    /// 32,768 resources of this process, and of those that a catch-up has read; to be sure over
    /// restarts, store the
    /// [`last_change`](crate::Delivery::last_change) with what you write.
    #[must_use]
    pub fn is_stale(&self) -> bool {
        self.stale
    }

    /// Whether this run's job may be somebody else's by now, of an inbox that several processes
    /// share: what this run does from here on may be done twice, and its outcome does not count.
    ///
    /// An async handler is dropped at its next await then; one that blocks its thread can ask from
    /// time to time. Always `false` for an inbox of this process alone.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        self.permit().is_some_and(|permit| permit.is_lost())
    }

    /// The record that this run is a replay of, when somebody asked for the event to be handled
    /// anew.
    #[must_use]
    pub fn replay_of(&self) -> Option<RecordId> {
        self.replay_of
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context")
            .field("delivery", &self.delivery)
            .field("handler", &self.handler)
            .field("attempt", &self.attempt)
            .field("possible_repeat", &self.possible_repeat)
            .field("replay_of", &self.replay_of)
            .field("stale", &self.stale)
            .finish_non_exhaustive()
    }
}
