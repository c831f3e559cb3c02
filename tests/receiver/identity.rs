//! Which deliveries are copies of each other, and what happens to them.

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use support::{
    ManualClock, Recorder, SECRET, Valve, builder, call_hangup, deliver, send, signed, unsigned,
};
use voipbin_receiver::catalog::{Any, Custom};
use voipbin_receiver::inbox::MemoryInbox;
use voipbin_receiver::testing::Signer;
use voipbin_receiver::{Context, Delivery, Receiver, Repeats};

const DRAIN: Duration = Duration::from_secs(60);

/// Everything that was handled; the receiver is shut down for it.
async fn handled(receiver: &Receiver, recorder: &Recorder) -> Vec<Context> {
    assert!(receiver.shutdown(DRAIN).await.is_drained());
    let runs = recorder.rest().await;
    runs.iter().map(|run| run.context().clone()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_hundred_copies_at_once_one_is_handled() {
    let recorder = Recorder::new();
    let receiver = builder().on(Any, recorder.clone()).build().unwrap();
    let copies = (0..200).map(|_| {
        let service = receiver.service();
        tokio::spawn(async move { deliver(&service, call_hangup(1)).await.word().to_owned() })
    });
    let mut received = 0;
    for copy in copies.collect::<Vec<_>>() {
        match copy.await.unwrap().as_str() {
            "received" => received += 1,
            word => assert_eq!(word, "duplicate"),
        }
    }
    assert_eq!(received, 1);
    assert_eq!(handled(&receiver, &recorder).await.len(), 1);
    let stats = receiver.stats();
    assert_eq!(
        (stats.accepted, stats.duplicates, stats.handled),
        (1, 199, 1)
    );
}

#[tokio::test]
async fn the_same_resource_in_another_state_is_another_event() {
    let recorder = Recorder::new();
    let receiver = builder().on(Any, recorder.clone()).build().unwrap();
    for tm_update in ["10:30:42.105Z", "10:30:42.106Z"] {
        let body = format!(
            r#"{{"type":"call_updated","data":{{"id":"1","tm_update":"2026-08-22T{tm_update}"}}}}"#
        );
        assert_eq!(deliver(&receiver.service(), body).await.word(), "received");
    }
    assert_eq!(handled(&receiver, &recorder).await.len(), 2);
}

#[tokio::test]
async fn nothing_unsigned_has_a_say_in_the_identity() {
    let receiver = builder().on(Any, Recorder::new()).build().unwrap();
    let service = receiver.service();
    assert_eq!(deliver(&service, call_hangup(1)).await.word(), "received");
    let mut copy = signed(call_hangup(1));
    *copy.method_mut() = http::Method::PUT;
    *copy.uri_mut() = "/elsewhere?event_id=2".parse().unwrap();
    copy.headers_mut()
        .insert("idempotency-key", "2".parse().unwrap());
    copy.headers_mut()
        .insert("content-type", "text/plain".parse().unwrap());
    assert_eq!(send(&service, copy).await.word(), "duplicate");
}

#[tokio::test]
async fn a_rotation_accepts_both_secrets() {
    let receiver = builder()
        .secret("the-new-one")
        .on(Any, Recorder::new())
        .build()
        .unwrap();
    let old = deliver(&receiver.service(), call_hangup(1)).await;
    let request = Signer::new("the-new-one").request("/".parse().unwrap(), call_hangup(2));
    let new = send(&receiver.service(), request).await;
    assert_eq!((old.word(), new.word()), ("received", "received"));
}

#[tokio::test]
async fn an_unsigned_delivery_is_known_again_by_its_bytes() {
    let receiver = Receiver::builder()
        .allow_unsigned()
        .on(Any, Recorder::new())
        .build()
        .unwrap();
    let service = receiver.service();
    assert_eq!(
        send(&service, unsigned(call_hangup(1))).await.word(),
        "received"
    );
    assert_eq!(
        send(&service, unsigned(call_hangup(1))).await.word(),
        "duplicate"
    );
    assert_eq!(
        send(&service, unsigned(call_hangup(2))).await.word(),
        "received"
    );
}

#[tokio::test]
async fn deliveries_without_an_identity_of_their_own_are_handled_each_time_and_marked() {
    for body in [
        r#"{"destination_number":"+15559876543"}"#,
        "null",
        r#""text""#,
        r#"{"type":"aimessage_intermediate","data":{"text":"hello"}}"#,
        r#"{"type":"call_updated","data":{"id":""}}"#,
        r#"{"type":"call_updated","data":{"id":"00000000-0000-0000-0000-000000000000"}}"#,
        r#"{"type":"call_updated","data":"x"}"#,
    ] {
        let (recorder, clock) = (Recorder::new(), Arc::new(ManualClock::default()));
        let receiver = builder()
            .clock(clock.clone())
            .on((Any, Custom), recorder.clone())
            .build()
            .unwrap();
        for pause in [0, 99, 99, 101] {
            clock.advance(Duration::from_secs(pause));
            assert_eq!(
                deliver(&receiver.service(), body).await.word(),
                "received",
                "{body}"
            );
        }
        let mut runs = handled(&receiver, &recorder).await;
        runs.sort_by_key(Context::received_at);
        let marks: Vec<bool> = runs.iter().map(Context::possible_repeat).collect();
        assert_eq!(marks, [false, true, true, false], "{body}");
    }
}

#[tokio::test]
async fn a_delivery_with_an_identity_is_never_marked() {
    let recorder = Recorder::new();
    let receiver = builder().on(Any, recorder.clone()).build().unwrap();
    deliver(&receiver.service(), call_hangup(1)).await;
    assert!(!recorder.next().await.context().possible_repeat());
}

#[tokio::test]
async fn repeats_without_an_identity_can_be_dropped_like_all_others() {
    let recorder = Recorder::new();
    let receiver = builder()
        .repeats(Repeats::Drop)
        .on(Custom, recorder.clone())
        .build()
        .unwrap();
    assert_eq!(deliver(&receiver.service(), "[1]").await.word(), "received");
    assert_eq!(
        deliver(&receiver.service(), "[1]").await.word(),
        "duplicate"
    );
    assert_eq!(handled(&receiver, &recorder).await.len(), 1);
}

#[tokio::test]
async fn an_identity_function_chooses_the_identity_of_what_it_knows() {
    let recorder = Recorder::new();
    let receiver = builder()
        .identity(|delivery: &Delivery| {
            let order = delivery.payload::<serde_json::Value>().ok()?;
            Some(order.get("order")?.as_str()?.as_bytes().to_vec())
        })
        .on((Any, Custom), recorder.clone())
        .build()
        .unwrap();
    let service = receiver.service();
    assert_eq!(
        deliver(&service, r#"{"order":"a","try":1}"#).await.word(),
        "received"
    );
    assert_eq!(
        deliver(&service, r#"{"order":"a","try":2}"#).await.word(),
        "duplicate"
    );
    assert_eq!(
        deliver(&service, r#"{"order":"b","try":1}"#).await.word(),
        "received"
    );
    assert_eq!(deliver(&service, call_hangup(1)).await.word(), "received");
    assert_eq!(deliver(&service, call_hangup(1)).await.word(), "duplicate");
    assert_eq!(handled(&receiver, &recorder).await.len(), 3);
}

#[tokio::test]
async fn an_identity_function_that_panics_keeps_nothing_and_asks_for_another_try() {
    let receiver = builder()
        .identity(|_: &Delivery| panic!("a mistake"))
        .on(Any, Recorder::new())
        .build()
        .unwrap();
    let answer = deliver(&receiver.service(), call_hangup(1)).await;
    assert_eq!(
        (answer.status(), answer.code()),
        (StatusCode::SERVICE_UNAVAILABLE, "identity_failed")
    );
    assert_eq!(receiver.stats().inbox.identities, 0);
}

#[tokio::test]
async fn an_identity_is_forgotten_when_its_time_is_over() {
    let (recorder, clock) = (Recorder::new(), Arc::new(ManualClock::default()));
    let receiver = builder()
        .clock(clock.clone())
        .on(Any, recorder.clone())
        .build()
        .unwrap();
    let service = receiver.service();
    assert_eq!(deliver(&service, call_hangup(1)).await.word(), "received");
    recorder.next().await;
    clock.advance(MemoryInbox::DEFAULT_IDENTITY_TTL - Duration::from_secs(1));
    assert_eq!(deliver(&service, call_hangup(1)).await.word(), "duplicate");
    // The run may still be settling its event, and an event that is not finished is never
    // forgotten.
    while receiver.stats().inbox.events > 0 {
        tokio::task::yield_now().await;
    }
    clock.advance(Duration::from_secs(2));
    assert_eq!(deliver(&service, call_hangup(1)).await.word(), "received");
}

#[tokio::test]
async fn a_full_inbox_answers_503_and_remembers_nothing() {
    let valve = Valve::new();
    let inbox = MemoryInbox::builder().max_events(2).build();
    let receiver = builder()
        .inbox(inbox)
        .on((Any, Custom), valve.clone())
        .build()
        .unwrap();
    let service = receiver.service();
    for id in [1, 2] {
        assert_eq!(deliver(&service, call_hangup(id)).await.word(), "received");
    }
    let refused = deliver(&service, call_hangup(3)).await;
    assert_eq!(
        (refused.status(), refused.code()),
        (StatusCode::SERVICE_UNAVAILABLE, "inbox_full")
    );
    let custom = deliver(&service, "[3]").await;
    assert_eq!(custom.code(), "inbox_full");
    // Copies of what is kept are answered all the same.
    assert_eq!(deliver(&service, call_hangup(1)).await.word(), "duplicate");

    valve.open();
    for _ in 0..2 {
        valve.ended().next().await;
    }
    while receiver.stats().inbox.events > 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(deliver(&service, call_hangup(3)).await.word(), "received");
    assert_eq!(deliver(&service, "[3]").await.word(), "received");
    valve.ended().next().await;
    let custom = valve.ended().next().await;
    assert!(
        !custom.context().possible_repeat(),
        "the refused one does not count"
    );
}

#[tokio::test]
async fn the_bytes_of_bodies_are_bounded_too() {
    let body = call_hangup("x".repeat(1000));
    let inbox = MemoryInbox::builder().max_bytes(2 * body.len()).build();
    let receiver = builder()
        .inbox(inbox)
        .on(Any, Valve::new())
        .build()
        .unwrap();
    let service = receiver.service();
    let numbered = |id: u32| call_hangup(format!("{id}{}", "x".repeat(999)));
    assert_eq!(deliver(&service, numbered(1)).await.word(), "received");
    assert_eq!(deliver(&service, numbered(2)).await.word(), "received");
    assert_eq!(deliver(&service, numbered(3)).await.code(), "inbox_full");
    assert_eq!(receiver.stats().inbox.bytes, 2 * body.len());
}

#[tokio::test]
async fn what_no_handler_wants_is_answered_counted_and_not_kept() {
    let recorder = Recorder::new();
    let receiver = builder().on(Custom, recorder.clone()).build().unwrap();
    for _ in 0..2 {
        assert_eq!(
            deliver(&receiver.service(), call_hangup(1)).await.word(),
            "received"
        );
    }
    let stats = receiver.stats();
    assert_eq!(
        (stats.unmatched, stats.accepted, stats.inbox.identities),
        (2, 0, 0)
    );
}

#[tokio::test]
async fn what_no_handler_wants_can_be_kept() {
    let receiver = builder().keep_unmatched().build().unwrap();
    assert_eq!(
        deliver(&receiver.service(), call_hangup(1)).await.word(),
        "received"
    );
    assert_eq!(
        deliver(&receiver.service(), call_hangup(1)).await.word(),
        "duplicate"
    );
    let stats = receiver.stats();
    assert_eq!(
        (stats.accepted, stats.inbox.events, stats.inbox.identities),
        (1, 0, 1)
    );
}

#[tokio::test]
async fn the_same_secret_gives_the_same_identity_in_every_receiver() {
    let mut identities = Vec::new();
    for _ in 0..2 {
        let recorder = Recorder::new();
        let receiver = Receiver::builder()
            .secret("other")
            .secret(SECRET)
            .on(Any, recorder.clone());
        let receiver = receiver.build().unwrap();
        deliver(&receiver.service(), call_hangup(1)).await;
        identities.push(recorder.next().await.context().identity());
    }
    assert_eq!(identities[0], identities[1]);
}

#[tokio::test]
async fn an_identity_function_that_keeps_the_delivery_has_its_effect_all_the_same() {
    let kept = Arc::new(std::sync::Mutex::new(Vec::new()));
    let receiver = builder()
        .identity(move |delivery: &Delivery| {
            kept.lock().unwrap().push(delivery.clone());
            Some(b"one and the same".to_vec())
        })
        .on((Any, Custom), Recorder::new())
        .build()
        .unwrap();
    assert_eq!(deliver(&receiver.service(), "[1]").await.word(), "received");
    assert_eq!(
        deliver(&receiver.service(), "[2]").await.word(),
        "duplicate"
    );
}

#[tokio::test]
async fn one_event_fits_whatever_its_size() {
    let inbox = MemoryInbox::builder().max_bytes(1).max_events(0).build();
    let valve = Valve::new();
    let receiver = builder()
        .inbox(inbox)
        .on(Any, valve.clone())
        .build()
        .unwrap();
    assert_eq!(
        deliver(&receiver.service(), call_hangup(1)).await.word(),
        "received"
    );
    assert_eq!(
        deliver(&receiver.service(), call_hangup(2)).await.code(),
        "inbox_full"
    );
}
