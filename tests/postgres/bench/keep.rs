//! Keeping, by several senders at once.

use std::time::Instant;

use support::SECRET;
use support::figures::{Round, columns, micros, row};
use tokio_postgres::Client;
use voipbin_receiver::catalog::Any;
use voipbin_receiver::inbox::{Inbox, PostgresInbox};
use voipbin_receiver::testing::{Sender, Signer};
use voipbin_receiver::{Receiver, ReceiverService, Registration, Role};

use crate::bare::Bare;
use crate::events::body;
use crate::server::Server;
use crate::{Effort, Handling, event, inbox};

/// Who keeps events.
#[derive(Clone)]
enum Keeper {
    Bare(Bare),
    Inbox(PostgresInbox),
    Answers(Box<Sender<ReceiverService>>),
}

/// Kinds, with the schema of each.
const KINDS: [&str; 4] = ["insert", "keep", "answer", "handled"];

impl Keeper {
    async fn keep(&self, number: usize) -> u32 {
        match self {
            Self::Bare(bare) => {
                let event = event(number);
                let sent = Instant::now();
                bare.keep(event).await;
                micros(sent.elapsed())
            }
            Self::Inbox(inbox) => {
                let event = event(number);
                let sent = Instant::now();
                inbox.keep(event).await.unwrap();
                micros(sent.elapsed())
            }
            Self::Answers(sender) => {
                let body = body(number);
                let sent = Instant::now();
                assert!(sender.send(body).await.delivered().is_some());
                micros(sent.elapsed())
            }
        }
    }
}

struct Kind {
    keeper: Keeper,
    handling: Option<Handling>,
    kept: usize,
}

impl Kind {
    /// Each sender keeps so many, one after another.
    async fn round(&mut self, senders: usize, share: usize) -> Round {
        let first = self.kept;
        self.kept += senders * share;
        let begun = Instant::now();
        let sender = |sender: usize| {
            let keeper = self.keeper.clone();
            tokio::spawn(async move {
                let mut times = Vec::with_capacity(share);
                for turn in 0..share {
                    times.push(keeper.keep(first + turn * senders + sender).await);
                }
                times
            })
        };
        let mut times = Vec::new();
        for sender in (0..senders).map(sender).collect::<Vec<_>>() {
            times.extend(sender.await.unwrap());
        }
        if let Some(handling) = &self.handling {
            handling.until(self.kept).await;
        }
        Round::new(&mut times, begun.elapsed())
    }
}

async fn kinds(server: &Server) -> (Vec<Kind>, Client) {
    let (_, client) = inbox(server, KINDS[0]).await;
    let bare = Keeper::Bare(Bare::connect(&server.url(), KINDS[0]).await);
    let keep = Keeper::Inbox(inbox(server, KINDS[1]).await.0);
    let receiver = Receiver::builder()
        .role(Role::Ingress)
        .secret(SECRET)
        .inbox(inbox(server, KINDS[2]).await.0)
        .handlers([Registration::elsewhere(Any, "crm")])
        .build()
        .unwrap();
    let sender = Sender::new(receiver.service(), Signer::new(SECRET)).attempts(1);
    let (life, _) = inbox(server, KINDS[3]).await;
    let handling = Some(Handling::start(&life));
    let kind = |keeper, handling| Kind {
        keeper,
        handling,
        kept: 0,
    };
    let kinds = vec![
        kind(bare, None),
        kind(keep, None),
        kind(Keeper::Answers(Box::new(sender)), None),
        kind(Keeper::Inbox(life), handling),
    ];
    (kinds, client)
}

pub(crate) async fn measure(server: &Server, effort: Effort) {
    let (mut kinds, client) = kinds(server).await;
    println!("Keeping events of 1.5 KB: {} rounds", effort.rounds);
    println!(
        "{:>7} {:<8} {}  rows a commit",
        "senders",
        "kind",
        columns("insert")
    );
    for senders in [1, 64, 256] {
        // What was kept before is no part of it.
        for schema in KINDS {
            let clear = format!(
                "TRUNCATE {schema}.event, {schema}.body, {schema}.job, {schema}.seen, {schema}.tally"
            );
            client.batch_execute(&clear).await.unwrap();
        }
        let mut shares = Vec::new();
        for kind in &mut kinds {
            let warm = kind.round(senders, 20).await;
            let wanted = warm.per_second * effort.round.as_secs_f64() / senders as f64;
            shares.push((wanted as usize).max(8));
        }
        let mut rounds = vec![Vec::new(); kinds.len()];
        for _ in 0..effort.rounds {
            for ((kind, share), rounds) in kinds.iter_mut().zip(&shares).zip(&mut rounds) {
                rounds.push(kind.round(senders, *share).await);
            }
        }
        for (name, of_kind) in KINDS.iter().zip(&rounds) {
            let sql = format!(
                "SELECT (count(*) / greatest(1, count(DISTINCT xmin::text)))::float8 FROM {name}.seen"
            );
            let rows: f64 = client.query_one(&sql, &[]).await.unwrap().get(0);
            println!(
                "{senders:>7} {name:<8} {}  {rows:.0}",
                row(of_kind, &rounds[0])
            );
        }
        let halves = rounds[3].iter().zip(&rounds[1]);
        let halves = halves.map(|(handled, kept)| handled.per_second / kept.per_second);
        let spread = support::figures::Spread::of(halves).unwrap();
        println!("{senders:>7} kept and handled: {spread:.2} of kept");
    }
}
