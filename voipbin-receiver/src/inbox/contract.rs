//! One suite for every inbox: what the receiver relies on, tried out.
//!
//! An inbox of your own is good when [`check`] says so:
//!
//! ```
//! use voipbin_receiver::inbox::{MemoryInbox, contract};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), contract::Violation> {
//! contract::check(MemoryInbox::new).await?;
//! # Ok(()) }
//! ```

mod attaching;
mod keeping;
mod settling;

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::{Attempt, AttemptEnd, Inbox, Incoming, Jobs, KeepError, Kept, Repeats, Settled, Taken};
use crate::event::Delivery;
use crate::handler::HandlerName;
use crate::testing::delivery;

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

/// Runs every check, each on an empty inbox that `make` gives. Takes a tokio runtime with its timer.
///
/// # Errors
///
/// The first violation that is found.
pub async fn check<I, F>(make: F) -> Check
where
    I: Inbox,
    F: Fn() -> I,
{
    let trial = |name| Trial {
        inbox: Arc::new(make()),
        check: name,
    };
    trial("what is kept is handed out once, in order")
        .order()
        .await?;
    trial("a copy is known while its event waits, runs, and when it is finished")
        .copies()
        .await?;
    trial("of many copies at once one is new")
        .copies_at_once()
        .await?;
    trial("deliveries without an identity are kept each time, and marked")
        .marks()
        .await?;
    trial("an event for nobody is known again and never handed out")
        .nobody()
        .await?;
    trial("a receipt that nobody awaits changes nothing")
        .dropped_receipt()
        .await?;
    trial("a take that is dropped loses nothing")
        .dropped_take()
        .await?;
    trial("a take that waits is woken").woken().await?;
    trial("an event is finished with its last job")
        .finished()
        .await?;
    trial("each handler of an event is a job of its own")
        .jobs()
        .await?;
    trial("a job that failed comes again after its time, and is counted")
        .retried()
        .await?;
    trial("a job that is put back comes again, and is not counted")
        .released()
        .await?;
    trial("a job may begin").begun().await?;
    trial("where an inbox can be looked into, a dead letter is there, can be handled again and given up")
        .recorded()
        .await?;
    trial("a closed inbox hands out what it has, and ends")
        .closed()
        .await?;
    trial("a closed inbox lets nothing wait that it would lose")
        .brought_forward()
        .await?;
    trial("one receiver at a time takes, unless the inbox is shared")
        .one_receiver()
        .await?;
    trial("the next receiver goes on where the one before ended")
        .next_receiver()
        .await
}

struct Trial<I> {
    inbox: Arc<I>,
    check: &'static str,
}

impl<I: Inbox> Trial<I> {
    async fn may_begin(&self, job: &Taken) -> Check {
        let may = self.patiently(self.inbox.begin(job)).await?;
        self.expect(may, || "it may not begin".into())
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
        let kept = self.keep(incoming(event, jobs, Repeats::Drop)).await?;
        self.expect(matches!(kept, Ok(Kept::New)), || {
            format!("{kept:?} and not new")
        })
    }

    async fn keep_known(&self, event: &Delivery) -> Check {
        let kept = self.keep(incoming(event, 1, Repeats::Drop)).await?;
        self.expect(matches!(kept, Ok(Kept::Duplicate)), || {
            format!("{kept:?} and not a duplicate")
        })
    }

    async fn take(&self, max: usize) -> Result<Vec<Taken>, Violation> {
        self.patiently(self.inbox.take(max)).await
    }

    fn settle(&self, taken: &[Taken]) {
        for job in taken {
            self.inbox.settle(job, Settled::Done);
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
    let jobs: Jobs = (0..jobs)
        .map(|job| HandlerName::new(&format!("handler {job}")))
        .collect();
    Incoming::new(event.clone(), jobs, repeats)
}
