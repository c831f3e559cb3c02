//! What senders and the killer share, and what was seen of all events.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use serde::Deserialize;
use support::{Wire, call_hangup, on_the_wire};
use tokio::sync::watch;

/// As the platform does it.
const TRIES: usize = 3;

/// A line that a server prints for an attempt.
#[derive(Deserialize)]
pub(crate) struct Line {
    pub(crate) resource_id: String,
    pub(crate) attempt: u32,
    /// Whether the event is over with it. The standalone server prints no others.
    #[serde(default = "over")]
    pub(crate) over: bool,
}

fn over() -> bool {
    true
}

/// One run of a handler: in which process, which attempt it was, and whether it was the last.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Run {
    pub(crate) process: usize,
    pub(crate) attempt: u32,
    pub(crate) over: bool,
}

/// What was seen of all events, by their number.
#[derive(Default)]
pub(crate) struct Seen {
    /// Answered 200.
    pub(crate) acked: HashSet<usize>,
    /// How many of them were kept by a process that died before it could say so.
    pub(crate) answered_late: usize,
    /// In the order in which the lines came.
    pub(crate) runs: HashMap<usize, Vec<Run>>,
}

/// What the senders and the killer share.
pub(crate) struct Field {
    pub(crate) next_event: AtomicUsize,
    pub(crate) answers: AtomicUsize,
    pub(crate) over: AtomicBool,
    pub(crate) seen: Mutex<Seen>,
    /// Changes with every answer and every line.
    pub(crate) news: watch::Sender<()>,
    /// The process that listens, and where.
    pub(crate) server: watch::Sender<Option<(usize, SocketAddr)>>,
}

impl Field {
    pub(crate) fn new() -> Self {
        Self {
            next_event: AtomicUsize::new(0),
            answers: AtomicUsize::new(0),
            over: AtomicBool::new(false),
            seen: Mutex::default(),
            news: watch::Sender::new(()),
            server: watch::Sender::new(None),
        }
    }

    pub(crate) fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap()
    }

    /// Waits for something that an answer or a line brings about.
    pub(crate) async fn until(&self, holds: impl Fn(&Self) -> bool) {
        let mut news = self.news.subscribe();
        while !holds(self) {
            news.changed().await.unwrap();
        }
    }

    pub(crate) fn all_acked_are_handled(&self) -> bool {
        let Seen { acked, runs, .. } = &*self.seen();
        acked.iter().all(|event| {
            let runs = runs.get(event);
            runs.is_some_and(|runs| runs.iter().any(|run| run.over))
        })
    }

    /// Sends event after event. One whose connection breaks goes to the next process.
    pub(crate) async fn send_events(self: Arc<Self>) {
        let mut connection: Option<(usize, Wire)> = None;
        while !self.over.load(Ordering::Relaxed) {
            let event = self.next_event.fetch_add(1, Ordering::Relaxed);
            let mut broken = None;
            for attempt in 0..TRIES {
                let (process, mut wire) = match connection.take() {
                    Some(connection) => connection,
                    None => self.connect(broken).await,
                };
                let Some((status, word)) = exchange(&mut wire, event).await else {
                    broken = Some(process);
                    continue;
                };
                assert_eq!(status, 200, "event {event}: {word}");
                assert!(
                    word == "received" || attempt > 0,
                    "event {event} is new and answered {word}"
                );
                connection = Some((process, wire));
                {
                    let mut seen = self.seen();
                    seen.acked.insert(event);
                    seen.answered_late += usize::from(word == "duplicate");
                }
                self.answers.fetch_add(1, Ordering::Relaxed);
                self.news.send_replace(());
                break;
            }
        }
    }

    /// To the process that listens, another one than that.
    pub(crate) async fn connect(&self, other_than: Option<usize>) -> (usize, Wire) {
        let mut server = self.server.subscribe();
        loop {
            let listens = |server: &Option<(usize, _)>| {
                server.is_some_and(|(one, _)| Some(one) != other_than)
            };
            let (process, address) = server.wait_for(listens).await.unwrap().unwrap();
            if let Some(wire) = Wire::try_connect(address).await {
                return (process, wire);
            }
            server.changed().await.unwrap();
        }
    }
}

/// Status and word of the answer. `None` when the connection breaks.
pub(crate) async fn exchange(wire: &mut Wire, event: usize) -> Option<(u16, String)> {
    let request = on_the_wire("POST", &call_hangup(event));
    let reply = wire.try_exchange(&request).await?;
    Some((reply.status, reply.word()))
}
