//! What VoIPBIN's tutorial for webhooks asks of a receiver.
//!
//! Needs `sh` and `curl`. Its use cases are the examples `crm`, `auto-reply` and `recordings`.

use std::sync::Arc;
use std::sync::Mutex;

use serde_json::json;
use support::standalone::{self, Server, paste};
use support::{builder, deliver, within};
use voipbin_receiver::catalog::{EventType, named};
use voipbin_receiver::resource::{Call, Message, Recording};
use voipbin_receiver::testing::Recorder;
use voipbin_receiver::{Event, State, handlers, on};

/// The page that leads from the tutorial's servers to this crate.
const PAGE: &str = include_str!("../../voipbin-receiver/docs/coming-from-flask-and-express.md");

/// The names that its text lists.
const LISTED: [&str; 27] = [
    "call_created",
    "call_ringing",
    "call_answered",
    "call_updated",
    "call_hungup",
    "message_created",
    "message_updated",
    "message_deleted",
    "recording_created",
    "recording_updated",
    "recording_deleted",
    "transcribe_created",
    "transcribe_updated",
    "transcribe_deleted",
    "transcript_created",
    "queue_created",
    "queue_updated",
    "queuecall_created",
    "queuecall_kicking",
    "queuecall_serviced",
    "conference_created",
    "conference_updated",
    "confbridge_created",
    "confbridge_updated",
    "activeflow_created",
    "activeflow_updated",
    "activeflow_deleted",
];

/// The names that it subscribes to, each with an event that VoIPBIN sends for it.
const SUBSCRIBED: [(&str, &str); 5] = [
    (
        "call.status",
        r#"{"type":"call_ringing","data":{"id":"c"}}"#,
    ),
    (
        "call.completed",
        r#"{"type":"call_hangup","data":{"id":"c"}}"#,
    ),
    (
        "message.received",
        r#"{"type":"message_created","data":{"id":"m","direction":"inbound"}}"#,
    ),
    (
        "recording.completed",
        r#"{"type":"recording_finished","data":{"id":"r"}}"#,
    ),
    (
        "transcribe.completed",
        r#"{"type":"transcribe_done","data":{"id":"t"}}"#,
    ),
];

/// The first block of the page that begins so.
fn block(beginning: &str) -> &'static str {
    let start = PAGE.find(beginning).unwrap();
    let rest = &PAGE[start..];
    &rest[..rest.find("\n```").unwrap()]
}

#[tokio::test]
async fn its_curl_is_received_and_shown_under_the_name_it_came_with() {
    standalone::within(async {
        let mut server = Server::start(&["--allow-unsigned"], &[]).await;
        let curl = block("curl -X POST");
        let here = curl.replace("http://127.0.0.1:5000/voipbin/webhook", &server.url);
        assert_ne!(here, curl);
        assert_eq!(paste(&here).await, r#"{"status":"received"}"#);
        let event = server.event().await;
        assert_eq!(event["event"], "call_hungup");
        assert_eq!(event["resource_id"], "test-call-id");
        assert_eq!(server.stop().await.stdout, [""; 0]);
    })
    .await;
}

#[tokio::test]
async fn each_of_its_names_is_known_and_reaches_a_handler_of_that_name() {
    for name in LISTED {
        assert!(
            !matches!(EventType::parse(name), EventType::Other(_)),
            "{name}"
        );
        let recorder = Recorder::new();
        let receiver = builder().on(named(name), recorder.clone()).build().unwrap();
        let body = json!({"type": name, "data": {"id": "x"}}).to_string();
        let answer = deliver(&receiver.service(), body).await;
        assert_eq!((answer.status().as_u16(), answer.word()), (200, "received"));
        let runs = within(recorder.wait_for(1)).await;
        assert_eq!(runs[0].delivery().received_as().unwrap().as_str(), name);
    }
}

#[tokio::test]
async fn a_handler_for_a_name_that_it_subscribes_to_gets_what_voipbin_sends_for_it() {
    for (name, body) in SUBSCRIBED {
        let recorder = Recorder::new();
        let receiver = builder().on(named(name), recorder.clone()).build().unwrap();
        assert_eq!(deliver(&receiver.service(), body).await.status(), 200);
        assert_eq!(within(recorder.wait_for(1)).await.len(), 1, "{name}");
    }
}

#[test]
fn the_page_tells_what_voipbin_sends_for_each_name_as_the_catalogue_does() {
    let rows = PAGE
        .split("| the tutorial | VoIPBIN sends |")
        .nth(1)
        .unwrap();
    let rows = rows
        .lines()
        .skip(2)
        .take_while(|line| line.starts_with('|'));
    let mut checked = 0;
    for row in rows {
        let mut cells = row.trim_matches('|').split(" | ");
        let words = |cell: &'static str| cell.split('`').skip(1).step_by(2);
        let (old, sent) = (cells.next().unwrap(), cells.next().unwrap());
        let sent = words(sent).next();
        for name in words(old) {
            let canonical = EventType::parse(name).canonical();
            let canonical = canonical.as_str();
            // Conditions and groups keep their name: the catalogue resolves those by the payload.
            let resolved = (canonical != name).then_some(canonical);
            let conditional = ["call.status", "message.received"].contains(&name);
            assert!(conditional || resolved == sent, "{name}");
            checked += 1;
        }
    }
    assert!(checked > 10);
}

type Seen = Arc<Mutex<Vec<String>>>;

fn note(seen: &Seen, fields: &[Option<String>]) {
    let line: Vec<_> = fields
        .iter()
        .map(|field| field.as_deref().unwrap_or("none"))
        .collect();
    seen.lock().unwrap().push(line.join(" "));
}

#[on(CallHungup)]
async fn ended(call: Event<Call>, seen: State<Seen>) {
    let fields = [
        call.id.as_deref().map(String::from),
        call.hangup_reason
            .as_ref()
            .map(|reason| reason.as_str().into()),
        call.source.target.clone(),
        call.destination.target.clone(),
        call.tm_hangup.map(|time| time.to_string()),
    ];
    note(&seen, &fields);
}

#[on(MessageCreated)]
async fn written(message: Event<Message>, seen: State<Seen>) {
    let fields = [
        message.id.as_deref().map(String::from),
        message.source.target.clone(),
        message.text.clone(),
    ];
    note(&seen, &fields);
}

#[on(RecordingUpdated)]
async fn recorded(recording: Event<Recording>, seen: State<Seen>) {
    let ready = recording.is_ready().then(|| "ready".to_owned());
    note(&seen, &[recording.id.as_deref().map(String::from), ready]);
}

#[tokio::test]
async fn the_fields_that_its_handlers_read_are_there_by_type() {
    let seen = Seen::default();
    let receiver = builder()
        .state(seen.clone())
        .handlers(handlers![ended, written, recorded])
        .build()
        .unwrap();
    for body in [
        json!({"type": "call_hungup", "data": {
            "id": "c", "hangup_reason": "normal", "tm_hangup": "2022-05-01 15:10:38.721000",
            "source": {"type": "tel", "target": "+15551234567"},
            "destination": {"type": "tel", "target": "+15559876543"},
        }}),
        json!({"type": "message_created", "data": {
            "id": "m", "text": "hello", "source": {"type": "tel", "target": "+15551234567"},
        }}),
        json!({"type": "recording_updated", "data": {"id": "r", "status": "done"}}),
    ] {
        assert_eq!(
            deliver(&receiver.service(), body.to_string())
                .await
                .status(),
            200
        );
    }
    let report = receiver.shutdown(std::time::Duration::from_secs(10)).await;
    assert!(report.is_drained());
    let mut seen = seen.lock().unwrap().clone();
    seen.sort();
    assert_eq!(
        seen,
        [
            "c normal +15551234567 +15559876543 2022-05-01T15:10:38.721Z",
            "m +15551234567 hello",
            "r ready",
        ]
    );
}

#[tokio::test]
async fn a_type_that_nobody_knows_is_answered_as_received() {
    let receiver = builder()
        .handlers(handlers![ended])
        .state(Seen::default())
        .build()
        .unwrap();
    let answer = deliver(&receiver.service(), r#"{"type":"brand_new","data":{}}"#).await;
    assert_eq!((answer.status().as_u16(), answer.word()), (200, "received"));
}
