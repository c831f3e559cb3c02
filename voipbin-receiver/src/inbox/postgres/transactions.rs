//! Transactions of handlers, whose writes commit with the completion of their job.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::sleep;
use tokio_postgres::Client;
use tokio_postgres::types::Type;

use super::member::PAUSE;
use super::schema::Schema;
use super::server::{Address, Connection, Trouble, single};
use super::settings::Settings;

/// A pool of connections for them.
pub(crate) struct Transactions {
    address: Arc<Address>,
    schema: Schema,
    /// Of a handler that is paused for longer than its lease, the transaction ends.
    begin: String,
    runtime: Handle,
    permits: Arc<Semaphore>,
    idle: Mutex<Vec<Connection>>,
}

/// One that has begun. When it is dropped its connection ends, and with that it is rolled back.
pub(crate) struct Transaction {
    connection: Connection,
    pool: Arc<Transactions>,
    _permit: OwnedSemaphorePermit,
}

impl Transactions {
    /// On the current runtime.
    pub(super) fn new(address: &Arc<Address>, schema: &Schema, settings: &Settings) -> Arc<Self> {
        let lease = settings.lease.as_millis();
        let begin = format!("BEGIN; SET LOCAL idle_in_transaction_session_timeout = {lease}");
        Arc::new(Self {
            address: Arc::clone(address),
            schema: schema.clone(),
            begin,
            runtime: Handle::current(),
            permits: Arc::new(Semaphore::new(settings.transactions)),
            idle: Mutex::default(),
        })
    }

    /// The statement that completes a job: of the job, the attempt and the epoch.
    pub(crate) fn complete(&self, job: &str, attempt: &str, epoch: &str) -> String {
        let schema = self.schema.name();
        format!("SELECT {schema}.complete({job}, {attempt}, {epoch})")
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn connect(&self) -> Result<Connection, Trouble> {
        let address = Arc::clone(&self.address);
        let connected = self
            .runtime
            .spawn(async move { address.connect(None).await });
        match connected.await {
            Ok(connected) => connected.map_err(|error| Trouble::Unknown(error.into())),
            Err(ended) => Err(Trouble::Unknown(ended.into())),
        }
    }

    pub(crate) async fn begin(self: Arc<Self>) -> Result<Transaction, Trouble> {
        let permit = Arc::clone(&self.permits).acquire_owned().await;
        let permit = permit.map_err(|closed| Trouble::Unknown(closed.into()))?;
        let connection = loop {
            let idle = self.idle().pop();
            let is_new = idle.is_none();
            let connection = match idle {
                Some(idle) => idle,
                None => self.connect().await?,
            };
            match connection.batch(&self.begin).await {
                Ok(()) => break connection,
                Err(trouble) if is_new => return Err(trouble),
                // It broke while nobody used it.
                Err(_) => {}
            }
        };
        Ok(Transaction {
            connection,
            pool: self,
            _permit: permit,
        })
    }

    /// Whether a job is complete, as soon as that can be told.
    async fn is_complete(&self, job: i64) -> bool {
        let sql = self.schema.sql("SELECT inbox.is_complete($1)");
        loop {
            if let Ok(connection) = self.connect().await
                && let Ok(rows) = connection.call(&sql, &[(&job, Type::INT8)]).await
                && let Ok(complete) = single(&rows)
            {
                return complete;
            }
            sleep(PAUSE).await;
        }
    }
}

impl Transaction {
    pub(crate) fn client(&self) -> &Client {
        self.connection.client()
    }

    /// Completes the job and commits. Where the outcome is not known it is asked for, until there
    /// is an answer or this is dropped, as at the loss of the lease.
    pub(crate) async fn commit(self, job: i64, attempt: u32, epoch: i64) -> Result<(), Trouble> {
        let Self {
            connection, pool, ..
        } = self;
        let [id, attempt, epoch] = [job, attempt.into(), epoch].map(|number| number.to_string());
        let complete = pool.complete(&id, &attempt, &epoch);
        match connection.batch(&format!("{complete}; COMMIT")).await {
            Ok(()) => {
                pool.idle().push(connection);
                Ok(())
            }
            Err(unknown @ Trouble::Unknown(_)) => match pool.is_complete(job).await {
                true => Ok(()),
                false => Err(unknown),
            },
            refused => refused,
        }
    }
}

impl fmt::Debug for Transactions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transactions").finish_non_exhaustive()
    }
}
