//! The inspectors of processes that share an inbox.

use std::collections::BTreeSet;
use std::process::Stdio;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full};
use support::http_client;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;
use voipbin_receiver::catalog::Any;
use voipbin_receiver::inbox::{Record, RecordFilter, RecordState};
use voipbin_receiver::{
    Context, HandlerError, HandlerOptions, Origin, Receiver, Registration, RetryPolicy,
};

use crate::fixture::{ACCESS, Fixture, form, hidden};
use crate::server::{builder, schema, url};
use crate::{GLANCE, PATIENCE, patiently};

const ACT: [(&str, &str); 1] = [(ACCESS, "act")];

/// A process whose handler of new events fails, with another error for 7 of 20.
async fn process(schema: &str) -> Fixture {
    let crm = |context: Context| async move {
        let is_busy = context.delivery().payload_json().contains("busy");
        match (context.replay_of(), is_busy) {
            (Some(_), _) => Ok(()),
            (None, true) => Err(HandlerError::permanent("the store is busy")),
            (None, false) => Err(HandlerError::permanent("out of order")),
        }
    };
    let inbox = builder(schema.to_owned()).connect().await.unwrap();
    let receiver = Receiver::builder()
        .secret(support::SECRET)
        .inbox(inbox)
        .handler_options(HandlerOptions::new().retry(RetryPolicy::never()))
        .handlers([Registration::new(Any, crm).name("crm")])
        .build()
        .unwrap();
    Fixture::of(receiver)
}

async fn fill(fixture: &Fixture, events: usize) {
    stream::iter(0..events)
        .for_each_concurrent(64, |number| async move {
            let note = if number % 20 < 7 { "busy" } else { "other" };
            let body = format!(
                r#"{{"type":"call_hangup","data":{{"id":"call-{number}","note":"{note}"}}}}"#
            );
            let accepted = fixture.receiver.accept(body, Origin::History).await;
            accepted.unwrap();
        })
        .await;
    until(async || dead(fixture).await == events).await;
}

async fn until(holds: impl AsyncFn() -> bool) {
    let held = async {
        while !holds().await {
            tokio::time::sleep(GLANCE * 20).await;
        }
    };
    // For so many events.
    tokio::time::timeout(PATIENCE * 5, held).await.unwrap();
}

async fn all(fixture: &Fixture, filter: &RecordFilter) -> Vec<Record> {
    let records = fixture.receiver.records().unwrap();
    let page = records.list(filter, None, usize::MAX >> 1).await;
    page.unwrap().records
}

async fn dead(fixture: &Fixture) -> usize {
    let dead = RecordFilter::new().state(RecordState::Dead);
    all(fixture, &dead).await.len()
}

async fn is_over(fixture: &Fixture) -> bool {
    let records = fixture.receiver.records().unwrap();
    records.note().await.unwrap().is_none()
}

#[tokio::test(flavor = "multi_thread")]
async fn of_all_processes_one_retries_many_and_another_one_cancels_it() {
    let schema = schema();
    let (one, other) = (process(&schema).await, process(&schema).await);
    fill(&one, 40).await;
    let confirmed = one.preview("retry", "error%3Abusy", 1).await;
    let also = other.preview("discard", "error%3Aorder", 1).await;
    let both = [
        one.ask("POST", "/bulk", &ACT, &confirmed).await,
        other.ask("POST", "/bulk", &ACT, &also).await,
    ];
    let statuses = both.map(|page| page.status);
    assert_eq!(statuses, [StatusCode::SEE_OTHER, StatusCode::CONFLICT]);
    let page = other.get("/bulk", "act").await.text;
    assert!(
        page.contains("Under way in another process: retry"),
        "{page}"
    );
    assert!(page.contains(" of 14."), "{page}");
    let cancelled = other.ask("POST", "/bulk/cancel", &ACT, "").await;
    assert_eq!(cancelled.status, StatusCode::SEE_OTHER);
    until(async || {
        one.get("/bulk", "act")
            .await
            .text
            .contains("it was cancelled")
    })
    .await;
    assert!(dead(&one).await > 26);
    // The next one may begin, anywhere.
    let started = other.ask("POST", "/bulk", &ACT, &also).await;
    assert_eq!(started.status, StatusCode::SEE_OTHER);
    let page = one.get("/bulk", "act").await.text;
    assert!(
        page.contains("Under way in another process: discard"),
        "{page}"
    );
}

/// `.ci/soak inspector` has 20,000.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_process_that_is_killed_was_retrying_goes_on_in_another_one() {
    let events = std::env::var("BULK_EVENTS").map_or(400, |events| events.parse().unwrap());
    let busy = events / 20 * 7;
    let schema = schema();
    let other = process(&schema).await;
    fill(&other, events).await;

    let mut killed = Command::new(env!("CARGO_BIN_EXE_postgres-process"))
        .args(["inspected", &url(), &schema, "2000"])
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(killed.stdout.take().unwrap()).lines();
    let address = patiently(lines.next_line()).await.unwrap().unwrap();
    let ask = async |method: &str, path: &str, form: String| {
        let request = Request::builder().method(method);
        let request = request.uri(format!("http://{address}{path}"));
        let request = request.body(Full::new(Bytes::from(form))).unwrap();
        let page = patiently(http_client().request(request)).await.unwrap();
        let page = page.into_body().collect().await.unwrap().to_bytes();
        String::from_utf8(page.to_vec()).unwrap()
    };
    let page = ask("GET", "/bulk?q=error%3Abusy&action=retry", String::new()).await;
    assert!(
        page.contains(&format!("<strong>{busy} events</strong>")),
        "{page}"
    );
    let (q, upto) = (form(hidden(&page, "q")), hidden(&page, "upto"));
    let rate = busy / 4;
    let confirmed = format!("action=retry&q={q}&upto={upto}&rate={rate}");
    ask("POST", "/bulk", confirmed).await;
    until(async || dead(&other).await < events - busy / 3).await;
    killed.kill().await.unwrap();
    assert!(!is_over(&other).await);
    let left = dead(&other).await;
    assert!(left > events - busy, "it was killed in the middle");
    until(async || is_over(&other).await).await;
    patiently(other.receiver.idle()).await;

    let page = other.get("/bulk", "act").await.text;
    assert!(
        page.contains(&format!("{busy} of {busy}; it is done")),
        "{page}"
    );
    assert_eq!(dead(&other).await, events - busy);
    let all = all(&other, &RecordFilter::new()).await;
    let originals: Vec<_> = all.iter().filter_map(|record| record.replay_of).collect();
    assert_eq!(originals.len(), busy, "each once");
    let originals: BTreeSet<_> = originals.into_iter().collect();
    assert_eq!(originals.len(), busy);
    println!(
        "{events} dead letters: of {busy} that are retried, {left} of all were left when the process was killed; each once"
    );
}
