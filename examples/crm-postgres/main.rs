//! The CRM on PostgreSQL: what a handler writes commits together with the completion of its job, so
//! that each call is counted once.
//!
//! `handlers.rs` does it by `Tx`, `with_sqlx.rs` the same by `Completion`. This has either of them
//! handle a few events, in the schemas `example_crm` and `example_crm_inbox` of a database:
//!
//! ```sh
//! export DATABASE_URL=postgresql://postgres@localhost/test
//! cargo run -p crm-postgres --example crm-postgres
//! cargo run -p crm-postgres --example crm-postgres -- sqlx
//! ```

#[path = "../crm/events.rs"]
mod events;
mod handlers;
#[path = "../crm/number.rs"]
mod number;
mod stand_ins;
mod statements;
mod with_sqlx;

use std::env;
use std::error::Error;
use std::fmt::Debug;
use std::io::Write;
use std::time::Duration;

use sqlx::{Executor, PgPool};
use tokio::time::{sleep, timeout};
use voipbin_receiver::inbox::PostgresInbox;
use voipbin_receiver::{Accepted, HandlerOptions, Origin, Receiver, handlers};

use crate::events::{
    EMPTY_SOURCE, FIRST_ANSWERED, FIRST_ENDED, NULL_SOURCE, SECOND_ANSWERED, SECOND_ENDED,
};
use crate::stand_ins::{Team, Trouble};

/// The schema of the inbox. It and `example_crm` are dropped when this begins.
const INBOX: &str = "example_crm_inbox";

const CONTACT: &str = "+15550111";

/// The whole application, to be given the customer's `webhook_secret` and to be mounted.
async fn application(
    secret: &str,
    database: &str,
    pool: PgPool,
    team: Team,
    by_sqlx: bool,
) -> Result<Receiver, Box<dyn Error>> {
    let inbox = PostgresInbox::builder(database).schema(INBOX).connect();
    let handlers = match by_sqlx {
        false => handlers![
            handlers::mark_busy,
            handlers::update_contact,
            handlers::tell_team
        ],
        true => handlers![
            with_sqlx::mark_busy,
            with_sqlx::update_contact,
            with_sqlx::tell_team
        ],
    };
    let (first, longest) = (Duration::from_millis(50), Duration::from_secs(1));
    Ok(Receiver::builder()
        .secret(secret)
        .inbox(inbox.await?)
        .state(pool)
        .state(team)
        .state(Trouble::default())
        .handler_options(HandlerOptions::new().backoff(first, longest))
        .handlers(handlers)
        .build()?)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let database = env::var("DATABASE_URL")
        .map_err(|_| "DATABASE_URL names a database of PostgreSQL to write to")?;
    let by_sqlx = env::args().nth(1).is_some_and(|driver| driver == "sqlx");
    let pool = PgPool::connect(&database).await?;
    for schema in ["example_crm", INBOX] {
        let last = format!("DROP SCHEMA IF EXISTS {schema} CASCADE");
        pool.execute(&*last).await?;
    }
    pool.execute(statements::SCHEMA).await?;
    let team = Team::default();
    let start = || {
        let secret = "the-webhook-secret-of-a-customer";
        application(secret, &database, pool.clone(), team.clone(), by_sqlx)
    };

    let receiver = start().await?;
    deliver(&receiver, FIRST_ANSWERED).await?;
    handled(&receiver, 1).await?;
    check("on the phone", show(&pool).await?.2, true)?;

    // Its handlers fail after they have written, and are tried again.
    deliver(&receiver, FIRST_ENDED).await?;
    handled(&receiver, 3).await?;
    check("they failed", receiver.stats().failed >= 2, true)?;

    // The news of the answer comes after that of the end; and two callers have no number.
    for event in [SECOND_ENDED, SECOND_ANSWERED, NULL_SOURCE, EMPTY_SOURCE] {
        deliver(&receiver, event).await?;
    }
    handled(&receiver, 10).await?;

    let report = receiver.shutdown(Duration::from_secs(10)).await;
    check("shut down", report.is_clean(), true)?;
    let receiver = start().await?;
    let again = deliver(&receiver, FIRST_ENDED).await?;
    check("the first end again", again, Accepted::Duplicate)?;

    let (calls, talked_ms, on_the_phone, left) = show(&pool).await?;
    check("calls", calls, 2)?;
    check("talked", talked_ms, 60_000)?;
    check("on the phone", on_the_phone, false)?;
    check("notes that the team got", team.count(), 2)?;
    check("notes that are left", left, 0)?;
    Ok(())
}

/// As a webhook would, without a port.
async fn deliver(receiver: &Receiver, event: &'static str) -> Result<Accepted, Box<dyn Error>> {
    Ok(receiver.accept(event, Origin::History).await?)
}

/// Waits for the end of this many handlers.
async fn handled(receiver: &Receiver, runs: u64) -> Result<(), Box<dyn Error>> {
    let handled = async {
        while receiver.stats().handled < runs {
            sleep(Duration::from_millis(5)).await;
        }
    };
    Ok(timeout(Duration::from_secs(60), handled).await?)
}

/// Calls, milliseconds, whether the contact is on the phone, and notes that are left.
async fn show(pool: &PgPool) -> Result<(i64, i64, bool, i64), sqlx::Error> {
    let show = sqlx::query_as(statements::SHOW).bind(CONTACT);
    show.fetch_one(pool).await
}

/// Prints what is as it should be.
fn check<T: PartialEq + Debug>(what: &str, found: T, expected: T) -> Result<(), Box<dyn Error>> {
    if found != expected {
        return Err(format!("{what}: {found:?} instead of {expected:?}").into());
    }
    Ok(writeln!(std::io::stdout(), "ok  {what}: {found:?}")?)
}
