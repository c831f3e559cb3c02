//! Effects of a handler in the database of its inbox, which commit with the completion of its job.

use std::fmt;
use std::sync::Arc;

use tokio::sync::{MappedMutexGuard, Mutex, MutexGuard};
use tokio_postgres::error::DbError;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Error, Row};

use crate::handler::{Argument, HandlerError, Needs, RunParts};
use crate::inbox::{JobLease, Transaction, Trouble};

/// A transaction in the database of a [`PostgresInbox`](crate::inbox::PostgresInbox), as an
/// argument of a handler: what the handler writes by it commits together with the completion of its
/// job, or not at all.
///
/// It begins with the first query. It commits when the handler has returned `Ok`, and is rolled
/// back when the handler fails, panics, takes too long, is cancelled at a shutdown, or has lost its
/// [lease](crate::Context::is_lost). So each event that is handled has its effect in the database
/// once, whatever dies meanwhile. What a handler does elsewhere, such as sending a mail, can happen
/// again: the guide's page about effects exactly once shows what to do.
///
/// ```
/// use voipbin_receiver::resource::Call;
/// use voipbin_receiver::{Event, HandlerError, Tx, on};
///
/// #[on(CallHangup)]
/// async fn charge(call: Event<Call>, tx: Tx) -> Result<(), HandlerError> {
///     let seconds = call.duration().unwrap_or_default().as_secs().cast_signed();
///     let charge = "UPDATE account SET seconds = seconds + $1 WHERE id = $2";
///     let charged = tx.execute(charge, &[&seconds, &call.customer_id.as_deref()]).await?;
///     match charged {
///         0 => Err(HandlerError::permanent("no such account")),
///         _ => Ok(()),
///     }
/// }
/// ```
///
/// No more runs of such a handler go on at once than the inbox has
/// [transactions](crate::inbox::PostgresInboxBuilder::transactions), of which several handlers have
/// each other wait. Between two queries no more time may pass than the inbox's
/// [lease](crate::inbox::PostgresInboxBuilder::lease) lasts: the server ends the transaction then,
/// so that a process that is paused holds no rows.
///
/// Parameters and rows are those of `tokio-postgres` 0.7. A statement that fails spoils the whole
/// transaction, as always in PostgreSQL: without a `SAVEPOINT` before it the run fails, also when
/// the handler returns `Ok`. Do not end the transaction by SQL of your own.
pub struct Tx(Arc<Run>);

struct Run {
    lease: Arc<JobLease>,
    attempt: u32,
    state: Mutex<State>,
}

enum State {
    Unused,
    Begun(Transaction),
    /// The handler has returned, or it could not begin.
    Over,
}

impl<E> Argument<E> for Tx {
    fn needs(needs: &mut Needs) {
        needs.transaction();
    }

    async fn extract(parts: &mut RunParts) -> Result<Self, HandlerError> {
        let run = Arc::new(Run {
            lease: lease(parts)?,
            attempt: parts.context().attempt(),
            state: Mutex::new(State::Unused),
        });
        let ends = Arc::clone(&run);
        parts.on_end(move |result| async move { ends.end(result).await });
        Ok(Self(run))
    }
}

impl Run {
    /// The handler has returned. What is not committed is rolled back when it is dropped.
    async fn end(&self, result: Result<(), HandlerError>) -> Result<(), HandlerError> {
        let state = std::mem::replace(&mut *self.state.lock().await, State::Over);
        result?;
        match state {
            State::Unused => Ok(()),
            State::Begun(transaction) => {
                let (job, epoch) = (self.lease.job(), self.lease.epoch());
                let committed = transaction.commit(job, self.attempt, epoch).await;
                Ok(committed.map_err(TxError::from)?)
            }
            State::Over => Err(TxError(None).into()),
        }
    }
}

impl Tx {
    /// The rows that a statement gives.
    ///
    /// # Errors
    ///
    /// When the statement is refused or the connection is lost: the transaction is over then.
    ///
    /// # Cancel safety
    ///
    /// The statement of a call that is dropped may have been done all the same. If it is the first
    /// one, the transaction can be over with it.
    pub async fn query(
        &self,
        sql: &str,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, TxError> {
        let tx = self.begun().await?;
        let rows = tx.client().query(sql, params).await;
        rows.map_err(|error| TxError::of(error, &tx))
    }

    /// The one row that a statement gives.
    ///
    /// # Errors
    ///
    /// As of [`query`](Self::query), and when there are none or several.
    pub async fn query_one(
        &self,
        sql: &str,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<Row, TxError> {
        let tx = self.begun().await?;
        let row = tx.client().query_one(sql, params).await;
        row.map_err(|error| TxError::of(error, &tx))
    }

    /// The row that a statement gives, if it gives one.
    ///
    /// # Errors
    ///
    /// As of [`query`](Self::query), and when there are several.
    pub async fn query_opt(
        &self,
        sql: &str,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<Option<Row>, TxError> {
        let tx = self.begun().await?;
        let row = tx.client().query_opt(sql, params).await;
        row.map_err(|error| TxError::of(error, &tx))
    }

    /// How many rows a statement changed.
    ///
    /// # Errors
    ///
    /// As of [`query`](Self::query).
    pub async fn execute(&self, sql: &str, params: &[&(dyn ToSql + Sync)]) -> Result<u64, TxError> {
        let tx = self.begun().await?;
        let changed = tx.client().execute(sql, params).await;
        changed.map_err(|error| TxError::of(error, &tx))
    }

    /// Begins with the first query. One query at a time.
    async fn begun(&self) -> Result<MappedMutexGuard<'_, Transaction>, TxError> {
        let mut state = self.0.state.lock().await;
        if let State::Unused = *state {
            let pool = self.0.lease.transactions().ok_or(TxError(None))?;
            *state = State::Over;
            *state = State::Begun(pool.begin().await?);
        }
        let begun = MutexGuard::try_map(state, |state| match state {
            State::Begun(transaction) => Some(transaction),
            _ => None,
        });
        begun.map_err(|_| TxError(None))
    }
}

impl fmt::Debug for Tx {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tx").finish_non_exhaustive()
    }
}

/// What completes the run's job in a transaction of the handler's own, by whatever driver, in the
/// database of a [`PostgresInbox`](crate::inbox::PostgresInbox): as an argument of a handler.
///
/// Execute [`sql`](Self::sql) with the three numbers as the last statement before the commit. It
/// raises `VB002` when the job is done or not this run's any more, and with that the transaction
/// fails. Once it is committed the job is done, also when the handler fails after that. A handler
/// that does not execute it is completed when it returns `Ok`, as any other.
///
/// ```
/// # mod sqlx {
/// #     use std::io::Result;
/// #     #[derive(Clone)]
/// #     pub struct PgPool;
/// #     pub struct Query;
/// #     pub struct Transaction(());
/// #     impl PgPool {
/// #         pub async fn begin(&self) -> Result<Transaction> { Ok(Transaction(())) }
/// #     }
/// #     impl Transaction {
/// #         pub async fn commit(self) -> Result<()> { Ok(()) }
/// #     }
/// #     impl std::ops::Deref for Transaction {
/// #         type Target = ();
/// #         fn deref(&self) -> &() { &self.0 }
/// #     }
/// #     impl std::ops::DerefMut for Transaction {
/// #         fn deref_mut(&mut self) -> &mut () { &mut self.0 }
/// #     }
/// #     pub fn query(_: &str) -> Query { Query }
/// #     impl Query {
/// #         pub fn bind(self, _: i64) -> Self { self }
/// #         pub async fn execute(self, _: &mut ()) -> Result<()> { Ok(()) }
/// #     }
/// # }
/// use voipbin_receiver::{Completion, HandlerError, State, on};
///
/// #[on(CallHangup)]
/// async fn count(
///     done: Completion,
///     State(pool): State<sqlx::PgPool>,
/// ) -> Result<(), HandlerError> {
///     let mut tx = pool.begin().await?;
///     sqlx::query("UPDATE total SET calls = calls + 1").execute(&mut *tx).await?;
///     sqlx::query(done.sql())
///         .bind(done.job())
///         .bind(done.attempt())
///         .bind(done.epoch())
///         .execute(&mut *tx)
///         .await?;
///     tx.commit().await?;
///     Ok(())
/// }
/// ```
#[derive(Clone, Debug)]
pub struct Completion {
    sql: String,
    job: i64,
    attempt: i64,
    epoch: i64,
}

impl Completion {
    /// The statement, with `$1` for the job, `$2` for the attempt and `$3` for the epoch.
    #[must_use]
    pub fn sql(&self) -> &str {
        &self.sql
    }

    /// The event and the handler, as one number.
    #[must_use]
    pub fn job(&self) -> i64 {
        self.job
    }

    /// Which attempt it is.
    #[must_use]
    pub fn attempt(&self) -> i64 {
        self.attempt
    }

    /// Whose the job is: a process that lost it has an earlier one.
    #[must_use]
    pub fn epoch(&self) -> i64 {
        self.epoch
    }
}

impl<E> Argument<E> for Completion {
    fn needs(needs: &mut Needs) {
        needs.completion();
    }

    async fn extract(parts: &mut RunParts) -> Result<Self, HandlerError> {
        let lease = lease(parts)?;
        let pool = lease.transactions().ok_or(TxError(None))?;
        Ok(Self {
            sql: pool.complete("$1", "$2", "$3"),
            job: lease.job(),
            attempt: parts.context().attempt().into(),
            epoch: lease.epoch(),
        })
    }
}

fn lease(parts: &RunParts) -> Result<Arc<JobLease>, HandlerError> {
    let lease = parts.lease();
    lease.ok_or_else(|| HandlerError::new("the inbox of this run has no transactions"))
}

/// Why a query of a [`Tx`] failed.
///
/// Its text says nothing of values: the detail of what the database says is left out, as it can
/// hold personal data, and is in [`as_db_error`](Self::as_db_error).
pub struct TxError(Option<Trouble>);

/// Why a query of a [`Tx`] failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TxErrorKind {
    /// The statement, its parameters or its rows are not as they should be.
    Statement,
    /// There is no connection, or it was lost, or the transaction was idle for too long.
    Connection,
    /// The transaction is over: the handler has returned, or the transaction could not begin.
    Over,
}

impl TxError {
    fn of(error: Error, transaction: &Transaction) -> Self {
        Self(Some(Trouble::of(error, transaction.client())))
    }

    /// Why, to match on.
    #[must_use]
    pub fn kind(&self) -> TxErrorKind {
        match self.0 {
            Some(Trouble::Refused(_)) => TxErrorKind::Statement,
            Some(Trouble::Unknown(_)) => TxErrorKind::Connection,
            None => TxErrorKind::Over,
        }
    }

    /// What the database says, if it does: such as the name of a constraint.
    #[must_use]
    pub fn as_db_error(&self) -> Option<&DbError> {
        match &self.0 {
            Some(Trouble::Refused(error)) => error.as_db_error(),
            _ => None,
        }
    }
}

impl From<Trouble> for TxError {
    fn from(trouble: Trouble) -> Self {
        Self(Some(trouble))
    }
}

impl fmt::Display for TxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(trouble) => trouble.fmt(f),
            None => f.write_str("the transaction of the handler is over"),
        }
    }
}

impl fmt::Debug for TxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TxError")
            .field(&format_args!("{self}"))
            .finish()
    }
}

impl std::error::Error for TxError {}
