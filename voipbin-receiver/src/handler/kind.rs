//! How the compiler finds out what kind of handler it was given, and then whether it fits.
//!
//! [`Handles`] is about the handler alone: the number of its arguments leaves one implementation,
//! and with it the [`HandlerKind`]. Only [`HandlerFor`] looks at the events, so that what does not
//! fit is reported as itself.

use std::future::Future;
use std::marker::PhantomData;
use std::sync::Arc;

use futures_util::future::BoxFuture;

use super::argument::{Argument, Needs};
use super::call::{Blocking, EventHandler, HandlerFn, HandlerResult, RunResult};
use super::context::Context;
use super::error::HandlerError;
use super::parts::RunParts;
use super::service::run_blocking;

/// A handler of the kind `K`.
pub trait Handles<K: HandlerKind>: Send + Sync + 'static {
    /// Begins one run.
    fn begin(self: &Arc<Self>, input: K::Input) -> K::Output;
}

/// What goes into a run and what comes out of it.
pub trait HandlerKind: 'static {
    type Input;
    type Output;
}

/// A kind of handler that fits the events `E`.
pub trait HandlerFor<E>: HandlerKind + Sized {
    fn call<H: Handles<Self>>(handler: H) -> (HandlerFn, Needs);
}

/// An [`EventHandler`].
pub struct TraitKind;

/// A function that returns a future.
pub struct AsyncKind<Arguments, Fut>(PhantomData<fn(Arguments) -> Fut>);

/// A function that was wrapped in [`blocking`](super::blocking).
pub struct BlockingKind<Arguments, Output>(PhantomData<fn(Arguments) -> Output>);

impl HandlerKind for TraitKind {
    type Input = Context;
    type Output = BoxFuture<'static, RunResult>;
}

impl<Arguments: 'static, Fut: 'static> HandlerKind for AsyncKind<Arguments, Fut> {
    type Input = Arguments;
    type Output = Fut;
}

impl<Arguments: 'static, Output: 'static> HandlerKind for BlockingKind<Arguments, Output> {
    type Input = Arguments;
    type Output = Output;
}

impl<E> HandlerFor<E> for TraitKind {
    fn call<H: Handles<Self>>(handler: H) -> (HandlerFn, Needs) {
        let handler = Arc::new(handler);
        let call: HandlerFn = Arc::new(move |context, _| handler.begin(context));
        (call, Needs::default())
    }
}

impl<E, A, Fut> HandlerFor<E> for AsyncKind<A, Fut>
where
    A: Arguments<E>,
    Fut: HandlerFuture<Returned: HandlerResult> + Send,
{
    fn call<H: Handles<Self>>(handler: H) -> (HandlerFn, Needs) {
        let handler = Arc::new(handler);
        let call: HandlerFn = Arc::new(move |context, states| {
            let handler = Arc::clone(&handler);
            let mut parts = RunParts::new(context, states);
            Box::pin(async move {
                let arguments = A::extract(&mut parts).await?;
                let outcome = handler.begin(arguments).await.into_outcome();
                parts.end(outcome).await
            })
        });
        (call, A::needs())
    }
}

impl<E, A, Output> HandlerFor<E> for BlockingKind<A, Output>
where
    A: Arguments<E>,
    Output: HandlerResult,
{
    fn call<H: Handles<Self>>(handler: H) -> (HandlerFn, Needs) {
        let handler = Arc::new(handler);
        let call: HandlerFn = Arc::new(move |context, states| {
            let handler = Arc::clone(&handler);
            let mut parts = RunParts::new(context, states);
            Box::pin(async move {
                let arguments = A::extract(&mut parts).await?;
                let run = move || handler.begin(arguments).into_outcome();
                let outcome = run_blocking(&parts, run).await;
                parts.end(outcome).await
            })
        });
        (call, A::needs())
    }
}

/// What an async handler returns when it is called: a future, under a name that can tell what is
/// missing when it is none.
#[diagnostic::on_unimplemented(
    message = "this handler is not async",
    label = "returns `{Self}` and not a future",
    note = "begin the body with `async move`; or, when the handler blocks its thread, wrap it: `blocking(|call: Event<Call>| …)`"
)]
pub trait HandlerFuture: Future<Output = <Self as HandlerFuture>::Returned> + 'static {
    type Returned;
}

#[diagnostic::do_not_recommend]
impl<Fut: Future + 'static> HandlerFuture for Fut {
    type Returned = Fut::Output;
}

/// The arguments of a handler for the events `E`, together.
pub trait Arguments<E>: Sized + Send + 'static {
    fn needs() -> Needs;
    fn extract(parts: &mut RunParts) -> impl Future<Output = Result<Self, HandlerError>> + Send;
}

#[diagnostic::do_not_recommend]
impl<H: EventHandler> Handles<TraitKind> for H {
    fn begin(self: &Arc<Self>, context: Context) -> BoxFuture<'static, RunResult> {
        let handler = Arc::clone(self);
        Box::pin(async move { handler.handle(context).await })
    }
}

macro_rules! functions {
    ($($argument:ident)*) => {
        #[allow(non_snake_case, unused_variables)]
        impl<E, $($argument: Argument<E> + 'static),*> Arguments<E> for ($($argument,)*) {
            fn needs() -> Needs {
                #[allow(unused_mut)]
                let mut needs = Needs::default();
                $($argument::needs(&mut needs);)*
                needs
            }

            async fn extract(parts: &mut RunParts) -> Result<Self, HandlerError> {
                Ok(($($argument::extract(parts).await?,)*))
            }
        }

        #[diagnostic::do_not_recommend]
        #[allow(non_snake_case)]
        impl<Function, Fut, $($argument),*> Handles<AsyncKind<($($argument,)*), Fut>> for Function
        where
            Function: Fn($($argument),*) -> Fut + Send + Sync + 'static,
            Fut: 'static,
            $($argument: 'static,)*
        {
            fn begin(self: &Arc<Self>, ($($argument,)*): ($($argument,)*)) -> Fut {
                self($($argument),*)
            }
        }

        #[diagnostic::do_not_recommend]
        #[allow(non_snake_case)]
        impl<Function, Output, $($argument),*> Handles<BlockingKind<($($argument,)*), Output>>
            for Blocking<Function>
        where
            Function: Fn($($argument),*) -> Output + Send + Sync + 'static,
            Output: 'static,
            $($argument: 'static,)*
        {
            fn begin(self: &Arc<Self>, ($($argument,)*): ($($argument,)*)) -> Output {
                (self.0)($($argument),*)
            }
        }
    };
}

functions!();
functions!(A);
functions!(A B);
functions!(A B C);
functions!(A B C D);
functions!(A B C D F);
functions!(A B C D F G);
functions!(A B C D F G H);
functions!(A B C D F G H I);
