//! Which runs may overlap, and in which order they begin.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "this is test code"
)]

use std::future::pending;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use serde_json::{Value, json};
use support::{Recorder, Valve, Watched, builder, deliver, within};
use tokio::runtime::Handle;
use tokio::time::Instant;
use voipbin_receiver::catalog::{Any, Custom, named};
use voipbin_receiver::handler::HandlerName;
use voipbin_receiver::inbox::{
    AttemptEnd, DiskInbox, MemoryInbox, RecordFilter, RecordState, Settled,
};
use voipbin_receiver::testing::TokioClock;
use voipbin_receiver::{
    Context, Delivery, EventHandler, HandlerError, Receiver, ReceiverBuilder, Registration,
    RetryPolicy, async_trait, blocking, handlers, on,
};

const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(24 * 3600);
const NIL: &str = "00000000-0000-0000-0000-000000000000";

/// A builder whose handlers run on the paused clock of the test.
fn here() -> ReceiverBuilder {
    builder()
        .runtime(Handle::current())
        .clock(Arc::new(TokioClock::new()))
}

/// One run of a handler.
#[derive(Clone, Debug)]
struct Run {
    /// What the test wrote into the payload to know the event by.
    label: String,
    handler: HandlerName,
    attempt: u32,
    /// Since the test began.
    began: Duration,
    /// When it returned or was dropped.
    ended: Option<Duration>,
}

impl Run {
    /// The part of the label that says what must not overlap.
    fn lane(&self) -> &str {
        self.label.split('-').next().unwrap()
    }
}

/// A handler that takes a time for each run, and writes down when it began and ended.
#[derive(Clone)]
struct Slow {
    takes: Duration,
    /// Events that fail once, and ask for the next attempt after this time.
    fails: Option<(&'static str, Duration)>,
    runs: Arc<Mutex<Vec<Run>>>,
    start: Instant,
}

impl Slow {
    fn new(takes: Duration) -> Self {
        Self {
            takes,
            fails: None,
            runs: Arc::default(),
            start: Instant::now(),
        }
    }

    /// All runs in the order in which they began.
    fn runs(&self) -> Vec<Run> {
        self.runs.lock().unwrap().clone()
    }

    fn labels(&self) -> Vec<String> {
        self.runs().into_iter().map(|run| run.label).collect()
    }

    /// When each of the runs of a lane began, in whole seconds.
    fn begins(&self, lane: &str) -> Vec<u64> {
        let runs = self.runs();
        let of_lane = runs.iter().filter(|run| run.lane() == lane);
        of_lane.map(|run| run.began.as_secs()).collect()
    }
}

/// Writes down the end of a run, also of one that is dropped.
struct Ending<'a>(&'a Slow, usize);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        let Self(slow, place) = self;
        slow.runs.lock().unwrap()[*place].ended = Some(slow.start.elapsed());
    }
}

#[async_trait]
impl EventHandler for Slow {
    async fn handle(&self, context: Context) -> Result<(), HandlerError> {
        let label = label(context.delivery());
        let place = {
            let mut runs = self.runs.lock().unwrap();
            runs.push(Run {
                label: label.clone(),
                handler: context.handler().clone(),
                attempt: context.attempt(),
                began: self.start.elapsed(),
                ended: None,
            });
            runs.len() - 1
        };
        let _ending = Ending(self, place);
        tokio::time::sleep(self.takes).await;
        match self.fails {
            Some((fails, after)) if fails == label && context.attempt() == 1 => {
                Err(HandlerError::new("on purpose").retry_after(after))
            }
            _ => Ok(()),
        }
    }
}

fn label(delivery: &Delivery) -> String {
    let payload: Value = serde_json::from_str(delivery.payload_json()).unwrap();
    payload["label"].as_str().unwrap_or_default().to_owned()
}

/// An event of a call.
fn call(id: &str, label: &str) -> String {
    event("call_updated", id, label)
}

fn event(kind: &str, id: &str, label: &str) -> String {
    json!({"type": kind, "data": {"id": id, "label": label}}).to_string()
}

/// A body as the platform sends it, with one of its ids changed.
fn sample(kind: &str, id_field: &str, id: &str, label: &str) -> String {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/today");
    let body = std::fs::read(fixtures.join(kind).with_extension("json")).unwrap();
    let mut body: Value = serde_json::from_slice(&body).unwrap();
    let data = body["data"].as_object_mut().unwrap();
    assert!(data.contains_key(id_field), "{kind} has no {id_field}");
    data.insert(id_field.into(), id.into());
    data.insert("label".into(), label.into());
    body.to_string()
}

async fn accept(receiver: &Receiver, body: String) {
    let answer = deliver(&receiver.service(), body).await;
    assert_eq!(answer.word(), "received");
}

/// Waits for what follows a run: on a paused clock that takes no time.
async fn until(holds: impl Fn() -> bool) {
    let waited = tokio::time::timeout(DAY, async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    waited.await.unwrap();
}

async fn drain(receiver: &Receiver) {
    assert!(receiver.shutdown(DAY).await.is_drained());
}

/// That no two runs by one handler with one label before the dash overlap.
fn assert_apart(runs: &[Run]) {
    for (place, run) in runs.iter().enumerate() {
        let same = |other: &&Run| other.lane() == run.lane() && other.handler == run.handler;
        for later in runs[place + 1..].iter().filter(same) {
            assert!(
                run.ended.is_some_and(|ended| ended <= later.began),
                "{run:?} overlaps {later:?}"
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn events_of_one_call_run_one_after_the_other_in_order_while_other_calls_go_on() {
    let slow = Slow::new(SECOND);
    let receiver = here().on(Any, slow.clone()).build().unwrap();
    for number in 0..10 {
        for id in ["a", "b", "c"] {
            accept(&receiver, call(id, &format!("{id}-{number}"))).await;
        }
    }
    drain(&receiver).await;
    assert_apart(&slow.runs());
    for id in ["a", "b", "c"] {
        assert_eq!(slow.begins(id), (0..10).collect::<Vec<_>>());
        let labels = slow.labels();
        let of_call: Vec<_> = labels
            .iter()
            .filter(|label| label.starts_with(id))
            .collect();
        let kept: Vec<_> = (0..10).map(|number| format!("{id}-{number}")).collect();
        assert_eq!(of_call, kept.iter().collect::<Vec<_>>());
    }
}

#[tokio::test(start_paused = true)]
async fn a_further_attempt_may_run_after_later_events_of_its_lane_and_never_beside_them() {
    let slow = Slow {
        fails: Some(("a-0", SECOND * 3 / 2)),
        ..Slow::new(SECOND)
    };
    let receiver = here().on(Any, slow.clone()).build().unwrap();
    for number in 0..5 {
        accept(&receiver, call("a", &format!("a-{number}"))).await;
    }
    until(|| receiver.stats().handled == 5).await;
    assert_apart(&slow.runs());
    assert_eq!(
        slow.labels(),
        ["a-0", "a-1", "a-2", "a-3", "a-4", "a-0"],
        "it came back while the third of them ran"
    );
    let again = slow.runs().pop().unwrap();
    assert_eq!((again.attempt, again.began.as_secs()), (2, 5));
}

#[tokio::test(start_paused = true)]
async fn a_lane_is_free_while_its_failed_event_waits_for_the_next_attempt() {
    let slow = Slow {
        fails: Some(("a-0", 60 * SECOND)),
        ..Slow::new(SECOND)
    };
    let receiver = here().on(Any, slow.clone()).build().unwrap();
    for number in 0..3 {
        accept(&receiver, call("a", &format!("a-{number}"))).await;
    }
    until(|| receiver.stats().handled == 3).await;
    assert_eq!(slow.begins("a"), [0, 1, 2, 61]);
}

#[tokio::test(start_paused = true)]
async fn two_handlers_of_one_event_have_lanes_of_their_own() {
    let (quick, slow) = (Slow::new(SECOND), Slow::new(3 * SECOND));
    let receiver = here()
        .handlers([
            Registration::new(Any, quick.clone()).name("quick"),
            Registration::new(Any, slow.clone()).name("slow"),
        ])
        .build()
        .unwrap();
    for number in 0..4 {
        accept(&receiver, call("a", &format!("a-{number}"))).await;
    }
    drain(&receiver).await;
    assert_eq!(quick.begins("a"), [0, 1, 2, 3]);
    assert_eq!(slow.begins("a"), [0, 3, 6, 9]);
    assert_eq!(quick.labels(), slow.labels());
}

#[tokio::test(start_paused = true)]
async fn the_parts_of_a_resource_share_its_lane() {
    for parts in [
        &[
            ("transcribe_created", "id"),
            ("transcript_created", "transcribe_id"),
            ("transcribe_speech_started", "transcribe_id"),
            ("transcribe_speech_interim", "transcribe_id"),
            ("transcribe_done", "id"),
        ][..],
        &[
            ("chat_created", "id"),
            ("chatparticipant_added", "chat_id"),
            ("chatmessage_created", "chat_id"),
            ("chatmessage_reaction_updated", "chat_id"),
            ("chat_deleted", "id"),
        ],
        &[
            ("aicall_status_initializing", "id"),
            ("aimessage_intermediate", "aicall_id"),
            ("aimessage_created", "aicall_id"),
            ("aicall_status_terminated", "id"),
        ],
    ] {
        let slow = Slow::new(SECOND);
        let receiver = here().on(Any, slow.clone()).build().unwrap();
        let lanes = [
            ("a", "8b2f6e0c-14b5-4cb2-9c0f-6a7d4f6f2a01"),
            ("b", "8b2f6e0c-14b5-4cb2-9c0f-6a7d4f6f2a02"),
        ];
        for (kind, id_field) in parts {
            for (lane, id) in lanes {
                let label = format!("{lane}-{kind}");
                accept(&receiver, sample(kind, id_field, id, &label)).await;
            }
        }
        drain(&receiver).await;
        assert_apart(&slow.runs());
        for (lane, _) in lanes {
            let kept: Vec<u64> = (0..).take(parts.len()).collect();
            assert_eq!(slow.begins(lane), kept, "{parts:?}");
            let labels = slow.labels();
            let labels = labels.iter().filter(|label| label.starts_with(lane));
            let kept = parts.iter().map(|(kind, _)| format!("{lane}-{kind}"));
            assert!(labels.eq(kept.collect::<Vec<_>>().iter()));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_part_that_does_not_say_of_what_has_the_lane_of_its_own_id() {
    let slow = Slow::new(SECOND);
    let receiver = here().on(Any, slow.clone()).build().unwrap();
    for label in ["a-0", "b-0", "a-1", "b-1"] {
        let id = &label[..1];
        let body = sample("transcript_created", "transcribe_id", NIL, label);
        let mut body: Value = serde_json::from_str(&body).unwrap();
        body["data"]["id"] = id.into();
        accept(&receiver, body.to_string()).await;
    }
    drain(&receiver).await;
    assert_eq!(slow.begins("a"), [0, 1]);
    assert_eq!(slow.begins("b"), [0, 1]);
}

#[tokio::test(start_paused = true)]
async fn what_has_no_id_waits_for_nothing() {
    let slow = Slow::new(SECOND);
    let receiver = here().on((Any, Custom), slow.clone()).build().unwrap();
    for number in 0..3 {
        let label = format!("x-{number}");
        for body in [
            json!({"type": "call_updated", "data": {"label": label}}),
            json!({"type": "call_updated", "data": {"id": NIL, "label": label}}),
            json!({"type": "call_updated", "data": {"id": "", "label": label}}),
            json!({"type": "not_in_the_catalogue", "data": {"label": label}}),
            json!({"id": "1", "label": label}),
        ] {
            accept(&receiver, body.to_string()).await;
        }
    }
    drain(&receiver).await;
    assert_eq!(slow.begins("x"), [0; 15]);
}

#[tokio::test(start_paused = true)]
async fn without_lanes_all_run_beside_each_other() {
    let slow = Slow::new(SECOND);
    let receiver = here()
        .without_lanes()
        .on(Any, slow.clone())
        .build()
        .unwrap();
    for number in 0..5 {
        accept(&receiver, call("a", &format!("a-{number}"))).await;
    }
    drain(&receiver).await;
    assert_eq!(slow.begins("a"), [0; 5]);
}

#[tokio::test(start_paused = true)]
async fn a_key_of_the_users_own_makes_the_lanes() {
    let slow = Slow::new(SECOND);
    let receiver = here()
        .lane_key(|delivery: &Delivery| {
            let label = label(delivery);
            assert!(!label.starts_with("panics"), "on purpose");
            (!label.starts_with("none")).then(|| label[..1].to_owned())
        })
        .on((Any, Custom), slow.clone())
        .build()
        .unwrap();
    for number in 0..3 {
        // One call is in two lanes, and two calls and a custom delivery are in one.
        accept(&receiver, call("1", &format!("a-{number}"))).await;
        accept(&receiver, call("1", &format!("b-{number}"))).await;
        accept(&receiver, call("2", &format!("b-{number}-too"))).await;
        let custom = json!({"label": format!("b-{number}-custom")});
        accept(&receiver, custom.to_string()).await;
        accept(&receiver, call("3", &format!("none-{number}"))).await;
        accept(&receiver, call("3", &format!("panics-{number}"))).await;
    }
    drain(&receiver).await;
    assert_eq!(slow.begins("a"), [0, 1, 2]);
    assert_eq!(slow.begins("b"), (0..9).collect::<Vec<_>>());
    assert_eq!(slow.begins("none"), [0; 3]);
    assert_eq!(slow.begins("panics"), [0; 3]);
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_hangs_in_all_it_can_get_leaves_room_for_the_other() {
    let works = Slow::new(SECOND);
    let receiver = here()
        .on(named("hangs"), pending::<()>)
        .on(named("works"), works.clone())
        .build()
        .unwrap();
    for number in 0..1000 {
        accept(&receiver, event("hangs", &number.to_string(), "")).await;
    }
    let most = ReceiverBuilder::DEFAULT_CONCURRENCY;
    until(|| receiver.stats().running == most - most / 8).await;
    let begun = works.start.elapsed();
    for number in 0..10 {
        accept(&receiver, event("works", &number.to_string(), "w")).await;
    }
    until(|| receiver.stats().handled == 10).await;
    for run in works.runs() {
        assert!(run.began - begun < SECOND);
    }
    assert_eq!(receiver.stats().running, most - most / 8);
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_one_type_holds_up_another_of_the_same_handler_by_no_more_than_a_turn() {
    let slow = Slow::new(SECOND);
    let receiver = here().concurrency(4).on(Any, slow.clone()).build().unwrap();
    for number in 0..1000 {
        accept(&receiver, event("flood", &number.to_string(), "flood")).await;
    }
    accept(&receiver, event("rare", "r", "rare")).await;
    until(|| receiver.stats().handled >= 20).await;
    assert_eq!(slow.begins("rare"), [1]);
}

#[tokio::test(start_paused = true)]
async fn a_handlers_own_limit_holds_up_no_other() {
    let (narrow, wide) = (Slow::new(SECOND), Slow::new(SECOND));
    let receiver = here()
        .handlers([
            Registration::new(Any, narrow.clone())
                .name("narrow")
                .concurrency(2),
            Registration::new(Any, wide.clone()).name("wide"),
        ])
        .build()
        .unwrap();
    for number in 0..10 {
        accept(&receiver, call(&number.to_string(), "x")).await;
    }
    drain(&receiver).await;
    assert_eq!(narrow.begins("x"), [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]);
    assert_eq!(wide.begins("x"), [0; 10]);
}

#[tokio::test(start_paused = true)]
async fn an_attribute_limits_its_handler() {
    static ATTEMPTS: AtomicU32 = AtomicU32::new(0);

    #[on(any, attempts = 3, timeout = "500ms", concurrency = 1)]
    async fn hangs() {
        ATTEMPTS.fetch_add(1, Ordering::SeqCst);
        pending().await
    }

    let inbox = Watched::new(MemoryInbox::new());
    let receiver = here()
        .inbox(Arc::clone(&inbox))
        .retry(RetryPolicy::default().initial(DAY / 100).max(DAY / 100))
        .handlers(handlers![hangs])
        .build()
        .unwrap();
    let start = Instant::now();
    for number in 0..4 {
        accept(&receiver, call(&number.to_string(), "")).await;
    }
    until(|| receiver.stats().failed == 4).await;
    let took = start.elapsed().as_millis();
    assert!((2000..2100).contains(&took), "one at a time: {took} ms");
    until(|| receiver.stats().dead == 4).await;
    assert_eq!(ATTEMPTS.load(Ordering::SeqCst), 12);
    for (_, settled) in inbox.settled() {
        let (Settled::Retry { failed, .. }
        | Settled::Dead {
            failed: Some(failed),
        }) = settled
        else {
            panic!("{settled:?}");
        };
        assert_eq!(failed.ended, AttemptEnd::TimedOut);
    }
}

#[tokio::test(start_paused = true)]
async fn a_run_that_takes_too_long_is_a_failed_attempt_and_frees_its_lane() {
    let slow = Slow::new(10 * SECOND);
    let inbox = Watched::new(MemoryInbox::new());
    let receiver = here()
        .inbox(Arc::clone(&inbox))
        .timeout(3 * SECOND)
        .retry(
            RetryPolicy::default()
                .attempts(2)
                .initial(60 * SECOND)
                .max(60 * SECOND),
        )
        .handlers([
            Registration::new(Any, slow.clone()).name("too slow"),
            Registration::new(Any, slow.clone())
                .name("slow enough")
                .timeout(11 * SECOND),
        ])
        .build()
        .unwrap();
    accept(&receiver, call("a", "a-0")).await;
    accept(&receiver, call("a", "a-1")).await;
    until(|| receiver.stats().dead == 2).await;
    until(|| receiver.stats().handled == 2).await;

    let runs = slow.runs();
    assert_apart(&runs);
    let of = |name: &str| -> Vec<(String, u32, Duration)> {
        let runs = runs.iter().filter(|run| run.handler.as_str() == name);
        runs.map(|run| {
            (
                run.label.clone(),
                run.attempt,
                run.ended.unwrap() - run.began,
            )
        })
        .collect()
    };
    let too_slow = of("too slow");
    assert_eq!((too_slow.len(), of("slow enough").len()), (4, 2));
    for (first, (label, attempt, took)) in [("a-0", 1), ("a-1", 1)].into_iter().zip(&too_slow) {
        assert_eq!(first, (label.as_str(), *attempt));
        assert!(*took >= 3 * SECOND && *took < 4 * SECOND);
    }
    for (_, settled) in inbox.settled() {
        match settled {
            Settled::Done => {}
            Settled::Retry { failed, .. }
            | Settled::Dead {
                failed: Some(failed),
            } => assert_eq!(failed.ended, AttemptEnd::TimedOut),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_blocking_run_that_takes_too_long_keeps_its_slot_and_its_lane_until_it_returns() {
    let begun = Recorder::new();
    let (release, released) = mpsc::channel::<()>();
    let (seen, released) = (begun.clone(), Mutex::new(released));
    let receiver = here()
        .timeout(3 * SECOND)
        .retry(RetryPolicy::default().initial(Duration::ZERO))
        .on(
            Any,
            blocking(move |context: Context| {
                let first = context.attempt() == 1;
                futures_util::FutureExt::now_or_never(seen.handle(context)).unwrap()?;
                if first {
                    released.lock().unwrap().recv()?;
                }
                Ok::<_, HandlerError>(())
            }),
        )
        .build()
        .unwrap();
    accept(&receiver, call("a", "")).await;
    assert_eq!(begun.next().await.attempt(), 1);
    // The clock does not move by itself while a thread is blocked.
    tokio::time::advance(3 * SECOND).await;
    let failed = async {
        while receiver.stats().failed == 0 {
            tokio::time::advance(Duration::from_millis(1)).await;
        }
    };
    within(failed).await;
    tokio::time::advance(60 * SECOND).await;
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert_eq!((receiver.stats().handled, receiver.stats().running), (0, 1));
    release.send(()).unwrap();
    assert_eq!(within(begun.next()).await.attempt(), 2);
    drain(&receiver).await;
    assert_eq!((receiver.stats().handled, receiver.stats().running), (1, 0));
}

#[tokio::test]
async fn the_bodies_of_a_long_lane_wait_on_the_disk_and_are_handled_in_order() {
    const EVENTS: usize = 48;
    const BODY: usize = 512 << 10;
    /// What waits in memory, and what runs.
    const HERE: usize = (16 << 20) / BODY + 1;

    within(async {
        let directory = tempfile::tempdir().unwrap();
        let inbox = Watched::new(DiskInbox::open(directory.path()).unwrap());
        let valve = Valve::new();
        let receiver = builder()
            .runtime(Handle::current())
            .inbox(Arc::clone(&inbox))
            .on(Any, valve.clone())
            .build()
            .unwrap();
        let filling = "x".repeat(BODY);
        for number in 0..EVENTS {
            let label = format!("a-{number}");
            let data = json!({"id": "a", "label": label, "filling": filling});
            let body = json!({"type": "call_updated", "data": data});
            accept(&receiver, body.to_string()).await;
        }
        inbox.parked(EVENTS - HERE).await;
        assert_eq!(receiver.stats().inbox.events, EVENTS);
        assert_eq!(inbox.parkings().1, 0);

        valve.open();
        for number in 0..EVENTS {
            let context = valve.ended().next().await;
            assert_eq!(label(context.delivery()), format!("a-{number}"));
            assert!(context.delivery().body().len() > BODY);
        }
        assert!(receiver.shutdown(DAY).await.is_drained());
        let (parked, unparked) = inbox.parkings();
        assert!(parked >= EVENTS - HERE && parked == unparked);

        let records = receiver.records().unwrap();
        let done = RecordFilter::new().state(RecordState::Done);
        let page = records.list(&done, None, EVENTS + 1).await.unwrap();
        assert_eq!(page.records.len(), EVENTS);
        let stats = receiver.stats();
        assert_eq!(
            (stats.handled, stats.inbox.events, stats.inbox.dead),
            (EVENTS as u64, 0, 0)
        );
    })
    .await;
}
