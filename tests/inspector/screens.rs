use http::StatusCode;
use voipbin_receiver::inbox::RecordState;

use crate::stage::{LABEL, Stage};

const CALL: &str = "5371e9db-d035-4db6-a8d6-0994d33e744e";

fn event(name: &str, extra: &str) -> String {
    format!(r#"{{"type":"{name}","data":{{"id":"{CALL}"{extra}}}}}"#)
}

#[tokio::test]
async fn the_events_of_a_filter_are_listed_the_latest_first() {
    let stage = Stage::new().await;
    stage.deliver(event("call_created", "")).await;
    stage
        .deliver(event("call_hangup", r#","note":"fails""#))
        .await;
    stage
        .deliver(r#"{"type":"message_created","data":{"id":"m-1"}}"#)
        .await;
    stage.latest(RecordState::Dead).await;
    let ids = |text: &str| -> Vec<String> {
        let rows = text.split("<th scope=\"row\"><a href=\"").skip(1);
        let ids = rows.map(|row| row.split(['>', '<']).nth(1).unwrap().to_owned());
        ids.collect()
    };
    let all = stage.get("/events", "read").await.text;
    let listed = ids(&all);
    assert_eq!(listed.len(), 3, "{all}");
    assert!(listed.is_sorted_by(|one, next| one > next));
    for (query, count) in [
        ("type%3Acall_hangup", 1),
        ("type%3Acall_hungup", 1),
        ("handler%3Acrm", 3),
        ("handler%3Anobody", 0),
        ("state%3Adead", 1),
        ("state%3Adone+type%3Acall_created", 1),
        (&format!("resource%3A{CALL}"), 2),
        ("since%3A1h", 3),
        ("since%3A2099-01-01T00%3A00%3A00Z", 0),
    ] {
        let page = stage.get(&format!("/events?q={query}"), "read").await;
        assert_eq!(ids(&page.text).len(), count, "{query}");
    }
    let after_first = stage
        .get(&format!("/events?before={}", listed[0]), "read")
        .await;
    assert_eq!(ids(&after_first.text), listed[1..]);
    let unknown = stage.get("/events?q=colour%3Ared", "read").await.text;
    assert!(unknown.contains("role=\"alert\"") && unknown.contains("There is no term colour"));
    let mentions = stage
        .get(
            "/events?q=text%3A5371e9db-d035-4db6-a8d6-0994d33e744e",
            "act",
        )
        .await;
    assert_eq!(ids(&mentions.text).len(), 2);
}

#[tokio::test]
async fn an_event_is_shown_with_its_attempts_and_its_resources_timeline() {
    let stage = Stage::new().await;
    let number = r#","big":12345678901234567890.10,"fails":1"#;
    let body = event("call_hangup", number);
    stage.deliver(event("call_created", "")).await;
    stage.deliver(body.clone()).await;
    let id = stage.latest(RecordState::Dead).await;
    let page = stage.get(&format!("/events/{id}"), "read").await.text;
    assert!(page.contains("1 failed attempt"), "{page}");
    assert!(page.contains("call_created"), "of the same resource");
    assert!(page.contains(CALL), "a UUID is no secret");
    assert!(!page.contains("12345678901234567890"));
    let revealed = stage
        .get(&format!("/events/{id}/revealed"), "reveal")
        .await
        .text;
    // Byte for byte, but for what HTML escapes.
    assert!(revealed.contains(&body.replace('"', "&#34;")), "{revealed}");
    let gone = stage.get("/events/4000", "read").await;
    assert_eq!(gone.status, StatusCode::NOT_FOUND);

    let replay = stage.receiver.records().unwrap();
    let replay = replay.replay("1".parse().unwrap(), None).await.unwrap();
    let page = stage.get(&format!("/events/{replay}"), "read").await.text;
    assert!(page.contains("Replay of"));
}

#[tokio::test]
async fn dead_letters_are_grouped_by_handler_and_kind_of_error() {
    for stage in [Stage::new().await, Stage::in_memory()] {
        let empty = stage.get("/dead", "read").await.text;
        assert!(empty.contains("There is no dead letter"));
        for number in 0..3 {
            let body = format!(r#"{{"type":"call_hangup","data":{{"id":"fails-{number}"}}}}"#);
            stage.deliver(body).await;
        }
        let groups = |page: &str| page.matches("<th scope=\"row\">crm</th>").count();
        let page = stage.get("/dead", "read").await.text;
        assert_eq!(groups(&page), 1, "{page}");
        assert!(page.contains("<td class=\"number\">3</td>"), "{page}");
        // The texts differ.
        let revealed = stage.get("/dead/revealed", "reveal").await.text;
        assert_eq!(groups(&revealed), 3, "{revealed}");
    }
}

#[tokio::test]
async fn a_refusal_is_shown_with_its_check_and_diagnosis() {
    let stage = Stage::in_memory();
    assert!(
        stage
            .get("/refused", "read")
            .await
            .text
            .contains("None was.")
    );
    stage
        .deliver_forged(r#"{ "type": "call_hangup", "data": { "id": "15551234567" } }"#)
        .await;
    let page = stage.get("/refused", "read").await.text;
    for told in ["signature", "401", "body_rewritten", LABEL, "198.51.x.x"] {
        assert!(page.contains(told), "{told}: {page}");
    }
    for hidden in ["15551234567", "198.51.100.7", "00000000"] {
        assert!(!page.contains(hidden), "{hidden}");
    }
    let other = stage.get("/refused?reason=rate", "read").await.text;
    assert!(!other.contains("body_rewritten"));
}

#[tokio::test]
async fn handlers_and_settings_are_shown_and_no_secret() {
    let stage = Stage::in_memory();
    stage.deliver(event("call_hangup", "")).await;
    let page = stage.get("/handlers", "read").await.text;
    for told in ["crm", "stage.rs:", "1 ended well", "Attempts"] {
        assert!(page.contains(told), "{told}: {page}");
    }
    let page = stage.get("/settings", "act").await.text;
    for told in [LABEL, "colour", "blue", "flag"] {
        assert!(page.contains(told), "{told}: {page}");
    }
    assert!(!page.contains(support::SECRET) && !page.contains(crate::stage::TOKEN));
}

#[tokio::test]
async fn the_first_page_tells_what_came_and_what_to_do_when_nothing_has() {
    let stage = Stage::new().await;
    let page = stage.get("/", "read").await.text;
    assert!(page.contains("Nothing has come since the start"));
    assert!(page.contains("<strong>ready</strong>"));
    stage.deliver(event("call_hangup", "")).await;
    let page = stage.get("/", "read").await.text;
    assert!(!page.contains("Nothing has come since the start"));
    assert!(
        page.contains("<th scope=\"row\">accepted</th><td class=\"number\">1</td>"),
        "{page}"
    );
    assert!(page.contains("class=\"bar\""), "{page}");
}
