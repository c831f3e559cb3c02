//! The inbox as a receiver uses it.

use std::sync::atomic::Ordering;
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::sleep;

use super::read::{Fetched, fetch, read_again, read_aside, read_from};
use super::ready::{Again, Next};
use super::shared::{Begin, Ended, Outcome, Shared};
use super::{DiskInbox, convert};
use crate::inbox::{
    Begun, Durability, Inbox, InboxError, InboxStats, Incoming, Parked, Past, Promises, Receipt,
    Records, Settled, Taken,
};
use crate::sync::time::sleep_until;

/// Between two tries at a file that cannot be read.
const PAUSE: Duration = Duration::from_secs(1);

#[async_trait]
impl Inbox for DiskInbox {
    fn attach(&self) -> Result<(), InboxError> {
        self.shared().attach()
    }

    fn detach(&self) {
        self.shared().ready().attached = false;
    }

    fn keep(&self, incoming: Incoming) -> Receipt {
        self.shared().admit(incoming)
    }

    async fn take(&self, max: usize) -> Vec<Taken> {
        let shared = self.shared();
        if max == 0 {
            return Vec::new();
        }
        loop {
            // Before the look, so that nothing that comes between is missed.
            let arrived = shared.arrived.notified();
            let next = {
                let mut ready = shared.ready();
                let next = ready.next(max);
                if matches!(next, Next::Jobs(_)) && ready.has_more() {
                    shared.arrived.notify_one();
                }
                next
            };
            match next {
                Next::Jobs(jobs) => return jobs,
                Next::Closed => return Vec::new(),
                Next::Wait(None) => arrived.await,
                Next::Wait(Some(due)) => tokio::select! {
                    () = arrived => {}
                    () = sleep_until(due) => {}
                },
                Next::Read(seqs) => {
                    self.try_read(move |shared| read_again(shared, &seqs)).await;
                }
                Next::ReadAside(key) => {
                    self.try_read(move |shared| read_aside(shared, key)).await;
                }
                Next::ReadFrom(seq) => {
                    self.try_read(move |shared| read_from(shared, seq)).await;
                }
            }
        }
    }

    fn begin(&self, job: &Taken) -> Begun {
        let (starter, begun) = Begun::pending();
        self.shared().begin(Begin {
            seq: job.id(),
            handler: job.handler().clone(),
            starter,
        });
        begun
    }

    fn settle(&self, job: &Taken, outcome: Settled) {
        let shared = self.shared();
        let (seq, handler) = (job.id(), job.handler());
        let again = |attempts, interrupted| Again {
            seq,
            handler: handler.clone(),
            attempts,
            interrupted,
        };
        let note = |failed| {
            let record = convert::record(failed);
            let noted = shared.index().note(seq, handler, record);
            noted.unwrap_or_else(|| job.attempts().saturating_add(1))
        };
        let (ended, then) = match outcome {
            Settled::Done => (Ended::Done, None),
            Settled::Retry { failed, after } => {
                let number = note(failed);
                let then = (again(number, false), after);
                let in_lane = false;
                (
                    Ended::Retry {
                        number,
                        after,
                        in_lane,
                    },
                    Some(then),
                )
            }
            // Whoever took it has it.
            Settled::Delayed { failed, after } => {
                let number = note(failed);
                let in_lane = true;
                (
                    Ended::Retry {
                        number,
                        after,
                        in_lane,
                    },
                    None,
                )
            }
            Settled::Dead { failed } => {
                let number = failed.map(note);
                (Ended::Dead { number }, None)
            }
            Settled::Released => {
                let interrupted = job.past().is_some_and(|past| past.interrupted);
                let then = (again(job.attempts(), interrupted), Duration::ZERO);
                (Ended::Released, Some(then))
            }
            Settled::Held => return shared.index().hold(seq, handler),
        };
        // First the outcome, so that a next attempt cannot be written before it.
        shared.outcome(Outcome {
            seq,
            handler: handler.clone(),
            ended,
        });
        // It may have been given up meanwhile.
        if let Some((again, after)) = then
            && shared.index().wants(seq, handler)
        {
            shared.again(again, after);
        }
    }

    fn park(&self, job: &Taken) -> Option<Parked> {
        // What is known of its attempts is read back with its bytes.
        let light = Past {
            history: Vec::new(),
            ..job.past().cloned().unwrap_or_default()
        };
        Some(Parked::new(&job.clone().after(light)))
    }

    async fn unpark(&self, parked: &Parked) -> Option<Taken> {
        /// So often a slot waits for an event before it is left to others.
        const TRIES: u32 = 10;
        let seq = parked.id();
        for _ in 0..TRIES {
            match self.read(move |shared| fetch(shared, seq)).await {
                Ok(Fetched::Event(entry, mut histories)) => {
                    let taken = parked.with(entry);
                    return Some(match parked.past().cloned() {
                        None => taken,
                        Some(past) => taken.after(Past {
                            history: histories.remove(parked.handler()).unwrap_or_default(),
                            ..past
                        }),
                    });
                }
                Ok(Fetched::Gone) => return None,
                Ok(Fetched::Failed) | Err(_) => sleep(PAUSE).await,
            }
        }
        self.shared().ready().defer_job(again(parked));
        self.shared().arrived.notify_one();
        None
    }

    fn put_back(&self, parked: &Parked) {
        let shared = self.shared();
        if shared.index().wants(parked.id(), parked.handler()) {
            shared.again(again(parked), Duration::ZERO);
        }
    }

    fn close(&self) {
        self.shared().close();
    }

    async fn flush(&self) -> Result<(), InboxError> {
        let read = self.read(|_| ());
        let stored = self.stored().await;
        // One thread reads in turn. A panic of it says nothing about what was stored.
        let _ = read.await;
        match stored {
            true => Ok(()),
            false if self.shared().is_over() => {
                Err(InboxError::storage("the inbox's writer has ended"))
            }
            false => Err(InboxError::storage("the last write failed")),
        }
    }

    fn promises(&self) -> Promises {
        Promises::new(Durability::Machine).remembering(self.shared().settings.identity_ttl)
    }

    fn stats(&self) -> InboxStats {
        let shared = self.shared();
        let (waiting, stuck, totals, held) = {
            let ready = shared.ready();
            let index = shared.index();
            let rows = ready.stuck_rows();
            let rows = rows.flat_map(|(key, from)| {
                let events = index.events(key).iter();
                events.filter(move |event| event.seq >= from && event.is_open())
            });
            let stuck = rows.count() + ready.stuck_events();
            (ready.waiting(), stuck, index.totals, index.held())
        };
        InboxStats {
            events: totals.events,
            bytes: usize::try_from(totals.bytes).unwrap_or(usize::MAX),
            identities: shared.seen.len() + shared.noted.len(),
            evicted: shared.seen.evicted() + shared.noted.evicted(),
            waiting,
            held,
            dead: totals.dead,
            stuck,
            damaged: shared.damaged.load(Ordering::Relaxed),
            full: shared.is_full(),
            failing: shared.is_failing(),
            disk_bytes: shared.disk_bytes.load(Ordering::Relaxed),
            max_events: Some(shared.settings.max_events),
            max_bytes: Some(shared.settings.max_bytes),
            used_bytes: totals.bytes + totals.dead_bytes,
        }
    }

    fn records(&self) -> Option<&dyn Records> {
        Some(self)
    }
}

fn again(parked: &Parked) -> Again {
    Again {
        seq: parked.id(),
        handler: parked.handler().clone(),
        attempts: parked.past().map_or(0, |past| past.attempts),
        interrupted: parked.past().is_some_and(|past| past.interrupted),
    }
}

impl DiskInbox {
    /// Reads what is to be handed out. The jobs stay where they are until they are read; what cannot be
    /// read now is tried again.
    async fn try_read(&self, read: impl FnOnce(&Shared) -> bool + Send + 'static) {
        if self.read(read).await != Ok(true) {
            sleep(self.shared().settings.tick).await;
        }
    }
}
