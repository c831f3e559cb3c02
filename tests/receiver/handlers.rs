//! How handlers are registered, which run for what, and what they are given.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use support::{Recorder, builder, call_hangup, deliver};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use voipbin_receiver::catalog::{
    Any, Custom, EventSet, EventType, Fallback, Selector, all_of, named,
};
use voipbin_receiver::events::{
    AnyCallStatus, CallHangup, CallHungup, MessageCreated, MessageReceived, QueueCreated,
};
use voipbin_receiver::gate::Limits;
use voipbin_receiver::resource::{Call, Message};
use voipbin_receiver::{
    BuildErrorKind, Context, Delivery, Event, HandlerError, Receiver, Registration, State,
    blocking, handlers, on,
};

type Lines = UnboundedSender<String>;

fn told() -> (State<Lines>, UnboundedReceiver<String>) {
    let (tell, told) = unbounded_channel();
    (State(tell), told)
}

/// What was told until the receiver was shut down, sorted.
async fn all(receiver: Receiver, mut told: UnboundedReceiver<String>) -> Vec<String> {
    assert!(
        receiver
            .shutdown(Duration::from_secs(60))
            .await
            .is_drained()
    );
    let mut all: Vec<String> = std::iter::from_fn(|| told.try_recv().ok()).collect();
    all.sort();
    all
}

#[on(CallHangup)]
async fn hangup(
    tell: State<Lines>,
    context: Context,
    call: Event<Call>,
) -> Result<(), HandlerError> {
    let reason = call
        .hangup_reason
        .as_ref()
        .map(ToString::to_string)
        .unwrap_or_default();
    Ok(tell.send(format!("hangup {} {reason}", context.attempt()))?)
}

#[on(CallHangup, CallProgressing, name = "two")]
async fn two_events(call: Event<Call>, tell: State<Lines>) {
    let _ = tell.send(format!(
        "two {}",
        call.received_as().map_or("", |name| name.as_str())
    ));
}

#[on(any(Call))]
async fn calls(call: Event<Call>, tell: State<Lines>) -> Result<(), HandlerError> {
    Ok(tell.send(format!(
        "calls {}",
        call.delivery().resource_id().unwrap_or_default()
    ))?)
}

#[on(custom)]
async fn custom(json: Event<Value>, tell: State<Lines>) -> Result<(), HandlerError> {
    Ok(tell.send(format!("custom {}", *json))?)
}

#[on(fallback)]
async fn fallback(delivery: Delivery, tell: State<Lines>) -> Result<(), HandlerError> {
    Ok(tell.send(format!("fallback {}", delivery.payload_json()))?)
}

#[derive(serde::Deserialize)]
struct Renewal {
    years: u32,
}

#[on("number_renewed", blocking)]
fn renewed(renewal: Event<Renewal>, tell: State<Lines>) -> Result<(), HandlerError> {
    Ok(tell.send(format!("renewed {}", renewal.years))?)
}

#[tokio::test]
async fn each_delivery_reaches_the_handlers_it_is_for_and_each_once() {
    let (State(tell), told) = told();
    let receiver = builder()
        .state(tell)
        .handlers(handlers![
            hangup, two_events, calls, custom, fallback, renewed
        ])
        .build()
        .unwrap();
    for body in [
        call_hangup("h"),
        r#"{"type":"call_progressing","data":{"id":"p"}}"#.into(),
        r#"{"type":"call_ringing","data":{"id":"r"}}"#.into(),
        r#"{"type":"number_renewed","data":{"id":"n","years":2}}"#.into(),
        r#"{"type":"brand_new","data":{"id":"b"}}"#.into(),
        "[1]".into(),
    ] {
        assert_eq!(deliver(&receiver.service(), body).await.word(), "received");
    }
    assert_eq!(
        all(receiver, told).await,
        [
            "calls h",
            "calls p",
            "calls r",
            "custom [1]",
            "fallback {\"id\":\"b\"}",
            "hangup 1 normal",
            "renewed 2",
            "two call_hangup",
            "two call_progressing",
        ]
    );
}

#[tokio::test]
async fn an_annotated_function_is_still_a_function() {
    let (tell, mut told) = told();
    let recorder = Recorder::new();
    let receiver = builder().on(Any, recorder.clone()).build().unwrap();
    deliver(&receiver.service(), call_hangup(1)).await;
    let context = recorder.next().await;
    let call = Event::read(context.delivery()).unwrap();
    hangup(tell, context.context().clone(), call).await.unwrap();
    assert_eq!(told.recv().await.as_deref(), Some("hangup 1 normal"));
}

#[tokio::test]
async fn closures_do_the_same() {
    let (State(tell), told) = told();
    let receiver = builder()
        .state(tell)
        .on(
            CallHangup,
            |tell: State<Lines>, call: Event<Call>| async move {
                tell.send(format!(
                    "{:?}",
                    call.event_type().map(|name| name.to_string())
                ))
            },
        )
        .on(
            (MessageCreated,),
            |message: Event<Message>, tell: State<Lines>| async move {
                let _ = tell.send(message.text.clone().unwrap_or_default());
            },
        )
        .on(all_of::<Call>(), |tell: State<Lines>| async move {
            tell.send("all".into())
        })
        .on(
            named("x"),
            blocking(|tell: State<Lines>| tell.send("named".into())),
        )
        .on(Custom, || async {})
        .on(Fallback, |_: Context| async {})
        .build()
        .unwrap();
    for body in [
        call_hangup(1),
        r#"{"type":"message_created","data":{"id":"m","text":"hello"}}"#.into(),
        r#"{"type":"x","data":{}}"#.into(),
    ] {
        deliver(&receiver.service(), body).await;
    }
    assert_eq!(
        all(receiver, told).await,
        ["Some(\"call_hangup\")", "all", "hello", "named"]
    );
}

/// Which of these registrations run for which body, by their names.
async fn runs(
    registrations: impl FnOnce(Recorder) -> Vec<Registration>,
    bodies: &[&str],
) -> Vec<Vec<String>> {
    let recorder = Recorder::new();
    let receiver = builder()
        .handlers(registrations(recorder.clone()))
        .build()
        .unwrap();
    for body in bodies {
        assert_eq!(
            deliver(&receiver.service(), (*body).to_owned())
                .await
                .word(),
            "received"
        );
    }
    assert!(
        receiver
            .shutdown(Duration::from_secs(60))
            .await
            .is_drained()
    );
    let runs = recorder.rest().await;
    bodies
        .iter()
        .map(|body| {
            let mut names: Vec<String> = runs
                .iter()
                .filter(|run| run.delivery().body() == body.as_bytes())
                .map(|run| run.handler().to_string())
                .collect();
            names.sort();
            names
        })
        .collect()
}

#[tokio::test]
async fn an_old_name_and_the_one_that_is_sent_reach_each_others_handlers() {
    let bodies = [
        r#"{"type":"call_hangup","data":{"id":"1"}}"#,
        r#"{"type":"call_hungup","data":{"id":"1"}}"#,
        r#"{"type":"call.completed","data":{"id":"1"}}"#,
        r#"{"type":"call_updated","data":{"id":"1"}}"#,
    ];
    let runs = runs(
        |recorder| {
            vec![
                Registration::new(CallHangup, recorder.clone()),
                Registration::new(CallHungup, recorder.clone()),
                Registration::new((CallHangup, CallHungup, named("call.completed")), recorder)
                    .name("all three"),
            ]
        },
        &bodies,
    )
    .await;
    let all = ["all three", "call_hangup", "call_hungup"];
    assert_eq!(runs, [&all[..], &all[..], &all[..], &[]], "and each once");
}

#[tokio::test]
async fn what_came_is_told_beside_what_it_is() {
    let recorder = Recorder::new();
    let receiver = builder().on(CallHangup, recorder.clone()).build().unwrap();
    deliver(
        &receiver.service(),
        r#"{"type":"call_hungup","data":{"id":"1"}}"#,
    )
    .await;
    let call = Event::<Call>::read(recorder.next().await.delivery()).unwrap();
    assert_eq!(call.event_type(), Some(EventType::CallHangup));
    assert_eq!(call.received_as(), Some(&EventType::CallHungup));
}

#[tokio::test]
async fn a_name_under_a_condition_looks_at_the_payload() {
    let inbound = r#"{"type":"message_created","data":{"id":"1","direction":"inbound"}}"#;
    let outbound = r#"{"type":"message_created","data":{"id":"1","direction":"outbound"}}"#;
    let runs = runs(
        |recorder| {
            vec![
                Registration::new(MessageReceived, recorder.clone()),
                Registration::new((MessageReceived, MessageCreated), recorder.clone()).name("both"),
                Registration::new(Fallback, recorder),
            ]
        },
        &[inbound, outbound],
    )
    .await;
    assert_eq!(runs, [vec!["both", "message.received"], vec!["both"]]);
}

#[tokio::test]
async fn a_fallback_takes_what_fails_the_only_condition() {
    let outbound = r#"{"type":"message_created","data":{"id":"1","direction":"outbound"}}"#;
    let runs = runs(
        |recorder| {
            vec![
                Registration::new(MessageReceived, recorder.clone()),
                Registration::new(Fallback, recorder),
            ]
        },
        &[outbound],
    )
    .await;
    assert_eq!(runs, [["fallback"]]);
}

#[tokio::test]
async fn a_pattern_takes_each_of_its_events_once() {
    let runs = runs(
        |recorder| {
            vec![
                Registration::new(AnyCallStatus, recorder.clone()),
                Registration::new((AnyCallStatus, CallHangup, all_of::<Call>()), recorder)
                    .name("overlapping"),
            ]
        },
        &[
            r#"{"type":"call_ringing","data":{"id":"1"}}"#,
            r#"{"type":"call_hungup","data":{"id":"1"}}"#,
            r#"{"type":"call_updated","data":{"id":"1"}}"#,
        ],
    )
    .await;
    let both = vec!["call.status", "overlapping"];
    assert_eq!(runs, [both.clone(), both, vec!["overlapping"]]);
}

#[tokio::test]
async fn names_that_nothing_sends_route_all_the_same() {
    let runs = runs(
        |recorder| {
            vec![
                Registration::new(QueueCreated, recorder.clone()),
                Registration::new(named("confbridge_created"), recorder),
            ]
        },
        &[
            r#"{"type":"queue_created","data":{"id":"1"}}"#,
            r#"{"type":"confbridge_created","data":{"id":"1"}}"#,
        ],
    )
    .await;
    assert_eq!(runs, [["queue_created"], ["confbridge_created"]]);
}

#[tokio::test]
async fn a_payload_is_read_once_for_all_handlers_that_want_the_same_type() {
    let recorder = Recorder::new();
    let receiver = builder().on(Any, recorder.clone()).build().unwrap();
    deliver(&receiver.service(), call_hangup(1)).await;
    let context = recorder.next().await;
    let one = Event::<Call>::read(context.delivery()).unwrap();
    let other = Event::<Call>::read(context.delivery()).unwrap();
    let json = Event::<Value>::read(context.delivery()).unwrap();
    assert!(Arc::ptr_eq(one.payload(), other.payload()));
    assert_eq!(json["hangup_reason"], "normal");
    assert_eq!(&context.delivery().body()[..], call_hangup(1).as_bytes());
}

#[tokio::test]
async fn a_payload_that_does_not_fit_fails_the_run_and_says_where() {
    let receiver = builder()
        .on(named("number_renewed"), |_: Event<Renewal>| async {})
        .build()
        .unwrap();
    let body = r#"{"type":"number_renewed","data":{"id":"n","years":"+15551234567"}}"#;
    assert_eq!(deliver(&receiver.service(), body).await.word(), "received");
    assert!(
        receiver
            .shutdown(Duration::from_secs(60))
            .await
            .is_drained()
    );
    assert_eq!(receiver.stats().failed, 1);

    let recorder = Recorder::new();
    let receiver = builder().on(Any, recorder.clone()).build().unwrap();
    deliver(&receiver.service(), body).await;
    let error = Event::<Renewal>::read(recorder.next().await.delivery()).unwrap_err();
    assert!(error.to_string().contains("column") && !error.to_string().contains("1555"));
    assert!(HandlerError::from(error).is_payload());
}

/// The kind of the error, and that its text holds all of these.
#[track_caller]
fn refused(
    built: Result<Receiver, voipbin_receiver::BuildError>,
    parts: &[&str],
) -> BuildErrorKind {
    let error = built.unwrap_err();
    for part in parts {
        assert!(
            error.to_string().contains(part),
            "`{part}` is not in: {error}"
        );
    }
    error.kind()
}

#[test]
fn a_missing_secret_is_refused_unless_the_builder_is_told_so() {
    let built = Receiver::builder().on(Any, Recorder::new()).build();
    assert_eq!(
        refused(built, &["secret", "allow_unsigned"]),
        BuildErrorKind::NoSecret
    );
    assert!(
        Receiver::builder()
            .allow_unsigned()
            .on(Any, Recorder::new())
            .build()
            .is_ok()
    );
}

#[test]
fn a_secret_that_cannot_be_one_is_refused() {
    for secret in ["", "  ", "secret\n", " secret", "\tsecret"] {
        let built = builder().secret(secret).on(Any, Recorder::new()).build();
        assert_eq!(
            refused(built, &["number 2"]),
            BuildErrorKind::BadSecret,
            "{secret:?}"
        );
    }
}

#[test]
fn a_missing_state_names_the_handler_and_where_it_is() {
    let built = builder().handlers(handlers![hangup]).build();
    let kind = refused(
        built,
        &["`hangup`", "handlers.rs:", "UnboundedSender", ".state("],
    );
    assert_eq!(kind, BuildErrorKind::MissingState);
}

#[test]
fn two_states_of_one_type_are_refused() {
    let built = builder()
        .state(1_u8)
        .state(2_u8)
        .on(Any, Recorder::new())
        .build();
    assert_eq!(refused(built, &["u8"]), BuildErrorKind::DuplicateState);
}

#[test]
fn names_are_unique_and_can_be_chosen() {
    let built = builder()
        .on(CallHangup, || async {})
        .on(CallHangup, || async {})
        .build();
    let kind = refused(built, &["`call_hangup`", "handlers.rs:", "name"]);
    assert_eq!(kind, BuildErrorKind::DuplicateName);

    let built = builder()
        .on(CallHangup, || async {})
        .handlers([Registration::new(CallHangup, || async {}).name("second")])
        .build();
    assert!(built.is_ok());

    let built = builder()
        .handlers([Registration::new(CallHangup, || async {}).name(" ")])
        .build();
    assert_eq!(refused(built, &["handlers.rs:"]), BuildErrorKind::EmptyName);
}

#[test]
fn a_fallback_that_can_never_run_is_refused() {
    let built = builder()
        .on(Any, || async {})
        .on(Fallback, || async {})
        .build();
    assert_eq!(
        refused(built, &["`fallback`", "`*`"]),
        BuildErrorKind::UnreachableHandler
    );
}

#[test]
fn settings_that_make_no_sense_are_refused() {
    let with = || builder().on(Any, || async {});
    for built in [
        with().limits(Limits::new().body_limit(0)).build(),
        with().limits(Limits::new().body_limit(usize::MAX)).build(),
        with()
            .limits(Limits::new().read_timeout(Duration::ZERO))
            .build(),
        with().concurrency(0).build(),
    ] {
        assert_eq!(refused(built, &["must be"]), BuildErrorKind::BadSetting);
    }
    assert_eq!(
        refused(builder().build(), &["handler"]),
        BuildErrorKind::NoHandlers
    );
}

/// Nothing at all.
struct NoEvents;

impl EventSet for NoEvents {
    fn selectors(&self) -> Vec<Selector> {
        Vec::new()
    }
}

#[test]
fn a_set_without_events_is_refused() {
    let built = builder().on(NoEvents, || async {}).build();
    assert_eq!(
        refused(built, &["no event", "handlers.rs:"]),
        BuildErrorKind::UnreachableHandler
    );
}

#[test]
fn an_event_that_is_named_twice_is_refused() {
    let built = builder().on((CallHangup, CallHangup), || async {}).build();
    assert_eq!(
        refused(built, &["`call_hangup`", "twice"]),
        BuildErrorKind::DuplicateEvent
    );
}

#[tokio::test]
async fn names_in_quotes_that_no_event_has_are_refused() {
    for name in [
        "*",
        "call_*",
        "CallHangup",
        "call_hangupp",
        "any",
        " ",
        "call.hangup",
    ] {
        let built = builder().on(named(name), || async {}).build();
        let error = built.unwrap_err();
        assert_eq!(
            error.kind(),
            BuildErrorKind::BadEventName,
            "{name}: {error}"
        );
    }
    builder()
        .on(named("order.paid"), || async {})
        .build()
        .unwrap();
}

#[tokio::test]
async fn a_receiver_tells_who_handles_what() {
    let receiver = builder()
        .state(told().0.0)
        .handlers(handlers![two_events, fallback])
        .on(all_of::<Call>(), || async {})
        .build()
        .unwrap();
    let handlers: Vec<String> = receiver
        .handlers()
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(
        handlers,
        [
            "two: call_hangup, call_progressing",
            "fallback: fallback",
            "call_*: call_*"
        ]
    );
    assert!(
        receiver.handlers()[0]
            .location
            .starts_with("tests/receiver/handlers.rs:")
    );
}
