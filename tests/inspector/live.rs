use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use support::within_days;
use tower::ServiceExt;
use voipbin_receiver::inspector::InspectorBody;

use crate::fixture::{ACCESS, Fixture};

const HANGUP: &str = r#"{"type":"call_hangup","data":{"id":"c-1"}}"#;

async fn open(fixture: &Fixture, query: &str, last: Option<&str>) -> Response<InspectorBody> {
    let mut request = Request::get(format!("/live?{query}")).header(ACCESS, "read");
    if let Some(last) = last {
        request = request.header("last-event-id", last);
    }
    let request = request.body(Full::<Bytes>::default()).unwrap();
    fixture.inspector.clone().oneshot(request).await.unwrap()
}

/// What is sent next; `None` at the end.
async fn next(stream: &mut Response<InspectorBody>) -> Option<String> {
    let frame = within_days(stream.body_mut().frame()).await?;
    let bytes = frame.unwrap().into_data().unwrap();
    Some(String::from_utf8(bytes.to_vec()).unwrap())
}

fn id(event: &str) -> &str {
    event.strip_prefix("id: ").unwrap().lines().next().unwrap()
}

#[tokio::test(start_paused = true)]
async fn an_open_page_comes_anew_when_something_has_changed() {
    let fixture = Fixture::in_memory();
    let page = fixture.get("/", "read").await.text;
    let seen = page.split("data-seen=\"").nth(1).unwrap();
    let seen = seen.split('"').next().unwrap();
    let mut stream = open(&fixture, &format!("page=/&seen={seen}"), None).await;
    assert_eq!(stream.headers()["content-type"], "text/event-stream");
    assert_eq!(next(&mut stream).await.unwrap(), "retry: 3000\n\n");
    // Nothing has happened since.
    assert_eq!(next(&mut stream).await.unwrap(), ":\n\n");
    fixture.deliver(HANGUP).await;
    let event = next(&mut stream).await.unwrap();
    assert!(event.contains("\nevent: page\n") && event.ends_with("\n\n"));
    let row = "data: <tr><th scope=\"row\">accepted</th><td class=\"number\">1</td>";
    assert!(event.contains(row), "{event}");
    assert!(
        event
            .lines()
            .skip(2)
            .all(|line| line.is_empty() || line.starts_with("data: "))
    );

    // The connection breaks and comes again: what was seen does not come twice.
    drop(stream);
    let mut stream = open(&fixture, "page=/", Some(id(&event))).await;
    next(&mut stream).await.unwrap();
    assert_eq!(next(&mut stream).await.unwrap(), ":\n\n");
    drop(stream);
    fixture.deliver(HANGUP.replace("c-1", "c-2")).await;
    let mut stream = open(&fixture, "page=/", Some(id(&event))).await;
    next(&mut stream).await.unwrap();
    let missed = next(&mut stream).await.unwrap();
    assert!(missed.contains("<td class=\"number\">2</td>"), "{missed}");
    assert_ne!(id(&missed), id(&event));
}

#[tokio::test(start_paused = true)]
async fn a_page_comes_anew_at_most_once_a_second() {
    let fixture = Fixture::in_memory();
    let mut streams = Vec::new();
    for page in ["/", "/events", "/", "/events%3Fq%3Dstate%3Adead"] {
        streams.push(open(&fixture, &format!("page={page}"), None).await);
    }
    let mut pages = [0; 4];
    for number in 0..100 {
        let body = format!(r#"{{"type":"call_hangup","data":{{"id":"{number}"}}}}"#);
        fixture.deliver(body).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
        for (stream, pages) in streams.iter_mut().zip(&mut pages) {
            while let Some(Some(sent)) = stream.body_mut().frame().now_or_never() {
                let sent = sent.unwrap().into_data().unwrap();
                *pages += usize::from(sent.starts_with(b"id: "));
            }
        }
    }
    // In ten seconds.
    assert!(
        pages.iter().all(|pages| (9..=11).contains(pages)),
        "{pages:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_stream_is_ended_so_that_access_is_looked_at_again() {
    let fixture = Fixture::in_memory();
    let mut stream = open(&fixture, "page=/handlers", None).await;
    let mut comments = 0;
    while let Some(sent) = next(&mut stream).await {
        comments += usize::from(sent == ":\n\n");
    }
    assert!(
        (30..=40).contains(&comments),
        "one in 15 s of 10 minutes: {comments}"
    );
}

#[tokio::test(start_paused = true)]
async fn so_many_pages_are_open_and_no_more() {
    let fixture = Fixture::in_memory();
    let mut open_pages = Vec::new();
    for _ in 0..250 {
        let stream = open(&fixture, "page=/events", None).await;
        assert_eq!(stream.status(), StatusCode::OK);
        open_pages.push(stream);
    }
    let refused = open(&fixture, "page=/events", None).await;
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(refused.headers()["retry-after"], "30");
    open_pages.pop();
    let stream = open(&fixture, "page=/events", None).await;
    assert_eq!(stream.status(), StatusCode::OK);
}

#[tokio::test]
async fn a_shutdown_ends_all_streams() {
    let fixture = Fixture::new().await;
    let mut streams = Vec::new();
    for page in ["/", "/events", "/dead", "/refused", "/handlers"] {
        streams.push(open(&fixture, &format!("page={page}"), None).await);
    }
    let deadline = Duration::from_secs(10);
    assert!(fixture.receiver.shutdown(deadline).await.is_clean());
    for mut stream in streams {
        while next(&mut stream).await.is_some() {}
    }
    let mut late = open(&fixture, "page=/", None).await;
    next(&mut late).await.unwrap();
    assert_eq!(next(&mut late).await, None);
}

#[tokio::test(start_paused = true)]
async fn what_is_hidden_or_stays_as_it_is_is_not_live() {
    let fixture = Fixture::in_memory();
    for page in [
        "/settings",
        "/events%3Fbefore%3D7",
        "/events%3Fq%3Dtext%3Ac-1",
        "/events/1/revealed",
        "/dead/revealed",
        "/live",
        "/export",
        "/sign-in",
        "/none",
    ] {
        let refused = open(&fixture, &format!("page={page}"), None).await;
        assert_eq!(refused.status(), StatusCode::NOT_FOUND, "{page}");
    }
    for page in ["/events/1", "/bulk", "/a/b/events%3Fq%3Dstate%3Adead"] {
        assert_eq!(
            open(&fixture, &format!("page={page}"), None).await.status(),
            StatusCode::OK
        );
    }
    // Nobody sees of a page by its stream what they may not see.
    let mut stream = open(&fixture, "page=/bulk", None).await;
    fixture.deliver(HANGUP).await;
    next(&mut stream).await.unwrap();
    assert_eq!(next(&mut stream).await.unwrap(), ":\n\n");
}
