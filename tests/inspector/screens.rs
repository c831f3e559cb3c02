use http::StatusCode;
use voipbin_receiver::inbox::RecordState;

use crate::fixture::{Fixture, LABEL};

const CALL: &str = "5371e9db-d035-4db6-a8d6-0994d33e744e";

fn event(name: &str, extra: &str) -> String {
    format!(r#"{{"type":"{name}","data":{{"id":"{CALL}"{extra}}}}}"#)
}

#[tokio::test]
async fn the_events_of_a_filter_are_listed_the_latest_first() {
    let fixture = Fixture::new().await;
    fixture.deliver(event("call_created", "")).await;
    fixture
        .deliver(event("call_hangup", r#","note":"fails""#))
        .await;
    fixture
        .deliver(r#"{"type":"message_created","data":{"id":"m-1"}}"#)
        .await;
    fixture.latest(RecordState::Dead).await;
    let ids = |text: &str| -> Vec<String> {
        let rows = text.split("<th scope=\"row\"><a href=\"").skip(1);
        let ids = rows.map(|row| row.split(['>', '<']).nth(1).unwrap().to_owned());
        ids.collect()
    };
    let all = fixture.get("/events", "read").await.text;
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
        let page = fixture.get(&format!("/events?q={query}"), "read").await;
        assert_eq!(ids(&page.text).len(), count, "{query}");
    }
    let after_first = fixture
        .get(&format!("/events?before={}", listed[0]), "read")
        .await;
    assert_eq!(ids(&after_first.text), listed[1..]);
    let unknown = fixture.get("/events?q=colour%3Ared", "read").await.text;
    assert!(unknown.contains("role=\"alert\"") && unknown.contains("There is no term colour"));
    let mentions = fixture
        .get(
            "/events?q=text%3A5371e9db-d035-4db6-a8d6-0994d33e744e",
            "act",
        )
        .await;
    assert_eq!(ids(&mentions.text).len(), 2);
}

#[tokio::test]
async fn an_event_is_shown_with_its_attempts_and_its_resources_timeline() {
    let fixture = Fixture::new().await;
    let number = r#","big":12345678901234567890.10,"fails":1"#;
    let body = event("call_hangup", number);
    fixture.deliver(event("call_created", "")).await;
    fixture.deliver(body.clone()).await;
    let id = fixture.latest(RecordState::Dead).await;
    let page = fixture.get(&format!("/events/{id}"), "read").await.text;
    assert!(page.contains("1 failed attempt"), "{page}");
    assert!(page.contains("call_created"), "of the same resource");
    assert!(page.contains(CALL), "a UUID is no secret");
    assert!(!page.contains("12345678901234567890"));
    let revealed = fixture
        .get(&format!("/events/{id}/revealed"), "reveal")
        .await
        .text;
    // Byte for byte, but for what HTML escapes.
    assert!(revealed.contains(&body.replace('"', "&#34;")), "{revealed}");
    let gone = fixture.get("/events/4000", "read").await;
    assert_eq!(gone.status, StatusCode::NOT_FOUND);

    let replay = fixture.receiver.records().unwrap();
    let replay = replay.replay("1".parse().unwrap(), None).await.unwrap();
    let page = fixture.get(&format!("/events/{replay}"), "read").await.text;
    assert!(page.contains("Replay of"));
}

#[tokio::test]
async fn dead_letters_are_grouped_by_handler_and_kind_of_error() {
    for fixture in [Fixture::new().await, Fixture::in_memory()] {
        let empty = fixture.get("/dead", "read").await.text;
        assert!(empty.contains("There is no dead letter"));
        for number in 0..3 {
            let body = format!(r#"{{"type":"call_hangup","data":{{"id":"fails-{number}"}}}}"#);
            fixture.deliver(body).await;
        }
        let groups = |page: &str| page.matches("<th scope=\"row\">crm</th>").count();
        let page = fixture.get("/dead", "read").await.text;
        assert_eq!(groups(&page), 1, "{page}");
        assert!(page.contains("<td class=\"number\">3</td>"), "{page}");
        // The texts differ.
        let revealed = fixture.get("/dead/revealed", "reveal").await.text;
        assert_eq!(groups(&revealed), 3, "{revealed}");
    }
}

#[tokio::test]
async fn a_refusal_is_shown_with_its_check_and_diagnosis() {
    let fixture = Fixture::in_memory();
    assert!(
        fixture
            .get("/refused", "read")
            .await
            .text
            .contains("None was.")
    );
    fixture
        .deliver_forged(r#"{ "type": "call_hangup", "data": { "id": "15551234567" } }"#)
        .await;
    let page = fixture.get("/refused", "read").await.text;
    for told in ["signature", "401", "body_rewritten", LABEL, "198.51.x.x"] {
        assert!(page.contains(told), "{told}: {page}");
    }
    for hidden in ["15551234567", "198.51.100.7", "00000000"] {
        assert!(!page.contains(hidden), "{hidden}");
    }
    let other = fixture.get("/refused?reason=rate", "read").await.text;
    assert!(!other.contains("body_rewritten"));
}

#[tokio::test]
async fn handlers_and_settings_are_shown_and_no_secret() {
    let fixture = Fixture::in_memory();
    fixture.deliver(event("call_hangup", "")).await;
    let page = fixture.get("/handlers", "read").await.text;
    for told in ["crm", "fixture.rs:", "1 ended well", "Attempts"] {
        assert!(page.contains(told), "{told}: {page}");
    }
    let page = fixture.get("/settings", "act").await.text;
    for told in [LABEL, "colour", "blue", "flag"] {
        assert!(page.contains(told), "{told}: {page}");
    }
    assert!(!page.contains(support::SECRET) && !page.contains(crate::fixture::TOKEN));
}

#[tokio::test]
async fn the_first_page_tells_what_came_and_what_to_do_when_nothing_has() {
    let fixture = Fixture::new().await;
    let page = fixture.get("/", "read").await.text;
    assert!(page.contains("Nothing has come since the start"));
    assert!(page.contains("<strong>ready</strong>"));
    fixture.deliver(event("call_hangup", "")).await;
    let page = fixture.get("/", "read").await.text;
    assert!(!page.contains("Nothing has come since the start"));
    assert!(
        page.contains("<th scope=\"row\">accepted</th><td class=\"number\">1</td>"),
        "{page}"
    );
    assert!(page.contains("class=\"bar\""), "{page}");
}
