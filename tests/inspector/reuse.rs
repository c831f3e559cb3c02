//! What is taken out of the inspector: exports and copies.

use std::time::Duration;

use http::StatusCode;
use serde_json::Value;
use support::standalone::paste;
use support::{Recorder, serve_axum};
use voipbin_receiver::event::Proof;
use voipbin_receiver::inbox::{Record, RecordFilter, RecordState};
use voipbin_receiver::{Origin, Receiver, catalog};

use crate::fixture::{ACCESS, Fixture};

#[tokio::test]
async fn the_events_of_a_filter_are_exported_as_json_lines() {
    let fixture = Fixture::new().await;
    for number in 0..250 {
        let name = if number % 2 == 0 {
            "call_hangup"
        } else {
            "call_created"
        };
        let body = format!(r#"{{"type":"{name}","data":{{"id":"c-{number}"}}}}"#);
        fixture.deliver(body).await;
    }
    fixture.settled().await;
    let path = "/export?q=type%3Acall_hangup";
    assert_eq!(
        fixture.get(path, "read").await.status,
        StatusCode::FORBIDDEN
    );
    let export = fixture.get(path, "reveal").await;
    assert_eq!(export.header("content-type"), "application/jsonl");
    assert_eq!(
        export.header("content-disposition"),
        "attachment; filename=\"events.jsonl\""
    );
    let lines: Vec<Value> = export
        .text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines.len(), 125);
    assert!(lines.iter().all(|line| line["event"] == "call_hangup"));
    assert!(lines[7]["body"].as_str().unwrap().contains("c-14"));
    assert_eq!(*fixture.audit.lock().unwrap(), ["export"]);
    let head = fixture.ask("HEAD", path, &[(ACCESS, "reveal")], "").await;
    assert_eq!((head.status, head.text.as_str()), (StatusCode::OK, ""));
    let bad = fixture.get("/export?q=colour%3Ared", "reveal").await;
    assert_eq!(bad.status, StatusCode::BAD_REQUEST);
}

fn unescaped(text: &str) -> String {
    let text = text.replace("&#34;", "\"").replace("&#39;", "'");
    text.replace("&#60;", "<")
        .replace("&#62;", ">")
        .replace("&#38;", "&")
}

/// A text of the page that is there to be copied.
fn copy(page: &str, label: &str) -> String {
    let text = page
        .split(&format!("aria-label=\"{label}\">"))
        .nth(1)
        .unwrap();
    unescaped(text.split("</pre>").next().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_is_copied_as_a_command_that_a_receiver_takes() {
    let body = r#"{"type":"call_hangup","data":{"id":"fails","note":"it's <&> $(x) \\ \"\""}}"#;
    let fixture = Fixture::in_memory();
    fixture.deliver(body).await;
    let id = fixture.latest(RecordState::Dead).await;
    let masked = fixture.get(&format!("/events/{id}"), "reveal").await.text;
    assert!(!masked.contains("throw-away"));
    let page = fixture
        .get(&format!("/events/{id}/revealed"), "reveal")
        .await
        .text;
    let secret = page.split("<code>throw-away-").nth(1).unwrap();
    let secret = format!("throw-away-{}", secret.split('<').next().unwrap());
    assert!(!page.contains(support::SECRET));

    let recorder = Recorder::new();
    let receiver = Receiver::builder()
        .secret(secret.as_str())
        .on(catalog::Any, recorder.clone())
        .build()
        .unwrap();
    let address = serve_axum(receiver.service()).await;
    let curl = copy(&page, "By curl").replace("127.0.0.1:5000", &address.to_string());
    let answer = paste(&format!("{curl} -sS")).await;
    assert!(answer.contains("received"), "{answer}");
    let run = recorder.next().await;
    assert_eq!(run.delivery().body(), body.as_bytes());
    let trigger = copy(&page, "By trigger");
    assert!(trigger.contains(&secret) && trigger.contains("standalone trigger --file /dev/stdin"));
    let test = copy(&page, "As a test in Rust");
    assert!(
        test.contains(&format!("event_{id}_is_handled")) && test.contains(body),
        "{test}"
    );
    assert!(receiver.shutdown(Duration::from_secs(5)).await.is_clean());
}

#[tokio::test]
async fn who_may_act_pauses_a_handler_and_lets_it_go_on() {
    let fixture = Fixture::in_memory();
    let ask = async |access: &str, path: &str, form: &str| {
        fixture.ask("POST", path, &[(ACCESS, access)], form).await
    };
    assert!(
        !fixture
            .get("/handlers", "reveal")
            .await
            .text
            .contains("Pause crm")
    );
    for access in ["read", "reveal"] {
        let page = ask(access, "/handlers/pause", "handler=crm").await;
        assert_eq!(page.status, StatusCode::FORBIDDEN);
    }
    assert!(
        fixture
            .get("/handlers", "act")
            .await
            .text
            .contains("Pause crm")
    );
    let paused = ask("act", "/handlers/pause", "handler=crm").await;
    assert_eq!(paused.status, StatusCode::SEE_OTHER);
    assert_eq!(paused.header("location"), "../handlers");
    assert_eq!(fixture.receiver.paused()[0].as_str(), "crm");
    assert!(
        fixture
            .get("/handlers", "act")
            .await
            .text
            .contains("Let crm go on")
    );
    assert!(
        fixture
            .get("/handlers", "read")
            .await
            .text
            .contains("Paused")
    );
    let nobody = ask("act", "/handlers/pause", "handler=nobody").await;
    assert_eq!(nobody.status, StatusCode::NOT_FOUND);
    ask("act", "/handlers/resume", "handler=crm").await;
    assert!(fixture.receiver.paused().is_empty());
    assert_eq!(*fixture.audit.lock().unwrap(), ["pause", "resume"]);
}

#[tokio::test]
async fn an_edited_event_says_so_for_ever() {
    const BODY: &str = r#"{"type":"call_hangup","data":{"id":"well now","note":"a+b&c"}}"#;
    let latest = async |fixture: &Fixture| -> Record {
        let records = fixture.receiver.records().unwrap();
        let page = records.latest(&RecordFilter::new(), None, 1).await.unwrap();
        page.records.into_iter().next().unwrap()
    };
    let fixture = Fixture::new().await;
    fixture
        .deliver(r#"{"type":"call_hangup","data":{"id":"fails"}}"#)
        .await;
    let id = fixture.latest(RecordState::Dead).await;
    let revealed = format!("/events/{id}/revealed");
    let offers = |page: &str| page.contains("Handle it with another body");
    assert!(!offers(&fixture.get(&revealed, "reveal").await.text));
    assert!(offers(&fixture.get(&revealed, "act").await.text));

    let (path, act) = (format!("/events/{id}/edit"), [(ACCESS, "act")]);
    let form = |body: &str| -> String {
        let body = body.bytes().map(|byte| format!("%{byte:02x}"));
        format!("body={}", body.collect::<String>())
    };
    let edited = fixture.ask("POST", &path, &act, &form(BODY)).await;
    assert_eq!(edited.status, StatusCode::SEE_OTHER, "{}", edited.text);
    assert_eq!(edited.header("location"), "../../events");
    fixture.settled().await;
    let record = latest(&fixture).await;
    assert_eq!(record.delivery.body(), BODY.as_bytes());
    assert_eq!(record.delivery.origin(), Origin::Edited);
    assert_eq!(record.delivery.proof(), Proof::Unsigned);
    let page = fixture
        .get(&format!("/events/{}", record.id), "read")
        .await
        .text;
    assert!(page.contains("<dd>edited, not signed</dd>"), "{page}");

    let records = fixture.receiver.records().unwrap();
    records.replay(record.id, None).await.unwrap();
    fixture.settled().await;
    let replay = latest(&fixture).await;
    assert_eq!(replay.replay_of, Some(record.id));
    assert_eq!(replay.delivery.origin(), Origin::Edited);

    let again = fixture.ask("POST", &path, &act, &form(BODY)).await;
    assert_eq!(again.status, StatusCode::CONFLICT);
    let broken = fixture.ask("POST", &path, &act, &form("{")).await;
    assert_eq!(broken.status, StatusCode::BAD_REQUEST);
    assert_eq!(fixture.audit.lock().unwrap().last().unwrap(), "edit");
}
