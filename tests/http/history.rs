//! Catching up on what was sent while the receiver was down: an hour of the platform in simulated
//! time.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::time::Duration;

use serde_json::json;
use support::history::{
    DOWN, Event, MINUTE, UP, World, count, hour, is_unconfirmed, is_uncovered, killed, split,
};
use support::platform::Fault;
use support::{builder, within};
use tokio::sync::{mpsc, oneshot};
use voipbin_receiver::catalog::{Any, EventType};
use voipbin_receiver::clock::Clock;
use voipbin_receiver::events::MessageCreated;
use voipbin_receiver::inbox::{DiskInbox, Inbox, MemoryInbox, RecordFilter};
use voipbin_receiver::observe::Transition;
use voipbin_receiver::platform::PlatformErrorKind;
use voipbin_receiver::source::{CatchUp, CatchUpErrorKind, CatchUpReport};
use voipbin_receiver::{Context, HandlerOptions, Receiver, Registration};

/// Of a time after which everything has happened.
fn is_lost(event: &Event, events: &[Event]) -> bool {
    is_uncovered(event) || is_unconfirmed(event, events, &events[events.len() - 1])
}

#[tokio::test]
async fn what_was_sent_while_a_killed_receiver_was_down_is_recovered_once_and_in_order() {
    within(async {
        let world = World::new().await;
        let directory = tempfile::tempdir().unwrap();
        let (first, copy) = (
            directory.path().join("first"),
            directory.path().join("copy"),
        );
        let inbox = world.disk(&first).await;
        let restart = async |receiver: Receiver| {
            killed(&first, &copy);
            let _ = receiver.shutdown(Duration::ZERO).await;
            world.disk(&copy).await
        };
        let report = world.downtime(inbox, restart).await;
        assert!(report.known > 50, "{report}");
    })
    .await;
}

#[tokio::test]
async fn with_an_inbox_in_memory_it_is_what_a_live_process_did_not_get() {
    within(async {
        let world = World::new().await;
        let events = hour();
        let [before, missed, after] = split(&events);
        let receiver = world.receiver(world.memory());
        world.happen(before, Some(&receiver)).await;
        world.happen(missed, None).await;
        world.happen(after, Some(&receiver)).await;
        receiver.catch_up(&world.catch_up(DOWN)).await.unwrap();
        world.check(&events, |event| is_lost(event, &events)).await;

        // One that has begun since knows nothing of what another one took, or since when.
        let other = world.receiver(world.memory());
        let error = other.catch_up(&world.catch_up(DOWN)).await.unwrap_err();
        assert_eq!(error.kind(), CatchUpErrorKind::Forgotten);
        assert!(error.to_string().contains("retain_done"));
        let error = other.catch_up(&CatchUp::new(&world.platform())).await;
        assert_eq!(error.unwrap_err().kind(), CatchUpErrorKind::Since);
        let dry = world.catch_up(DOWN).dry_run();
        assert!(other.catch_up(&dry).await.unwrap().recovered > 100);
        assert_eq!(other.stats().accepted, 0);
    })
    .await;
}

/// A number of resources that is less than those of the hour, and reaches into the downtime.
const INTERRUPTED: usize = 180;

/// A run that is given up after so many resources.
async fn interrupted(receiver: &Receiver, catch_up: CatchUp, after: usize) {
    let (reached, is_reached) = oneshot::channel();
    let reached = Mutex::new(Some(reached));
    let catch_up = catch_up.on_progress(move |progress| {
        if progress.done == after {
            reached.lock().unwrap().take().unwrap().send(()).unwrap();
        }
    });
    tokio::select! {
        biased;
        _ = is_reached => {}
        ended = receiver.catch_up(&catch_up) => panic!("{ended:?}"),
    }
}

#[tokio::test]
async fn it_goes_on_after_a_stop_a_failure_and_429s_and_recovers_each_event_once() {
    within(async {
        let world = World::new().await;
        let directory = tempfile::tempdir().unwrap();
        let events = hour();
        let [before, missed, after] = split(&events);
        let receiver = world.receiver(world.disk(directory.path()).await);
        world.happen(before, Some(&receiver)).await;
        world.happen(missed, None).await;
        world.happen(after, Some(&receiver)).await;
        world
            .stand_in
            .fail([Fault::Limited(Some(0)), Fault::Limited(Some(0))]);
        let webhooks = receiver.stats().accepted;
        interrupted(&receiver, world.catch_up(DOWN), INTERRUPTED).await;
        // Not all is read before the first event is recovered.
        let early = receiver.stats().accepted - webhooks;
        assert!(early > 0);
        world.stand_in.fail_after(30, Fault::Close);
        let mut run = world.catch_up(DOWN).budget(60);
        let mut reports: Vec<CatchUpReport> = Vec::new();
        loop {
            world.stand_in.fail([Fault::Limited(Some(0))]);
            let report = receiver.catch_up(&run).await.unwrap();
            let checkpoint = report.checkpoint.clone();
            reports.push(report);
            let Some(checkpoint) = checkpoint else { break };
            // As a process would find it that begins anew.
            let checkpoint = serde_json::to_string(&checkpoint).unwrap();
            let checkpoint = serde_json::from_str(&checkpoint).unwrap();
            run = world.catch_up(UP).resume(&checkpoint).budget(60);
        }
        assert!(reports.len() > 2 && reports.iter().all(|report| report.requests <= 60));
        assert_eq!(reports[0].stopped_by, Some(PlatformErrorKind::Broken));
        assert_eq!(reports[1].stopped_by, None);
        world.check(&events, |event| is_lost(event, &events)).await;
        let recovered: usize = reports.iter().map(|report| report.recovered).sum();
        let missed = count(missed, |event| !is_lost(event, &events));
        assert_eq!(early as usize + recovered, missed);
        let small = receiver.catch_up(&world.catch_up(DOWN).budget(2)).await;
        assert_eq!(small.unwrap_err().kind(), CatchUpErrorKind::Budget);
    })
    .await;
}

#[tokio::test]
async fn after_a_kill_in_the_middle_the_next_process_looks_at_the_whole_downtime_again() {
    within(async {
        let world = World::new().await;
        let directory = tempfile::tempdir().unwrap();
        let place = |name: &str| directory.path().join(name);
        let events = hour();
        let [before, missed, after] = split(&events);
        let after = &after[..60];
        let inbox = world.disk(&place("0")).await;
        assert_eq!(inbox.down_since(), None);
        let receiver = world.receiver(inbox.clone());
        world.happen(before, Some(&receiver)).await;
        world.settle(before).await;
        assert!(receiver.shutdown(MINUTE).await.is_drained());
        drop(receiver);
        inbox.closed().await;
        let down_since = world.clock.wall();
        world.happen(missed, None).await;
        world.at(UP);
        let inbox = world.disk(&place("0")).await;
        assert_eq!(inbox.down_since(), Some(down_since));
        let receiver = world.receiver(inbox);
        let whole = || CatchUp::new(&world.platform());
        interrupted(&receiver, whole(), 30).await;
        world.happen(after, Some(&receiver)).await;
        world.settle(after).await;
        // Which waits until all that came to its end is stored.
        let records = receiver.records().unwrap();
        records.list(&RecordFilter::new(), None, 1).await.unwrap();
        killed(&place("0"), &place("1"));
        let _ = receiver.shutdown(Duration::ZERO).await;
        // The process was up since, and did not come to the end of it.
        let inbox = world.disk(&place("1")).await;
        assert_eq!(inbox.down_since(), Some(down_since));
        let receiver = world.receiver(inbox.clone());
        let report = receiver.catch_up(&whole()).await.unwrap();
        assert!(report.recovered > 200, "{report}");
        let published = &events[..before.len() + missed.len() + after.len()];
        world
            .check(published, |event| is_lost(event, published))
            .await;
        assert_eq!(inbox.down_since(), None);
        assert!(receiver.shutdown(MINUTE).await.is_drained());
        drop(receiver);
        inbox.closed().await;
        world.at(60 * MINUTE);
        let now = world.disk(&place("1")).await.down_since().unwrap();
        assert!(now > down_since + 9 * MINUTE);
    })
    .await;
}

#[tokio::test]
async fn what_is_deleted_lost_at_the_edge_of_a_page_or_forged_is_counted() {
    within(async {
        let world = World::new().await;
        let directory = tempfile::tempdir().unwrap();
        let mut events = hour();
        let call = |number: u32| format!("00000000-0000-4000-8000-{number:012}");
        // A call that changes thirty times in a millisecond, and one that is deleted.
        let (busy, deleted) = (call(74), call(73));
        let busy_at = DOWN + 2 * MINUTE;
        for micros in 0..30 {
            let at = busy_at + Duration::from_micros(micros);
            events.push(Event::new(at, DOWN - MINUTE, "call_updated", &busy, &busy));
        }
        let at = DOWN + MINUTE;
        let created = DOWN - MINUTE;
        events.push(Event::new(at, created, "call_deleted", &deleted, &deleted));
        events.sort_by_key(|event| event.at);
        events.retain(|event| event.id != deleted || event.at <= at);
        let [before, missed, after] = split(&events);
        let receiver = world.receiver(world.disk(directory.path()).await);
        world.happen(before, Some(&receiver)).await;
        world.happen(missed, None).await;
        // One of a recording that there is, and one of another.
        let recording = call(75).replace("4000", "4001");
        for id in ["r-1", &recording] {
            let forged = json!({"id": id, "reference_type": "call", "reference_id": call(75)});
            let at = world.clock.wall();
            let forged = forged.to_string();
            world.stand_in.forge(at, "recording_finished", &forged);
        }
        world.happen(after, Some(&receiver)).await;
        world.stand_in.page_timelines_by(10);
        let report = receiver.catch_up(&world.catch_up(DOWN)).await.unwrap();
        // Of a page that ends within the millisecond, the rest of that is on no other.
        let lost = |event: &Event| {
            is_lost(event, &events)
                || event.id == deleted
                || event.id == busy && world.times(event) == 0
        };
        world.check(&events, lost).await;
        assert_eq!(report.refused, 1, "{report}");
        assert!(report.full_pages > 0, "{report}");
        let edge = |event: &Event| event.id == busy && world.times(event) == 0;
        assert!(count(missed, edge) > 0);
        // Both copies of the forged one.
        let window = |event: &Event| DOWN - 2 * MINUTE <= event.at;
        let unconfirmed = count(&events, |event| {
            window(event) && is_unconfirmed(event, &events, &events[events.len() - 1])
        });
        assert!(report.unconfirmed >= 2 * unconfirmed + 2, "{report}");
        assert!(!world.has_run("r-1"));
    })
    .await;
}

#[tokio::test]
async fn rows_that_were_rendered_anew_are_known_by_what_they_tell() {
    within(async {
        let world = World::new().await;
        let directory = tempfile::tempdir().unwrap();
        let events = hour();
        let receiver = world.receiver(world.disk(directory.path()).await);
        world.happen(&events, Some(&receiver)).await;
        world.stand_in.rerender_history();
        let report = receiver.catch_up(&world.catch_up(DOWN)).await.unwrap();
        assert_eq!(report.recovered, 0, "{report}");
        assert!(report.known > 300);
        world.check(&events, |_| false).await;
    })
    .await;
}

#[tokio::test]
async fn what_is_older_than_what_its_lane_completed_before_is_marked_and_skipped_where_that_is_on()
{
    within(async {
        let world = World::new().await;
        let directory = tempfile::tempdir().unwrap();
        let id = "00000000-0000-4000-8000-000000000001";
        let at = |name, at| Event::new(at, DOWN - 2 * MINUTE, name, id, id);
        let early = at("call_updated", DOWN - MINUTE);
        let late = at("call_hangup", DOWN - MINUTE / 2);
        let (told, mut is_told) = mpsc::unbounded_channel();
        let open = async || {
            let (told, skipped) = (told.clone(), told.clone());
            let marked = move |context: Context| {
                let told = told.send((context.origin().as_str(), context.is_stale()));
                async move { told.unwrap() }
            };
            let skipping = HandlerOptions::new().skip_stale();
            builder()
                .clock(world.clock.clone())
                .inbox(world.disk(directory.path()).await)
                .handlers([
                    Registration::new(Any, marked).name("marked"),
                    Registration::new(Any, || async {})
                        .name("skipping")
                        .options(skipping),
                ])
                .observe(move |transition: &Transition<'_>| {
                    if let Transition::Skipped { .. } = transition {
                        skipped.send(("skipped", true)).unwrap();
                    }
                })
                .build()
                .unwrap()
        };
        let receiver = open().await;
        world.happen(&[early], None).await;
        world.happen(&[late], Some(&receiver)).await;
        receiver.idle().await;
        assert_eq!(is_told.recv().await, Some(("webhook", false)));
        assert!(receiver.shutdown(MINUTE).await.is_drained());
        drop(receiver);
        world.at(UP);
        let receiver = open().await;
        let report = receiver.catch_up(&world.catch_up(DOWN)).await.unwrap();
        assert_eq!((report.recovered, report.known), (1, 1), "{report}");
        let told: BTreeSet<_> = [is_told.recv().await, is_told.recv().await].into();
        assert_eq!(
            told,
            [Some(("history", true)), Some(("skipped", true))].into()
        );
    })
    .await;
}

#[tokio::test]
async fn a_time_of_which_identities_and_rows_are_forgotten_is_refused_and_says_which_setting_helps()
{
    within(async {
        let world = World::new().await;
        let directory = tempfile::tempdir().unwrap();
        let inbox = DiskInbox::builder(directory.path().join("inbox"))
            .clock(world.clock.clone())
            .retain_done(30 * MINUTE)
            .identity_ttl(10 * MINUTE);
        let receiver = world.receiver(inbox.open().await.unwrap());
        world.at(60 * MINUTE);
        let refused = receiver.catch_up(&world.catch_up(29 * MINUTE)).await;
        assert_eq!(refused.unwrap_err().kind(), CatchUpErrorKind::Forgotten);
        assert!(world.stand_in.seen().is_empty());
        let allowed = world.catch_up(29 * MINUTE).allow_repeats();
        assert_eq!(receiver.catch_up(&allowed).await.unwrap().recovered, 0);
        let shorter = world.catch_up(33 * MINUTE);
        receiver.catch_up(&shorter).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn without_handlers_for_what_the_history_has_nothing_is_asked() {
    within(async {
        let world = World::new().await;
        let receiver = builder().on(MessageCreated, || async {}).build().unwrap();
        let run = world.catch_up(DOWN).allow_repeats();
        let report = receiver.catch_up(&run).await.unwrap();
        assert_eq!(report.uncovered, [EventType::MessageCreated]);
        assert!(world.stand_in.seen().is_empty());
    })
    .await;
}

#[tokio::test]
async fn a_refusal_of_the_platform_is_told() {
    within(async {
        let world = World::new().await;
        let receiver = world.receiver(world.memory());
        world
            .stand_in
            .fail([Fault::Error(403, "PERMISSION_DENIED")]);
        let run = world.catch_up(DOWN).allow_repeats();
        let error = receiver.catch_up(&run).await.unwrap_err();
        assert_eq!(error.kind(), CatchUpErrorKind::Platform);
    })
    .await;
}

#[tokio::test]
async fn handlers_that_are_held_begin_when_the_inbox_is_full() {
    within(async {
        let world = World::new().await;
        let events = hour();
        let [_, missed, _] = split(&events);
        let inbox = MemoryInbox::builder().clock(world.clock.clone());
        let receiver = world
            .builder(inbox.max_events(2).build())
            .hold_for_catch_up(60 * MINUTE)
            .build()
            .unwrap();
        world.happen(missed, None).await;
        world.at(UP);
        let report = receiver.catch_up(&world.catch_up(DOWN)).await.unwrap();
        assert!(report.recovered > 2, "{report}");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_drain_waits_for_no_catch_up() {
    let recorder = support::Recorder::new();
    let receiver = builder()
        .runtime(tokio::runtime::Handle::current())
        .hold_for_catch_up(60 * MINUTE)
        .on(Any, recorder.clone())
        .build()
        .unwrap();
    let answer = support::deliver(&receiver.service(), support::call_hangup("c-1")).await;
    assert_eq!(answer.word(), "received");
    assert!(receiver.drain(MINUTE).await.is_drained());
    recorder.wait_for(1).await;
}

#[tokio::test(start_paused = true)]
async fn handlers_wait_for_a_catch_up_no_longer_than_they_are_told_to() {
    let recorder = support::Recorder::new();
    let receiver = builder()
        .runtime(tokio::runtime::Handle::current())
        .hold_for_catch_up(MINUTE)
        .on(Any, recorder.clone())
        .build()
        .unwrap();
    let started = tokio::time::Instant::now();
    let answer = support::deliver(&receiver.service(), support::call_hangup("c-1")).await;
    assert_eq!(answer.word(), "received");
    recorder.wait_for(1).await;
    assert!(started.elapsed() >= MINUTE);
}
