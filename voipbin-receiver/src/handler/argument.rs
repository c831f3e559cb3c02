use std::any::{Any, TypeId, type_name};
use std::collections::HashMap;
use std::fmt;
use std::future::{Future, ready};
use std::ops::Deref;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{self, Poll};

use futures_util::future::BoxFuture;
use serde::de::DeserializeOwned;

use super::context::Context;
use super::error::HandlerError;
use super::parts::RunParts;
use crate::catalog::{Carries, EventType};
use crate::event::{Delivery, PayloadError};

/// The event, with its payload as a `T`.
///
/// It dereferences to the payload, which is read once per delivery for all handlers that ask for
/// the type that was asked for first. It stays in memory until the last of them has ended: a
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

    pub(crate) fn has(&self, id: TypeId) -> bool {
        self.0.contains_key(&id)
    }
}

impl fmt::Debug for States {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("States")
            .field("len", &self.0.len())
            .finish()
    }
}

/// What a handler cannot run without; checked when the receiver is built.
#[derive(Debug, Default)]
pub struct Needs {
    pub(crate) states: Vec<(TypeId, &'static str)>,
    pub(crate) completion: bool,
    pub(crate) transaction: bool,
}

impl Needs {
    /// A state of this type, which [`RunParts::state`] will be asked for.
    pub fn state<S: 'static>(&mut self) {
        self.states.push((TypeId::of::<S>(), type_name::<S>()));
    }

    /// An inbox whose jobs can be completed in a transaction; see
    /// [`Inbox::transactions`](crate::inbox::Inbox::transactions).
    pub fn completion(&mut self) {
        self.completion = true;
    }

    /// One of the inbox's own transactions for each run. So no more run at once than there are, and
    /// a higher [`concurrency`](crate::HandlerOptions::concurrency) is an error of `build`.
    pub fn transaction(&mut self) {
        self.completion = true;
        self.transaction = true;
    }
}

/// A type that a handler for the events `E` may ask for.
///
/// [`Event<T>`] where `E` carries a `T`, [`State<S>`], [`Context`] and [`Delivery`]; in any order,
/// up to eight of them. With an inbox on PostgreSQL also `Tx` and `Completion`. And types of your
/// own, which are made of the same: for a tenant, a client with its credentials, a transaction.
///
/// ```
/// use voipbin_receiver::catalog::Any;
/// use voipbin_receiver::handler::{Argument, Needs, RunParts};
/// use voipbin_receiver::{HandlerError, Receiver};
///
/// #[derive(Clone)]
/// struct Tenants;
///
/// impl Tenants {
///     async fn find(&self, customer: &str) -> Option<Tenant> {
/// #       let _ = customer;
/// #       None
///         // …
///     }
/// }
///
/// /// Whose event it is.
/// struct Tenant {
///     name: String,
/// }
///
/// #[derive(serde::Deserialize)]
/// struct Owned {
///     customer_id: String,
/// }
///
/// impl<E> Argument<E> for Tenant {
///     fn needs(needs: &mut Needs) {
///         needs.state::<Tenants>();
///     }
///
///     async fn extract(parts: &mut RunParts) -> Result<Self, HandlerError> {
///         let owned = parts.context().delivery().payload::<Owned>()?;
///         let tenant = parts.state::<Tenants>()?.find(&owned.customer_id).await;
///         tenant.ok_or_else(|| HandlerError::permanent("no such customer"))
///     }
/// }
///
/// # fn main() -> Result<(), voipbin_receiver::BuildError> {
/// let receiver = Receiver::builder()
///     .secret("the-webhook-secret-of-a-customer")
///     .state(Tenants)
///     .on(Any, |tenant: Tenant| async move { println!("{}", tenant.name) })
///     .build()?;
/// # drop(receiver);
/// # Ok(()) }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be an argument of a handler",
    label = "not an argument that a handler can ask for",
    note = "a handler may ask for `Event<T>`, `State<S>` (with `S: Clone`), `Context` and `Delivery`, in any order, and for types that implement `Argument`"
)]
pub trait Argument<E>: Sized + Send {
    /// Says which states must have been given to the builder; none by default.
    fn needs(needs: &mut Needs) {
        let _ = needs;
    }

    /// Makes the argument for one run, on the handlers' runtime. It counts towards the run's
    /// [timeout](crate::HandlerOptions::timeout).
    ///
    /// # Errors
    ///
    /// An error ends the attempt as if it were the handler's.
    fn extract(parts: &mut RunParts) -> impl Future<Output = Result<Self, HandlerError>> + Send;

    /// The same under a name. What need not wait needs no box.
    #[doc(hidden)]
    fn extracted<'a>(parts: &'a mut RunParts) -> Extracted<'a, Self>
    where
        Self: 'a,
        E: 'a,
    {
        Extracted::Boxed(Box::pin(Self::extract(parts)))
    }
}

/// An argument that is being made.
#[doc(hidden)]
pub enum Extracted<'a, A> {
    Ready(Option<Result<A, HandlerError>>),
    Boxed(BoxFuture<'a, Result<A, HandlerError>>),
}

impl<A> Unpin for Extracted<'_, A> {}

impl<A> Future for Extracted<'_, A> {
    type Output = Result<A, HandlerError>;

    fn poll(self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<Self::Output> {
        match self.get_mut() {
            Self::Ready(made) => made.take().map_or(Poll::Pending, Poll::Ready),
            Self::Boxed(future) => future.as_mut().poll(cx),
        }
    }
}

/// One that is made at once.
macro_rules! at_once {
    ($parts:ident => $made:expr) => {
        fn extract(
            $parts: &mut RunParts,
        ) -> impl Future<Output = Result<Self, HandlerError>> + Send {
            ready($made)
        }

        fn extracted<'a>($parts: &'a mut RunParts) -> Extracted<'a, Self>
        where
            Self: 'a,
            E: 'a,
        {
            Extracted::Ready(Some($made))
        }
    };
}

impl<E, T> Argument<E> for Event<T>
where
    E: Carries<T>,
    T: DeserializeOwned + Send + Sync + 'static,
{
    at_once!(parts => {
        let delivery = parts.context().delivery().clone();
        match delivery.payload_by(E::read) {
            Ok(payload) => Ok(Self { payload, delivery }),
            Err(error) => Err(error.into()),
        }
    });
}

impl<E, S: Clone + Send + Sync + 'static> Argument<E> for State<S> {
    fn needs(needs: &mut Needs) {
        needs.state::<S>();
    }

    at_once!(parts => parts.state().map(State));
}

impl<E> Argument<E> for Context {
    at_once!(parts => Ok(parts.context().clone()));
}

impl<E> Argument<E> for Delivery {
    at_once!(parts => Ok(parts.context().delivery().clone()));
}
