//! Handlers whose writes commit with the completion of their job.

mod faults;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::Notify;
use tokio_postgres::Client;
use voipbin_receiver::catalog::Any;
use voipbin_receiver::handler::HandlerName;
use voipbin_receiver::inbox::{HandlerSet, Inbox, Kept, MemoryInbox, PostgresInbox};
use voipbin_receiver::{
    BuildErrorKind, Completion, Context, HandlerError, HandlerOptions, Receiver, ReceiverBuilder,
    Registration, Role, State, Tx, TxError, TxErrorKind, handlers, on,
};

use crate::proxy::{Flow, Proxy};
use crate::server::{client, count, host, pooled_url, schema, url};
use crate::{GLANCE, event, patiently};

/// So long that nothing is taken over by its end.
const LONG: Duration = Duration::from_secs(600);

/// An inbox, and a table of a user beside it.
struct Field {
    schema: String,
    client: Client,
    inbox: PostgresInbox,
}

/// The statement that writes an effect: of the event, and of the attempt.
#[derive(Clone)]
struct Write(String);

impl Field {
    async fn new() -> Self {
        Self::at(url(), LONG).await
    }

    /// Over this address of the server.
    async fn at(address: String, lease: Duration) -> Self {
        let schema = schema();
        let builder = PostgresInbox::builder(address).schema(schema.clone());
        let builder = builder.lease(lease).listen_at(url());
        let inbox = builder.connect().await.unwrap();
        let client = client(&url()).await;
        let table = format!("CREATE TABLE {schema}_effect (event text, attempt bigint)");
        client.batch_execute(&table).await.unwrap();
        Self {
            schema,
            client,
            inbox,
        }
    }

    fn write(&self) -> Write {
        Write(format!(
            "INSERT INTO {}_effect VALUES ($1, $2)",
            self.schema
        ))
    }

    fn builder(&self) -> ReceiverBuilder {
        let short = Duration::from_millis(1);
        Receiver::builder()
            .role(Role::Worker)
            .inbox(self.inbox.clone())
            .state(self.write())
            .handler_options(HandlerOptions::new().backoff(short, short))
    }

    /// A receiver with this handler alone.
    fn handled_by(&self, handler: Registration) -> Receiver {
        let handlers = [handler.name("crm")];
        self.builder().handlers(handlers).build().unwrap()
    }

    async fn keep(&self, number: usize) {
        assert_eq!(self.inbox.keep(event(number)).await.unwrap(), Kept::New);
    }

    async fn until_none_is_open(&self) {
        let open = format!("SELECT count(*) FROM {}.job", self.schema);
        patiently(async {
            while count(&self.client, &open).await > 0 {
                tokio::time::sleep(GLANCE).await;
            }
        })
        .await;
    }

    async fn effects(&self) -> Vec<(String, i64)> {
        let sql = format!(
            "SELECT * FROM {}_effect ORDER BY event, attempt",
            self.schema
        );
        let rows = self.client.query(&sql, &[]).await.unwrap();
        rows.iter().map(|row| (row.get(0), row.get(1))).collect()
    }

    /// How many events are finished, and not as dead letters.
    async fn done(&self) -> i64 {
        let done = format!("SELECT count(*) FROM {}.event WHERE state = 1", self.schema);
        count(&self.client, &done).await
    }
}

async fn write(tx: &Tx, sql: &Write, context: &Context) -> Result<(), TxError> {
    let id = context.delivery().resource_id();
    let attempt = i64::from(context.attempt());
    assert_eq!(tx.execute(&sql.0, &[&id, &attempt]).await?, 1);
    Ok(())
}

#[on(any, name = "crm")]
async fn annotated(tx: Tx, sql: State<Write>, context: Context) -> Result<(), TxError> {
    write(&tx, &sql, &context).await
}

async fn plain(tx: Tx, sql: State<Write>, context: Context) -> Result<(), TxError> {
    write(&tx, &sql, &context).await
}

#[on(any, name = "crm", blocking)]
fn blocks(tx: Tx, sql: State<Write>, context: Context) -> Result<(), TxError> {
    tokio::runtime::Handle::current().block_on(write(&tx, &sql, &context))
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_function_writes_once_and_completes_its_job_directly_and_by_a_pooler() {
    for address in [url(), pooled_url()] {
        for kind in [
            handlers![annotated],
            handlers![blocks],
            vec![Registration::new(Any, plain).name("crm")],
        ] {
            let field = Field::at(address.clone(), LONG).await;
            let receiver = field.builder().handlers(kind).build().unwrap();
            for number in 0..20 {
                field.keep(number).await;
            }
            field.until_none_is_open().await;
            assert_eq!(field.effects().await.len(), 20);
            assert_eq!(field.done().await, 20);
            assert!(receiver.shutdown(LONG).await.is_drained());
            let stats = receiver.stats();
            assert_eq!((stats.handled, stats.failed), (20, 0));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_written_is_seen_when_the_job_is_done_and_not_before() {
    let field = Field::new().await;
    let (written, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (writes, goes_on) = (Arc::clone(&written), Arc::clone(&go_on));
    let handler = move |tx: Tx, sql: State<Write>, context: Context| {
        let (writes, goes_on) = (Arc::clone(&writes), Arc::clone(&goes_on));
        async move {
            write(&tx, &sql, &context).await?;
            writes.notify_one();
            goes_on.notified().await;
            Ok::<_, TxError>(())
        }
    };
    let _receiver = field.handled_by(Registration::new(Any, handler));
    field.keep(0).await;
    patiently(written.notified()).await;
    assert_eq!(field.effects().await, []);
    go_on.notify_one();
    field.until_none_is_open().await;
    assert_eq!(field.effects().await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_does_not_end_well_leaves_nothing_and_the_next_one_writes() {
    let field = Field::new().await;
    let handler = |tx: Tx, sql: State<Write>, context: Context| async move {
        write(&tx, &sql, &context).await?;
        match context.attempt() {
            1 => Err(HandlerError::new("no")),
            2 => panic!("in the middle"),
            3 => std::future::pending().await,
            4 => {
                let failed = tx
                    .query_one("SELECT 1 FROM nowhere", &[])
                    .await
                    .unwrap_err();
                assert_eq!(failed.kind(), TxErrorKind::Statement);
                assert!(failed.as_db_error().is_some());
                // It is spoilt, also for who takes no notice.
                Ok(())
            }
            5 => {
                tx.execute("SAVEPOINT before", &[]).await?;
                let failed = tx.query("SELECT 1 / $1", &[&0_i32]).await.unwrap_err();
                assert!(failed.to_string().contains("22012"), "{failed}");
                tx.execute("ROLLBACK TO before", &[]).await?;
                Ok(())
            }
            attempt => panic!("attempt {attempt}"),
        }
    };
    let options = HandlerOptions::new().timeout(Duration::from_secs(2));
    let receiver = field.handled_by(Registration::new(Any, handler).options(options));
    field.keep(0).await;
    field.until_none_is_open().await;
    assert_eq!(field.effects().await, [("call-0".to_owned(), 5)]);
    let ends = format!(
        "SELECT string_agg(a->>'end', ',' ORDER BY n) FROM {}.ended, \
         jsonb_array_elements(history) WITH ORDINALITY h(a, n) WHERE attempts = 4",
        field.schema
    );
    let ends: String = field.client.query_one(&ends, &[]).await.unwrap().get(0);
    assert_eq!(ends, "0,1,2,0");
    assert!(receiver.shutdown(LONG).await.is_drained());
    assert_eq!(receiver.stats().failed, 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_whose_job_was_taken_over_commits_nothing() {
    let field = Field::new().await;
    // As another process does when the lease is over.
    let take_over = format!(
        "SELECT {0}.remove(id, true) FROM {0}.consumer",
        field.schema
    );
    let meddler = Arc::new(client(&url()).await);
    let handler = move |tx: Tx, sql: State<Write>, context: Context| {
        let (meddler, take_over) = (Arc::clone(&meddler), take_over.clone());
        async move {
            write(&tx, &sql, &context).await?;
            if context.attempt() == 1 {
                meddler.simple_query(&take_over).await?;
            }
            Ok::<_, HandlerError>(())
        }
    };
    let _receiver = field.handled_by(Registration::new(Any, handler));
    field.keep(0).await;
    field.until_none_is_open().await;
    assert_eq!(field.effects().await, [("call-0".to_owned(), 2)]);
}

/// The server commits for as long as it takes to lose the connection.
#[tokio::test(flavor = "multi_thread")]
async fn a_commit_whose_outcome_is_not_known_is_asked_for() {
    for commits in [true, false] {
        let proxy = Proxy::before(&host()).await;
        let field = Field::at(proxy.url(), LONG).await;
        let fails = if commits { "" } else { "RAISE 'no';" };
        let slow = format!(
            "CREATE FUNCTION {0}_slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
               IF NEW.attempt = 1 THEN PERFORM pg_sleep(1); {fails} END IF; RETURN NEW; END $$; \
             CREATE CONSTRAINT TRIGGER slow AFTER INSERT ON {0}_effect DEFERRABLE INITIALLY DEFERRED \
               FOR EACH ROW EXECUTE FUNCTION {0}_slow()",
            field.schema
        );
        field.client.batch_execute(&slow).await.unwrap();
        let receiver = field.handled_by(Registration::new(Any, plain));
        field.keep(0).await;
        let commits_now = format!(
            "SELECT count(*) FROM pg_stat_activity \
             WHERE wait_event = 'PgSleep' AND query LIKE '%{}.complete%'",
            field.schema
        );
        patiently(async {
            while count(&field.client, &commits_now).await == 0 {
                tokio::time::sleep(GLANCE).await;
            }
        })
        .await;
        proxy.set(Flow::Cut);
        proxy.set(Flow::Open);
        field.until_none_is_open().await;
        let attempt = if commits { 1 } else { 2 };
        assert_eq!(field.effects().await, [("call-0".to_owned(), attempt)]);
        assert!(receiver.shutdown(LONG).await.is_drained());
        assert_eq!(receiver.stats().failed, u64::from(!commits));
    }
}

/// Each of which sees only what the other has committed.
#[tokio::test(flavor = "multi_thread")]
async fn an_event_is_finished_when_two_of_its_handlers_commit_at_once() {
    for level in ["READ COMMITTED", "REPEATABLE READ"] {
        let field = Field::new().await;
        let level = format!("SET TRANSACTION ISOLATION LEVEL {level}");
        let handler = move |tx: Tx, sql: State<Write>, context: Context| {
            let level = level.clone();
            async move {
                tx.execute(&level, &[]).await?;
                write(&tx, &sql, &context).await
            }
        };
        let names = ["crm", "bill", "plain"];
        let receiver = field.builder().handlers([
            Registration::new(Any, handler.clone()).name(names[0]),
            Registration::new(Any, handler).name(names[1]),
            Registration::new(Any, || async {}).name(names[2]),
        ]);
        let receiver = receiver.build().unwrap();
        for number in 0..200 {
            let mut event = event(number);
            event.handlers = HandlerSet::from_iter(names.map(HandlerName::new));
            event.lane = None;
            field.inbox.keep(event).await.unwrap();
        }
        field.until_none_is_open().await;
        assert!(receiver.shutdown(LONG).await.is_drained());
        assert_eq!(field.done().await, 200);
        assert_eq!(field.effects().await.len(), 400);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_is_idle_for_a_lease_ends_and_frees_its_rows() {
    let field = Field::at(url(), Duration::from_secs(1)).await;
    let looks = Arc::new(client(&url()).await);
    let handler = move |tx: Tx, sql: State<Write>, context: Context| {
        let looks = Arc::clone(&looks);
        async move {
            write(&tx, &sql, &context).await?;
            if context.attempt() > 1 {
                return Ok(());
            }
            let pid: i32 = tx.query_one("SELECT pg_backend_pid()", &[]).await?.get(0);
            let there = format!("SELECT count(*) FROM pg_stat_activity WHERE pid = {pid}");
            while count(&looks, &there).await > 0 {
                tokio::time::sleep(GLANCE).await;
            }
            let lost = tx.query_opt("SELECT 1", &[]).await.unwrap_err();
            assert_eq!(lost.kind(), TxErrorKind::Connection);
            Err(HandlerError::from(lost))
        }
    };
    let _receiver = field.handled_by(Registration::new(Any, handler));
    field.keep(0).await;
    field.until_none_is_open().await;
    assert_eq!(field.effects().await, [("call-0".to_owned(), 2)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_outlives_its_run_writes_nothing() {
    let field = Field::new().await;
    let (leaves, left) = std::sync::mpsc::channel();
    let handler = move |tx: Tx, sql: State<Write>, context: Context| {
        let leaves = leaves.clone();
        async move {
            write(&tx, &sql, &context).await?;
            leaves.send(tx).unwrap();
            Ok::<_, TxError>(())
        }
    };
    let _receiver = field.handled_by(Registration::new(Any, handler));
    field.keep(0).await;
    field.until_none_is_open().await;
    let over = left.recv().unwrap().execute("SELECT 1", &[]).await;
    assert_eq!(over.unwrap_err().kind(), TxErrorKind::Over);
    assert_eq!(field.effects().await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_says_nothing_of_values() {
    let field = Field::new().await;
    let unique = format!("CREATE UNIQUE INDEX ON {}_effect (event)", field.schema);
    field.client.batch_execute(&unique).await.unwrap();
    let (told, tells) = std::sync::mpsc::channel();
    let handler = move |tx: Tx, sql: State<Write>, context: Context| {
        let told = told.clone();
        async move {
            write(&tx, &sql, &context).await?;
            let twice = write(&tx, &sql, &context).await.unwrap_err();
            told.send(format!("{twice} {twice:?}")).unwrap();
            Err::<(), _>(HandlerError::permanent(twice))
        }
    };
    let _receiver = field.handled_by(Registration::new(Any, handler));
    field.keep(0).await;
    field.until_none_is_open().await;
    let text = tells.recv().unwrap();
    assert!(text.contains("23505") && !text.contains("call-0"), "{text}");
}

/// Writes and completes in a transaction of its own, and fails then.
async fn complete(
    client: &Client,
    sql: &Write,
    done: &Completion,
    context: &Context,
) -> Result<(), tokio_postgres::Error> {
    let id = context.delivery().resource_id();
    client.batch_execute("BEGIN").await?;
    client.execute(&sql.0, &[&id, &done.attempt()]).await?;
    let numbers = [done.job(), done.attempt(), done.epoch()];
    let [job, attempt, epoch] = &numbers;
    let completed = client.execute(done.sql(), &[job, attempt, epoch]).await;
    let end = if completed.is_ok() {
        "COMMIT"
    } else {
        "ROLLBACK"
    };
    client.batch_execute(end).await?;
    completed.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn any_driver_completes_a_job_in_its_own_transaction_and_once() {
    let field = Field::new().await;
    let failed = Arc::new(AtomicBool::new(false));
    let fails = Arc::clone(&failed);
    let handler = move |done: Completion, sql: State<Write>, context: Context| {
        let fails = Arc::clone(&fails);
        async move {
            let own = client(&url()).await;
            complete(&own, &sql, &done, &context).await?;
            let again = complete(&own, &sql, &done, &context).await.unwrap_err();
            assert_eq!(again.code().unwrap().code(), "VB002");
            fails.store(true, Ordering::Relaxed);
            // What is committed is done.
            Err::<(), _>(HandlerError::new("after the commit"))
        }
    };
    let receiver = field.handled_by(Registration::new(Any, handler));
    field.keep(0).await;
    field.until_none_is_open().await;
    assert!(receiver.shutdown(LONG).await.is_drained());
    assert!(failed.load(Ordering::Relaxed));
    assert_eq!(field.effects().await, [("call-0".to_owned(), 1)]);
    assert_eq!(field.done().await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_that_comes_late_completes_nothing() {
    let field = Field::new().await;
    let (begun, begins) = std::sync::mpsc::channel();
    let handler = move |done: Completion, sql: State<Write>, context: Context| {
        let begun = begun.clone();
        async move {
            if context.attempt() == 1 {
                begun.send((done, context)).unwrap();
                return Err(HandlerError::new("its work goes on elsewhere"));
            }
            let own = client(&url()).await;
            Ok(complete(&own, &sql, &done, &context).await?)
        }
    };
    let _receiver = field.handled_by(Registration::new(Any, handler));
    field.keep(0).await;
    field.until_none_is_open().await;
    let (late, context) = begins.recv().unwrap();
    let refused = complete(&field.client, &field.write(), &late, &context).await;
    assert_eq!(refused.unwrap_err().code().unwrap().code(), "VB002");
    assert_eq!(field.effects().await, [("call-0".to_owned(), 2)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_no_transaction_or_too_few_is_refused_when_it_is_built() {
    let field = Field::new().await;
    let (tx, completion) = (
        || Registration::new(Any, |_: Tx| async {}).name("tx"),
        || Registration::new(Any, |_: Completion| async {}).name("completion"),
    );
    let refused = |builder: ReceiverBuilder| {
        let error = builder.build().unwrap_err();
        assert!(error.to_string().contains("the handler `"), "{error}");
        error.kind()
    };
    let many = HandlerOptions::new().concurrency(PostgresInbox::DEFAULT_TRANSACTIONS + 1);
    for handler in [tx(), completion()] {
        let memory = field
            .builder()
            .inbox(MemoryInbox::new())
            .handlers([handler]);
        assert_eq!(refused(memory), BuildErrorKind::NoTransactions);
    }
    let of_one = field.builder().handlers([tx().options(many.clone())]);
    assert_eq!(refused(of_one), BuildErrorKind::BadSetting);
    let of_all = field.builder().handler_options(many.clone());
    assert_eq!(refused(of_all.handlers([tx()])), BuildErrorKind::BadSetting);
    let own = [tx(), completion().options(many)];
    assert!(field.builder().handlers(own).build().is_ok());
}
