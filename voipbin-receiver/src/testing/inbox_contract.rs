//! One suite for every inbox: what the receiver relies on, and what the inbox claims in its
//! [`Guarantees`], tried out.
//!
//! An inbox of your own is good when [`check`] says so:
//!
//! ```
//! use voipbin_receiver::inbox::MemoryInbox;
//! use voipbin_receiver::testing::inbox_contract;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), inbox_contract::Violation> {
//! inbox_contract::check(async || MemoryInbox::new()).await?;
//! # Ok(()) }
//! ```

mod consuming;
mod keeping;
mod settling;
mod sharing;

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures_util::FutureExt;

use super::delivery;
use crate::event::Delivery;
use crate::handler::HandlerName;
use crate::inbox::{
    Attempt, AttemptEnd, Consumer, Durability, Guarantees, HandlerSet, Inbox, Incoming, Job,
    KeepError, Kept, Prefetch, Repeats, Settled,
};

/// How long an inbox may take over one step before it counts as hanging.
const PATIENCE: Duration = Duration::from_secs(10);

/// How often to look at what an inbox may do in its own time.
const GLANCE: Duration = Duration::from_millis(1);

/// What an inbox does that the contract forbids.
#[derive(Debug)]
pub struct Violation {
    check: &'static str,
    found: String,
}

impl Violation {
    /// The check that failed.
    #[must_use]
    pub fn check(&self) -> &'static str {
        self.check
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the inbox breaks its contract: {}: {}",
            self.check, self.found
        )
    }
}

impl std::error::Error for Violation {}

type Check = Result<(), Violation>;

/// Runs every check, each on an empty inbox that `make` gives. Takes a tokio runtime with its
/// timer.
///
/// What an inbox does not claim is not checked: copies only where it says how long it knows them,
/// several consumers only where it is shared.
///
/// # Errors
///
/// The first violation that is found.
pub async fn check<I, F>(make: F) -> Check
where
    I: Inbox,
    F: AsyncFn() -> I,
{
    macro_rules! check {
        ($($promise:literal: $check:ident;)+) => {
            $(Fixture::new(Arc::new(make().await), $promise)?.$check().await?;)+
        };
    }
    check! {
        "what is kept is handed out once, in order": order;
        "what is taken fits the room for it": room;
        "an event comes with all that was known of its delivery": deliveries;
        "an event comes with the lane that it was kept with": lanes;
        "a copy is known while its event waits, runs, and when it is finished": copies;
        "of many copies at once one is new": copies_at_once;
        "deliveries without an identity are kept each time, and marked": marks;
        "an event for nobody is known again and never handed out": nobody;
        "a reply that nobody awaits changes nothing": dropped_reply;
        "a take that is dropped loses nothing": dropped_take;
        "a take that waits is woken": woken;
        "an event is finished with its last job": finished;
        "each handler of an event is a job of its own": jobs;
        "a job that failed comes again after its time, and is counted": retried;
        "a job whose attempts are made in place stays with its consumer": in_place;
        "a job that is released comes again, and is not counted": released;
        "a job may begin": begun;
        "where an inbox can be looked into, a dead letter is there, can be handled again and given up": recorded;
        "an inbox that is drained hands out what it would lose, and ends": drained;
        "an inbox that is drained lets nothing wait that it would lose": expired;
        "there is one consumer at a time, unless the inbox is shared": one_consumer;
        "the next consumer goes on where the one before ended": next_consumer;
        "of several consumers each job has one": shared;
        "no lane overlaps across consumers, where that is claimed": lanes_across_consumers;
    }
    Ok(())
}

struct Fixture<I> {
    inbox: Arc<I>,
    consumer: Box<dyn Consumer>,
    guarantees: Guarantees,
    check: &'static str,
}

impl<I: Inbox> Fixture<I> {
    fn new(inbox: Arc<I>, check: &'static str) -> Result<Self, Violation> {
        let guarantees = inbox.guarantees();
        let consumer = inbox.consume().map_err(|error| Violation {
            check,
            found: format!("a first consumer is refused: {error:?}"),
        })?;
        Ok(Self {
            inbox,
            consumer,
            guarantees,
            check,
        })
    }

    /// Whether what is left at the end of a consumer stays for another one.
    fn keeps_rest(&self) -> bool {
        self.guarantees.durability != Durability::Process || self.guarantees.shared
    }

    fn knows_copies(&self) -> bool {
        self.guarantees.identity_ttl.is_some()
    }

    async fn may_begin(&self, job: &Job) -> Check {
        let may = self.patiently(self.consumer.begin(job)).await?;
        self.expect(may.is_ok(), || format!("it may not begin: {may:?}"))
    }

    /// A store may write things down later.
    async fn until(&self, holds: impl Fn(&I) -> bool) -> Check {
        self.patiently(async {
            while !holds(&self.inbox) {
                tokio::time::sleep(GLANCE).await;
            }
        })
        .await
    }

    /// An event of its own for each number.
    fn event(&self, number: u32) -> Result<Delivery, Violation> {
        let body = format!(r#"{{"type":"call_hangup","data":{{"id":"call-{number}"}}}}"#);
        delivery(body).map_err(|error| Violation {
            check: self.check,
            found: error.to_string(),
        })
    }

    async fn keep(&self, incoming: Incoming) -> Result<Result<Kept, KeepError>, Violation> {
        self.patiently(self.inbox.keep(incoming)).await
    }

    async fn keep_new(&self, event: &Delivery, jobs: usize) -> Check {
        self.keep_as_new(incoming(event, jobs, Repeats::Drop)).await
    }

    async fn keep_as_new(&self, incoming: Incoming) -> Check {
        let kept = self.keep(incoming).await?;
        self.expect(matches!(kept, Ok(Kept::New)), || {
            format!("{kept:?} and not new")
        })
    }

    async fn keep_known(&self, event: &Delivery) -> Check {
        if !self.knows_copies() {
            return Ok(());
        }
        let kept = self.keep(incoming(event, 1, Repeats::Drop)).await?;
        self.expect(matches!(kept, Ok(Kept::Duplicate)), || {
            format!("{kept:?} and not a duplicate")
        })
    }

    /// None when there will be none any more.
    async fn take(&self, jobs: usize) -> Result<Vec<Job>, Violation> {
        let taken = self.patiently(self.consumer.take(Prefetch::for_jobs(jobs)));
        Ok(taken.await?.unwrap_or_default())
    }

    /// As many as that.
    async fn take_all(&self, jobs: usize) -> Result<Vec<Job>, Violation> {
        let mut all = Vec::new();
        while all.len() < jobs {
            let taken = self.take(jobs).await?;
            self.expect(!taken.is_empty(), || {
                format!("it hands out {} of {jobs} jobs and ends", all.len())
            })?;
            all.extend(taken);
        }
        Ok(all)
    }

    fn has_none(&self, otherwise: &str) -> Check {
        let taken = self.consumer.take(Prefetch::for_jobs(1)).now_or_never();
        self.expect(taken.is_none(), || otherwise.into())
    }

    fn settle(&self, jobs: &[Job]) {
        for job in jobs {
            self.consumer.settle(job, Settled::Done);
        }
    }

    async fn patiently<T>(&self, step: impl Future<Output = T>) -> Result<T, Violation> {
        let hangs = |_| Violation {
            check: self.check,
            found: format!("a step took longer than {PATIENCE:?}"),
        };
        tokio::time::timeout(PATIENCE, step).await.map_err(hangs)
    }

    fn expect(&self, holds: bool, found: impl FnOnce() -> String) -> Check {
        if holds {
            Ok(())
        } else {
            Err(Violation {
                check: self.check,
                found: found(),
            })
        }
    }
}

fn failed() -> Attempt {
    let ended = AttemptEnd::Failed("it failed".into());
    Attempt::new(SystemTime::now(), Duration::from_millis(1), ended)
}

fn incoming(event: &Delivery, jobs: usize, repeats: Repeats) -> Incoming {
    let jobs: HandlerSet = (0..jobs)
        .map(|job| HandlerName::new(&format!("handler {job}")))
        .collect();
    Incoming::new(event.clone(), jobs, repeats)
}
