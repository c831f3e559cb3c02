//! The sender of the benchmarks: what it says has to be true.

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::routing::post;
use http::header::CONNECTION;
use support::load::{BODY_LENGTH, Load, Pace, Sent};
use support::{PATH, Recorder, builder, serve_app, serve_hyper, within};
use tokio::task::spawn_blocking;
use voipbin_receiver::catalog::Any;
use voipbin_receiver::{Receiver, ReceiverBuilder};

fn load(address: SocketAddr, pace: Pace) -> Load {
    Load {
        address,
        connections: 4,
        body_length: BODY_LENGTH,
        first: 0,
        pace,
        server: Vec::new(),
        core: None,
        awake: false,
    }
}

fn all_of(requests: usize) -> Pace {
    Pace::Closed {
        requests,
        lead: Duration::ZERO,
        time: None,
    }
}

async fn send(load: Load) -> Sent {
    within(spawn_blocking(|| load.send_here())).await.unwrap()
}

fn receiver(handler: Recorder) -> Receiver {
    builder().on(Any, handler).build().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_request_is_an_event_of_its_own_with_a_signature_that_fits() {
    let receiver = receiver(Recorder::new());
    let address = serve_hyper(receiver.service()).await;
    let mut sent = 0;
    for body_length in [200, BODY_LENGTH, 100_000] {
        let load = Load {
            body_length,
            first: sent,
            ..load(address, all_of(50))
        };
        let result = send(load).await;
        assert!(result.all_received(), "{:?}", result.answered);
        sent += result.requests;
    }
    assert_eq!(receiver.stats().accepted, 150);
    assert!(receiver.shutdown(Duration::MAX).await.is_drained());
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_have_the_length_that_was_asked_for() {
    let handler = Recorder::new();
    let receiver = receiver(handler.clone());
    let address = serve_hyper(receiver.service()).await;
    for body_length in [130, 1_517, 1_518, BODY_LENGTH, 5_000] {
        let load = Load {
            body_length,
            first: body_length,
            ..load(address, all_of(1))
        };
        assert!(send(load).await.all_received());
    }
    assert!(receiver.shutdown(Duration::MAX).await.is_drained());
    let mut lengths: Vec<usize> = handler
        .runs()
        .iter()
        .map(|run| run.delivery().body().len())
        .collect();
    lengths.sort_unstable();
    assert_eq!(lengths, [130, 1_517, 1_518, BODY_LENGTH, 5_000]);
}

#[tokio::test(flavor = "multi_thread")]
async fn at_a_rate_everything_that_was_due_is_sent() {
    let receiver = receiver(Recorder::new());
    let address = serve_hyper(receiver.service()).await;
    let pace = Pace::Open {
        rate: 1_000.0,
        lead: Duration::from_millis(50),
        time: Duration::from_millis(200),
    };
    let sent = send(load(address, pace)).await;
    assert!(sent.all_received());
    assert_eq!(sent.requests, 250);
    assert_eq!(receiver.stats().accepted, 250);
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_fit_into_no_queue_are_opened_all_the_same() {
    let receiver = receiver(Recorder::new());
    let address = serve_hyper(receiver.service()).await;
    let load = Load {
        connections: 600,
        ..load(address, all_of(700))
    };
    let sent = send(load).await;
    assert!(sent.all_received());
    // One more to be sure of the first connections.
    assert_eq!((sent.requests, sent.reopened), (701, 0));
    assert_eq!(receiver.stats().accepted, 701);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sender_that_never_sleeps_sends_the_same_and_knows_when_it_has_nothing_to_do() {
    let receiver = receiver(Recorder::new());
    let address = serve_hyper(receiver.service()).await;
    let load = Load {
        awake: true,
        ..load(address, all_of(200))
    };
    let sent = send(load).await;
    assert!(sent.all_received());
    assert_eq!(receiver.stats().accepted, 200);
    assert!(sent.busy < 1.0, "{}", sent.busy);
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_that_are_refusals_are_counted_by_status() {
    let other: ReceiverBuilder = Receiver::builder().secret("another secret than the sender's");
    let receiver = other.on(Any, Recorder::new()).build().unwrap();
    let address = serve_hyper(receiver.service()).await;
    let sent = send(load(address, all_of(20))).await;
    assert!(!sent.all_received());
    assert_eq!((sent.with(401), sent.with(200)), (20, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_the_server_closes_is_opened_again() {
    let closing = || async { ([(CONNECTION, "close")], "{}") };
    let address = serve_app(Router::new().route(PATH, post(closing))).await;
    let sent = send(load(address, all_of(20))).await;
    assert!(sent.all_received());
    assert_eq!(sent.reopened, 20);
}
