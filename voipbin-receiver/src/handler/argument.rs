use std::any::{Any, TypeId, type_name};
use std::collections::HashMap;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use serde::de::DeserializeOwned;

use super::context::Context;
use super::error::HandlerError;
use crate::catalog::{Carries, EventType};
use crate::event::{Delivery, PayloadError};

/// The event, with its payload as a `T`.
///
/// It dereferences to the payload, which is read once per delivery for all handlers that ask for the
/// type that was asked for first. It stays in memory until the last of them has ended: a
/// [`serde_json::Value`] takes many times the bytes it was read from, a resource's struct few.
///
/// ```
/// use voipbin_receiver::resource::Call;
/// use voipbin_receiver::{Event, HandlerError, on};
///
/// #[on(CallHangup)]
/// async fn log_end(call: Event<Call>) -> Result<(), HandlerError> {
///     println!("{:?} ended", call.id);
///     Ok(())
/// }
/// ```
pub struct Event<T> {
    payload: Arc<T>,
    delivery: Delivery,
}

impl<T> Event<T>
where
    T: DeserializeOwned + Send + Sync + 'static,
{
    /// Reads a delivery's payload as a `T`, for handlers that implement
    /// [`EventHandler`](super::EventHandler) and for tests.
    ///
    /// # Errors
    ///
    /// When the payload does not fit.
    pub fn read(delivery: &Delivery) -> Result<Self, PayloadError> {
        Ok(Self {
            payload: delivery.payload()?,
            delivery: delivery.clone(),
        })
    }
}

impl<T> Event<T> {
    /// The payload, shared.
    #[must_use]
    pub fn payload(&self) -> &Arc<T> {
        &self.payload
    }

    /// The delivery that the event came in.
    #[must_use]
    pub fn delivery(&self) -> &Delivery {
        &self.delivery
    }

    /// The type of the event under its current name, or `None` for a custom delivery.
    #[must_use]
    pub fn event_type(&self) -> Option<EventType> {
        self.delivery.event_type()
    }

    /// The type exactly as it came, or `None` for a custom delivery.
    #[must_use]
    pub fn received_as(&self) -> Option<&EventType> {
        self.delivery.received_as()
    }
}

impl<T> Clone for Event<T> {
    fn clone(&self) -> Self {
        Self {
            payload: Arc::clone(&self.payload),
            delivery: self.delivery.clone(),
        }
    }
}

impl<T> Deref for Event<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.payload
    }
}

/// Shows the delivery and not the payload, which is personal data.
impl<T> fmt::Debug for Event<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Event")
            .field("delivery", &self.delivery)
            .finish_non_exhaustive()
    }
}

/// A value that was given to the builder with
/// [`state`](crate::ReceiverBuilder::state), cloned for each run.
#[derive(Clone, Copy, Debug, Default)]
pub struct State<S>(pub S);

impl<S> Deref for State<S> {
    type Target = S;

    fn deref(&self) -> &S {
        &self.0
    }
}

/// The states of a receiver by their type.
#[derive(Clone, Default)]
pub struct States(HashMap<TypeId, Arc<dyn Any + Send + Sync>>);

impl States {
    /// Adds a state; `false` when there is one of this type already.
    pub(crate) fn insert<S: Send + Sync + 'static>(&mut self, state: S) -> bool {
        self.0.insert(TypeId::of::<S>(), Arc::new(state)).is_none()
    }

    pub(crate) fn get<S: Clone + 'static>(&self) -> Option<S> {
        self.0.get(&TypeId::of::<S>())?.downcast_ref::<S>().cloned()
    }

    pub(crate) fn has(&self, need: &StateNeed) -> bool {
        self.0.contains_key(&need.id)
    }
}

impl fmt::Debug for States {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("States")
            .field("len", &self.0.len())
            .finish()
    }
}

/// A state that a registration cannot run without; checked when the receiver is built.
#[derive(Clone, Copy, Debug)]
pub struct StateNeed {
    pub(crate) id: TypeId,
    pub(crate) name: &'static str,
}

/// A type that a handler for the events `E` may ask for.
///
/// [`Event<T>`] where `E` carries a `T`, [`State<S>`], [`Context`] and [`Delivery`]; in any order,
/// up to eight of them. Sealed: the set will grow with the crate.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be an argument of a handler",
    label = "not an argument that a handler can ask for",
    note = "a handler may ask for `Event<T>`, `State<S>` (with `S: Clone`), `Context` and `Delivery`, in any order"
)]
pub trait Argument<E>: Sized + Send + sealed::Sealed {
    /// The state that must have been given to the builder.
    #[doc(hidden)]
    fn need() -> Option<StateNeed> {
        None
    }

    /// Makes the argument for one run.
    #[doc(hidden)]
    fn extract(context: &Context, states: &States) -> Result<Self, HandlerError>;
}

mod sealed {
    pub trait Sealed {}
    impl<T> Sealed for super::Event<T> {}
    impl<S> Sealed for super::State<S> {}
    impl Sealed for super::Context {}
    impl Sealed for super::Delivery {}
}

impl<E, T> Argument<E> for Event<T>
where
    E: Carries<T>,
    T: DeserializeOwned + Send + Sync + 'static,
{
    fn extract(context: &Context, _: &States) -> Result<Self, HandlerError> {
        Ok(Self::read(context.delivery())?)
    }
}

impl<E, S: Clone + Send + Sync + 'static> Argument<E> for State<S> {
    fn need() -> Option<StateNeed> {
        Some(StateNeed {
            id: TypeId::of::<S>(),
            name: type_name::<S>(),
        })
    }

    fn extract(_: &Context, states: &States) -> Result<Self, HandlerError> {
        states.get().map(State).ok_or_else(|| {
            HandlerError::new(format!(
                "no state of the type {} was given",
                type_name::<S>()
            ))
        })
    }
}

impl<E> Argument<E> for Context {
    fn extract(context: &Context, _: &States) -> Result<Self, HandlerError> {
        Ok(context.clone())
    }
}

impl<E> Argument<E> for Delivery {
    fn extract(context: &Context, _: &States) -> Result<Self, HandlerError> {
        Ok(context.delivery().clone())
    }
}
