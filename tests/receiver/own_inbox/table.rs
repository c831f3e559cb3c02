//! An inbox as a table, which several consumers share: no lane overlaps across them. What is done
//! under one lock here is one transaction in SQL.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};
use voipbin_receiver::inbox::*;
use voipbin_receiver::{Identity, Repeats, async_trait};

#[derive(Clone, Debug, Default)]
pub(crate) struct TableInbox(Arc<(Mutex<Table>, Notify)>);

#[derive(Debug, Default)]
struct Table {
    /// Jobs that are neither done nor dead, in the order in which their events were kept: each with
    /// when it is due, and the consumer that has it.
    rows: Vec<(Job, Instant, Option<u64>)>,
    identities: HashSet<Identity>,
    /// The last number of an event, a job or a consumer.
    last: u64,
    drained: HashSet<u64>,
}

struct TableConsumer(TableInbox, u64);

impl TableInbox {
    /// Changes the table, and wakes whoever waits for that.
    fn change<T>(&self, change: impl FnOnce(&mut Table) -> T) -> T {
        let changed = change(&mut self.0.0.lock().unwrap());
        self.0.1.notify_waiters();
        changed
    }
}

impl Table {
    fn number(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    /// Takes what there is room for, of lanes of which no other consumer has a job.
    fn take(&mut self, mut room: Prefetch, consumer: u64) -> Vec<Job> {
        let mut taken = Vec::new();
        for at in 0..self.rows.len() {
            let (job, due, by) = &self.rows[at];
            let overlaps = |(other, _, by): &(Job, Instant, Option<u64>)| {
                by.is_some_and(|by| by != consumer)
                    && (other.handler(), other.event().lane())
                        == (job.handler(), job.event().lane())
            };
            let blocked = job.event().lane().is_some() && self.rows.iter().any(overlaps);
            if !room.is_full() && by.is_none() && *due <= Instant::now() && !blocked {
                room.add(job.delivery().body().len());
                taken.push(job.clone());
                self.rows[at].2 = Some(consumer);
            }
        }
        taken
    }
}

impl Inbox for TableInbox {
    fn keep(&self, incoming: Incoming) -> Reply<Kept, KeepError> {
        Reply::ready(self.change(|table| {
            let is_copy = !table.identities.insert(incoming.delivery.identity());
            if is_copy && incoming.repeats == Repeats::Drop {
                return Ok(Kept::Duplicate);
            }
            let event = KeptEvent::new(table.number(), incoming.delivery);
            let event = Arc::new(event.in_lane(incoming.lane).marked(is_copy));
            for handler in &incoming.handlers {
                let job = Job::new(Arc::clone(&event), handler.clone(), table.number());
                table.rows.push((job, Instant::now(), None));
            }
            Ok(Kept::New)
        }))
    }

    fn consume(&self) -> Result<Box<dyn Consumer>, InboxError> {
        let number = self.change(Table::number);
        Ok(Box::new(TableConsumer(self.clone(), number)))
    }

    fn guarantees(&self) -> Guarantees {
        Guarantees::new(Durability::Process)
            .knowing_copies_for(Duration::MAX)
            .shared(LaneOrder::Cluster)
    }

    fn stats(&self) -> InboxStats {
        let rows = &self.0.0.lock().unwrap().rows;
        let events: HashSet<u64> = rows.iter().map(|(job, ..)| job.id()).collect();
        let mut stats = InboxStats::default();
        stats.events = events.len();
        stats.delayed = rows.iter().filter(|row| row.1 > Instant::now()).count();
        stats
    }
}

#[async_trait]
impl Consumer for TableConsumer {
    async fn take(&self, room: Prefetch) -> Option<Vec<Job>> {
        loop {
            let changed = self.0.0.1.notified();
            let next_due = {
                let mut table = self.0.0.0.lock().unwrap();
                if table.drained.contains(&self.1) {
                    return None;
                }
                let taken = table.take(room, self.1);
                if !taken.is_empty() {
                    return Some(taken);
                }
                let due = table.rows.iter().map(|row| row.1);
                due.filter(|due| *due > Instant::now()).min()
            };
            match next_due {
                Some(due) => tokio::select! { () = changed => {} () = sleep_until(due) => {} },
                None => changed.await,
            }
        }
    }

    fn settle(&self, job: &Job, outcome: Settled) {
        self.0.change(|table| {
            let mine = |row: &(Job, _, _)| row.0.token() == job.token() && row.2 == Some(self.1);
            let Some(at) = table.rows.iter().position(mine) else {
                return;
            };
            let (job, due, taken_by) = &mut table.rows[at];
            match outcome {
                Settled::Retry {
                    failed,
                    after,
                    in_place,
                } => {
                    *job = job.clone().after_failure(failed);
                    *due = Instant::now() + after;
                    *taken_by = taken_by.filter(|_| in_place);
                }
                Settled::Released => *taken_by = None,
                // A real one keeps dead letters, to be looked at.
                _ => drop(table.rows.remove(at)),
            }
        });
    }

    fn drain(&self) {
        self.0.change(|table| table.drained.insert(self.1));
    }
}

impl Drop for TableConsumer {
    fn drop(&mut self) {
        self.0.change(|table| {
            let mine = |row: &&mut (Job, Instant, Option<u64>)| row.2 == Some(self.1);
            table
                .rows
                .iter_mut()
                .filter(mine)
                .for_each(|row| row.2 = None);
        });
    }
}
