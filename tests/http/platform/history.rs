//! What the stand-in says of the past, as the platform does.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use serde_json::{Value, json};
use support::platform::{ACCESS_KEY, Platform};
use support::{http_client, within};

/// Status and body of a `GET`.
async fn get(stand_in: &Platform, path: &str) -> (u16, Value) {
    let request = Request::get(format!("{}/v1.0/{path}", stand_in.url()))
        .header("cookie", format!("accesskey={ACCESS_KEY}"))
        .body(Full::new(Bytes::new()))
        .unwrap();
    let answer = http_client().request(request).await.unwrap();
    let status = answer.status().as_u16();
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    (status, serde_json::from_slice(&body).unwrap())
}

fn at(milliseconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH
        + Duration::from_secs(1_780_000_000)
        + Duration::from_millis(milliseconds)
}

/// A call changes.
fn change(stand_in: &Platform, milliseconds: u64, name: &str, id: &str) {
    stand_in.set_time(at(milliseconds));
    let data =
        json!({"id": id, "tm_create": "2026-05-28T20:26:40.000000Z", "tm_update": milliseconds});
    stand_in.publish(&json!({"type": name, "data": data}).to_string());
}

fn rows(body: &Value) -> Vec<u64> {
    let rows = body["result"].as_array().unwrap();
    rows.iter()
        .map(|row| row["data"]["tm_update"].as_u64().unwrap())
        .collect()
}

#[tokio::test]
async fn a_timeline_has_each_event_once_newest_first_and_loses_those_of_the_millisecond_at_the_edge()
 {
    within(async {
        let stand_in = Platform::start().await;
        for (milliseconds, name) in [
            (1, "call_created"),
            (2, "call_ringing"),
            (2, "call_progressing"),
            (3, "call_hangup"),
        ] {
            change(&stand_in, milliseconds, name, "c-1");
        }
        change(&stand_in, 4, "call_created", "c-2");
        let timeline = "timelines/calls/c-1/events";
        let (status, whole) = get(&stand_in, &format!("{timeline}?page_size=1000")).await;
        assert_eq!((status, rows(&whole)), (200, vec![3, 2, 2, 1]));
        assert_eq!(whole["result"][0]["event_type"], "call_hangup");
        assert!(whole.get("next_page_token").is_none());

        let (_, first) = get(&stand_in, &format!("{timeline}?page_size=2")).await;
        let token = first["next_page_token"].as_str().unwrap();
        let (_, second) = get(
            &stand_in,
            &format!("{timeline}?page_size=2&page_token={token}"),
        )
        .await;
        assert_eq!((rows(&first), rows(&second)), (vec![3, 2], vec![1]));
    })
    .await;
}

#[tokio::test]
async fn a_page_of_more_than_a_thousand_rows_is_one_of_a_hundred() {
    within(async {
        let stand_in = Platform::start().await;
        for milliseconds in 0..150 {
            change(&stand_in, milliseconds, "call_updated", "c-1");
        }
        for (size, expected) in [(1000, 150), (1001, 100), (0, 100)] {
            let path = format!("timelines/calls/c-1/events?page_size={size}");
            assert_eq!(
                rows(&get(&stand_in, &path).await.1).len(),
                expected,
                "{size}"
            );
        }
    })
    .await;
}

#[tokio::test]
async fn what_is_deleted_is_refused_by_its_kind_and_hidden_from_lists() {
    within(async {
        let stand_in = Platform::start().await;
        for kind in ["call", "activeflow", "conference"] {
            change(&stand_in, 1, &format!("{kind}_created"), kind);
            change(&stand_in, 2, &format!("{kind}_deleted"), kind);
        }
        for (kind, expected) in [("call", 409), ("activeflow", 404), ("conference", 200)] {
            let (status, _) = get(&stand_in, &format!("timelines/{kind}s/{kind}/events")).await;
            assert_eq!(status, expected, "{kind}");
            let (status, list) = get(&stand_in, &format!("{kind}s?page_size=100")).await;
            assert_eq!((status, rows_of_list(&list)), (200, 0), "{kind}");
            assert!(list.get("next_page_token").is_none());
        }
    })
    .await;
}

fn rows_of_list(list: &Value) -> usize {
    list["result"].as_array().unwrap().len()
}

#[tokio::test]
async fn a_list_is_todays_rows_from_any_time_with_a_token_on_each_page() {
    within(async {
        let stand_in = Platform::start().await;
        for (second, id) in [(1, "c-1"), (2, "c-2")] {
            for milliseconds in [1, 2] {
                let data = json!({
                    "id": id,
                    "tm_create": format!("2026-05-28T20:26:4{second}.000000Z"),
                    "tm_update": milliseconds,
                });
                stand_in.publish(&json!({"type": "call_updated", "data": data}).to_string());
            }
        }
        let (_, list) = get(&stand_in, "calls?page_size=100").await;
        let rows = list["result"].as_array().unwrap();
        let rows: Vec<_> = rows
            .iter()
            .map(|row| (row["id"].as_str().unwrap(), &row["tm_update"]))
            .collect();
        assert_eq!(rows, [("c-2", &json!(2)), ("c-1", &json!(2))]);
        let token = list["next_page_token"].as_str().unwrap();
        let (_, end) = get(
            &stand_in,
            &format!("calls?page_size=100&page_token={token}"),
        )
        .await;
        assert_eq!(rows_of_list(&end), 0);
        let (_, from) = get(
            &stand_in,
            "calls?page_size=100&page_token=2026-05-28T20:26:42.000000Z",
        )
        .await;
        assert_eq!(from["result"][0]["id"], "c-1");
    })
    .await;
}

#[tokio::test]
async fn aggregated_rows_come_twice_and_with_those_that_somebody_forged() {
    within(async {
        let stand_in = Platform::start().await;
        change(&stand_in, 1, "call_hangup", "c-1");
        stand_in.forge(
            at(2),
            "recording_finished",
            r#"{"id":"r-1","reference_id":"c-1"}"#,
        );
        let (_, rows) = get(&stand_in, "aggregated-events?call_id=c-1&page_size=1000").await;
        let names: Vec<_> = rows["result"]
            .as_array()
            .unwrap()
            .iter()
            .map(|row| row["event_type"].as_str().unwrap())
            .collect();
        assert_eq!(
            names,
            [
                "recording_finished",
                "recording_finished",
                "call_hangup",
                "call_hangup"
            ]
        );
        // No timeline and no resource has what was forged.
        assert_eq!(get(&stand_in, "recordings/r-1").await.0, 404);
        assert_eq!(get(&stand_in, "aggregated-events").await.0, 400);
    })
    .await;
}
