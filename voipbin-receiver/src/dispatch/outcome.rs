//! What follows a run: done, another attempt, or a dead letter.

use std::time::{Duration, Instant as Moment, SystemTime};

use tokio::time::Instant;

use super::dispatcher::Dispatch;
use super::permit::JobPermit;
use super::queue::JobKey;
use super::run::{Failure, log, millis};
use crate::catalog::EventType;
use crate::handler::RetryHint;
use crate::inbox::{Attempt, Job, JobHistory, Settled};
use crate::observe::{DeadLetter, DeadLetterReason, Run, Transition};
use crate::router::Handler;

impl Dispatch {
    pub(super) fn done(&self, key: JobKey, job: &Job, begun: Moment) {
        self.counters.handled.add();
        self.settle(key, job, Settled::Done);
        self.hooks.emit(|| Transition::Finished {
            run: Run::of(job),
            took: begun.elapsed(),
            age: self.since_received(job),
        });
    }

    /// The event is stale, and its handler wants none of those.
    pub(super) fn skip(&self, key: JobKey, job: &Job) {
        self.counters.skipped.add();
        self.settle(key, job, Settled::Done);
        self.hooks
            .emit(|| Transition::Skipped { run: Run::of(job) });
    }

    /// No handler of this name is registered. Logged once for each name: an inbox may hold many of
    /// its events.
    pub(super) fn unroutable(&self, key: JobKey, job: &Job) {
        if self.is_new_unroutable(job.handler()) {
            log(|| {
                tracing::error!(
                    handler = %job.handler(),
                    "no handler of this name is registered: its events are held until there is one"
                );
            });
        }
        self.settle(key, job, Settled::Unroutable);
        self.hooks.emit(|| Transition::Held { run: Run::of(job) });
    }

    /// The job is another consumer's by now: it is settled there.
    pub(super) fn lost(&self, key: JobKey, job: &Job) {
        self.forget(key);
        log(|| {
            tracing::warn!(
                handler = %job.handler(),
                identity = %job.delivery().identity(),
                "the inbox lost its lease on the job: its handler may run somewhere else by now"
            );
        });
    }

    /// Decides what follows a failed attempt.
    pub(super) async fn failed(
        &self,
        key: JobKey,
        job: &Job,
        handler: &Handler,
        failure: Failure,
        permit: &JobPermit,
    ) {
        self.counters.failed.add();
        let Failure { attempt, next } = failure;
        let after = match self.next_attempt(job, handler, next) {
            Ok(after) if !self.loses_what_waits() => after,
            Ok(_) => {
                self.leave_failed(job);
                let reason = DeadLetterReason::ShutDown;
                return self.give_up(key, job, Some(attempt), reason).await;
            }
            Err(reason) => return self.give_up(key, job, Some(attempt), reason).await,
        };
        self.counters.retried.add();
        self.log_failure(job, &attempt, Ok(after));
        let told = attempt.clone();
        if handler.options.strict && permit.has_lane() {
            self.retry_in_place(key, job, attempt, after, permit);
        } else {
            let settled = Settled::Retry {
                failed: attempt,
                after,
                in_place: false,
            };
            self.settle(key, job, settled);
            // A shutdown that began meanwhile brought forward only what waited then.
            if self.loses_what_waits() {
                self.close();
            }
        }
        self.hooks.emit(|| Transition::Failed {
            run: Run::of(job),
            attempt: &told,
            retry_after: Some(after),
        });
    }

    /// The next attempt is made here, and nothing else of the lane before it.
    fn retry_in_place(
        &self,
        key: JobKey,
        job: &Job,
        failed: Attempt,
        after: Duration,
        permit: &JobPermit,
    ) {
        let Some(consumer) = self.consumer() else {
            return;
        };
        // Under the lock, so that the job is closed before or after all of this.
        let mut queue = self.queue();
        if queue.fail_in_place(key, job.clone().after_failure(failed.clone())) {
            let settled = Settled::Retry {
                failed,
                after,
                in_place: true,
            };
            consumer.settle(job, settled);
            permit.retry_in_place(key, Instant::now() + after);
        }
        drop(queue);
        drop(consumer);
    }

    /// How long to wait for the next attempt, or why there is none.
    fn next_attempt(
        &self,
        job: &Job,
        handler: &Handler,
        next: RetryHint,
    ) -> Result<Duration, DeadLetterReason> {
        let policy = &handler.retry;
        let made = job.attempts().saturating_add(1);
        if next == RetryHint::GiveUp {
            return Err(DeadLetterReason::Permanent);
        }
        if made >= policy.attempts {
            return Err(DeadLetterReason::AttemptsExhausted);
        }
        let wait = match next {
            RetryHint::After(after) => after,
            _ => policy.wait(made, fastrand::f64()),
        };
        let then = self.age(job).checked_add(wait);
        if then.is_none_or(|age| age > policy.max_age) {
            return Err(DeadLetterReason::TooOld);
        }
        Ok(wait)
    }

    /// Why a job is not to run any more, if so.
    pub(super) fn exhausted(&self, job: &Job, handler: &Handler) -> Option<DeadLetterReason> {
        let attempts = job.attempts();
        if attempts == 0 {
            return None;
        }
        if attempts >= handler.retry.attempts {
            Some(DeadLetterReason::AttemptsExhausted)
        } else if self.age(job) > handler.retry.max_age {
            Some(DeadLetterReason::TooOld)
        } else {
            None
        }
    }

    /// How old an event is, for the limit of its attempts. A replay is new: somebody asked for it
    /// just now.
    fn age(&self, job: &Job) -> Duration {
        if job.replay_of().is_some() {
            return Duration::ZERO;
        }
        self.ages.of(job.delivery().received_at())
    }

    /// How long a job has waited for its first run.
    pub(super) fn waited(&self, job: &Job) -> Option<Duration> {
        let first = job.attempts() == 0 && job.replay_of().is_none();
        first.then(|| self.since_received(job))
    }

    fn since_received(&self, job: &Job) -> Duration {
        let now: SystemTime = self.clock.wall();
        now.duration_since(job.delivery().received_at())
            .unwrap_or_default()
    }

    /// The job becomes a dead letter.
    pub(super) async fn give_up(
        &self,
        key: JobKey,
        job: &Job,
        failed: Option<Attempt>,
        reason: DeadLetterReason,
    ) {
        self.counters.dead.add();
        let run = Run::of(job);
        match &failed {
            Some(attempt) => {
                self.log_failure(job, attempt, Err(reason));
                self.hooks.emit(|| Transition::Failed {
                    run,
                    attempt,
                    retry_after: None,
                });
            }
            None => self.log_exhausted(job, reason),
        }
        let mut past = job.history().cloned().unwrap_or_default();
        if let Some(attempt) = failed.clone() {
            past.fail(attempt);
        }
        if !self.settle(key, job, Settled::Dead { failed }) {
            return;
        }
        self.hooks.emit(|| Transition::Dead { run, reason });
        let JobHistory {
            attempts, history, ..
        } = past;
        self.hooks
            .dead_letter(|| DeadLetter {
                delivery: job.delivery().clone(),
                handler: job.handler().clone(),
                replay_of: job.replay_of(),
                attempts,
                history,
                reason,
            })
            .await;
    }

    fn log_exhausted(&self, job: &Job, reason: DeadLetterReason) {
        let last = job.history().and_then(|past| past.history.last());
        let delivery = job.delivery();
        log(|| {
            tracing::error!(
                handler = %job.handler(),
                event = delivery.received_as().map(EventType::loggable),
                resource_id = delivery.loggable_id().map(tracing::field::display),
                identity = %delivery.identity(),
                attempts = job.attempts(),
                %reason,
                error = last.map(|attempt| tracing::field::display(&attempt.ended)),
                "the event is a dead letter"
            );
        });
    }

    /// A failure names the event and the handler itself, because at its level the spans may be
    /// filtered out.
    fn log_failure(&self, job: &Job, failed: &Attempt, next: Result<Duration, DeadLetterReason>) {
        let delivery = job.delivery();
        let handler = job.handler();
        let event = delivery.received_as().map(EventType::loggable);
        let resource_id = delivery.loggable_id().map(tracing::field::display);
        let identity = delivery.identity();
        let attempt = job.attempts().saturating_add(1);
        let (millis, error) = (millis(failed.took), &failed.ended);
        log(|| match next {
            Ok(after) => tracing::warn!(
                %handler, event, resource_id, %identity, attempt, millis, %error,
                ?after,
                "the handler failed and will be tried again"
            ),
            Err(reason) => tracing::error!(
                %handler, event, resource_id, %identity, attempt, millis, %error,
                %reason,
                "the handler failed: the event is a dead letter"
            ),
        });
    }
}
