//! What it costs that a handler's write commits with the completion of its job.
//!
//! `cargo bench -p voipbin-receiver-postgres --bench effects` starts a server of its own, with the
//! settings of the distribution's package. In each round the same events are handled by a handler
//! that inserts a row by itself, by one that does so by `Tx`, and by one that completes its job in
//! a transaction of its own, eight of each at once. The figures are medians of eleven rounds, with
//! the least and the most, and a ratio is that of one round. `--quick` makes three of them.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "this is test code"
)]

#[allow(dead_code, reason = "the tests need more of it")]
#[path = "../server.rs"]
mod server;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::{join_all, try_join_all};
use tokio_postgres::{Client, Error};
use voipbin_receiver::catalog::Any;
use voipbin_receiver::handler::HandlerName;
use voipbin_receiver::inbox::{HandlerSet, Inbox, Incoming, PostgresInbox, Repeats};
use voipbin_receiver::testing::delivery;
use voipbin_receiver::{
    Completion, Context, HandlerError, HandlerOptions, Receiver, Registration, Role, Tx, TxError,
};

use self::server::{Server, client};

/// Of a commit, for the inbox of the tests.
const PATIENCE: Duration = Duration::from_secs(60);

const EVENTS: usize = 2000;
const AT_ONCE: usize = 8;
const INSERT: &str = "INSERT INTO effect VALUES ($1, $2)";
const NAMES: [&str; 3] = ["by itself", "by Tx", "by Completion"];

/// Connections of the handlers' own, taken by turns.
struct Own {
    clients: Vec<tokio::sync::Mutex<Client>>,
    next: AtomicUsize,
}

impl Own {
    async fn client(&self) -> tokio::sync::MutexGuard<'_, Client> {
        let next = self.next.fetch_add(1, Ordering::Relaxed) % self.clients.len();
        self.clients[next].lock().await
    }

    async fn write(&self, context: &Context) -> Result<u64, Error> {
        let (id, attempt) = effect(context);
        self.client().await.execute(INSERT, &[&id, &attempt]).await
    }

    async fn complete(&self, context: &Context, done: &Completion) -> Result<(), Error> {
        let (id, attempt) = effect(context);
        let mut client = self.client().await;
        let tx = client.transaction().await?;
        tx.execute(INSERT, &[&id, &attempt]).await?;
        let (job, attempt, epoch) = (done.job(), done.attempt(), done.epoch());
        tx.execute(done.sql(), &[&job, &attempt, &epoch]).await?;
        tx.commit().await
    }
}

fn effect(context: &Context) -> (&str, i64) {
    let id = context.delivery().resource_id().unwrap_or_default();
    (id, context.attempt().into())
}

async fn by_tx(tx: Tx, context: Context) -> Result<(), TxError> {
    let (id, attempt) = effect(&context);
    tx.execute(INSERT, &[&id, &attempt]).await.map(drop)
}

fn handler(name: &str, own: &Arc<Own>) -> Registration {
    let own = Arc::clone(own);
    match name {
        "by itself" => Registration::new(Any, move |context: Context| {
            let own = Arc::clone(&own);
            async move { own.write(&context).await.map(drop) }
        }),
        "by Tx" => Registration::new(Any, by_tx),
        _ => Registration::new(Any, move |context: Context, done: Completion| {
            let own = Arc::clone(&own);
            async move { Ok::<_, HandlerError>(own.complete(&context, &done).await?) }
        }),
    }
}

/// How many events a second are handled.
async fn handled(inbox: &PostgresInbox, name: &str, round: usize, own: &Arc<Own>) -> f64 {
    let jobs = HandlerSet::from_iter([HandlerName::new(name)]);
    let keep = (0..EVENTS).map(|number| {
        let id = format!("{name}-{round}-{number}");
        let body = format!(r#"{{"type":"call_hangup","data":{{"id":"{id}"}}}}"#);
        inbox.keep(Incoming::new(
            delivery(body).unwrap(),
            jobs.clone(),
            Repeats::Drop,
        ))
    });
    for kept in join_all(keep).await {
        kept.unwrap();
    }
    let options = HandlerOptions::new().concurrency(AT_ONCE);
    let receiver = Receiver::builder()
        .role(Role::Worker)
        .inbox(inbox.clone())
        .handlers([handler(name, own).name(name).options(options)]);
    let receiver = receiver.build().unwrap();
    let first = (EVENTS / 10) as u64;
    let until = async |events| {
        while receiver.stats().handled < events {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    // It has joined, and its connections are made.
    until(first).await;
    let (begun, from) = (Instant::now(), receiver.stats().handled);
    until(EVENTS as u64).await;
    let rate = (EVENTS as u64 - from) as f64 / begun.elapsed().as_secs_f64();
    let report = receiver.shutdown(PATIENCE).await;
    assert!(report.is_clean(), "{report:?}");
    rate
}

/// The median, the least and the most.
fn spread(mut figures: Vec<f64>) -> [f64; 3] {
    figures.sort_by(f64::total_cmp);
    [
        figures[figures.len() / 2],
        figures[0],
        figures[figures.len() - 1],
    ]
}

#[tokio::main]
async fn main() {
    let rounds = match std::env::args().any(|argument| argument == "--quick") {
        true => 3,
        false => 11,
    };
    let server = Server::start(&[]);
    let inbox = PostgresInbox::connect(server.url()).await.unwrap();
    let one = || async { Ok::<_, Error>(tokio::sync::Mutex::new(client(&server.url()).await)) };
    let own = Arc::new(Own {
        clients: try_join_all((0..AT_ONCE).map(|_| one())).await.unwrap(),
        next: AtomicUsize::new(0),
    });
    let table = "CREATE TABLE effect (event text, attempt bigint)";
    own.client().await.batch_execute(table).await.unwrap();
    let mut rates = [const { Vec::new() }; 3];
    for round in 0..=rounds {
        for (name, rates) in NAMES.iter().zip(&mut rates) {
            let rate = handled(&inbox, name, round, &own).await;
            // The first round warms up.
            if round > 0 {
                rates.push(rate);
            }
        }
    }
    let written: i64 = own
        .client()
        .await
        .query_one("SELECT count(DISTINCT event) FROM effect", &[])
        .await
        .unwrap()
        .get(0);
    assert_eq!(written as usize, EVENTS * 3 * (rounds + 1));
    for (name, of_name) in NAMES.iter().zip(&rates) {
        let ratios = of_name
            .iter()
            .zip(&rates[0])
            .map(|(rate, plain)| rate / plain);
        let [ratio, least, most] = spread(ratios.collect());
        let [rate, low, high] = spread(of_name.clone());
        println!(
            "{name}: {rate:.0} events a second ({low:.0}-{high:.0}), \
             {ratio:.2} of by itself ({least:.2}-{most:.2})"
        );
    }
}
