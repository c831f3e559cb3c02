//! What the inbox on PostgreSQL costs, beside the same rows inserted without it.
//!
//! `cargo bench -p voipbin-receiver-postgres --bench postgres -- PART…` starts a server of its own,
//! with the settings of the distribution's package. What is compared takes turns, round by round;
//! figures are medians of the rounds, with the least and the most, and a ratio is that of one
//! round. Parts, the first three by default:
//!
//! * `keep`: events of 1.5 KB kept by 1, 64 and 256 senders, beside the same multi-row insert into
//!   the same tables by as many connections; answered through a receiver; kept and handled.
//! * `takeover`: how soon the lanes of a process that died, or was stopped, are another one's.
//! * `bytes`: of an event, on disk, in the server's log and on the wire.
//! * `backlog [EVENTS]`: keeping and handling beside a million events that wait.
//! * `retention [EVENTS]`: how large the tables are while a million events go through them.
//!
//! `--quick` makes rounds shorter.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "this is test code"
)]

mod backlog;
mod bare;
mod bytes;
#[allow(dead_code, reason = "another benchmark needs more of it")]
#[path = "../../bench/events.rs"]
mod events;
mod keep;
#[allow(dead_code, reason = "the tests need more of it")]
#[path = "../proxy.rs"]
mod proxy;
#[allow(dead_code, reason = "the tests need more of it")]
#[path = "../server.rs"]
mod server;
mod takeover;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio_postgres::Client;
use voipbin_receiver::ReceiverBuilder;
use voipbin_receiver::handler::HandlerName;
use voipbin_receiver::inbox::{
    Consumer, HandlerSet, Inbox, Incoming, Lane, PostgresInbox, Prefetch, Settled,
};

use self::events::incoming;
use self::server::{Server, client};

/// How long something may take that happens in its own time.
const PATIENCE: Duration = Duration::from_secs(60);

/// The bytes of a body, about.
const BODY: usize = 1536;

/// How many lanes there are.
const LANES: usize = 1000;

/// How much is measured.
#[derive(Clone, Copy)]
struct Effort {
    rounds: usize,
    round: Duration,
}

fn main() {
    let mut effort = Effort {
        rounds: 7,
        round: Duration::from_millis(1500),
    };
    let (mut parts, mut events) = (Vec::new(), 1_000_000);
    for argument in std::env::args().skip(1) {
        match argument.as_str() {
            "--bench" => {}
            "--quick" => {
                effort = Effort {
                    rounds: 3,
                    round: Duration::from_millis(500),
                }
            }
            number if number.parse::<usize>().is_ok() => events = number.parse().unwrap(),
            _ => parts.push(argument),
        }
    }
    if parts.is_empty() {
        parts = ["keep", "takeover", "bytes"].map(str::to_owned).into();
    }
    let server = Server::start(&[]);
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.worker_threads(2).enable_all().build().unwrap();
    for part in parts {
        match part.as_str() {
            "keep" => runtime.block_on(keep::measure(&server, effort)),
            "takeover" => runtime.block_on(takeover::measure(&server, effort)),
            "bytes" => runtime.block_on(bytes::measure(&server)),
            "backlog" => runtime.block_on(backlog::pending(&server, events)),
            "retention" => runtime.block_on(backlog::retention(&server, events)),
            other => panic!("unknown part: {other}"),
        }
    }
}

/// The event of this number, in one of the lanes.
fn event(number: usize) -> Incoming {
    let handlers = HandlerSet::from_iter([HandlerName::new("crm")]);
    let lane = Lane::of(format!("{}", number % LANES));
    incoming(number, &handlers).in_lane(Some(lane))
}

/// What a receiver does with what it takes, as many at once, but the handlers.
struct Handling {
    consumer: Arc<dyn Consumer>,
    handled: Arc<AtomicUsize>,
}

impl Handling {
    fn start(inbox: &PostgresInbox) -> Self {
        let consumer: Arc<dyn Consumer> = inbox.consume().unwrap().into();
        let handled = Arc::new(AtomicUsize::new(0));
        let handling = Self {
            consumer: Arc::clone(&consumer),
            handled: Arc::clone(&handled),
        };
        tokio::spawn(async move {
            let slots = Arc::new(Semaphore::new(ReceiverBuilder::DEFAULT_CONCURRENCY));
            while let Some(jobs) = consumer.take(Prefetch::for_jobs(64)).await {
                for job in jobs {
                    let slot = Arc::clone(&slots).acquire_owned().await;
                    let (consumer, handled) = (Arc::clone(&consumer), Arc::clone(&handled));
                    tokio::spawn(async move {
                        if consumer.begin(&job).await.is_ok() {
                            consumer.settle(&job, Settled::Done);
                            handled.fetch_add(1, Ordering::Relaxed);
                        }
                        drop(slot);
                    });
                }
            }
        });
        handling
    }

    fn handled(&self) -> usize {
        self.handled.load(Ordering::Relaxed)
    }

    /// Until so many are handled in all, and that is written down.
    async fn until(&self, events: usize) {
        while self.handled() < events {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        self.consumer.flush().await.unwrap();
    }
}

/// Keeps events of these numbers by so many senders.
async fn keep(inbox: &PostgresInbox, numbers: std::ops::Range<usize>, senders: usize) {
    let sender = |sender: usize| {
        let (inbox, numbers) = (inbox.clone(), numbers.clone());
        tokio::spawn(async move {
            for number in numbers.skip(sender).step_by(senders) {
                inbox.keep(event(number)).await.unwrap();
            }
        })
    };
    for sender in (0..senders).map(sender).collect::<Vec<_>>() {
        sender.await.unwrap();
    }
}

/// What the tables and their indexes take, in bytes.
async fn on_disk(client: &Client, schema: &str) -> i64 {
    let sql = format!(
        "SELECT coalesce(sum(pg_total_relation_size(c.oid)), 0)::bigint FROM pg_class c \
         JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = '{schema}' AND c.relkind = 'r'"
    );
    server::count(client, &sql).await
}

/// An inbox with a schema of its own, and a connection to look at it by.
async fn inbox(server: &Server, schema: &str) -> (PostgresInbox, Client) {
    let builder = PostgresInbox::builder(server.url()).schema(schema);
    let inbox = builder.keep_timeout(PATIENCE).connect().await.unwrap();
    (inbox, client(&server.url()).await)
}
