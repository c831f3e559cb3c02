use std::future::Future;
use std::marker::PhantomData;
use std::sync::Arc;

use super::argument::{Argument, StateNeed, States};
use super::call::{Call, HandlerResult, Outcome};
use super::context::Context;
use super::error::HandlerError;
use super::registration::{Registration, SourceLocation};
use crate::catalog::{EventSet, Selector};

/// Builds the registration of a function with `#[on(…)]`. It takes the arguments one by one, so
/// that each can be refused on its own, and infers their types, so that each is named in the
/// function alone.
#[must_use]
pub struct Wiring<E> {
    selectors: Vec<Selector>,
    needs: Vec<StateNeed>,
    events: PhantomData<fn() -> E>,
}

/// [`Argument::extract`] of one argument.
type Extract<A> = fn(&Context, &States) -> Result<A, HandlerError>;

impl<E> Wiring<E> {
    /// Begins with the events.
    pub fn new(events: E) -> Self
    where
        E: EventSet,
    {
        Self {
            selectors: events.selectors(),
            needs: Vec::new(),
            events: PhantomData,
        }
    }

    /// Ends with an async function.
    pub fn finish<F, Fut>(self, name: &str, location: SourceLocation, run: F) -> Registration
    where
        F: Fn(Context, Arc<States>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Outcome> + Send + 'static,
    {
        let call = Call::Async(Arc::new(move |context, states| {
            Box::pin(run(context, states))
        }));
        self.registration(name, location, call)
    }

    /// Ends with a function that may block.
    pub fn finish_blocking<F>(self, name: &str, location: SourceLocation, run: F) -> Registration
    where
        F: Fn(Context, Arc<States>) -> Outcome + Send + Sync + 'static,
    {
        self.registration(name, location, Call::Blocking(Arc::new(run)))
    }

    fn registration(self, name: &str, location: SourceLocation, call: Call) -> Registration {
        let Self {
            selectors, needs, ..
        } = self;
        Registration {
            name: name.to_owned(),
            selectors,
            needs,
            call,
            retry: None,
            attempts: None,
            timeout: None,
            concurrency: None,
            skip_stale: false,
            strict: false,
            layers: Vec::new(),
            location,
        }
    }
}

/// Adds the next argument; the result reads it for one run.
pub fn argument_of<A: Argument<E>, E>(wiring: &mut Wiring<E>) -> Extract<A> {
    wiring.needs.extend(A::need());
    A::extract
}

/// The conversion of what a handler returns.
pub fn outcome_of<R: HandlerResult>() -> fn(R) -> Outcome {
    R::into_outcome
}

/// What `handlers![…]` finds in place of a function without `#[on(…)]`. It never implements
/// [`Annotated`](super::Annotated).
pub enum NotAnnotated {}
