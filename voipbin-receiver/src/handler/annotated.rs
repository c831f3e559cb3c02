//! What `#[on(…)]` and `handlers![…]` expand to.

use std::future::Future;
use std::marker::PhantomData;
use std::sync::Arc;

use super::argument::{Argument, Extracted, Needs};
use super::call::{HandlerResult, RunResult};
use super::parts::RunParts;
use super::registration::{Registration, SourceLocation};
use crate::catalog::{EventSet, Selector};

/// Builds the registration of a function with `#[on(…)]`. It takes the arguments one by one, so
/// that each can be refused on its own, and infers their types, so that each is named in the
/// function alone.
#[must_use]
pub struct RegistrationBuilder<E> {
    selectors: Vec<Selector>,
    needs: Needs,
    events: PhantomData<fn() -> E>,
}

/// Makes an argument of the type `A` for one run. It has no bound, so that a type that cannot be an
/// argument is reported once.
type Extract<A> = for<'a> fn(&'a mut RunParts) -> Extracted<'a, A>;

impl<E> RegistrationBuilder<E> {
    /// Begins with the events.
    pub fn new(events: E) -> Self
    where
        E: EventSet,
    {
        Self {
            selectors: events.selectors(),
            needs: Needs::default(),
            events: PhantomData,
        }
    }

    /// Ends with the function, its arguments included.
    pub fn finish<F, Fut>(self, name: &str, location: SourceLocation, run: F) -> Registration
    where
        F: Fn(RunParts) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = RunResult> + Send + 'static,
    {
        let Self {
            selectors, needs, ..
        } = self;
        let call =
            Arc::new(move |context, states| Box::pin(run(RunParts::new(context, states))) as _);
        Registration::of(name.to_owned(), selectors, needs, call, location)
    }
}

/// Adds the next argument; the result makes it for one run.
pub fn argument_of<A, E>(builder: &mut RegistrationBuilder<E>) -> Extract<A>
where
    A: Argument<E> + 'static,
    E: 'static,
{
    A::needs(&mut builder.needs);
    |parts| A::extracted(parts)
}

/// The conversion of what a handler returns.
pub fn outcome_of<R: HandlerResult>() -> fn(R) -> RunResult {
    R::into_outcome
}

/// What `handlers![…]` finds in place of a function without `#[on(…)]`. It never implements
/// [`Annotated`](crate::__private::Annotated).
pub enum NotAnnotated {}

impl NotAnnotated {
    /// As those with the attribute have, whose use tells that they are listed.
    pub const NOT_IN_ANY_HANDLERS_LIST: () = ();
}
