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

use std::collections::HashSet;
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures_util::FutureExt;
use futures_util::future::join_all;

use super::{
    Attempt, AttemptEnd, Durability, Inbox, Incoming, Jobs, KeepError, KeepErrorKind, Kept,
    Repeats, Settled, Taken,
};
use crate::event::{Delivery, EventKey};
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
    trial("a closed inbox hands out what it has, and ends")
        .closed()
        .await?;
    trial("a closed inbox lets nothing wait that it would lose")
        .brought_forward()
        .await
}

struct Trial<I> {
    inbox: Arc<I>,
    check: &'static str,
}

impl<I: Inbox> Trial<I> {
    async fn order(self) -> Check {
        for number in 0..100 {
            self.keep_new(&self.event(number)?, 1).await?;
        }
        let mut seen = Vec::new();
        while seen.len() < 100 {
            let taken = self.take(7).await?;
            self.expect(!taken.is_empty() && taken.len() <= 7, || {
                format!("asked for at most 7 jobs, took {}", taken.len())
            })?;
            seen.extend(taken.iter().map(|event| event.delivery().identity()));
        }
        let mut kept = Vec::new();
        for number in 0..100 {
            kept.push(self.event(number)?.identity());
        }
        self.expect(seen == kept, || "another order, or events twice".into())?;
        self.expect(self.inbox.take(1).now_or_never().is_none(), || {
            "more than was kept".into()
        })
    }

    async fn copies(self) -> Check {
        let event = self.event(0)?;
        self.keep_new(&event, 1).await?;
        self.keep_known(&event).await?;
        let taken = self.take(1).await?;
        self.keep_known(&event).await?;
        self.settle(&taken);
        self.keep_known(&event).await?;
        let again = self.inbox.take(1).now_or_never();
        self.expect(again.is_none(), || "a copy was handed out".into())
    }

    async fn copies_at_once(self) -> Check {
        let event = self.event(0)?;
        let copies = (0..100).map(|_| self.inbox.keep(incoming(&event, 1, Repeats::Drop)));
        let kept = self.patiently(join_all(copies)).await?;
        let new = kept
            .iter()
            .filter(|kept| matches!(kept, Ok(Kept::New)))
            .count();
        let known = kept
            .iter()
            .filter(|kept| matches!(kept, Ok(Kept::Duplicate)))
            .count();
        self.expect((new, known) == (1, 99), || {
            format!("{new} new and {known} known of 100")
        })
    }

    async fn marks(self) -> Check {
        let event = self.event(0)?;
        for _ in 0..2 {
            let kept = self.keep(incoming(&event, 1, Repeats::Mark)).await?;
            self.expect(matches!(kept, Ok(Kept::New)), || {
                format!("{kept:?} and not new")
            })?;
        }
        let mut marks = Vec::new();
        while marks.len() < 2 {
            marks.extend(
                self.take(2)
                    .await?
                    .iter()
                    .map(|event| event.possible_repeat()),
            );
        }
        self.expect(marks == [false, true], || format!("marked as {marks:?}"))
    }

    async fn nobody(self) -> Check {
        let event = self.event(0)?;
        self.keep_new(&event, 0).await?;
        self.keep_known(&event).await?;
        let taken = self.inbox.take(1).now_or_never();
        self.expect(taken.is_none(), || "it was handed out".into())?;
        let events = self.inbox.stats().events;
        self.expect(events == 0, || format!("{events} events are not finished"))
    }

    async fn dropped_receipt(self) -> Check {
        let event = self.event(0)?;
        drop(self.inbox.keep(incoming(&event, 1, Repeats::Drop)));
        let taken = self.take(1).await?;
        self.expect(taken.len() == 1, || "it was not kept".into())?;
        self.keep_known(&event).await
    }

    async fn dropped_take(self) -> Check {
        for _ in 0..3 {
            let taken = self.inbox.take(1).now_or_never();
            self.expect(taken.is_none(), || {
                "an empty inbox handed something out".into()
            })?;
        }
        self.keep_new(&self.event(0)?, 1).await?;
        self.expect(self.take(1).await?.len() == 1, || {
            "it was not handed out".into()
        })
    }

    async fn woken(self) -> Check {
        let mut takes: Vec<_> = (0..3).map(|_| self.inbox.take(1)).collect();
        for take in &mut takes {
            let taken = take.now_or_never();
            self.expect(taken.is_none(), || {
                "an empty inbox handed something out".into()
            })?;
        }
        for number in 0..3 {
            self.keep_new(&self.event(number)?, 1).await?;
        }
        let taken = self.patiently(join_all(takes)).await?;
        let events: HashSet<EventKey> = taken
            .iter()
            .flatten()
            .map(|event| event.delivery().identity())
            .collect();
        self.expect(events.len() == 3, || {
            format!("{} of 3 were handed out", events.len())
        })
    }

    async fn finished(self) -> Check {
        self.keep_new(&self.event(0)?, 2).await?;
        let dead = Settled::Dead {
            failed: Some(failed()),
        };
        for (outcome, left) in [(dead, 1), (Settled::Done, 0)] {
            for job in self.take(1).await? {
                self.inbox.settle(&job, outcome.clone());
            }
            self.until(|inbox| inbox.stats().events == left).await?;
        }
        let again = self.inbox.take(1).now_or_never();
        self.expect(again.is_none(), || "a settled job was handed out".into())
    }

    async fn jobs(self) -> Check {
        self.keep_new(&self.event(0)?, 3).await?;
        let mut jobs = Vec::new();
        while jobs.len() < 3 {
            jobs.extend(self.take(2).await?);
        }
        let names: Vec<&str> = jobs.iter().map(|job| job.handler().as_str()).collect();
        self.expect(names == ["handler 0", "handler 1", "handler 2"], || {
            format!("{names:?}")
        })?;
        let same = jobs
            .iter()
            .all(|job| Some(job.id()) == jobs.first().map(Taken::id));
        self.expect(same, || "the jobs of one event have different ids".into())
    }

    async fn retried(self) -> Check {
        self.keep_new(&self.event(0)?, 1).await?;
        for attempts in 0..3 {
            let after = Duration::from_millis(5);
            for job in self.take(1).await? {
                let past = job.past().cloned().unwrap_or_default();
                let counted = (past.attempts, past.history.len());
                self.expect(counted == (attempts, attempts as usize), || {
                    format!("{counted:?} attempts and records after {attempts}")
                })?;
                self.expect(!past.interrupted, || "it counts as interrupted".into())?;
                self.may_begin(&job).await?;
                let failed = failed();
                self.inbox.settle(&job, Settled::Retry { failed, after });
            }
            let at_once = self.inbox.take(1).now_or_never();
            self.expect(at_once.is_none(), || "it came before its time".into())?;
            let waiting = self.inbox.stats().waiting;
            self.expect(waiting == 1, || format!("{waiting} jobs are waiting"))?;
        }
        self.keep_known(&self.event(0)?).await
    }

    async fn released(self) -> Check {
        self.keep_new(&self.event(0)?, 1).await?;
        for begins in [true, false, true] {
            for job in self.take(1).await? {
                self.expect(job.attempts() == 0, || {
                    format!("{} attempts are counted", job.attempts())
                })?;
                if begins {
                    self.may_begin(&job).await?;
                }
                self.inbox.settle(&job, Settled::Released);
            }
        }
        Ok(())
    }

    async fn begun(self) -> Check {
        self.keep_new(&self.event(0)?, 1).await?;
        for job in self.take(1).await? {
            self.may_begin(&job).await?;
            self.inbox.settle(&job, Settled::Done);
        }
        self.until(|inbox| inbox.stats().events == 0).await
    }

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

    async fn closed(self) -> Check {
        self.keep_new(&self.event(0)?, 1).await?;
        self.inbox.close();
        self.keep_known(&self.event(0)?).await?;
        let mut left = 1;
        let kept = self
            .keep(incoming(&self.event(1)?, 1, Repeats::Drop))
            .await?;
        match (kept, self.inbox.promises().durability) {
            (Err(error), Durability::Process) if error.kind() == KeepErrorKind::Draining => {}
            // One that loses nothing goes on keeping until its own limits.
            (Ok(Kept::New), Durability::Machine | Durability::Cluster) => left = 2,
            (kept, durability) => {
                return self.expect(false, || {
                    format!("a new event came out as {kept:?} with the durability {durability:?}")
                });
            }
        }
        if self.inbox.promises().durability == Durability::Process {
            let taken = self.take(1).await?;
            self.expect(taken.len() == 1, || "it ended with events in it".into())?;
            let rest = self.inbox.take(1).now_or_never();
            self.expect(rest.is_none(), || "it ended before its last job".into())?;
            self.settle(&taken);
            left -= 1;
        }
        self.expect(self.take(1).await?.is_empty(), || {
            "it handed out more than it should".into()
        })?;
        self.inbox.flush().await;
        let events = self.inbox.stats().events;
        self.expect(events == left, || format!("{events} events are left"))
    }

    async fn brought_forward(self) -> Check {
        if self.inbox.promises().durability != Durability::Process {
            return Ok(());
        }
        self.keep_new(&self.event(0)?, 1).await?;
        for job in self.take(1).await? {
            self.may_begin(&job).await?;
            let (failed, after) = (failed(), PATIENCE * 360);
            self.inbox.settle(&job, Settled::Retry { failed, after });
        }
        self.inbox.close();
        let taken = self.take(1).await?;
        let attempts: Vec<u32> = taken.iter().map(Taken::attempts).collect();
        self.expect(attempts == [1], || format!("{attempts:?}"))?;
        self.settle(&taken);
        self.expect(self.take(1).await?.is_empty(), || {
            "it handed out more than it should".into()
        })
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
