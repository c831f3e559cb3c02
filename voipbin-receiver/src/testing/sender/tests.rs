use std::collections::VecDeque;
use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use futures_util::future::BoxFuture;
use http::StatusCode;
use http_body::Frame;

use super::*;
use crate::testing::AttemptErrorKind;

const BODY: &str = r#"{"type":"call_hangup","data":{"id":"x"}}"#;

/// Plays a script, one step for each request, and keeps what came and when.
#[derive(Clone)]
struct Endpoint {
    script: Arc<Mutex<VecDeque<Step>>>,
    seen: Arc<Mutex<Vec<Seen>>>,
    began: Instant,
}

enum Step {
    Status(u16),
    Break,
    Hang,
    AnswerAfter(Duration),
}

struct Seen {
    at: Duration,
    request: Request<()>,
    body: Bytes,
}

impl Endpoint {
    fn new(script: impl IntoIterator<Item = Step>) -> Self {
        Self {
            script: Arc::new(Mutex::new(script.into_iter().collect())),
            seen: Arc::default(),
            began: Instant::now(),
        }
    }

    fn seen(&self) -> Vec<Seen> {
        std::mem::take(&mut *self.seen.lock().unwrap())
    }

    fn times(&self) -> Vec<u64> {
        self.seen().iter().map(|seen| seen.at.as_secs()).collect()
    }
}

impl Service<Request<Full<Bytes>>> for Endpoint {
    type Response = Response<Full<Bytes>>;
    type Error = io::Error;
    type Future = BoxFuture<'static, io::Result<Self::Response>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Full<Bytes>>) -> Self::Future {
        let at = self.began.elapsed();
        let step = self
            .script
            .lock()
            .unwrap()
            .pop_front()
            .expect("no more requests");
        let seen = Arc::clone(&self.seen);
        Box::pin(async move {
            let (head, body) = request.into_parts();
            let body = body.collect().await.unwrap().to_bytes();
            seen.lock().unwrap().push(Seen {
                at,
                request: Request::from_parts(head, ()),
                body,
            });
            let status = match step {
                Step::Status(status) => status,
                Step::Break => return Err(io::ErrorKind::ConnectionReset.into()),
                Step::Hang => std::future::pending().await,
                Step::AnswerAfter(time) => {
                    sleep(time).await;
                    200
                }
            };
            let mut response = Response::new(Full::new(Bytes::from("answer")));
            *response.status_mut() = StatusCode::from_u16(status).unwrap();
            Ok(response)
        })
    }
}

fn sender(endpoint: &Endpoint) -> Sender<Endpoint> {
    Sender::new(endpoint.clone(), Signer::new("s3cret"))
}

fn statuses(report: &Report) -> Vec<u16> {
    report
        .attempts()
        .iter()
        .flatten()
        .map(|answer| answer.status().as_u16())
        .collect()
}

#[tokio::test(start_paused = true)]
async fn a_delivery_that_is_accepted_is_made_once() {
    let endpoint = Endpoint::new([Step::Status(200)]);
    let report = sender(&endpoint).send(BODY).await;
    assert_eq!(report.delivered().unwrap().status(), StatusCode::OK);
    assert_eq!(report.body(), "answer");
    assert_eq!(endpoint.times(), [0]);
}

#[tokio::test(start_paused = true)]
async fn a_503_is_tried_three_times_one_second_apart() {
    let endpoint = Endpoint::new([Step::Status(503), Step::Status(500), Step::Status(599)]);
    let report = sender(&endpoint).send(BODY).await;
    assert!(report.delivered().is_none());
    assert_eq!(statuses(&report), [503, 500, 599]);
    assert_eq!(report.status().unwrap(), 599);
    assert_eq!(endpoint.times(), [0, 1, 2]);
    // No pause after the last attempt.
    assert_eq!(endpoint.began.elapsed(), Duration::from_secs(2));
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_is_accepted_ends_the_tries() {
    let endpoint = Endpoint::new([Step::Status(503), Step::Status(200)]);
    let report = sender(&endpoint).send(BODY).await;
    assert!(report.delivered().is_some());
    assert_eq!(statuses(&report), [503, 200]);
}

#[tokio::test(start_paused = true)]
async fn every_status_below_500_is_final() {
    for status in [204, 301, 304, 400, 401, 404, 408, 413, 429] {
        let endpoint = Endpoint::new([Step::Status(status)]);
        let report = sender(&endpoint).send(BODY).await;
        assert_eq!(report.delivered().unwrap().status(), status);
        assert_eq!(endpoint.times(), [0]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_broken_connection_is_tried_again() {
    let endpoint = Endpoint::new([Step::Break, Step::Break, Step::Break]);
    let report = sender(&endpoint).send(BODY).await;
    assert!(report.delivered().is_none());
    assert!(report.answer().is_none());
    assert!(report.body().is_empty());
    for attempt in report.attempts() {
        let error = attempt.as_ref().unwrap_err();
        assert_eq!(error.kind(), AttemptErrorKind::Broken);
        assert!(error.source().unwrap().is::<io::Error>());
    }
    assert_eq!(endpoint.times(), [0, 1, 2]);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_never_answers_sees_the_bytes_at_0_16_and_32_seconds() {
    let endpoint = Endpoint::new([Step::Hang, Step::Hang, Step::Hang]);
    let report = sender(&endpoint).send(BODY).await;
    for attempt in report.attempts() {
        assert_eq!(
            attempt.as_ref().unwrap_err().kind(),
            AttemptErrorKind::TimedOut
        );
    }
    assert_eq!(endpoint.times(), [0, 16, 32]);
    assert_eq!(endpoint.began.elapsed().as_secs(), 47);
}

#[tokio::test(start_paused = true)]
async fn an_answer_just_in_time_counts() {
    let endpoint = Endpoint::new([Step::AnswerAfter(Duration::from_millis(14_990))]);
    let report = sender(&endpoint).send(BODY).await;
    assert_eq!(statuses(&report), [200]);
}

#[tokio::test(start_paused = true)]
async fn every_attempt_is_the_same_request() {
    let endpoint = Endpoint::new([Step::Status(503), Step::Break, Step::Status(200)]);
    let _ = sender(&endpoint)
        .uri(Uri::from_static("http://a.test/hook?b=c"))
        .send(BODY)
        .await;
    let seen = endpoint.seen();
    assert_eq!(seen.len(), 3);
    for Seen { request, body, .. } in &seen {
        assert_eq!(body, BODY);
        assert_eq!(request.headers(), seen[0].request.headers());
        assert_eq!(request.method(), Method::POST);
        assert_eq!(request.uri(), "http://a.test/hook?b=c");
        assert_eq!(request.headers()["host"], "a.test");
        assert_eq!(
            request.headers()["x-voipbin-signature"],
            "sha256=5a1894d4235a24f7361ad58af04064e25cdc43ee7a6a4871f8adf00641732546"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn method_and_content_type_go_out_as_configured() {
    for (configured, sent) in [
        ("", "GET"),
        ("post", "post"),
        ("PUT", "PUT"),
        ("DELETE", "DELETE"),
    ] {
        let endpoint = Endpoint::new([Step::Status(200)]);
        let _ = sender(&endpoint)
            .method(configured)
            .unwrap()
            .send(BODY)
            .await;
        assert_eq!(endpoint.seen()[0].request.method().as_str(), sent);
    }
    assert!(sender(&Endpoint::new([])).method("two words").is_err());

    let endpoint = Endpoint::new([Step::Status(200), Step::Status(200)]);
    let _ = sender(&endpoint)
        .content_type("text/plain")
        .unwrap()
        .send(BODY)
        .await;
    let _ = sender(&endpoint).content_type("").unwrap().send(BODY).await;
    let seen = endpoint.seen();
    assert_eq!(seen[0].request.headers()["content-type"], "text/plain");
    assert!(!seen[1].request.headers().contains_key("content-type"));
    assert!(sender(&endpoint).content_type("two\nlines").is_err());
}

#[tokio::test(start_paused = true)]
async fn without_a_secret_there_is_no_signature() {
    let endpoint = Endpoint::new([Step::Status(200)]);
    let _ = Sender::unsigned(endpoint.clone()).send(BODY).await;
    assert!(
        !endpoint.seen()[0]
            .request
            .headers()
            .contains_key("x-voipbin-signature")
    );
}

#[tokio::test(start_paused = true)]
async fn attempts_pause_and_timeout_can_be_changed() {
    let endpoint = Endpoint::new([Step::Hang, Step::Hang]);
    let report = sender(&endpoint)
        .attempts(2)
        .pause(Duration::from_secs(10))
        .answer_timeout(Duration::from_secs(5))
        .send(BODY)
        .await;
    assert_eq!(report.attempts().len(), 2);
    assert_eq!(endpoint.times(), [0, 15]);

    let endpoint = Endpoint::new([Step::Status(503)]);
    let report = sender(&endpoint).attempts(0).send(BODY).await;
    assert_eq!(report.attempts().len(), 1);
}

/// A body of 1 KiB frames that then ends, breaks or hangs.
struct Frames {
    left: usize,
    then: End,
}

#[derive(Clone, Copy)]
enum End {
    Clean,
    Broken,
    Hanging,
}

impl Body for Frames {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        if self.left > 0 {
            self.left -= 1;
            return Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(&[b'x'; 1024])))));
        }
        match self.then {
            End::Clean => Poll::Ready(None),
            End::Broken => Poll::Ready(Some(Err(io::ErrorKind::ConnectionReset.into()))),
            End::Hanging => Poll::Pending,
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_body_of_an_answer_is_kept_up_to_64_kib_and_changes_nothing() {
    for (frames, then, kept, seconds) in [
        (3, End::Clean, 3 * 1024, 0),
        (100, End::Clean, 64 * 1024, 0),
        (2, End::Broken, 2 * 1024, 0),
        (2, End::Hanging, 2 * 1024, 30),
    ] {
        let began = Instant::now();
        let service = tower::service_fn(move |_: Request<Full<Bytes>>| async move {
            Ok::<_, Infallible>(Response::new(Frames { left: frames, then }))
        });
        let report = Sender::unsigned(service).send(BODY).await;
        assert_eq!(report.delivered().unwrap().body().len(), kept);
        assert_eq!(report.attempts().len(), 1);
        assert_eq!(began.elapsed().as_secs(), seconds);
    }
}

#[tokio::test(start_paused = true)]
async fn a_delivery_can_be_spawned() {
    let endpoint = Endpoint::new([Step::Status(200), Step::Status(200)]);
    let sender = sender(&endpoint);
    let (one, two) = (
        tokio::spawn(sender.send(BODY)),
        tokio::spawn(sender.send(BODY)),
    );
    assert!(one.await.unwrap().delivered().is_some());
    assert!(two.await.unwrap().delivered().is_some());
}
