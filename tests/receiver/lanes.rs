//! Which runs may overlap, and in which order they begin.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use support::{assert_apart, begins, builder, deliver, label, labelled_call, labels, slow, until};
use tokio::runtime::Handle;
use voipbin_receiver::catalog::{Any, Custom};
use voipbin_receiver::testing::{Act, Recorder, TokioClock};
use voipbin_receiver::{Delivery, Receiver, ReceiverBuilder, Registration};

const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(24 * 3600);
const NIL: &str = "00000000-0000-0000-0000-000000000000";

/// A builder whose handlers run on the paused clock of the test.
fn here() -> ReceiverBuilder {
    builder()
        .runtime(Handle::current())
        .clock(Arc::new(TokioClock::new()))
}

/// Takes a second for each run. The first attempt at the first event fails, and asks for the next
/// one after this time.
fn fails_first(after: Duration) -> Recorder {
    Recorder::acting(move |run| {
        let first = run.attempt() == 1 && label(run.delivery()) == "a-0";
        let act = if first {
            Act::retry_after(after)
        } else {
            Act::succeed()
        };
        act.after(SECOND)
    })
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

async fn drain(receiver: &Receiver) {
    assert!(receiver.shutdown(DAY).await.is_drained());
}

#[tokio::test(start_paused = true)]
async fn events_of_one_call_run_one_after_the_other_in_order_while_other_calls_go_on() {
    let handler = slow(SECOND);
    let receiver = here().on(Any, handler.clone()).build().unwrap();
    for number in 0..10 {
        for id in ["a", "b", "c"] {
            accept(&receiver, labelled_call(id, &format!("{id}-{number}"))).await;
        }
    }
    drain(&receiver).await;
    assert_apart(&handler.runs());
    for id in ["a", "b", "c"] {
        assert_eq!(begins(&handler, id), (0..10).collect::<Vec<_>>());
        let labels = labels(&handler);
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
    let handler = fails_first(SECOND * 3 / 2);
    let receiver = here().on(Any, handler.clone()).build().unwrap();
    for number in 0..5 {
        accept(&receiver, labelled_call("a", &format!("a-{number}"))).await;
    }
    until(|| receiver.stats().handled == 5).await;
    assert_apart(&handler.runs());
    assert_eq!(
        labels(&handler),
        ["a-0", "a-1", "a-2", "a-3", "a-4", "a-0"],
        "it came back while the third of them ran"
    );
    let again = handler.runs().pop().unwrap();
    assert_eq!((again.attempt(), again.began().as_secs()), (2, 5));
}

#[tokio::test(start_paused = true)]
async fn a_lane_is_free_while_its_failed_event_waits_for_the_next_attempt() {
    let handler = fails_first(60 * SECOND);
    let receiver = here().on(Any, handler.clone()).build().unwrap();
    for number in 0..3 {
        accept(&receiver, labelled_call("a", &format!("a-{number}"))).await;
    }
    until(|| receiver.stats().handled == 3).await;
    assert_eq!(begins(&handler, "a"), [0, 1, 2, 61]);
}

#[tokio::test(start_paused = true)]
async fn two_handlers_of_one_event_have_lanes_of_their_own() {
    let (quick, handler) = (slow(SECOND), slow(3 * SECOND));
    let receiver = here()
        .handlers([
            Registration::new(Any, quick.clone()).name("quick"),
            Registration::new(Any, handler.clone()).name("slow"),
        ])
        .build()
        .unwrap();
    for number in 0..4 {
        accept(&receiver, labelled_call("a", &format!("a-{number}"))).await;
    }
    drain(&receiver).await;
    assert_eq!(begins(&quick, "a"), [0, 1, 2, 3]);
    assert_eq!(begins(&handler, "a"), [0, 3, 6, 9]);
    assert_eq!(labels(&quick), labels(&handler));
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
        let handler = slow(SECOND);
        let receiver = here().on(Any, handler.clone()).build().unwrap();
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
        assert_apart(&handler.runs());
        for (lane, _) in lanes {
            let kept: Vec<u64> = (0..).take(parts.len()).collect();
            assert_eq!(begins(&handler, lane), kept, "{parts:?}");
            let labels = labels(&handler);
            let labels = labels.iter().filter(|label| label.starts_with(lane));
            let kept = parts.iter().map(|(kind, _)| format!("{lane}-{kind}"));
            assert!(labels.eq(kept.collect::<Vec<_>>().iter()));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_part_that_does_not_say_of_what_has_the_lane_of_its_own_id() {
    let handler = slow(SECOND);
    let receiver = here().on(Any, handler.clone()).build().unwrap();
    for label in ["a-0", "b-0", "a-1", "b-1"] {
        let id = &label[..1];
        let body = sample("transcript_created", "transcribe_id", NIL, label);
        let mut body: Value = serde_json::from_str(&body).unwrap();
        body["data"]["id"] = id.into();
        accept(&receiver, body.to_string()).await;
    }
    drain(&receiver).await;
    assert_eq!(begins(&handler, "a"), [0, 1]);
    assert_eq!(begins(&handler, "b"), [0, 1]);
}

#[tokio::test(start_paused = true)]
async fn what_has_no_id_waits_for_nothing() {
    let handler = slow(SECOND);
    let receiver = here().on((Any, Custom), handler.clone()).build().unwrap();
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
    assert_eq!(begins(&handler, "x"), [0; 15]);
}

#[tokio::test(start_paused = true)]
async fn without_lanes_all_run_beside_each_other() {
    let handler = slow(SECOND);
    let receiver = here()
        .without_lanes()
        .on(Any, handler.clone())
        .build()
        .unwrap();
    for number in 0..5 {
        accept(&receiver, labelled_call("a", &format!("a-{number}"))).await;
    }
    drain(&receiver).await;
    assert_eq!(begins(&handler, "a"), [0; 5]);
}

#[tokio::test(start_paused = true)]
async fn a_key_of_the_users_own_makes_the_lanes() {
    let handler = slow(SECOND);
    let receiver = here()
        .lane_key(|delivery: &Delivery| {
            let label = label(delivery);
            assert!(!label.starts_with("panics"), "on purpose");
            (!label.starts_with("none")).then(|| label[..1].to_owned())
        })
        .on((Any, Custom), handler.clone())
        .build()
        .unwrap();
    for number in 0..3 {
        // One call is in two lanes, and two calls and a custom delivery are in one.
        accept(&receiver, labelled_call("1", &format!("a-{number}"))).await;
        accept(&receiver, labelled_call("1", &format!("b-{number}"))).await;
        accept(&receiver, labelled_call("2", &format!("b-{number}-too"))).await;
        let custom = json!({"label": format!("b-{number}-custom")});
        accept(&receiver, custom.to_string()).await;
        accept(&receiver, labelled_call("3", &format!("none-{number}"))).await;
        accept(&receiver, labelled_call("3", &format!("panics-{number}"))).await;
    }
    drain(&receiver).await;
    assert_eq!(begins(&handler, "a"), [0, 1, 2]);
    assert_eq!(begins(&handler, "b"), (0..9).collect::<Vec<_>>());
    assert_eq!(begins(&handler, "none"), [0; 3]);
    assert_eq!(begins(&handler, "panics"), [0; 3]);
}
