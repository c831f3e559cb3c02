//! What follows a run: done, another attempt, or a dead letter.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant as Moment, SystemTime};

use tokio::time::Instant;

use super::job::{Failure, Job, discard, millis};
use super::open::{Held, JobId};
use super::seat::Seat;
use super::shared::Dispatch;
use super::shutdown::JobState;
use crate::catalog::EventType;
use crate::handler::Next;
use crate::inbox::{Attempt, Past, Settled, Taken};
use crate::observe::{DeadLetter, DeadLetterReason, Run, Transition};
use crate::router::Handler;

impl Dispatch {
    pub(super) fn done(&self, id: JobId, taken: &Taken, begun: Moment) {
        self.counters.handled.add();
        self.settle(id, taken, Settled::Done);
        self.hooks.tell(|| Transition::Finished {
            run: Run::of(taken),
            took: begun.elapsed(),
            age: self.since_received(taken),
        });
    }

    /// The event is stale, and its handler wants none of those.
    pub(super) fn skip(&self, id: JobId, taken: &Taken) {
        self.counters.skipped.add();
        self.settle(id, taken, Settled::Done);
        self.hooks.tell(|| Transition::Skipped {
            run: Run::of(taken),
        });
    }

    /// No handler of this name is registered. Logged once for each name: an inbox may hold many of its
    /// events.
    pub(super) fn hold(&self, id: JobId, taken: &Taken) {
        let first = self.missing().insert(taken.handler().clone());
        if first {
            log(|| {
                tracing::error!(
                    parent: taken.span(),
                    handler = %taken.handler(),
                    "no handler of this name is registered: its events are held until there is one"
                );
            });
        }
        self.settle(id, taken, Settled::Held);
        self.hooks.tell(|| Transition::Held {
            run: Run::of(taken),
        });
    }

    /// Decides what follows a failed attempt.
    pub(super) async fn failed(
        &self,
        id: JobId,
        taken: &Taken,
        handler: &Handler,
        failure: Failure,
        seat: &Arc<Seat>,
    ) {
        self.counters.failed.add();
        let Failure { attempt, next } = failure;
        let after = match self.next_attempt(taken, handler, next) {
            Ok(after) if !self.loses_what_waits() => after,
            Ok(_) => {
                self.leave_failed(taken);
                let reason = DeadLetterReason::ShutDown;
                return self.give_up(id, taken, Some(attempt), reason).await;
            }
            Err(reason) => return self.give_up(id, taken, Some(attempt), reason).await,
        };
        self.counters.retried.add();
        self.log_failure(taken, &attempt, Ok(after));
        let told = attempt.clone();
        if handler.strict && seat.has_lane() {
            self.delay(id, taken, attempt, after, seat);
        } else {
            let failed = attempt;
            self.settle(id, taken, Settled::Retry { failed, after });
            // The shutdown that began meanwhile has brought forward only what it found.
            if self.loses_what_waits() {
                self.close();
            }
        }
        self.hooks.tell(|| Transition::Failed {
            run: Run::of(taken),
            attempt: &told,
            retry_after: Some(after),
        });
    }

    /// The next attempt is made here, and nothing else of the lane before it.
    fn delay(&self, id: JobId, taken: &Taken, failed: Attempt, after: Duration, seat: &Arc<Seat>) {
        let mut past = taken.past().cloned().unwrap_or_default();
        past.fail(failed.clone());
        let next = taken.clone().after(past);
        self.open.go_on(id, || {
            self.inbox.settle(taken, Settled::Delayed { failed, after });
            let held = match self.inbox.park(&next) {
                Some(parked) => Held::Parked(parked),
                None => Held::Here(next),
            };
            seat.delay(Job {
                id,
                held: held.clone(),
                not_before: Some(Instant::now() + after),
            });
            (held, JobState::Failed)
        });
    }

    /// How long to wait for the next attempt, or why there is none.
    fn next_attempt(
        &self,
        taken: &Taken,
        handler: &Handler,
        next: Next,
    ) -> Result<Duration, DeadLetterReason> {
        let policy = &handler.retry;
        let made = taken.attempts().saturating_add(1);
        if next == Next::GiveUp {
            return Err(DeadLetterReason::Permanent);
        }
        if made >= policy.attempts {
            return Err(DeadLetterReason::AttemptsExhausted);
        }
        let wait = match next {
            Next::After(after) => after,
            _ => policy.wait(made, fastrand::f64()),
        };
        let then = self.age(taken).checked_add(wait);
        if then.is_none_or(|age| age > policy.max_age) {
            return Err(DeadLetterReason::TooOld);
        }
        Ok(wait)
    }

    /// Why a job is not to run any more, if so.
    pub(super) fn exhausted(&self, taken: &Taken, handler: &Handler) -> Option<DeadLetterReason> {
        let attempts = taken.attempts();
        if attempts == 0 {
            return None;
        }
        if attempts >= handler.retry.attempts {
            Some(DeadLetterReason::AttemptsExhausted)
        } else if self.age(taken) > handler.retry.max_age {
            Some(DeadLetterReason::TooOld)
        } else {
            None
        }
    }

    /// How old an event is, for the limit of its attempts. A replay is new: somebody asked for it just
    /// now.
    fn age(&self, taken: &Taken) -> Duration {
        if taken.replay_of().is_some() {
            return Duration::ZERO;
        }
        self.since_received(taken)
    }

    /// How long a job has waited for its first run.
    pub(super) fn waited(&self, taken: &Taken) -> Option<Duration> {
        let first = taken.attempts() == 0 && taken.replay_of().is_none();
        first.then(|| self.since_received(taken))
    }

    fn since_received(&self, taken: &Taken) -> Duration {
        let now: SystemTime = self.clock.wall();
        now.duration_since(taken.delivery().received_at())
            .unwrap_or_default()
    }

    /// The job becomes a dead letter.
    pub(super) async fn give_up(
        &self,
        id: JobId,
        taken: &Taken,
        failed: Option<Attempt>,
        reason: DeadLetterReason,
    ) {
        self.counters.dead.add();
        let run = Run::of(taken);
        match &failed {
            Some(attempt) => {
                self.log_failure(taken, attempt, Err(reason));
                self.hooks.tell(|| Transition::Failed {
                    run,
                    attempt,
                    retry_after: None,
                });
            }
            None => self.log_exhausted(taken, reason),
        }
        let mut past = taken.past().cloned().unwrap_or_default();
        if let Some(attempt) = failed.clone() {
            past.fail(attempt);
        }
        if !self.settle(id, taken, Settled::Dead { failed }) {
            return;
        }
        self.hooks.tell(|| Transition::Dead { run, reason });
        let Past {
            attempts, history, ..
        } = past;
        self.hooks
            .dead_letter(|| DeadLetter {
                delivery: taken.delivery().clone(),
                handler: taken.handler().clone(),
                replay_of: taken.replay_of(),
                attempts,
                history,
                reason,
            })
            .await;
    }

    fn log_exhausted(&self, taken: &Taken, reason: DeadLetterReason) {
        let last = taken.past().and_then(|past| past.history.last());
        let delivery = taken.delivery();
        log(|| {
            tracing::error!(
                parent: taken.span(),
                handler = %taken.handler(),
                event = delivery.received_as().map(EventType::loggable),
                resource_id = delivery.loggable_id().map(tracing::field::display),
                identity = %delivery.identity(),
                attempts = taken.attempts(),
                %reason,
                error = last.map(|attempt| tracing::field::display(&attempt.ended)),
                "the event is a dead letter"
            );
        });
    }

    /// A failure names the event and the handler itself, because at its level the spans may be
    /// filtered out.
    fn log_failure(
        &self,
        taken: &Taken,
        failed: &Attempt,
        next: Result<Duration, DeadLetterReason>,
    ) {
        let delivery = taken.delivery();
        let handler = taken.handler();
        let event = delivery.received_as().map(EventType::loggable);
        let resource_id = delivery.loggable_id().map(tracing::field::display);
        let identity = delivery.identity();
        let attempt = taken.attempts().saturating_add(1);
        let (millis, error) = (millis(failed.took), &failed.ended);
        log(|| match next {
            Ok(after) => tracing::warn!(
                parent: taken.span(),
                %handler, event, resource_id, %identity, attempt, millis, %error,
                ?after,
                "the handler failed and will be tried again"
            ),
            Err(reason) => tracing::error!(
                parent: taken.span(),
                %handler, event, resource_id, %identity, attempt, millis, %error,
                %reason,
                "the handler failed: the event is a dead letter"
            ),
        });
    }
}

/// Whatever the subscriber does: one that panics must leave no job open.
fn log(tell: impl FnOnce()) {
    if let Err(payload) = catch_unwind(AssertUnwindSafe(tell)) {
        discard(payload);
    }
}
