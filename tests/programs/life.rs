//! A process that lives with an inbox on disk as a receiver does: keeps events, handles them well
//! and badly, looks into it, and is killed. It says what it saw in marks; see `support::life`.
//!
//! `life DIRECTORY MARKS SEED EVENTS END`: the events are those of the seed; at the end the inbox
//! is closed, or the process waits to be killed, by `close` or `kill`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "this is test code"
)]

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use support::life::{End, Mark, body};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::sleep;
use voipbin_receiver::handler::HandlerName;
use voipbin_receiver::inbox::{
    Attempt, AttemptEnd, Consumer, DiskInbox, HandlerSet, Inbox, Incoming, Job, Prefetch,
    RecordFilter, RecordState, Records, Settled,
};
use voipbin_receiver::testing::delivery;
use voipbin_receiver::{Delivery, Repeats};

/// How long all of it may take: the faults that it meets pass.
const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    tracing_subscriber::fmt()
        .with_max_level(tracing::Level::WARN)
        .with_writer(std::io::stderr)
        .init();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [directory, marks, seed, events, end] = &*arguments else {
        panic!("usage: life DIRECTORY MARKS SEED EVENTS END");
    };
    let marks = OpenOptions::new().append(true).create(true).open(marks);
    let life = Life {
        marks: marks.unwrap(),
        random: Mutex::new(fastrand::Rng::with_seed(seed.parse().unwrap())),
        next: AtomicU64::new(1_000_000 * seed.parse::<u64>().unwrap()),
        released: AtomicBool::new(false),
        killed: end == "kill",
        said: AtomicU64::new(0),
    };
    let ends = life.live(directory, events.parse().unwrap());
    tokio::time::timeout(PATIENCE, ends)
        .await
        .expect("it hangs");
}

struct Life {
    marks: File,
    random: Mutex<fastrand::Rng>,
    /// The number of the next event.
    next: AtomicU64,
    released: AtomicBool,
    /// Whether its process is killed at its end.
    killed: bool,
    /// How many marks there are.
    said: AtomicU64,
}

impl Life {
    async fn live(self, directory: &str, events: u64) {
        let life = Arc::new(self);
        tokio::spawn(Arc::clone(&life).watch());
        let inbox = life.open(directory).await;
        let consumer: Arc<dyn Consumer> = inbox.consume().unwrap().into();
        life.mark(Mark::Opened);
        let last = life.next.load(Ordering::Relaxed) + events;
        let mut senders = JoinSet::new();
        for _ in 0..life.below(1..12) {
            senders.spawn(Arc::clone(&life).send(inbox.clone(), last));
        }
        let handling = tokio::spawn(Arc::clone(&life).handle_all(Arc::clone(&consumer)));
        let looking = tokio::spawn(Arc::clone(&life).look(inbox.clone(), Arc::clone(&consumer)));
        senders.join_all().await;
        // Some live on until what is done is removed.
        let longer = [50, 50, 2500][life.below(0..3) as usize];
        sleep(Duration::from_millis(life.below(0..longer))).await;
        if life.killed {
            life.mark(Mark::Kill);
            std::process::abort();
        }
        life.close(inbox, consumer, handling, looking).await;
    }

    /// One write, so that marks of several threads do not mix.
    fn mark(&self, mark: Mark) {
        self.said.fetch_add(1, Ordering::Relaxed);
        (&self.marks)
            .write_all(format!("{mark}\n").as_bytes())
            .unwrap();
    }

    fn below(&self, range: Range<u64>) -> u64 {
        self.random.lock().unwrap().u64(range)
    }

    /// Something failed. It must do so no longer after a while.
    async fn trouble(&self) {
        sleep(Duration::from_millis(20)).await;
        if !self.released.swap(true, Ordering::Relaxed) {
            self.mark(Mark::Release);
        }
    }

    /// What waits for the trouble to end without a word is told so too.
    async fn watch(self: Arc<Self>) {
        let mut before = 0;
        loop {
            sleep(Duration::from_secs(1)).await;
            let said = self.said.load(Ordering::Relaxed);
            if said == before {
                eprintln!("nothing happens");
                self.trouble().await;
            }
            before = said;
        }
    }

    /// Done events go while it lives.
    async fn open(&self, directory: &str) -> DiskInbox {
        loop {
            let inbox = DiskInbox::builder(directory).retain_done(Duration::from_millis(200));
            match inbox.open().await {
                Ok(inbox) => return inbox,
                Err(error) => eprintln!("it cannot be opened: {error}: {:?}", error.kind()),
            }
            self.trouble().await;
        }
    }

    async fn send(self: Arc<Self>, inbox: DiskInbox, last: u64) {
        let jobs: HandlerSet = [HandlerName::new("handler")].into_iter().collect();
        loop {
            let event = self.next.fetch_add(1, Ordering::Relaxed);
            if event >= last {
                return;
            }
            let delivery = delivery(body(event)).unwrap();
            self.mark(Mark::Keep(event));
            loop {
                let incoming = Incoming::new(delivery.clone(), jobs.clone(), Repeats::Drop);
                match inbox.keep(incoming).await {
                    Ok(_) => break self.mark(Mark::Kept(event)),
                    Err(_) => self.mark(Mark::Refused(event)),
                }
                self.trouble().await;
            }
            if self.below(0..8) == 0 {
                sleep(Duration::from_micros(self.below(0..3000))).await;
            }
        }
    }

    async fn handle_all(self: Arc<Self>, consumer: Arc<dyn Consumer>) {
        let mut handlers = JoinSet::new();
        loop {
            let room = Prefetch::for_jobs(self.below(1..16) as usize);
            let Some(jobs) = consumer.take(room).await else {
                break;
            };
            for job in jobs {
                handlers.spawn(Arc::clone(&self).handle(Arc::clone(&consumer), job));
            }
        }
        handlers.join_all().await;
    }

    async fn handle(self: Arc<Self>, consumer: Arc<dyn Consumer>, job: Job) {
        let event = number(job.delivery());
        if self.below(0..30) == 0 {
            return consumer.settle(&job, Settled::Unroutable);
        }
        if consumer.begin(&job).await.is_err() {
            return self.trouble().await;
        }
        let attempt = job.attempts() + 1;
        self.mark(Mark::Begun(event, attempt));
        sleep(Duration::from_micros(self.below(0..2000))).await;
        let failed = || {
            let error = "x".repeat(self.below(0..300) as usize);
            let end = AttemptEnd::Failed(error);
            Attempt::new(SystemTime::now(), Duration::from_millis(1), end)
        };
        let (end, outcome) = match self.below(0..100) {
            0..55 => (End::Done, Settled::Done),
            55..75 => {
                let after = Duration::from_millis(self.below(0..30));
                (
                    End::Retry,
                    Settled::Retry {
                        failed: failed(),
                        after,
                        in_place: false,
                    },
                )
            }
            75..85 => (
                End::Dead,
                Settled::Dead {
                    failed: Some(failed()),
                },
            ),
            // With its process. At the end of its consumer it would be released.
            85..88 if self.killed => return,
            _ => (End::Released, Settled::Released),
        };
        self.mark(Mark::Settle(event, end));
        consumer.settle(&job, outcome);
        self.mark(Mark::Settled(event));
    }

    /// Waits for what is settled now and then, and deals with dead letters.
    async fn look(self: Arc<Self>, inbox: DiskInbox, consumer: Arc<dyn Consumer>) {
        let handler = [HandlerName::new("handler")];
        loop {
            sleep(Duration::from_millis(self.below(1..30))).await;
            self.mark(Mark::Flush);
            match consumer.flush().await {
                Ok(()) => self.mark(Mark::Flushed),
                Err(_) => self.trouble().await,
            }
            let dead = RecordFilter::new().state(RecordState::Dead);
            let Ok(page) = inbox.list(&dead, None, 4).await else {
                continue;
            };
            let Some(letter) = page.records.first() else {
                continue;
            };
            let event = number(&letter.delivery);
            match self.below(0..4) {
                0 => {
                    self.mark(Mark::Replay(event));
                    if inbox.replay(letter.id, Some(&handler)).await.is_ok() {
                        self.mark(Mark::Replayed(event));
                    }
                }
                1 => {
                    self.mark(Mark::Discard(event));
                    let _ = inbox.discard(&[letter.id]).await;
                }
                _ => {}
            }
        }
    }

    async fn close(
        &self,
        inbox: DiskInbox,
        consumer: Arc<dyn Consumer>,
        handling: JoinHandle<()>,
        looking: JoinHandle<()>,
    ) {
        looking.abort();
        let _ = looking.await;
        consumer.drain();
        handling.await.unwrap();
        let begun = Instant::now();
        while consumer.flush().await.is_err() {
            assert!(begun.elapsed() < PATIENCE / 2, "it does not recover");
            self.trouble().await;
        }
        drop(consumer);
        inbox.closed().await;
        self.mark(Mark::Closed);
    }
}

fn number(delivery: &Delivery) -> u64 {
    delivery.resource_id().unwrap().parse().unwrap()
}
