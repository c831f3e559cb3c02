//! A process that keeps or handles events of an inbox: to be killed, paused and started again.
//!
//! `postgres-process ingress URL SCHEMA LEASE_MS` keeps an event for each line of standard input,
//! which is its id, and prints the id once it is kept.
//! `postgres-process worker URL SCHEMA LEASE_MS` handles events and writes each run into the table
//! `SCHEMA_run`. `postgres-process effects …` has three handlers, which write an effect of each
//! event into the table `SCHEMA_effect`. All end with standard input.
//! `postgres-process inspected URL SCHEMA LEASE_MS` handles events well, and prints the address of
//! an inspector in which everybody may act.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "this is test code"
)]

#[path = "process/effects.rs"]
mod effects;

use std::env;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, BufReader, stdin};
use tokio::net::TcpListener;
use tokio_postgres::{Client, NoTls};
use voipbin_receiver::catalog::Any;
use voipbin_receiver::handler::HandlerName;
use voipbin_receiver::inbox::{HandlerSet, Inbox, Incoming, Lane, PostgresInbox, Repeats};
use voipbin_receiver::inspector::Access;
use voipbin_receiver::mount::Server;
use voipbin_receiver::testing::delivery;
use voipbin_receiver::{Context, HandlerError, HandlerOptions, Receiver, Registration, Role};

#[tokio::main]
async fn main() {
    let args: Vec<String> = env::args().skip(1).collect();
    let [role, url, schema, lease] = &args[..] else {
        return println!("usage: postgres-process ingress|worker|inspected URL SCHEMA LEASE_MS");
    };
    let lease = Duration::from_millis(lease.parse().unwrap());
    let builder = PostgresInbox::builder(url).schema(schema).lease(lease);
    let inbox = builder.connect().await.unwrap();
    match role.as_str() {
        "ingress" => keep(inbox).await,
        "effects" => effects::handle(inbox, url, schema).await,
        "inspected" => inspect(inbox).await,
        _ => handle(inbox, url, schema).await,
    }
}

async fn keep(inbox: PostgresInbox) {
    let mut lines = BufReader::new(stdin()).lines();
    while let Some(id) = lines.next_line().await.unwrap() {
        let inbox = inbox.clone();
        tokio::spawn(async move {
            if inbox.keep(event(&id)).await.is_ok() {
                println!("{id}");
            }
        });
    }
}

/// An event of this id, such as `fail-17`, in one of ten lanes by its last digit.
fn event(id: &str) -> Incoming {
    let body = format!(r#"{{"type":"call_hangup","data":{{"id":"{id}"}}}}"#);
    let jobs = match id.contains("effect") {
        true => HandlerSet::from_iter(effects::HANDLERS.map(HandlerName::new)),
        false => HandlerSet::from_iter([HandlerName::new("crm")]),
    };
    let lane = id.chars().last().map(|last| Lane::of(last.to_string()));
    Incoming::new(delivery(body).unwrap(), jobs, Repeats::Drop).in_lane(lane)
}

async fn handle(inbox: PostgresInbox, url: &str, schema: &str) {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    tokio::spawn(connection);
    let runs = Arc::new(Runs {
        client,
        table: format!("{schema}_run"),
    });
    let pause = Duration::from_millis(50);
    let options = HandlerOptions::new().attempts(3).backoff(pause, pause);
    let options = options.timeout(Duration::from_secs(2));
    let receiver = Receiver::builder()
        .role(Role::Worker)
        .inbox(inbox)
        .handlers([Registration::new(Any, move |context: Context| {
            let runs = Arc::clone(&runs);
            async move { runs.run(context).await }
        })
        .name("crm")
        .options(options)])
        .build()
        .unwrap();
    end_with_input(receiver).await;
}

async fn end_with_input(receiver: Receiver) {
    println!("ready");
    let mut lines = BufReader::new(stdin()).lines();
    while lines.next_line().await.unwrap().is_some() {}
    let report = receiver.shutdown(Duration::from_secs(10)).await;
    println!("{report:?}");
}

async fn inspect(inbox: PostgresInbox) {
    let receiver = Receiver::builder()
        .role(Role::Worker)
        .inbox(inbox)
        .handlers([Registration::new(Any, |_: Context| async {}).name("crm")])
        .build()
        .unwrap();
    let inspector = receiver.inspector().authorize(|_| Access::Act);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    println!("{}", listener.local_addr().unwrap());
    let inspector = inspector.build().unwrap();
    Server::new().serve(listener, inspector, pending()).await;
}

struct Runs {
    client: Client,
    table: String,
}

impl Runs {
    async fn run(&self, context: Context) -> Result<(), HandlerError> {
        let id = context
            .delivery()
            .resource_id()
            .unwrap_or_default()
            .to_owned();
        let attempt = i32::try_from(context.attempt()).unwrap();
        let pid = i32::try_from(std::process::id()).unwrap();
        let begin = format!(
            "INSERT INTO {} (id, attempt, pid) VALUES ($1, $2, $3)",
            self.table
        );
        self.client
            .execute(&begin, &[&id, &attempt, &pid])
            .await
            .unwrap();
        let ended = match id.split('-').next() {
            Some("kill") if attempt == 1 => std::process::abort(),
            Some("hang") if attempt == 1 => pending().await,
            Some("slow") => {
                tokio::time::sleep(Duration::from_millis(200)).await;
                Ok(())
            }
            Some("fail") => Err(HandlerError::new("it fails each time")),
            _ => Ok(()),
        };
        let end = format!(
            "UPDATE {} SET ended_at = clock_timestamp() WHERE id = $1 AND attempt = $2 AND pid = $3",
            self.table
        );
        self.client
            .execute(&end, &[&id, &attempt, &pid])
            .await
            .unwrap();
        ended
    }
}
