use std::convert::Infallible;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use http::StatusCode;
use http_body_util::BodyExt;
use tower::service_fn;

use super::*;
use crate::events::CallUpdated;
use crate::testing::{AttemptErrorKind, SampleEvent, Signer, event};

const SECOND: Duration = Duration::from_secs(1);

fn events(count: usize) -> impl Iterator<Item = SampleEvent> {
    (0..count).map(|id| event(CallUpdated).id(id.to_string()))
}

/// Nothing goes wrong until it is said what does.
fn calm<S>(service: S, seed: u64) -> Chaos<S> {
    Chaos::new(Sender::new(service, Signer::new("s3cret")), seed)
        .drops(0.0)
        .copies(0.0)
        .broken_connections(0.0)
        .lost_answers(0.0)
        .delay(Duration::ZERO)
}

fn answering(
    status: StatusCode,
) -> impl Service<
    Request<Full<Bytes>>,
    Response = Response<Full<Bytes>>,
    Error = Infallible,
    Future: Send,
> + Clone
+ Send
+ 'static {
    service_fn(move |_| async move {
        let mut response = Response::new(Full::default());
        *response.status_mut() = status;
        Ok::<_, Infallible>(response)
    })
}

#[tokio::test(start_paused = true)]
async fn the_same_seed_does_the_same_and_another_one_does_not() {
    let run = |seed| async move {
        let sender = Sender::unsigned(answering(StatusCode::OK));
        let report = Chaos::new(sender, seed).send(events(100)).await;
        (report.to_string(), report.arrivals.clone())
    };
    let (told, arrivals) = run(7).await;
    assert_eq!(run(7).await, (told.clone(), arrivals));
    assert!(told.starts_with("seed 7: 100 events, "), "{told}");
    assert_ne!(run(8).await.1, run(7).await.1);
}

#[tokio::test(start_paused = true)]
async fn the_faults_of_one_event_do_not_depend_on_how_many_there_are() {
    let of_first = |count| async move {
        let sender = Sender::unsigned(answering(StatusCode::OK));
        let report = Chaos::new(sender, 3).send(events(count)).await;
        let mut arrivals = report.arrivals.clone();
        arrivals.retain(|arrival| arrival.event < 20);
        arrivals
    };
    assert_eq!(of_first(20).await, of_first(60).await);
}

#[tokio::test(start_paused = true)]
async fn without_faults_each_event_arrives_once_in_order() {
    let report = calm(answering(StatusCode::OK), 1).send(events(10)).await;
    let arrived: Vec<_> = report
        .arrivals
        .iter()
        .map(|arrival| arrival.event)
        .collect();
    assert_eq!(arrived, (0..10).collect::<Vec<_>>());
    assert_eq!(report.arrivals[9].at, SECOND * 9 / 10);
    assert!(report.lost().is_empty());
    assert_eq!(report.accepted(), arrived);
}

#[tokio::test(start_paused = true)]
async fn what_is_dropped_never_arrives_and_is_told() {
    let all = calm(answering(StatusCode::OK), 1).drops(1.0);
    let report = all.send(events(3)).await;
    assert!(report.arrivals.is_empty() && report.deliveries.is_empty());
    assert_eq!(report.lost(), [0, 1, 2]);
    let some = calm(answering(StatusCode::OK), 1).drops(0.5);
    let report = some.send(events(100)).await;
    assert!((30..70).contains(&report.lost().len()), "{report}");
    assert_eq!(report.lost().len() + report.deliveries.len(), 100);
}

#[tokio::test(start_paused = true)]
async fn copies_have_the_same_bytes_and_the_same_signature() {
    type Seen = Arc<Mutex<Vec<(String, Bytes)>>>;
    let seen = Seen::default();
    let sees = Arc::clone(&seen);
    let endpoint = service_fn(move |request: Request<Full<Bytes>>| {
        let seen = Arc::clone(&sees);
        async move {
            let signature = request.headers()["x-voipbin-signature"]
                .to_str()
                .unwrap()
                .to_owned();
            let body = request.into_body().collect().await.unwrap().to_bytes();
            seen.lock().unwrap().push((signature, body));
            Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
        }
    });
    let report = calm(endpoint, 1).copies(1.0).send(events(5)).await;
    let mut seen = seen.lock().unwrap().clone();
    assert_eq!((seen.len(), report.deliveries.len()), (10, 10));
    seen.dedup();
    assert_eq!(seen.len(), 5);
}

#[tokio::test(start_paused = true)]
async fn delays_take_the_order_away() {
    let report = calm(answering(StatusCode::OK), 1)
        .delay(2 * SECOND)
        .send(events(50))
        .await;
    let arrived: Vec<_> = report
        .arrivals
        .iter()
        .map(|arrival| arrival.event)
        .collect();
    let mut sorted = arrived.clone();
    sorted.sort_unstable();
    assert_eq!(sorted, (0..50).collect::<Vec<_>>());
    assert_ne!(arrived, sorted);
}

#[tokio::test(start_paused = true)]
async fn a_5xx_is_tried_three_times_a_second_apart() {
    let broken = answering(StatusCode::SERVICE_UNAVAILABLE);
    let report = calm(broken, 1).send(events(1)).await;
    let seen: Vec<_> = report
        .arrivals
        .iter()
        .map(|arrival| (arrival.attempt, arrival.at, arrival.status))
        .collect();
    let status = Some(StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(
        seen,
        [
            (1, Duration::ZERO, status),
            (2, SECOND, status),
            (3, 2 * SECOND, status)
        ]
    );
    assert!(report.accepted().is_empty());
    assert!(report.deliveries[0].report.delivered().is_none());
}

#[tokio::test(start_paused = true)]
async fn a_request_that_breaks_on_its_way_does_not_arrive() {
    let calls = Arc::new(AtomicU32::new(0));
    let counts = Arc::clone(&calls);
    let endpoint = service_fn(move |_: Request<Full<Bytes>>| {
        counts.fetch_add(1, Ordering::SeqCst);
        async { Ok::<_, Infallible>(Response::new(Full::<Bytes>::default())) }
    });
    let report = calm(endpoint, 1)
        .broken_connections(1.0)
        .send(events(2))
        .await;
    assert_eq!(calls.load(Ordering::SeqCst), 0);
    assert_eq!(report.lost(), [0, 1]);
    for delivery in &report.deliveries {
        let attempts = delivery.report.attempts();
        assert_eq!(attempts.len(), 3);
        assert!(attempts.iter().all(|attempt| {
            attempt
                .as_ref()
                .is_err_and(|error| error.kind() == AttemptErrorKind::Broken)
        }));
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_lost_is_known_here_and_not_to_the_sender() {
    let chaos = calm(answering(StatusCode::OK), 1).lost_answers(1.0);
    let report = chaos.send(events(10)).await;
    assert_eq!(report.arrivals.len(), 30);
    for arrival in &report.arrivals {
        assert_eq!(arrival.status, Some(StatusCode::OK));
        assert!(!arrival.answer_seen);
    }
    assert_eq!(report.accepted().len(), 10);
    let attempts = report
        .deliveries
        .iter()
        .flat_map(|delivery| delivery.report.attempts());
    let late = attempts.filter(|attempt| {
        attempt
            .as_ref()
            .is_err_and(|error| error.kind() == AttemptErrorKind::TimedOut)
    });
    assert!((5..25).contains(&late.count()), "{report}");
}

#[tokio::test(start_paused = true)]
async fn by_default_everything_goes_wrong_sometimes() {
    let sender = Sender::unsigned(answering(StatusCode::OK));
    let report = Chaos::new(sender, 1).send(events(500)).await;
    let arrivals = &report.arrivals;
    assert!((10..60).contains(&report.lost().len()), "{report}");
    assert!(arrivals.iter().filter(|arrival| arrival.copy == 2).count() > 50);
    assert!(
        arrivals
            .iter()
            .filter(|arrival| arrival.attempt > 1)
            .count()
            > 50
    );
    assert!(
        arrivals
            .iter()
            .filter(|arrival| !arrival.answer_seen)
            .count()
            > 20
    );
    assert!(!arrivals.is_sorted_by_key(|arrival| arrival.event));
}
