//! Jobs that a receiver finds in its inbox, with what came of them before.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use support::{PreparedInbox, Valve, builder, call_hangup, until, within_days};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::time::Instant;
use voipbin_receiver::catalog::Any;
use voipbin_receiver::handler::HandlerName;
use voipbin_receiver::inbox::{
    Attempt, AttemptEnd, Job, JobHistory, KeptEvent, Lane, Lease, Settled,
};
use voipbin_receiver::testing::{Act, Recorder, delivery};
use voipbin_receiver::{
    Context, EventHandler, HandlerError, HandlerOptions, ReceiverBuilder, Registration,
    RetryPolicy, async_trait, blocking,
};

const HOUR: Duration = Duration::from_secs(3600);

/// A builder whose handlers run on the paused clock of the test.
fn here() -> ReceiverBuilder {
    builder().runtime(Handle::current())
}

/// A job that the receiver finds in its inbox when it starts.
fn found(id: u64, handler: &str, attempts: u32, interrupted: bool) -> Job {
    let event = KeptEvent::new(id, delivery(call_hangup(id)).unwrap());
    let mut past = JobHistory::default();
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
    Job::new(Arc::new(event), HandlerName::new(handler), id).after(past)
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
        found(4, "slow", 1, false),
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
        let (job, outcome) = within_days(inbox.settled()).await;
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
            let (job, outcome) = within_days(inbox.settled()).await;
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
    let (job, outcome) = within_days(inbox.settled()).await;
    assert_eq!((job.id(), outcome), (2, Settled::Done));
    assert_eq!(start.elapsed().as_secs(), 2);
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
        let (job, outcome) = within_days(inbox.settled()).await;
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
        .handler_options(
            HandlerOptions::new().retry(RetryPolicy::default().max_age(Duration::ZERO)),
        )
        .inbox(inbox.clone())
        .handlers([Registration::new(Any, recorder.clone()).name("handler")])
        .build()
        .unwrap();
    let mut outcomes = [
        within_days(inbox.settled()).await,
        within_days(inbox.settled()).await,
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
    let handler = Recorder::acting(|_| Act::fail());
    let receiver = here()
        .inbox(inbox.clone())
        .handlers([Registration::new(Any, handler.clone()).name("handler")])
        .build()
        .unwrap();
    let (_, outcome) = within_days(inbox.settled()).await;
    let Settled::Dead { failed: Some(last) } = outcome else {
        panic!("{outcome:?}");
    };
    assert!(matches!(last.ended, AttemptEnd::Failed(_)));
    assert_eq!(handler.next().await.attempt(), 8);
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
        let (_, outcome) = within_days(inbox.settled()).await;
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
        let (job, outcome) = within_days(inbox.settled()).await;
        assert_eq!((job.id(), outcome), (id, Settled::Unroutable));
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

/// A lease that a test takes away.
#[derive(Debug)]
struct Revocable(watch::Sender<bool>);

impl Revocable {
    fn new() -> Arc<Self> {
        Arc::new(Self(watch::Sender::new(false)))
    }

    fn revoke(&self) {
        self.0.send_replace(true);
    }
}

#[async_trait]
impl Lease for Revocable {
    fn is_lost(&self) -> bool {
        *self.0.borrow()
    }

    async fn lost(&self) {
        self.0.subscribe().wait_for(|lost| *lost).await.unwrap();
    }
}

/// A job of one lane.
fn leased(id: u64, handler: &str, lease: &Arc<Revocable>) -> Job {
    let event = KeptEvent::new(id, delivery(call_hangup(id)).unwrap());
    let event = event.in_lane(Some(Lane::of("a")));
    let lease = Arc::clone(lease);
    Job::new(Arc::new(event), HandlerName::new(handler), id).under(lease)
}

#[tokio::test(start_paused = true)]
async fn a_run_whose_lease_is_lost_is_cut_off_and_its_job_is_settled_by_nobody_here() {
    let (lost, kept) = (Revocable::new(), Revocable::new());
    let valve = Valve::new();
    let inbox = PreparedInbox::new([leased(1, "waits", &lost), leased(2, "waits", &kept)], 0);
    let receiver = here()
        .inbox(inbox.clone())
        .handlers([Registration::new(Any, valve.clone()).name("waits")])
        .build()
        .unwrap();
    valve.begun().next().await;
    assert_eq!(receiver.stats().running, 1);
    lost.revoke();
    // Its lane is free.
    valve.begun().next().await;
    assert_eq!(receiver.stats().running, 1);
    valve.open();
    let (job, outcome) = within_days(inbox.settled()).await;
    assert_eq!((job.id(), outcome), (2, Settled::Done));
    let stats = receiver.stats();
    assert_eq!((stats.handled, stats.failed, stats.dead), (1, 0, 0));
    assert!(receiver.shutdown(HOUR).await.is_drained());
}

#[tokio::test(start_paused = true)]
async fn a_job_whose_lease_is_lost_does_not_begin() {
    let (lost, kept) = (Revocable::new(), Revocable::new());
    lost.revoke();
    let recorder = Recorder::new();
    let inbox = PreparedInbox::new([leased(1, "runs", &lost), leased(2, "runs", &kept)], 0);
    let receiver = here()
        .inbox(inbox.clone())
        .handlers([Registration::new(Any, recorder.clone()).name("runs")])
        .build()
        .unwrap();
    let (job, outcome) = within_days(inbox.settled()).await;
    assert_eq!((job.id(), outcome), (2, Settled::Done));
    assert_eq!(recorder.rest().await.len(), 1);
    assert!(receiver.shutdown(HOUR).await.is_drained());
}

#[tokio::test]
async fn a_blocking_handler_can_ask_whether_its_job_is_somebody_elses() {
    let lease = Revocable::new();
    let (tell, told) = std::sync::mpsc::channel();
    let (go_on, goes_on) = std::sync::mpsc::channel::<()>();
    let goes_on = std::sync::Mutex::new(goes_on);
    let asks = blocking(move |context: Context| {
        tell.send(context.is_lost()).unwrap();
        goes_on.lock().unwrap().recv().unwrap();
        tell.send(context.is_lost()).unwrap();
    });
    let inbox = PreparedInbox::new([leased(1, "asks", &lease)], 0);
    let receiver = here()
        .inbox(inbox.clone())
        .handlers([Registration::new(Any, asks).name("asks")])
        .build()
        .unwrap();
    until(|| receiver.stats().running == 1).await;
    let before = told.recv().unwrap();
    lease.revoke();
    // The run is over, and its thread still holds its slot.
    tokio::task::yield_now().await;
    assert_eq!(receiver.stats().running, 1);
    go_on.send(()).unwrap();
    until(|| receiver.stats().running == 0).await;
    assert_eq!((before, told.recv().unwrap()), (false, true));
    assert!(receiver.shutdown(HOUR).await.is_drained());
}
