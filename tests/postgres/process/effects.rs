//! Handlers that write an effect of each event, and die, hang and fail around it at their first
//! attempt: by `Tx`, by `Completion` with sqlx, and by themselves.

use std::future::pending;
use std::time::Duration;

use sqlx::Connection;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgSslMode};
use tokio_postgres::config::Host;
use tokio_postgres::{Config, NoTls};
use voipbin_receiver::catalog::Any;
use voipbin_receiver::inbox::PostgresInbox;
use voipbin_receiver::{
    Completion, Context, HandlerError, HandlerOptions, Receiver, Registration, Role, State, Tx,
};

pub(crate) const HANDLERS: [&str; 3] = ["tx", "sqlx", "plain"];

/// The table of the effects, and where it is.
#[derive(Clone)]
struct Effects {
    url: String,
    insert: String,
}

pub(crate) async fn handle(inbox: PostgresInbox, url: &str, schema: &str) {
    let pause = Duration::from_millis(50);
    // Enough for whatever dies meanwhile.
    let options = HandlerOptions::new()
        .attempts(1000)
        .backoff(pause, pause)
        .timeout(Duration::from_secs(1));
    let receiver = Receiver::builder()
        .role(Role::Worker)
        .inbox(inbox)
        .state(Effects {
            url: url.to_owned(),
            insert: format!("INSERT INTO {schema}_effect VALUES ($1, $2)"),
        })
        .handler_options(options)
        .handlers([
            Registration::new(Any, by_tx).name(HANDLERS[0]),
            Registration::new(Any, by_sqlx).name(HANDLERS[1]),
            Registration::new(Any, by_itself).name(HANDLERS[2]),
        ])
        .build()
        .unwrap();
    super::end_with_input(receiver).await;
}

fn id(context: &Context) -> &str {
    context.delivery().resource_id().unwrap_or_default()
}

/// What happens between the effect and the end of the handler.
async fn befalls(context: &Context) -> Result<(), HandlerError> {
    let first = context.attempt() == 1;
    match id(context).split('-').next() {
        Some("kill") if first => std::process::abort(),
        Some("hang") if first => pending().await,
        Some("fail") if first => Err(HandlerError::new("it fails once")),
        Some("slow") => {
            tokio::time::sleep(Duration::from_millis(200)).await;
            Ok(())
        }
        _ => Ok(()),
    }
}

async fn by_tx(tx: Tx, context: Context, effects: State<Effects>) -> Result<(), HandlerError> {
    tx.execute(&effects.insert, &[&id(&context), &HANDLERS[0]])
        .await?;
    befalls(&context).await
}

async fn by_sqlx(
    done: Completion,
    context: Context,
    effects: State<Effects>,
) -> Result<(), HandlerError> {
    let mut connection = effects.primary().await?;
    let mut tx = connection.begin().await?;
    sqlx::query(&effects.insert)
        .bind(id(&context))
        .bind(HANDLERS[1])
        .execute(&mut *tx)
        .await?;
    befalls(&context).await?;
    sqlx::query(done.sql())
        .bind(done.job())
        .bind(done.attempt())
        .bind(done.epoch())
        .execute(&mut *tx)
        .await?;
    tx.commit().await?;
    match id(&context).split('-').next() {
        // It is done all the same.
        Some("late") => Err(HandlerError::new("after the commit")),
        Some("last") => std::process::abort(),
        _ => Ok(()),
    }
}

async fn by_itself(context: Context, effects: State<Effects>) -> Result<(), HandlerError> {
    let (client, connection) = tokio_postgres::connect(&effects.url, NoTls).await?;
    tokio::spawn(connection);
    client
        .execute(&effects.insert, &[&id(&context), &HANDLERS[2]])
        .await?;
    befalls(&context).await
}

impl Effects {
    /// A connection of sqlx's to the host that takes writes.
    async fn primary(&self) -> Result<PgConnection, HandlerError> {
        let config: Config = self.url.parse()?;
        for host in config.get_hosts() {
            let Host::Unix(socket) = host else { continue };
            let options = PgConnectOptions::new()
                .socket(socket)
                .username("postgres")
                .database("postgres")
                .ssl_mode(PgSslMode::Disable);
            let Ok(mut connection) = PgConnection::connect_with(&options).await else {
                continue;
            };
            let recovers = sqlx::query_scalar("SELECT pg_is_in_recovery()");
            if let Ok(false) = recovers.fetch_one(&mut connection).await {
                return Ok(connection);
            }
        }
        Err("no host takes writes".into())
    }
}
