use std::any::{Any, type_name};
use std::fmt;
use std::future::Future;
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use super::argument::States;
use super::call::RunResult;
use super::context::Context;
use super::error::HandlerError;

/// What the arguments of one run are made of; see [`Argument`](super::Argument).
pub struct RunParts {
    context: Context,
    states: Arc<States>,
    hooks: Vec<EndHook>,
}

type EndHook = Box<dyn FnOnce(RunResult) -> BoxFuture<'static, RunResult> + Send>;

impl RunParts {
    pub(crate) fn new(context: Context, states: Arc<States>) -> Self {
        Self {
            context,
            states,
            hooks: Vec::new(),
        }
    }

    /// The event and the run.
    #[must_use]
    pub fn context(&self) -> &Context {
        &self.context
    }

    /// A clone of a value that was given to the builder with
    /// [`state`](crate::ReceiverBuilder::state).
    ///
    /// # Errors
    ///
    /// When there is none of this type, which [`Needs::state`](super::Needs::state) makes an error
    /// of `build`.
    pub fn state<S: Clone + 'static>(&self) -> Result<S, HandlerError> {
        self.states.get().ok_or_else(|| {
            HandlerError::new(format!(
                "no state of the type {} was given",
                type_name::<S>()
            ))
        })
    }

    /// The lease of the run's job, where it is an `L`: for an argument that belongs to an inbox,
    /// which leases its jobs by a type of its own.
    #[must_use]
    pub fn lease<L: Any + Send + Sync>(&self) -> Option<Arc<L>> {
        self.context.permit()?.lease()?.downcast().ok()
    }

    /// Has this done when the handler has returned, before the job is done or tried again: such as
    /// a commit after an `Ok`. What it returns counts in place of what the handler did. Of several
    /// the last one is called first.
    ///
    /// It is dropped without a call when a later argument cannot be made, and when the handler
    /// panics or takes too long: a transaction that is rolled back when it is dropped is right in
    /// each case.
    ///
    /// ```
    /// use std::sync::{Arc, Mutex};
    /// use voipbin_receiver::handler::{Argument, RunParts};
    /// use voipbin_receiver::{HandlerError, on};
    /// # #[derive(Default)]
    /// # struct Transaction;
    /// # impl Transaction {
    /// #     async fn begin() -> Result<Self, std::io::Error> { Ok(Self) }
    /// #     async fn commit(self) -> Result<(), std::io::Error> { Ok(()) }
    /// # }
    ///
    /// /// A transaction that commits when the handler returns `Ok`.
    /// struct Tx(Arc<Mutex<Option<Transaction>>>);
    ///
    /// impl<E> Argument<E> for Tx {
    ///     async fn extract(parts: &mut RunParts) -> Result<Self, HandlerError> {
    ///         let tx = Arc::new(Mutex::new(Some(Transaction::begin().await?)));
    ///         let held = Arc::clone(&tx);
    ///         parts.on_end(move |result| async move {
    ///             result?;
    ///             let tx = held.lock().ok().and_then(|mut tx| tx.take());
    ///             match tx {
    ///                 Some(tx) => Ok(tx.commit().await?),
    ///                 None => Err("the handler has taken the transaction away".into()),
    ///             }
    ///         });
    ///         Ok(Self(tx))
    ///     }
    /// }
    ///
    /// #[on(CallHangup)]
    /// async fn bill(tx: Tx) {
    ///     drop(tx.0);
    /// }
    /// ```
    pub fn on_end<F, Fut>(&mut self, hook: F)
    where
        F: FnOnce(Result<(), HandlerError>) -> Fut + Send + 'static,
        Fut: Future<Output = Result<(), HandlerError>> + Send + 'static,
    {
        self.hooks
            .push(Box::new(move |outcome| hook(outcome).boxed()));
    }

    /// The handler has returned.
    #[doc(hidden)]
    pub async fn end(self, mut outcome: RunResult) -> RunResult {
        for hook in self.hooks.into_iter().rev() {
            outcome = hook(outcome).await;
        }
        outcome
    }
}

impl fmt::Debug for RunParts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RunParts")
            .field("context", &self.context)
            .field("hooks", &self.hooks.len())
            .finish_non_exhaustive()
    }
}
