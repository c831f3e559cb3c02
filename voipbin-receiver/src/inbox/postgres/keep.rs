//! Keeping: what waits shares a commit, a copy joins the first, and an outcome that is unknown is
//! found out.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_postgres::types::Type;

use super::PARTITIONS;
use super::row::{clean, names, unix_micros};
use super::server::{Session, Trouble, get};
use super::shared::Shared;
use crate::catalog::EventType;
use crate::event::{Identity, Proof, TraceContext};
use crate::inbox::{Incoming, KeepError, KeepErrorKind, Kept, Repeats, ReplySender};

/// Of one commit.
const MOST_EVENTS: usize = 256;
const MOST_BYTES: usize = 4 << 20;

/// How long a commit of several waits for an identity that another process is keeping. Then each
/// has its own.
const TOGETHER: Duration = Duration::from_millis(50);

/// Before the next try, after one whose outcome is unknown.
const PAUSE: Duration = Duration::from_millis(100);

/// The sender's retry time, in milliseconds: within it the same bytes may be a repeat.
const REPEAT_MS: i64 = 100_000;

/// A delivery on its way to the inbox.
pub(super) struct New {
    pub(super) incoming: Incoming,
    pub(super) reply: ReplySender<Kept, KeepError>,
}

/// Who waits for an answer, and until when.
type Waiter = (ReplySender<Kept, KeepError>, Instant);

/// One that is being kept, with what waits for the same identity.
#[derive(Default)]
struct Flight {
    waiters: Vec<Waiter>,
    /// Copies that are to be kept too, each after the one before.
    later: VecDeque<New>,
}

#[derive(Clone)]
struct Item {
    incoming: Arc<Incoming>,
    /// By which a request whose outcome is unknown knows itself again.
    token: i64,
    /// Another process may be keeping it: nothing else is to wait for that.
    alone: bool,
    until: Instant,
}

struct Batch {
    session: Session,
    items: Vec<Item>,
}

pub(super) struct Keeper {
    shared: Arc<Shared>,
    flights: HashMap<Identity, Flight>,
    queue: VecDeque<Item>,
    idle: Vec<Session>,
    running: JoinSet<(Batch, Result<Outcome, Trouble>)>,
}

/// What became of each, and the partitions that have new jobs.
struct Outcome {
    each: Vec<i16>,
    partitions: i64,
}

impl Keeper {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        let session = |_| Session::new(Arc::clone(&shared.address));
        let idle = (0..shared.settings.connections).map(session).collect();
        Self {
            flights: HashMap::new(),
            queue: VecDeque::new(),
            idle,
            running: JoinSet::new(),
            shared,
        }
    }

    /// Until nobody is left who could keep anything.
    pub(super) async fn run(mut self, mut incoming: mpsc::UnboundedReceiver<New>) {
        /// How exactly a time-out is met.
        const LOOK: Duration = Duration::from_millis(100);
        let mut open = true;
        let mut look_at = Instant::now() + LOOK;
        let mut new = Vec::new();
        while open || !self.flights.is_empty() {
            tokio::select! {
                biased;
                Some(done) = self.running.join_next() => {
                    // A task of this file does not panic; when the runtime ends, all of this does.
                    if let Ok((batch, result)) = done {
                        self.ended(batch, result);
                    }
                }
                count = incoming.recv_many(&mut new, MOST_EVENTS), if open => open = count > 0,
                () = sleep_until(look_at), if !self.flights.is_empty() => {
                    self.time_out();
                    look_at = Instant::now() + LOOK;
                }
            }
            for new in new.drain(..) {
                self.admit(new);
            }
            self.start();
        }
    }

    fn admit(&mut self, new: New) {
        let until = Instant::now() + self.shared.settings.keep_timeout;
        let identity = new.incoming.delivery.identity();
        if let Some(flight) = self.flights.get_mut(&identity) {
            match new.incoming.repeats {
                Repeats::Drop => flight.waiters.push((new.reply, until)),
                Repeats::Mark => flight.later.push_back(new),
            }
            return;
        }
        let flight = self.flights.entry(identity).or_default();
        flight.waiters.push((new.reply, until));
        self.queue.push_back(Item {
            incoming: Arc::new(new.incoming),
            token: fastrand::i64(..),
            alone: false,
            until,
        });
    }

    /// Gives what waits to the connections that are free.
    fn start(&mut self) {
        while !self.queue.is_empty()
            && let Some(session) = self.idle.pop()
        {
            let (mut items, mut bytes): (Vec<Item>, usize) = (Vec::new(), 0);
            while let Some(next) = self.queue.front() {
                let fits = bytes < MOST_BYTES && items.len() < MOST_EVENTS && !next.alone;
                if !items.is_empty() && (!fits || items.iter().any(|item| item.alone)) {
                    break;
                }
                bytes += next.incoming.delivery.body().len();
                items.extend(self.queue.pop_front());
            }
            let shared = Arc::clone(&self.shared);
            let batch = Batch { session, items };
            self.running.spawn(async move { batch.run(&shared).await });
        }
    }

    fn ended(&mut self, batch: Batch, result: Result<Outcome, Trouble>) {
        let Batch { session, items } = batch;
        self.idle.push(session);
        match result {
            Ok(outcome) => {
                self.shared.failing.store(false, Ordering::Relaxed);
                for (item, outcome) in items.into_iter().zip(outcome.each) {
                    let kept = match outcome {
                        0 => Ok(Kept::New),
                        1 => Ok(Kept::Duplicate),
                        _ => Err(KeepErrorKind::Full),
                    };
                    self.answer(&item, &kept.map_err(KeepError::new));
                }
                self.shared.announce(outcome.partitions.cast_unsigned());
            }
            Err(trouble) if trouble.is_passing() => {
                tracing::debug!(%trouble, "events are kept in a next try");
                self.again(items, false);
            }
            // Each for itself: one of them is waited for, or refused.
            Err(_) if items.len() > 1 => self.again(items, true),
            Err(trouble) => {
                if !self.shared.failing.swap(true, Ordering::Relaxed) {
                    tracing::error!(%trouble, "events cannot be kept");
                }
                let error = Err(KeepError::storage(trouble));
                for item in &items {
                    self.answer(item, &error);
                }
            }
        }
    }

    /// In front of what came later, as far as anybody still waits.
    fn again(&mut self, items: Vec<Item>, alone: bool) {
        for mut item in items.into_iter().rev() {
            let identity = item.incoming.delivery.identity();
            let waits = self.flights.get(&identity).map(|flight| &flight.waiters);
            match waits.into_iter().flatten().map(|(_, until)| *until).max() {
                Some(until) => {
                    item.until = until;
                    item.alone |= alone;
                    self.queue.push_front(item);
                }
                None => self.land(identity),
            }
        }
    }

    /// Whoever waited for this one has its outcome; of one that is new only the first is.
    fn answer(&mut self, item: &Item, outcome: &Result<Kept, KeepError>) {
        let identity = item.incoming.delivery.identity();
        let flight = self.flights.get_mut(&identity);
        let waiters = flight.map(|flight| std::mem::take(&mut flight.waiters));
        let mut is_first = true;
        for (reply, _) in waiters.into_iter().flatten() {
            reply.send(match outcome {
                Ok(Kept::New) if is_first => Ok(Kept::New),
                Ok(_) => Ok(Kept::Duplicate),
                Err(error) if error.kind() == KeepErrorKind::Storage => {
                    Err(KeepError::storage("the database refused it"))
                }
                Err(error) => Err(KeepError::new(error.kind())),
            });
            is_first = false;
        }
        self.land(identity);
    }

    /// It is over; what is of the same identity and to be kept too is next.
    fn land(&mut self, identity: Identity) {
        let Some(flight) = self.flights.remove(&identity) else {
            return;
        };
        for next in flight.later {
            self.admit(next);
        }
    }

    /// Who has waited too long is told so. The commit goes on: what it comes to is for the sender's
    /// next try to find.
    fn time_out(&mut self) {
        let now = Instant::now();
        for flight in self.flights.values_mut() {
            if flight.waiters.iter().any(|(_, until)| *until <= now) {
                let all = std::mem::take(&mut flight.waiters);
                for (reply, until) in all {
                    match until <= now {
                        true => reply.send(Err(KeepError::storage(
                            "the database did not answer in time",
                        ))),
                        false => flight.waiters.push((reply, until)),
                    }
                }
                self.shared.failing.store(true, Ordering::Relaxed);
            }
        }
        let queue = std::mem::take(&mut self.queue);
        for item in queue {
            let identity = item.incoming.delivery.identity();
            match self.flights.get(&identity) {
                Some(flight) if !flight.waiters.is_empty() => self.queue.push_back(item),
                _ => self.land(identity),
            }
        }
    }
}

impl Batch {
    async fn run(mut self, shared: &Shared) -> (Self, Result<Outcome, Trouble>) {
        let result = self.keep(shared).await;
        if result.as_ref().is_err_and(Trouble::is_passing) {
            sleep(PAUSE).await;
        }
        (self, result)
    }

    async fn keep(&mut self, shared: &Shared) -> Result<Outcome, Trouble> {
        let left = self.items.iter().map(|item| item.until).min();
        let left = left.map_or(TOGETHER, |until| until.duration_since(Instant::now()));
        let wait = match &self.items[..] {
            [_] => left.max(TOGETHER),
            _ => TOGETHER,
        };
        let wait = i32::try_from(wait.as_millis()).unwrap_or(i32::MAX);
        let cluster = shared.settings.require == crate::inbox::Durability::Cluster;
        let most_events = i64::try_from(shared.settings.max_events).unwrap_or(i64::MAX);
        let most_bytes = i64::try_from(shared.settings.max_bytes).unwrap_or(i64::MAX);
        let deliveries = || self.items.iter().map(|item| &item.incoming.delivery);
        let tokens: Vec<i64> = self.items.iter().map(|item| item.token).collect();
        let identities: Vec<_> = deliveries().map(|of| of.identity()).collect();
        let identities: Vec<&[u8]> = identities.iter().map(|id| &id.as_bytes()[..]).collect();
        let incoming = || self.items.iter().map(|item| &*item.incoming);
        let marks: Vec<bool> = incoming().map(|of| of.repeats == Repeats::Mark).collect();
        let signed: Vec<bool> = deliveries().map(|of| of.proof() == Proof::Signed).collect();
        let origins: Vec<&str> = deliveries().map(|of| of.origin().as_str()).collect();
        let received: Vec<i64> = deliveries()
            .map(|of| unix_micros(of.received_at()))
            .collect();
        let types: Vec<Option<EventType>> = deliveries().map(|of| of.event_type()).collect();
        let types: Vec<_> = types
            .iter()
            .map(|of| of.as_ref().map(|of| clean(of.as_str())))
            .collect();
        let resources: Vec<_> = deliveries().map(|of| of.resource_id().map(clean)).collect();
        let content_types: Vec<_> = deliveries()
            .map(|of| of.other_content_type().map(clean))
            .collect();
        let traces: Vec<_> = deliveries()
            .map(|of| of.trace_context().map(TraceContext::as_str))
            .collect();
        let lanes: Vec<Option<i64>> = incoming()
            .map(|of| of.lane.map(|lane| lane.get().cast_signed()))
            .collect();
        let handlers: Vec<String> = incoming().map(|of| names(&of.handlers)).collect();
        let bodies: Vec<&[u8]> = deliveries().map(|of| &of.body()[..]).collect();
        let sql = shared.sql(
            "SELECT outcome, partitions FROM inbox.keep($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, \
             $14, $15, $16, $17, $18, $19)",
        );
        let rows = self
            .session
            .call(
                &sql,
                &[
                    (&wait, Type::INT4),
                    (&cluster, Type::BOOL),
                    (&most_events, Type::INT8),
                    (&most_bytes, Type::INT8),
                    (&REPEAT_MS, Type::INT8),
                    (&i64::from(PARTITIONS - 1), Type::INT8),
                    (&tokens, Type::INT8_ARRAY),
                    (&identities, Type::BYTEA_ARRAY),
                    (&marks, Type::BOOL_ARRAY),
                    (&signed, Type::BOOL_ARRAY),
                    (&origins, Type::TEXT_ARRAY),
                    (&received, Type::INT8_ARRAY),
                    (&types, Type::TEXT_ARRAY),
                    (&resources, Type::TEXT_ARRAY),
                    (&content_types, Type::TEXT_ARRAY),
                    (&traces, Type::TEXT_ARRAY),
                    (&lanes, Type::INT8_ARRAY),
                    (&handlers, Type::TEXT_ARRAY),
                    (&bodies, Type::BYTEA_ARRAY),
                ],
            )
            .await?;
        let [row] = &rows[..] else {
            return Err(Trouble::Unknown(
                "it answers with other rows than one".into(),
            ));
        };
        let each: Vec<i16> = get(row, 0)?;
        if each.len() != self.items.len() {
            return Err(Trouble::Unknown("it answers for other events".into()));
        }
        Ok(Outcome {
            each,
            partitions: get(row, 1)?,
        })
    }
}
