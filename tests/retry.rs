//! What follows when a handler fails.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "this is test code"
)]

use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use futures_util::FutureExt;
use http::StatusCode;
use support::{BeforeRetry, PreparedInbox, Recorder, Valve, builder, call_hangup, deliver, within};
use tokio::runtime::Handle;
use tokio::time::Instant;
use tracing::{Event as LogEvent, Level, Subscriber};
use tracing_subscriber::layer::{Context as LogContext, Layer, SubscriberExt};
use voipbin_receiver::catalog::{Any, named};
use voipbin_receiver::handler::HandlerName;
use voipbin_receiver::inbox::{Attempt, AttemptEnd, Entry, MemoryInbox, Past, Settled, Taken};
use voipbin_receiver::testing::{TokioClock, delivery};
use voipbin_receiver::{
    BuildErrorKind, Context, Event, EventHandler, HandlerError, JobState, Receiver,
    ReceiverBuilder, Registration, RetryPolicy, ShutdownReport, async_trait, blocking, handlers,
    on,
};

const HOUR: Duration = Duration::from_secs(3600);

/// A builder whose handlers run on the paused clock of the test.
fn here() -> ReceiverBuilder {
    builder().runtime(Handle::current())
}

/// Passes on each attempt, and fails in the first ones.
#[derive(Clone)]
struct Fails {
    times: u32,
    after: Option<Duration>,
    attempts: Recorder,
}

impl Fails {
    /// Leaves it to the policy when to try again.
    fn times(times: u32) -> Self {
        Self {
            times,
            after: None,
            attempts: Recorder::new(),
        }
    }

    /// Asks for the next attempt after this time.
    fn after(self, after: Duration) -> Self {
        Self {
            after: Some(after),
            ..self
        }
    }

    /// Waits for the next attempt, and tells its number and how long after `start` it began.
    async fn next(&self, start: Instant) -> (u32, Duration) {
        let context = within_hours(self.attempts.next()).await;
        (context.attempt(), start.elapsed())
    }
}

#[async_trait]
impl EventHandler for Fails {
    async fn handle(&self, context: Context) -> Result<(), HandlerError> {
        let attempt = context.attempt();
        self.attempts.handle(context).await?;
        if attempt > self.times {
            return Ok(());
        }
        let error = HandlerError::new("on purpose");
        Err(match self.after {
            Some(after) => error.retry_after(after),
            None => error,
        })
    }
}

/// Fails a test that waits for what does not come: on a paused clock that takes no time.
async fn within_hours<F: Future>(step: F) -> F::Output {
    tokio::time::timeout(48 * HOUR, step).await.unwrap()
}

/// Waits for what follows a run.
async fn until(holds: impl Fn() -> bool) {
    within_hours(async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    })
    .await;
}

async fn accept(receiver: &Receiver, id: u32) {
    let answer = deliver(&receiver.service(), call_hangup(id)).await;
    assert_eq!(answer.word(), "received");
}

fn states(report: &ShutdownReport) -> Vec<JobState> {
    report.unfinished.iter().map(|left| left.state).collect()
}

/// Timers tick in milliseconds.
fn is_about(found: Duration, expected: Duration) -> bool {
    found >= expected && found <= expected + Duration::from_millis(2)
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_fails_runs_again_after_growing_waits_and_is_told_which_attempt_it_is() {
    let handler = Fails::times(u32::MAX);
    let receiver = here().on(Any, handler.clone()).build().unwrap();
    let start = Instant::now();
    accept(&receiver, 1).await;
    let (attempt, mut before) = handler.next(start).await;
    assert_eq!((attempt, before), (1, Duration::ZERO));
    let mut some_chance = false;
    for (number, longest) in [1, 4, 16, 64, 256, 600, 600].into_iter().enumerate() {
        let longest = Duration::from_secs(longest);
        let (attempt, at) = handler.next(start).await;
        assert_eq!(attempt as usize, number + 2);
        let waited = at - before;
        assert!(
            waited >= longest / 2 && waited <= longest + Duration::from_millis(2),
            "{waited:?} before attempt {attempt}"
        );
        some_chance |= waited < longest.mul_f64(0.99);
        before = at;
    }
    assert!(some_chance, "every wait is the longest");
    until(|| receiver.stats().dead == 1).await;
    let stats = receiver.stats();
    assert_eq!((stats.failed, stats.retried, stats.handled), (8, 7, 0));
    assert!(receiver.shutdown(Duration::MAX).await.is_drained());
    assert!(handler.attempts.rest().await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn the_time_that_a_handler_asks_for_wins_and_its_attempts_count() {
    let handler = Fails::times(u32::MAX).after(HOUR);
    let receiver = here()
        .retry(RetryPolicy::default().attempts(3))
        .on(Any, handler.clone())
        .build()
        .unwrap();
    let start = Instant::now();
    accept(&receiver, 1).await;
    for number in 0..3 {
        let (attempt, at) = handler.next(start).await;
        assert_eq!(attempt, number + 1);
        assert!(is_about(at, number * HOUR), "{at:?}");
    }
    until(|| receiver.stats().dead == 1).await;
    assert!(handler.attempts.rest().await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_another_attempt_would_meet_again_has_none() {
    let receiver = here()
        .handlers([
            Registration::new(Any, || async {
                Err::<(), _>(HandlerError::permanent("on purpose"))
            })
            .name("permanent"),
            Registration::new(named("call_hangup"), |_: Event<u8>| async {}).name("misfit"),
        ])
        .build()
        .unwrap();
    let start = Instant::now();
    accept(&receiver, 1).await;
    until(|| receiver.stats().dead == 2).await;
    assert!(start.elapsed() < Duration::from_millis(500));
    let stats = receiver.stats();
    assert_eq!((stats.failed, stats.retried), (2, 0));
    assert_eq!(
        (stats.inbox.events, stats.inbox.waiting, stats.inbox.dead),
        (0, 0, 2)
    );
}

#[tokio::test(start_paused = true)]
async fn after_the_last_attempt_the_event_is_a_dead_letter_and_known_as_one() {
    let handler = Fails::times(u32::MAX);
    let receiver = here()
        .retry(RetryPolicy::default().attempts(2))
        .on(Any, handler.clone())
        .build()
        .unwrap();
    accept(&receiver, 1).await;
    until(|| receiver.stats().inbox.waiting == 1).await;
    let stats = receiver.stats();
    assert_eq!((stats.failed, stats.retried, stats.dead), (1, 1, 0));
    assert_eq!((stats.inbox.events, stats.inbox.dead), (1, 0));

    until(|| receiver.stats().dead == 1).await;
    let stats = receiver.stats();
    assert_eq!((stats.failed, stats.retried, stats.handled), (2, 1, 0));
    assert_eq!(
        (stats.inbox.events, stats.inbox.waiting, stats.inbox.dead),
        (0, 0, 1)
    );
    let copy = deliver(&receiver.service(), call_hangup(1)).await;
    assert_eq!(copy.word(), "duplicate");
    assert!(receiver.shutdown(HOUR).await.is_drained());
    assert_eq!(handler.attempts.rest().await.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn no_attempt_is_planned_for_an_event_that_will_be_too_old() {
    let handler = Fails::times(u32::MAX).after(HOUR);
    let receiver = here()
        .clock(Arc::new(TokioClock::new()))
        .retry(RetryPolicy::default().max_age(HOUR * 5 / 2))
        .on(Any, handler.clone())
        .build()
        .unwrap();
    let start = Instant::now();
    accept(&receiver, 1).await;
    until(|| receiver.stats().dead == 1).await;
    assert_eq!(handler.attempts.rest().await.len(), 3);
    assert!(start.elapsed() < 3 * HOUR);
}

#[tokio::test(start_paused = true)]
async fn a_panic_is_an_attempt_like_any_other() {
    let attempts = Recorder::new();
    let (first, second) = (attempts.clone(), attempts.clone());
    let receiver = here()
        .handlers([
            Registration::new(Any, move |context: Context| {
                let attempts = first.clone();
                async move {
                    let attempt = context.attempt();
                    attempts.handle(context).await?;
                    assert!(attempt > 2, "on purpose");
                    Ok::<_, HandlerError>(())
                }
            })
            .name("async"),
            Registration::new(
                Any,
                blocking(move |context: Context| {
                    let attempt = context.attempt();
                    assert!(attempts_of(&second, context).is_ok());
                    assert!(attempt > 2, "on purpose");
                }),
            )
            .name("blocking"),
        ])
        .build()
        .unwrap();
    accept(&receiver, 1).await;
    until(|| receiver.stats().handled == 2).await;
    let stats = receiver.stats();
    assert_eq!((stats.failed, stats.retried, stats.dead), (4, 4, 0));
    assert_eq!(attempts.rest().await.len(), 6);
}

/// A recorder never waits.
fn attempts_of(recorder: &Recorder, context: Context) -> Result<(), HandlerError> {
    recorder.handle(context).now_or_never().unwrap()
}

#[tokio::test(start_paused = true)]
async fn only_the_handler_that_failed_runs_again() {
    let (fails, works) = (Fails::times(2), Recorder::new());
    let receiver = here()
        .handlers([
            Registration::new(Any, fails.clone()).name("fails"),
            Registration::new(Any, works.clone()).name("works"),
        ])
        .build()
        .unwrap();
    accept(&receiver, 1).await;
    until(|| receiver.stats().handled == 2).await;
    let numbers: Vec<_> = fails.attempts.rest().await;
    let numbers: Vec<_> = numbers.iter().map(Context::attempt).collect();
    assert_eq!(numbers, [1, 2, 3]);
    assert_eq!(works.rest().await.len(), 1);
    assert_eq!(receiver.stats().inbox.events, 0);
}

#[tokio::test(start_paused = true)]
async fn an_event_that_waits_holds_up_no_other() {
    let handler = Fails::times(1).after(HOUR);
    let works = Recorder::new();
    let receiver = here()
        .concurrency(1)
        .on(named("call_hangup"), handler.clone())
        .on(named("other"), works.clone())
        .build()
        .unwrap();
    let start = Instant::now();
    accept(&receiver, 1).await;
    until(|| receiver.stats().inbox.waiting == 1).await;
    assert_eq!(receiver.stats().running, 0);
    deliver(&receiver.service(), r#"{"type":"other","data":{"id":"2"}}"#).await;
    within_hours(works.next()).await;
    assert!(start.elapsed() < HOUR);
    until(|| receiver.stats().handled == 2).await;
    assert!(start.elapsed() >= HOUR);
}

#[tokio::test(start_paused = true)]
async fn an_event_that_waits_keeps_its_room_and_its_identity() {
    let handler = Fails::times(1).after(HOUR);
    let receiver = here()
        .inbox(MemoryInbox::builder().max_events(1).build())
        .on(Any, handler.clone())
        .build()
        .unwrap();
    accept(&receiver, 1).await;
    until(|| receiver.stats().inbox.waiting == 1).await;
    let service = receiver.service();
    let other = deliver(&service, call_hangup(2)).await;
    assert_eq!(
        (other.status(), other.code()),
        (StatusCode::SERVICE_UNAVAILABLE, "inbox_full")
    );
    let copy = deliver(&service, call_hangup(1)).await;
    assert_eq!(copy.word(), "duplicate");
    until(|| receiver.stats().handled == 1).await;
    assert_eq!(handler.attempts.rest().await.len(), 2);
    accept(&receiver, 2).await;
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_lets_nothing_wait_and_makes_the_next_attempts_at_once() {
    let handler = Fails::times(1).after(HOUR);
    let receiver = here().on(Any, handler.clone()).build().unwrap();
    for id in 0..3 {
        accept(&receiver, id).await;
    }
    until(|| receiver.stats().inbox.waiting == 3).await;
    let begun = Instant::now();
    assert!(receiver.shutdown(HOUR / 2).await.is_drained());
    assert_eq!(begun.elapsed(), Duration::ZERO);
    let stats = receiver.stats();
    assert_eq!((stats.handled, stats.dead, stats.inbox.events), (3, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn what_fails_again_in_a_shutdown_is_reported_and_not_waited_for() {
    let handler = Fails::times(u32::MAX).after(HOUR);
    let receiver = here().on(Any, handler.clone()).build().unwrap();
    accept(&receiver, 1).await;
    until(|| receiver.stats().inbox.waiting == 1).await;
    let begun = Instant::now();
    let report = receiver.shutdown(HOUR / 2).await;
    assert_eq!(begun.elapsed(), Duration::ZERO);
    assert_eq!(states(&report), [JobState::Failed]);
    assert_eq!(report.unfinished[0].delivery.resource_id(), Some("1"));
    let stats = receiver.stats();
    assert_eq!((stats.failed, stats.retried, stats.dead), (2, 1, 1));
    assert_eq!(
        (stats.inbox.events, stats.inbox.waiting, stats.inbox.dead),
        (0, 0, 1)
    );
    assert_eq!(states(&receiver.shutdown(HOUR).await), [JobState::Failed]);
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_without_time_tells_what_failed_from_what_never_ran() {
    let (fails, valve) = (Fails::times(1).after(HOUR), Valve::new());
    let receiver = here()
        .concurrency(1)
        .on(named("call_hangup"), fails.clone())
        .on(named("other"), valve.clone())
        .build()
        .unwrap();
    accept(&receiver, 1).await;
    until(|| receiver.stats().inbox.waiting == 1).await;
    for id in ["running", "queued"] {
        let body = format!(r#"{{"type":"other","data":{{"id":"{id}"}}}}"#);
        assert_eq!(deliver(&receiver.service(), body).await.word(), "received");
    }
    valve.begun().next().await;
    let report = receiver.shutdown(Duration::ZERO).await;
    let left: Vec<_> = report
        .unfinished
        .iter()
        .map(|left| (left.delivery.resource_id().unwrap(), left.state))
        .collect();
    assert_eq!(
        left,
        [
            ("running", JobState::Running),
            ("1", JobState::Failed),
            ("queued", JobState::Queued)
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_job_that_is_put_back_just_as_a_shutdown_begins_does_not_wait_either() {
    let handler = Fails::times(1).after(HOUR);
    let shutting_down: Arc<OnceLock<Receiver>> = Arc::default();
    let receiver = Arc::clone(&shutting_down);
    let begin_shutdown = move || {
        let receiver = receiver.get().unwrap();
        assert!(receiver.shutdown(Duration::MAX).now_or_never().is_none());
    };
    let receiver = here()
        .inbox(BeforeRetry::new(begin_shutdown))
        .on(Any, handler.clone())
        .build()
        .unwrap();
    assert!(shutting_down.set(receiver.clone()).is_ok());
    let start = Instant::now();
    accept(&receiver, 1).await;
    assert_eq!(handler.next(start).await, (1, Duration::ZERO));
    assert_eq!(handler.next(start).await, (2, Duration::ZERO));
    assert!(receiver.shutdown(HOUR).await.is_drained());
}

#[tokio::test(start_paused = true)]
async fn a_receiver_that_is_dropped_still_makes_its_attempts_in_their_time() {
    let handler = Fails::times(u32::MAX).after(HOUR);
    let receiver = here()
        .retry(RetryPolicy::default().attempts(4))
        .on(Any, handler.clone())
        .build()
        .unwrap();
    let start = Instant::now();
    accept(&receiver, 1).await;
    until(|| receiver.stats().inbox.waiting == 1).await;
    drop(receiver);
    assert_eq!(handler.next(start).await, (1, start.elapsed()));
    // Nothing new can come: what waited is brought forward, and what fails from here on is not.
    let (attempt, at) = handler.next(start).await;
    assert!(attempt == 2 && at < HOUR, "{attempt} at {at:?}");
    for number in 1..3 {
        let (attempt, later) = handler.next(start).await;
        assert_eq!(attempt, number + 2);
        assert!(is_about(later, at + number * HOUR), "{later:?}");
    }
}

#[tokio::test]
async fn a_policy_without_attempts_is_refused() {
    let receiver = builder()
        .retry(RetryPolicy::default().attempts(0))
        .on(Any, Recorder::new())
        .build();
    assert_eq!(receiver.unwrap_err().kind(), BuildErrorKind::BadSetting);
}

/// A job that the receiver finds in its inbox when it starts.
fn found(id: u64, handler: &str, attempts: u32, interrupted: bool) -> Taken {
    let entry = Entry::new(id, delivery(call_hangup(id)).unwrap(), 1);
    let mut past = Past::default();
    past.attempts = attempts;
    past.interrupted = interrupted;
    for _ in 0..if interrupted { attempts.min(2) } else { 0 } {
        let began_at = SystemTime::UNIX_EPOCH;
        past.add(Attempt::new(
            began_at,
            Duration::ZERO,
            AttemptEnd::Interrupted,
        ));
    }
    Taken::new(Arc::new(entry), HandlerName::new(handler)).after(past)
}

/// Takes a second for each run.
async fn slow(_: Context) {
    tokio::time::sleep(Duration::from_secs(1)).await;
}

#[tokio::test(start_paused = true)]
async fn jobs_during_which_the_process_died_twice_run_one_at_a_time_and_hold_up_no_other() {
    let jobs = [
        found(1, "slow", 2, true),
        found(2, "slow", 3, true),
        found(3, "slow", 2, true),
        found(4, "slow", 1, true),
        found(5, "slow", 0, false),
    ];
    let inbox = PreparedInbox::new(jobs, 0);
    let receiver = here()
        .concurrency(3)
        .inbox(inbox.clone())
        .handlers([Registration::new(Any, slow).name("slow")])
        .build()
        .unwrap();
    let start = Instant::now();
    let mut ends = Vec::new();
    for _ in 0..5 {
        let (job, outcome) = within_hours(inbox.settled()).await;
        assert_eq!(outcome, Settled::Done);
        ends.push((start.elapsed().as_secs(), job.id()));
    }
    ends.sort_unstable();
    assert_eq!(ends, [(1, 1), (1, 4), (1, 5), (2, 2), (3, 3)]);
    assert!(receiver.shutdown(HOUR).await.is_drained());
}

/// The place that the receiver keeps for what may come next is theirs too.
#[tokio::test(start_paused = true)]
async fn suspects_run_also_where_all_other_slots_are_taken() {
    for hanging in [0, 1, 2] {
        let valve = Valve::new();
        let hang = (0..hanging).map(|id| found(id, "hangs", 0, false));
        let suspects = (10..14).map(|id| found(id, "slow", 2, true));
        let inbox = PreparedInbox::new(hang.chain(suspects), 0);
        let receiver = here()
            .concurrency(1 + usize::try_from(hanging).unwrap())
            .inbox(inbox.clone())
            .handlers([
                Registration::new(Any, valve.clone()).name("hangs"),
                Registration::new(Any, slow).name("slow"),
            ])
            .build()
            .unwrap();
        for id in 10..14 {
            let (job, outcome) = within_hours(inbox.settled()).await;
            assert_eq!((job.id(), outcome), (id, Settled::Done));
        }
        valve.open();
        assert!(receiver.shutdown(HOUR).await.is_drained());
    }
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_leaves_what_has_not_begun_to_the_next_process_where_there_is_one() {
    let inbox = PreparedInbox::new((0..3).map(|id| found(id, "slow", 2, true)), 0);
    let receiver = here()
        .concurrency(3)
        .inbox(inbox.clone())
        .handlers([Registration::new(Any, slow).name("slow")])
        .build()
        .unwrap();
    until(|| receiver.stats().running == 1).await;
    assert!(receiver.shutdown(HOUR).await.is_drained());
    let mut left = inbox.rest().await;
    left.sort_by_key(|(job, _)| job.id());
    let outcomes: Vec<Settled> = left.into_iter().map(|(_, outcome)| outcome).collect();
    assert_eq!(
        outcomes,
        [Settled::Done, Settled::Released, Settled::Released]
    );
}

/// One that hangs keeps the others from it, for a while and no longer.
#[tokio::test(start_paused = true)]
async fn a_suspect_that_hangs_does_not_stop_the_others() {
    let valve = Valve::new();
    let jobs = [found(1, "hangs", 2, true), found(2, "slow", 2, true)];
    let inbox = PreparedInbox::new(jobs, 0);
    let receiver = here()
        .inbox(inbox.clone())
        .handlers([
            Registration::new(Any, valve.clone()).name("hangs"),
            Registration::new(Any, slow).name("slow"),
        ])
        .build()
        .unwrap();
    let start = Instant::now();
    let (job, outcome) = within_hours(inbox.settled()).await;
    assert_eq!((job.id(), outcome), (2, Settled::Done));
    assert_eq!(start.elapsed().as_secs(), 31);
    valve.open();
    assert!(receiver.shutdown(HOUR).await.is_drained());
}

#[tokio::test(start_paused = true)]
async fn a_job_whose_attempts_are_used_up_is_dead_without_another() {
    let recorder = Recorder::new();
    let inbox = PreparedInbox::new(
        [found(1, "handler", 8, true), found(2, "handler", 9, false)],
        0,
    );
    let receiver = here()
        .inbox(inbox.clone())
        .handlers([Registration::new(Any, recorder.clone()).name("handler")])
        .build()
        .unwrap();
    for id in [1, 2] {
        let (job, outcome) = within_hours(inbox.settled()).await;
        assert_eq!((job.id(), outcome), (id, Settled::Dead { failed: None }));
    }
    assert!(recorder.rest().await.is_empty());
    let stats = receiver.stats();
    assert_eq!((stats.dead, stats.failed, stats.handled), (2, 0, 0));
    assert!(receiver.shutdown(HOUR).await.is_drained());
}

#[tokio::test(start_paused = true)]
async fn an_event_that_is_too_old_has_its_first_attempt_and_no_other() {
    let recorder = Recorder::new();
    let inbox = PreparedInbox::new(
        [found(1, "handler", 1, false), found(2, "handler", 0, false)],
        0,
    );
    let receiver = here()
        .retry(RetryPolicy::default().max_age(Duration::ZERO))
        .inbox(inbox.clone())
        .handlers([Registration::new(Any, recorder.clone()).name("handler")])
        .build()
        .unwrap();
    let mut outcomes = [
        within_hours(inbox.settled()).await,
        within_hours(inbox.settled()).await,
    ];
    outcomes.sort_by_key(|(job, _)| job.id());
    assert_eq!(outcomes[0].1, Settled::Dead { failed: None });
    assert_eq!(outcomes[1].1, Settled::Done);
    assert_eq!(recorder.rest().await.len(), 1);
    assert!(receiver.shutdown(HOUR).await.is_drained());
}

#[tokio::test(start_paused = true)]
async fn the_last_attempt_of_a_job_that_was_found_is_counted_on_from_its_past() {
    let inbox = PreparedInbox::new([found(1, "handler", 7, false)], 0);
    let handler = Fails::times(u32::MAX);
    let receiver = here()
        .inbox(inbox.clone())
        .handlers([Registration::new(Any, handler.clone()).name("handler")])
        .build()
        .unwrap();
    let (_, outcome) = within_hours(inbox.settled()).await;
    let Settled::Dead { failed: Some(last) } = outcome else {
        panic!("{outcome:?}");
    };
    assert!(matches!(last.ended, AttemptEnd::Failed(_)));
    assert_eq!(handler.attempts.next().await.attempt(), 8);
    assert!(receiver.shutdown(HOUR).await.is_drained());
}

#[tokio::test(start_paused = true)]
async fn a_handler_does_not_run_before_its_inbox_lets_it_begin() {
    let recorder = Recorder::new();
    let inbox = PreparedInbox::new([found(1, "handler", 0, false)], 2);
    let receiver = here()
        .inbox(inbox.clone())
        .handlers([Registration::new(Any, recorder.clone()).name("handler")])
        .build()
        .unwrap();
    for expected in [Settled::Released, Settled::Released, Settled::Done] {
        let (_, outcome) = within_hours(inbox.settled()).await;
        assert_eq!(outcome, expected);
    }
    let runs = recorder.rest().await;
    assert_eq!(runs.len(), 1);
    assert_eq!(runs[0].attempt(), 1);
    assert_eq!(receiver.stats().failed, 0);
    assert!(receiver.shutdown(HOUR).await.is_drained());
}

#[tokio::test(start_paused = true)]
async fn a_job_of_a_handler_that_is_gone_is_held_and_not_lost() {
    let inbox = PreparedInbox::new([found(1, "gone", 0, false), found(2, "gone", 8, true)], 0);
    let receiver = here()
        .inbox(inbox.clone())
        .on(Any, Recorder::new())
        .build()
        .unwrap();
    for id in [1, 2] {
        let (job, outcome) = within_hours(inbox.settled()).await;
        assert_eq!((job.id(), outcome), (id, Settled::Held));
    }
    let stats = receiver.stats();
    assert_eq!((stats.dead, stats.failed, stats.handled), (0, 0, 0));
    assert!(receiver.shutdown(HOUR).await.is_drained());
    assert!(inbox.rest().await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_durable_inbox_keeps_what_fails_in_a_shutdown_for_the_next_process() {
    let inbox = PreparedInbox::new([found(1, "fails", 0, false)], 0);
    let valve = Valve::new();
    let opened = valve.clone();
    let receiver = here()
        .inbox(inbox.clone())
        .handlers([Registration::new(Any, move |context: Context| {
            let valve = opened.clone();
            async move {
                valve.handle(context).await?;
                Err::<(), _>(HandlerError::new("on purpose").retry_after(HOUR))
            }
        })
        .name("fails")])
        .build()
        .unwrap();
    valve.begun().next().await;
    let mut shutdown = Box::pin(receiver.shutdown(HOUR));
    assert!(futures_util::poll!(&mut shutdown).is_pending());
    valve.open();
    assert!(shutdown.await.is_drained());
    let (_, outcome) = inbox.settled().await;
    assert!(
        matches!(outcome, Settled::Retry { after: HOUR, .. }),
        "{outcome:?}"
    );
}

/// A subscriber that cannot write.
struct Panics;

impl<S: Subscriber> Layer<S> for Panics {
    fn on_event(&self, event: &LogEvent<'_>, _: LogContext<'_, S>) {
        assert!(*event.metadata().level() > Level::WARN, "on purpose");
    }
}

#[tokio::test(start_paused = true)]
async fn a_failure_that_cannot_be_logged_is_settled_like_any_other() {
    let _logging = tracing::subscriber::set_default(tracing_subscriber::registry().with(Panics));
    let inbox = PreparedInbox::new(
        [
            found(1, "fails", 0, false),
            found(2, "fails", 1, false),
            found(3, "fails", 2, false),
            found(4, "gone", 0, false),
        ],
        0,
    );
    let receiver = here()
        .retry(RetryPolicy::default().attempts(2))
        .inbox(inbox.clone())
        .handlers([Registration::new(Any, Fails::times(u32::MAX)).name("fails")])
        .build()
        .unwrap();
    let mut outcomes = Vec::new();
    for _ in 0..4 {
        let (job, outcome) = within_hours(inbox.settled()).await;
        outcomes.push((job.id(), outcome));
    }
    outcomes.sort_by_key(|(id, _)| *id);
    assert!(matches!(outcomes[0].1, Settled::Retry { .. }));
    assert!(matches!(outcomes[1].1, Settled::Dead { failed: Some(_) }));
    assert!(matches!(outcomes[2].1, Settled::Dead { failed: None }));
    assert_eq!(outcomes[3].1, Settled::Held);
    assert!(receiver.shutdown(HOUR).await.is_drained());
}

/// The receiver's own runtime, and the real clock.
#[tokio::test]
async fn attempts_are_made_on_a_runtime_of_the_receivers_own() {
    within(async {
        let handler = Fails::times(2).after(Duration::from_millis(1));
        let receiver = builder().on(Any, handler.clone()).build().unwrap();
        accept(&receiver, 1).await;
        for attempt in 1..=3 {
            assert_eq!(handler.attempts.next().await.attempt(), attempt);
        }
        assert!(receiver.shutdown(HOUR).await.is_drained());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_handlers_own_number_of_attempts_leaves_the_rest_of_the_policy_as_it_is() {
    #[on(any, attempts = 2)]
    async fn attribute() -> Result<(), HandlerError> {
        Err(HandlerError::new("on purpose"))
    }

    let (own, both) = (Fails::times(u32::MAX), Fails::times(u32::MAX));
    let receiver = here()
        .retry(RetryPolicy::default().attempts(5).initial(HOUR).max(HOUR))
        .handlers(handlers![attribute])
        .handlers([
            Registration::new(Any, own.clone()).name("own").attempts(3),
            Registration::new(Any, both.clone())
                .name("both")
                .attempts(4)
                .retry(RetryPolicy::never().initial(HOUR / 4).max(HOUR / 4)),
        ])
        .build()
        .unwrap();
    let start = Instant::now();
    accept(&receiver, 1).await;
    for (handler, attempts, longest) in [(&both, 4, HOUR / 4), (&own, 3, HOUR)] {
        for number in 1..=attempts {
            assert_eq!(handler.next(start).await.0, number);
            let least = longest / 2 * (number - 1);
            assert!(start.elapsed() >= least, "{:?}", start.elapsed());
        }
    }
    until(|| receiver.stats().dead == 3).await;
    assert_eq!(receiver.stats().failed, 2 + 3 + 4);
    assert!(start.elapsed() < 3 * HOUR);
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_could_never_run_is_refused() {
    let registration = || Registration::new(Any, Recorder::new());
    for hopeless in [
        registration().attempts(0),
        registration().attempts(0).retry(RetryPolicy::never()),
        registration().retry(RetryPolicy::never().attempts(0)),
        registration().timeout(Duration::ZERO),
        registration().concurrency(0),
    ] {
        let error = here().handlers([hopeless]).build().unwrap_err();
        assert_eq!(error.kind(), BuildErrorKind::BadSetting);
    }
    let saved = registration()
        .attempts(1)
        .retry(RetryPolicy::never().attempts(0));
    assert!(here().handlers([saved]).build().is_ok());
}
