//! What logs and `Debug` show, and what they never show.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Request};
use http_body_util::{BodyExt, Empty, Full, StreamBody};
use serde::Deserialize;
use support::{
    Answer, Frames, HeldInbox, Record, Recorder, RefusingInbox, SECRET, Valve, builder, logged,
    record_logs, send, signed, signer, unsigned, within,
};
use tokio::runtime::Handle;
use tower::ServiceExt;
use voipbin_receiver::catalog::{Any, CATALOG, Custom, EventType, Fallback, ResourceKind, named};
use voipbin_receiver::events::CallHangup;
use voipbin_receiver::gate::{Limits, Secret};
use voipbin_receiver::inbox::{DiskInbox, MemoryInbox};
use voipbin_receiver::resource::Call;
use voipbin_receiver::testing::{Sender, Signer, delivery};
use voipbin_receiver::{
    Context, Delivery, Event, HandlerError, HandlerOptions, Receiver, ReceiverBuilder,
    Registration, RetryPolicy, blocking,
};

const FROM: &str = "+15551234567";
const TO: &str = "+15559876543";
const TEXT: &str = "meet me at the old mill";
const QUERY: &str = "token=Tr0ub4dor";
const AUTHORIZATION: &str = "Basic YWxhZGRpbjpvcGVuc2VzYW1l";

/// What may be in no log line and in no `Debug`, for any test in this file.
const PRIVATE: [&str; 8] = [
    SECRET,
    FROM,
    TO,
    TEXT,
    "Tr0ub4dor",
    "YWxhZGRpbjpvcGVuc2VzYW1l",
    // The same number and text in pieces, as a careless excerpt would show them.
    "15551234",
    "old mill",
];

/// An event full of personal data.
fn event(name: &str, id: &str) -> String {
    format!(
        r#"{{"type":"{name}","data":{{"id":"{id}","text":"{TEXT}","source":{{"type":"tel","target":"{FROM}"}},"destination":{{"type":"tel","target":"{TO}"}},"tm_hangup":"2026-08-22T10:30:42.105Z"}}}}"#
    )
}

/// A signed request with credentials everywhere that a request can have some.
fn request(body: impl Into<Bytes>) -> Request<Full<Bytes>> {
    let mut request = signed(body);
    *request.uri_mut() = format!("/voipbin/webhook?{QUERY}").parse().unwrap();
    request
        .headers_mut()
        .insert("authorization", AUTHORIZATION.parse().unwrap());
    request
}

/// The digits of the signature of a body.
fn digits(body: &[u8]) -> String {
    signer().sign(body).replace("sha256=", "")
}

#[track_caller]
fn assert_private(shown: &str, bodies: &[&[u8]]) {
    for private in PRIVATE {
        assert!(!shown.contains(private), "{private} in {shown}");
    }
    for body in bodies {
        let digits = digits(body);
        // Any part that is long enough to be no accident.
        for part in digits.as_bytes().chunks(16) {
            let part = std::str::from_utf8(part).unwrap();
            assert!(!shown.contains(part), "a signature in {shown}");
        }
    }
}

#[track_caller]
fn assert_logs_are_private(bodies: &[&[u8]]) {
    let records = logged();
    assert!(!records.is_empty());
    assert_private(&format!("{records:?}"), bodies);
}

/// The span of the delivery with this resource id, and its number.
#[track_caller]
fn delivery_span(resource_id: &str) -> (usize, Record) {
    let body = format!(r#"{{"type":"call_hangup","data":{{"id":"{resource_id}"}}}}"#);
    span_showing(&delivery(body).unwrap().loggable_id().unwrap().to_string())
}

/// The span of the delivery whose id is shown like this.
#[track_caller]
fn span_showing(shown: &str) -> (usize, Record) {
    let mut spans = logged()
        .into_iter()
        .filter(|record| record.name == "voipbin.delivery" && record.field("resource_id") == shown);
    let span = spans.next().expect("no span for the delivery");
    assert!(spans.next().is_none());
    (span.span.unwrap(), span)
}

/// The spans of the attempts at this delivery.
fn attempts(delivery: &Record) -> Vec<Record> {
    let mut attempts = logged();
    attempts.retain(|record| {
        record.name == "voipbin.handle" && record.field("identity") == delivery.field("identity")
    });
    attempts
}

/// The events with this message in a span or in one below it.
fn messages_in(span: usize, message: &str) -> Vec<Record> {
    let is_in = |record: &Record| record.span.is_none() && record.within.contains(&span);
    let records = logged().into_iter().filter(is_in);
    records
        .filter(|record| record.field("message") == message)
        .collect()
}

const WARNING: &str = "the handler failed and will be tried again";
const LAST: &str = "the handler failed: the event is a dead letter";

/// The failures of a handler with a delivery, by their message.
fn failures(delivery: &Record, message: &str, handler: &str) -> Vec<Record> {
    let mut failures = logged();
    failures.retain(|record| {
        record.field("message") == message
            && record.field("identity") == delivery.field("identity")
            && record.field("handler") == handler
    });
    failures
}

/// Handlers of every kind for one event, with one attempt each.
fn of_every_kind() -> ReceiverBuilder {
    builder()
        .handler_options(HandlerOptions::new().retry(RetryPolicy::never()))
        .handlers([
            Registration::new(CallHangup, |_: Event<Call>| async {
                tracing::info!("from a handler");
                tokio::task::yield_now().await;
                tracing::info!("from a handler");
            })
            .name("awaits"),
            Registration::new(
                CallHangup,
                blocking(|_: Event<Call>| tracing::info!("from a handler")),
            )
            .name("blocks"),
            Registration::new(CallHangup, |_: Context| async {
                tracing::info!("from a handler");
                Err(HandlerError::new("the database is away"))
            })
            .name("fails"),
            Registration::new(CallHangup, panics).name("panics"),
            Registration::new(CallHangup, blocking(panics_at_once)).name("blocks-and-panics"),
        ])
}

async fn panics(_: Context) {
    tracing::info!("from a handler");
    panic!("{TEXT}");
}

fn panics_at_once(_: Context) {
    tracing::info!("from a handler");
    panic!("{TEXT}");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_attempt_has_a_span_that_names_its_event_and_holds_all_that_it_logs() {
    within(async {
        record_logs();
        let receiver = of_every_kind().build().unwrap();
        let body = event("call_hangup", "the-span");
        assert_eq!(
            send(&receiver.service(), request(body.clone()))
                .await
                .word(),
            "received"
        );
        assert!(receiver.shutdown(Duration::MAX).await.is_drained());

        let (number, delivery) = delivery_span("the-span");
        assert_eq!(delivery.field("event"), "call_hangup");
        assert_eq!(delivery.field("identity").len(), 32);
        assert_eq!(delivery.field("outcome"), "accepted");
        assert!(delivery.within.is_empty());
        for (handler, lines, error) in [
            ("awaits", 2, None),
            ("blocks", 1, None),
            ("fails", 1, Some("the database is away")),
            ("panics", 1, Some("it panicked")),
            ("blocks-and-panics", 1, Some("it panicked")),
        ] {
            let mut runs = attempts(&delivery);
            runs.retain(|run| run.field("handler") == handler);
            let [run] = &runs[..] else { panic!("{runs:?}") };
            assert_eq!(run.field("attempt"), "1");
            for field in ["event", "resource_id", "origin"] {
                assert_eq!(run.field(field), delivery.field(field));
            }
            // It would keep the span of the delivery open.
            assert!(!run.within.contains(&number));
            assert_eq!(
                messages_in(run.span.unwrap(), "from a handler").len(),
                lines,
                "{handler}"
            );
            let handled = messages_in(run.span.unwrap(), "handled");
            assert_eq!(handled.len(), usize::from(error.is_none()), "{handler}");
            let (status, kind) = match error {
                None => ("", ""),
                Some("it panicked") => ("ERROR", "panic"),
                Some(_) => ("ERROR", "error"),
            };
            assert_eq!(run.field("otel.status_code"), status, "{handler}");
            assert_eq!(run.field("error.type"), kind, "{handler}");
            let failed = failures(&delivery, LAST, handler);
            assert_eq!(failed.len(), usize::from(error.is_some()), "{handler}");
            for failure in failed {
                assert_eq!(failure.level, "ERROR");
                assert_eq!(failure.field("attempt"), "1");
                assert_eq!(Some(failure.field("error")), error);
                assert_eq!(failure.field("event"), "call_hangup");
                assert_eq!(failure.field("resource_id"), delivery.field("resource_id"));
            }
            assert!(failures(&delivery, WARNING, handler).is_empty());
        }
        assert_logs_are_private(&[body.as_bytes()]);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_failure_with_attempts_left_is_a_warning_and_the_last_one_an_error() {
    record_logs();
    let receiver = builder()
        .runtime(Handle::current())
        .handler_options(HandlerOptions::new().retry(RetryPolicy::default().attempts(3)))
        .handlers([Registration::new(CallHangup, |_: Event<Call>| async {
            Err(HandlerError::new("the database is away"))
        })
        .name("fails")])
        .build()
        .unwrap();
    let body = event("call_hangup", "thrice");
    assert_eq!(
        send(&receiver.service(), request(body.clone()))
            .await
            .word(),
        "received"
    );
    while receiver.stats().dead == 0 {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let (_, delivery) = delivery_span("thrice");
    let told = |message| -> Vec<_> {
        let failures = failures(&delivery, message, "fails").into_iter();
        failures
            .map(|record| (record.level.clone(), record.field("attempt").to_owned()))
            .collect()
    };
    let line = |level: &str, attempt: &str| (level.to_owned(), attempt.to_owned());
    assert_eq!(told(WARNING), [line("WARN", "1"), line("WARN", "2")]);
    assert_eq!(told(LAST), [line("ERROR", "3")]);
    for warning in failures(&delivery, WARNING, "fails") {
        assert!(!warning.field("after").is_empty());
    }
    assert_logs_are_private(&[body.as_bytes()]);
}

/// Logs where it is dropped.
struct Loud;

impl Drop for Loud {
    fn drop(&mut self) {
        tracing::info!("left behind");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_left_of_a_run_that_is_cut_short_ends_in_its_span() {
    record_logs();
    let hangs = |_: Context| async {
        let _loud = Loud;
        std::future::pending::<()>().await;
    };
    let handlers = [
        Registration::new(CallHangup, hangs)
            .options(HandlerOptions::new().timeout(Duration::from_secs(1))),
        Registration::new(CallHangup, hangs),
    ];
    let handlers = handlers.into_iter().zip(["times-out", "is-aborted"]);
    let receiver = builder()
        .runtime(Handle::current())
        .handler_options(HandlerOptions::new().retry(RetryPolicy::never()))
        .handlers(handlers.map(|(handler, name)| handler.name(name)))
        .build()
        .unwrap();
    let body = event("call_hangup", "cut-short");
    send(&receiver.service(), request(body)).await;
    let report = receiver.shutdown(Duration::from_secs(2)).await;
    assert!(!report.is_drained());
    let (_, delivery) = delivery_span("cut-short");
    let runs = attempts(&delivery);
    assert_eq!(runs.len(), 2);
    for run in runs {
        assert_eq!(messages_in(run.span.unwrap(), "left behind").len(), 1);
    }
}

#[tokio::test]
async fn the_identity_in_a_span_is_the_one_that_handlers_see() {
    within(async {
        record_logs();
        let recorder = Recorder::new();
        let receiver = builder().on(Any, recorder.clone()).build().unwrap();
        send(
            &receiver.service(),
            request(event("call_hangup", "identified")),
        )
        .await;
        let (_, span) = delivery_span("identified");
        assert_eq!(
            span.field("identity"),
            recorder.next().await.context().identity().to_string()
        );

        let chosen = builder()
            .identity(|_: &Delivery| Some(TEXT.into()))
            .on(Any, recorder.clone())
            .build()
            .unwrap();
        send(&chosen.service(), request(event("call_hangup", "chosen"))).await;
        let (_, span) = delivery_span("chosen");
        assert_eq!(
            span.field("identity"),
            recorder.next().await.context().identity().to_string()
        );
        assert_logs_are_private(&[]);
    })
    .await;
}

#[tokio::test]
async fn a_payload_that_does_not_fit_is_logged_by_its_place_alone() {
    #[derive(Deserialize)]
    struct Misfit {
        #[expect(dead_code, reason = "it is never read, that is the point")]
        text: u32,
    }
    within(async {
        record_logs();
        let receiver = builder()
            .on(named("misfit"), |_: Event<Misfit>| async {})
            .build()
            .unwrap();
        let body = event("misfit", "misfit");
        assert_eq!(
            send(&receiver.service(), request(body.clone()))
                .await
                .word(),
            "received"
        );
        assert!(receiver.shutdown(Duration::MAX).await.is_drained());
        let (_, delivery) = delivery_span("misfit");
        let runs = attempts(&delivery);
        assert_eq!(runs.len(), 1);
        let handler = runs[0].field("handler");
        let told = failures(&delivery, LAST, handler);
        assert_eq!(told.len(), 1);
        assert_eq!(told[0].level, "ERROR");
        assert!(failures(&delivery, WARNING, handler).is_empty());
        assert!(told[0].field("error").contains("column"));
        assert_logs_are_private(&[body.as_bytes()]);
    })
    .await;
}

/// The catalogue tells which ids are credentials.
#[tokio::test]
async fn an_id_that_is_a_credential_is_logged_as_a_hash() {
    within(async {
        record_logs();
        let recorder = Recorder::new();
        let receiver = builder().on(Any, recorder.clone()).build().unwrap();
        let is_credential =
            |name: &EventType| name.resource().is_some_and(ResourceKind::id_is_credential);
        let names = CATALOG.iter().map(|entry| EventType::parse(entry.name));
        let credentials: Vec<_> = names.filter(is_credential).collect();
        assert!(credentials.contains(&EventType::WebchatSessionEnded));
        for (number, name) in credentials.iter().enumerate() {
            let id = format!("3f0c8a52-77aa-4d5e-9c1b-{number:012}");
            let body = event(name.as_str(), &id);
            assert_eq!(
                send(&receiver.service(), request(body)).await.word(),
                "received"
            );
            let context = recorder.next().await;
            assert_eq!(context.delivery().resource_id(), Some(id.as_str()));
            let logged_id = context.delivery().loggable_id().unwrap().to_string();
            assert!(logged_id.starts_with("hash:"));
            span_showing(&logged_id);
            assert!(
                !format!("{context:?} {:?}", logged()).contains(&id),
                "{name}"
            );
        }
    })
    .await;
}

/// A refused request says nothing about itself but the reason.
#[tokio::test]
async fn refusals_of_every_kind_are_logged_without_what_was_refused() {
    within(async {
        record_logs();
        let limits = |builder: ReceiverBuilder| builder.on((Any, Custom), Recorder::new());
        let receiver = limits(builder())
            .limits(Limits::new().body_limit(400))
            .build()
            .unwrap();
        let service = receiver.service();
        let body = event("call_hangup", "refused");
        let with_signature = |value: &str| {
            let mut request = request(body.clone());
            request
                .headers_mut()
                .insert("x-voipbin-signature", value.parse().unwrap());
            request
        };
        let mut codes = Vec::new();
        let mut wrong_method = request(body.clone());
        *wrong_method.method_mut() = Method::PATCH;
        codes.push(send(&service, wrong_method).await);
        codes.push(send(&service, request(format!("{TEXT}{}", "x".repeat(400)))).await);
        codes.push(send(&service, unsigned(body.clone())).await);
        let mut repeated = request(body.clone());
        repeated
            .headers_mut()
            .append("x-voipbin-signature", digits(b"").parse().unwrap());
        codes.push(send(&service, repeated).await);
        codes.push(send(&service, with_signature(&digits(body.as_bytes()))).await);
        let signature = signer().sign(body.as_bytes());
        codes.push(send(&service, with_signature(&signature[..40])).await);
        codes.push(send(&service, with_signature(&format!("{}Z", &signature[..70]))).await);
        let forged = Signer::new("another").sign(body.as_bytes());
        codes.push(send(&service, with_signature(&forged)).await);
        codes.push(send(&service, request("")).await);
        codes.push(send(&service, request(format!("{TEXT}, {FROM}"))).await);
        codes.push(send(&service, request([TEXT.as_bytes(), b"\xff"].concat())).await);

        let broken = StreamBody::new(futures_util::stream::iter([
            Ok(http_body::Frame::data(Bytes::from(TEXT))),
            Err(std::io::Error::other(format!("{FROM} has left"))),
        ]));
        codes.push(send(&service, request("").map(|_| broken)).await);

        let choosing = limits(builder())
            .identity(|_: &Delivery| panic!("{TEXT}"))
            .build()
            .unwrap();
        codes.push(send(&choosing.service(), request(body.clone())).await);
        let full = limits(builder())
            .inbox(RefusingInbox::new(1))
            .build()
            .unwrap();
        codes.push(send(&full.service(), request(body.clone())).await);
        let inbox = HeldInbox::new();
        let failing = limits(builder()).inbox(inbox.clone()).build().unwrap();
        let failed = tokio::spawn(failing.service().oneshot(request(body.clone())));
        inbox.handed_over().await;
        inbox.fail();
        codes.push(Answer::read(failed.await.unwrap().unwrap()).await);
        assert!(receiver.shutdown(Duration::MAX).await.is_drained());
        codes.push(send(&service, request(body.clone())).await);

        let codes: Vec<_> = codes.iter().map(Answer::code).collect();
        assert_eq!(
            codes,
            [
                "method_not_allowed",
                "body_too_large",
                "signature_missing",
                "signature_malformed",
                "signature_malformed",
                "signature_malformed",
                "signature_malformed",
                "signature_mismatch",
                "body_empty",
                "body_not_json",
                "body_not_utf8",
                "body_incomplete",
                "identity_failed",
                "inbox_full",
                "inbox_failed",
                "shutting_down",
            ]
        );
        assert!(
            logged()
                .iter()
                .any(|record| record.field("message").starts_with("refused"))
        );
        assert_logs_are_private(&[body.as_bytes(), b""]);
        assert!(!format!("{:?}", logged()).contains(&forged["sha256=".len()..][..16]));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_body_that_does_not_come_in_time_is_logged_without_what_came() {
    record_logs();
    let receiver = builder().on(Any, Recorder::new()).build().unwrap();
    let request = request("").map(|_| Frames::hanging([TEXT]));
    assert_eq!(
        send(&receiver.service(), request).await.code(),
        "body_timeout"
    );
    assert_logs_are_private(&[b""]);
}

#[tokio::test]
async fn a_delivery_that_nobody_handles_is_logged_without_its_content() {
    within(async {
        record_logs();
        let receiver = builder().on(CallHangup, Recorder::new()).build().unwrap();
        let body = event("message_created", "unmatched");
        let custom = format!(r#"["{TEXT}","{FROM}"]"#);
        for body in [&body, &custom] {
            assert_eq!(
                send(&receiver.service(), request(body.clone()))
                    .await
                    .word(),
                "received"
            );
        }
        let records = logged();
        let mut told = records.iter().filter(|record| {
            record.field("message") == "no handler is registered for this delivery"
        });
        assert_eq!(told.next().unwrap().field("event"), "message_created");
        assert_eq!(told.next().unwrap().field("event"), "");
        assert!(told.next().is_none());
        assert_logs_are_private(&[body.as_bytes(), custom.as_bytes()]);
    })
    .await;
}

#[tokio::test]
async fn debug_shows_neither_secrets_nor_payloads() {
    within(async {
        record_logs();
        let body = event("call_hangup", "debugged");
        let valve = Valve::new();
        let settings = || {
            builder()
                .state(HeaderMap::<String>::default())
                .inbox(MemoryInbox::new())
                .on(Any, valve.clone())
                .on(Custom, |delivery: Delivery| async move { drop(delivery) })
        };
        let mut shown = vec![
            format!("{:?}", Secret::from(SECRET)),
            format!("{:#?}", settings()),
            format!("{:?}", signer()),
            format!(
                "{:?}",
                Registration::new(Fallback, |_: Context| async {}).name("fallback")
            ),
        ];

        let receiver = settings().build().unwrap();
        let sender = Sender::new(receiver.service(), signer()).uri(
            format!("http://user:{SECRET}@localhost/hook?{QUERY}")
                .parse()
                .unwrap(),
        );
        let report = sender.send(body.clone()).await;
        assert!(report.delivered().is_some());
        shown.push(format!("{report:#?}"));
        let response = receiver
            .service()
            .oneshot(request(body.clone()))
            .await
            .unwrap();
        shown.push(format!("{response:?}"));
        shown.push(format!(
            "{:?}",
            response.into_body().collect().await.unwrap()
        ));
        shown.push(format!(
            "{:?}",
            receiver.service().oneshot(unsigned(body.clone())).await
        ));

        let context = valve.begun().next().await;
        shown.push(format!("{context:#?}"));
        shown.push(format!("{:#?}", context.delivery()));
        shown.push(format!(
            "{:?}",
            Event::<Call>::read(context.delivery()).unwrap()
        ));
        shown.push(format!(
            "{:?}",
            context.delivery().payload::<Vec<u8>>().unwrap_err()
        ));
        shown.push(format!(
            "{receiver:#?} {:?} {:#?}",
            receiver.service(),
            receiver.stats()
        ));
        let future = receiver
            .service()
            .oneshot(Request::new(Empty::<Bytes>::new()));
        shown.push(format!("{future:?}"));
        let unfinished = receiver.shutdown(Duration::ZERO).await;
        assert!(!unfinished.is_drained());
        shown.push(format!("{unfinished:#?}"));

        for shown in &shown {
            assert_private(shown, &[body.as_bytes()]);
        }
        assert_logs_are_private(&[body.as_bytes()]);
    })
    .await;
}

#[test]
fn an_error_of_the_builder_does_not_show_the_secret() {
    for secret in [format!("{SECRET} "), format!("{SECRET}\n")] {
        let receiver = Receiver::builder()
            .secret(secret)
            .on(Any, Recorder::new())
            .build();
        let error = receiver.unwrap_err();
        assert_private(&format!("{error} {error:?}"), &[]);
    }
}

/// Whoever writes a flow chooses the type and the id of what it sends.
#[tokio::test]
async fn types_and_ids_that_are_something_else_are_not_logged_as_they_are() {
    within(async {
        record_logs();
        let receiver = builder().on(Any, Recorder::new()).build().unwrap();
        let long = "x".repeat(100_000);
        for (name, id) in [
            (FROM, TO),
            ("call_hangup", r"a\nforged line"),
            ("two\\nlines", r"\u001b[2J"),
            (long.as_str(), long.as_str()),
        ] {
            let body = format!(r#"{{"type":"{name}","data":{{"id":"{id}"}}}}"#);
            let answer = send(&receiver.service(), request(body)).await;
            assert_eq!(answer.word(), "received");
        }
        assert!(receiver.shutdown(Duration::MAX).await.is_drained());
        let shown = format!("{:?}", logged());
        for part in ["forged line", "two", "[2J", "xxxxx"] {
            assert!(!shown.contains(part), "{part} in {shown}");
        }
        assert_logs_are_private(&[]);
    })
    .await;
}

/// A `main` that returns an error shows its `Debug`.
#[tokio::test]
async fn what_to_do_about_an_error_is_in_its_debug_as_well() {
    let secret = Secret::from_env("VOIPBIN_NO_SUCH_VARIABLE").unwrap_err();
    let place = tempfile::tempdir().unwrap();
    let _open = DiskInbox::open(place.path()).await.unwrap();
    let inbox = DiskInbox::open(place.path()).await.unwrap_err();
    let build = Receiver::builder().build().unwrap_err();
    for (message, shown) in [
        (secret.to_string(), format!("{secret:?}")),
        (inbox.to_string(), format!("{inbox:?}")),
        (build.to_string(), format!("{build:?}")),
    ] {
        assert!(shown.contains(&message), "{message} is not in {shown}");
    }
}

#[tokio::test]
async fn a_secret_that_is_likely_to_be_cut_is_told_once_by_its_label() {
    record_logs();
    let told = || {
        let logged = logged().into_iter();
        let told = logged.filter(|record| record.field("secret").starts_with("cut or not, "));
        told.map(|record| {
            let label = record.field("secret").to_owned();
            assert!(!format!("{record:?}").contains("fifteen letters"));
            (record.level, label)
        })
        .collect::<Vec<_>>()
    };
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("secret");
    std::fs::write(&path, "a secret of all").unwrap();
    let labelled =
        |secret: &str, label: &str| Secret::from(secret).with_label(format!("cut or not, {label}"));
    let receiver = Receiver::builder()
        .on(Any, || async {})
        .secret(labelled("fifteen letters", "fifteen"))
        .secret(labelled("sixteen letters.", "sixteen"))
        .secret_file(&path)
        .build()
        .unwrap();
    let fifteen = [("WARN".to_owned(), "cut or not, fifteen".to_owned())];
    assert_eq!(told(), fifteen);
    // It is the same one, also beside another that is new.
    receiver.secrets().refresh().await.unwrap();
    let more = [
        labelled("fifteen letters", "fifteen"),
        labelled("a new one of sixteen", "new"),
    ];
    receiver.secrets().set(more).unwrap();
    assert_eq!(told(), fifteen);
}

#[test]
fn a_receiver_logs_who_handles_what_and_which_events_are_never_sent() {
    record_logs();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _in_it = runtime.enter();
    builder()
        .handlers([
            Registration::new(voipbin_receiver::events::ConfbridgeJoined, || async {})
                .name("never"),
            Registration::new(named("call_ended"), || async {}).name("perhaps"),
            Registration::new((CallHangup, named("order.paid")), || async {}).name("sent"),
        ])
        .build()
        .unwrap();
    let logged = logged();
    let warned = |handler: &str| {
        let mut warned = logged
            .iter()
            .filter(|record| record.field("handler") == handler && record.level == "WARN");
        (
            warned.next().map(|record| record.field("event").to_owned()),
            warned.count(),
        )
    };
    assert_eq!(warned("never"), (Some("confbridge_joined".into()), 0));
    assert_eq!(warned("perhaps"), (Some("call_ended".into()), 0));
    assert_eq!(warned("sent"), (None, 0));
    assert!(logged.iter().any(|record| {
        record.field("handlers")
            == "never: confbridge_joined; perhaps: call_ended; sent: call_hangup, order.paid"
    }));
}

#[tokio::test(start_paused = true)]
async fn a_run_that_goes_on_for_more_than_five_minutes_is_warned_of_once() {
    record_logs();
    let valve = Valve::new();
    let handlers = [Registration::new(CallHangup, valve.clone()).name("goes-on")];
    let receiver = builder().runtime(Handle::current()).handlers(handlers);
    let receiver = receiver.build().unwrap();
    send(
        &receiver.service(),
        request(event("call_hangup", "a-long-run")),
    )
    .await;
    valve.begun().next().await;
    tokio::time::sleep(Duration::from_secs(3600)).await;
    let told = logged().into_iter();
    let told: Vec<Record> = told
        .filter(|record| record.field("handler") == "goes-on" && record.level == "WARN")
        .collect();
    let [warned] = &told[..] else {
        panic!("{told:?}")
    };
    assert!(warned.field("resource_id").starts_with("hash:"));
    assert_private(&format!("{warned:?}"), &[]);
    valve.open();
}
