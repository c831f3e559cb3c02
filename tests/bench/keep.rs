//! Keeping, without a server around it.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, Runtime};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use voipbin_receiver::ReceiverBuilder;
use voipbin_receiver::inbox::{
    Consumer, DiskInbox, HandlerSet, Inbox, Incoming, KeepError, Kept, Prefetch, Reply, Settled,
};

use crate::Effort;
use crate::appended::Appended;
use crate::events::{incoming, jobs};
use support::figures::{Round, columns, micros, row};
use support::process::written;

#[derive(Clone)]
enum Keeper {
    Appended(Arc<Appended>),
    Disk(DiskInbox),
    /// Each event is taken, begun and settled as well; a round ends when all are finished.
    Life(DiskInbox, Arc<dyn Consumer>),
}

const KINDS: [&str; 3] = ["appended", "disk", "whole life"];

impl Keeper {
    async fn all(directory: &Path, senders: usize) -> [Self; 3] {
        let path = |kind: &str| directory.join(format!("{kind}-{senders}"));
        let life = DiskInbox::open(path("life")).await.unwrap();
        let consumer: Arc<dyn Consumer> = life.consume().unwrap().into();
        tokio::spawn(handle_all(Arc::clone(&consumer)));
        [
            Self::Appended(Arc::new(Appended::create(&path("appended")))),
            Self::Disk(DiskInbox::open(path("disk")).await.unwrap()),
            Self::Life(life, consumer),
        ]
    }

    fn keep(&self, incoming: Incoming) -> Reply<Kept, KeepError> {
        match self {
            Self::Appended(file) => file.keep(incoming),
            Self::Disk(inbox) | Self::Life(inbox, _) => inbox.keep(incoming),
        }
    }

    async fn finish(&self) {
        let Self::Life(inbox, consumer) = self else {
            return;
        };
        while inbox.stats().events > 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        consumer.flush().await.unwrap();
    }
}

/// What a receiver does with what it takes, as many at once, but the handlers.
async fn handle_all(consumer: Arc<dyn Consumer>) {
    let slots = Arc::new(Semaphore::new(ReceiverBuilder::DEFAULT_CONCURRENCY));
    while let Some(jobs) = consumer.take(Prefetch::for_jobs(64)).await {
        for job in jobs {
            let slot = Arc::clone(&slots).acquire_owned().await;
            let consumer = Arc::clone(&consumer);
            tokio::spawn(async move {
                if consumer.begin(&job).await.is_ok() {
                    consumer.settle(&job, Settled::Done);
                }
                drop(slot);
            });
        }
    }
}

/// Events that are made before the clock runs.
struct Supply {
    next: usize,
    jobs: HandlerSet,
}

impl Supply {
    fn for_each(&mut self, senders: usize, events: usize) -> Vec<Vec<Incoming>> {
        let mut lists = Vec::with_capacity(senders);
        for _ in 0..senders {
            let numbers = self.next..self.next + events;
            self.next = numbers.end;
            lists.push(numbers.map(|number| incoming(number, &self.jobs)).collect());
        }
        lists
    }
}

/// Each sender keeps one event after another.
async fn round(keeper: &Keeper, lists: Vec<Vec<Incoming>>) -> Round {
    let written_before = written();
    let begun = Instant::now();
    let mut senders = JoinSet::new();
    for list in lists {
        let keeper = keeper.clone();
        senders.spawn(async move {
            let mut times = Vec::with_capacity(list.len());
            for incoming in list {
                let sent = Instant::now();
                assert_eq!(keeper.keep(incoming).await.unwrap(), Kept::New);
                times.push(micros(sent.elapsed()));
            }
            times
        });
    }
    let mut times = senders.join_all().await.concat();
    keeper.finish().await;
    let took = begun.elapsed();
    let written = written()
        .zip(written_before)
        .map(|(after, before)| (after - before) as f64 / times.len() as f64);
    Round {
        written,
        ..Round::new(&mut times, took)
    }
}

fn runtime() -> Runtime {
    let mut builder = Builder::new_multi_thread();
    builder.worker_threads(2).enable_all().build().unwrap()
}

pub(crate) fn measure(place: &Path, effort: Effort) {
    println!("Keeping events of 1.5 KB: {} rounds", effort.rounds);
    println!("{:>7} {:<10} {}", "senders", "kind", columns("appended"));
    for senders in [1, 64, 256] {
        runtime().block_on(with_senders(place, effort, senders));
    }
    println!();
}

async fn with_senders(place: &Path, effort: Effort, senders: usize) {
    let keepers = Keeper::all(place, senders).await;
    let mut supply = Supply {
        next: 0,
        jobs: jobs(),
    };
    // How many events each sender keeps in a round of the wanted length.
    let mut shares = Vec::new();
    for keeper in &keepers {
        let share = 8;
        let lists = supply.for_each(senders, share);
        let warm = round(keeper, lists).await;
        let wanted = warm.per_second * effort.round.as_secs_f64() / senders as f64;
        shares.push((wanted as usize).max(share));
    }
    let mut rounds = [const { Vec::new() }; 3];
    for _ in 0..effort.rounds {
        for ((keeper, share), rounds) in keepers.iter().zip(&shares).zip(&mut rounds) {
            let lists = supply.for_each(senders, *share);
            rounds.push(round(keeper, lists).await);
        }
    }
    for (kind, of_kind) in KINDS.iter().zip(&rounds) {
        println!("{senders:>7} {kind:<10} {}", row(of_kind, &rounds[0]));
    }
    for keeper in keepers {
        if let Keeper::Life(_, consumer) = keeper {
            consumer.drain();
        }
    }
}
