use futures_util::FutureExt;
use tokio::time::sleep;

use super::*;
use crate::events::CallHangup;
use crate::testing::{context, delivery, event};

const SECOND: Duration = Duration::from_secs(1);

fn run(id: &str, handler: &str) -> Context {
    context(&delivery(event(CallHangup).id(id)).unwrap(), handler)
}

#[tokio::test(start_paused = true)]
async fn runs_are_recorded_in_order_with_their_times() {
    let recorder = Recorder::acting(|context| match context.delivery().resource_id() {
        Some("slow") => Act::succeed().after(SECOND),
        _ => Act::succeed(),
    });
    recorder.handle(run("quick", "a")).await.unwrap();
    let slow = recorder.clone();
    let slow = tokio::spawn(async move { slow.handle(run("slow", "b")).await });
    let runs = recorder.wait_for(2).await;
    let shown: Vec<_> = runs
        .iter()
        .map(|run| {
            (
                run.delivery().resource_id().unwrap(),
                run.handler(),
                run.ended(),
            )
        })
        .collect();
    assert_eq!(
        shown,
        [("quick", "a", Some(Duration::ZERO)), ("slow", "b", None)]
    );
    assert_eq!(recorder.wait_for_ends(2).await[1].ended(), Some(SECOND));
    assert!(slow.await.unwrap().is_ok());
}

#[tokio::test(start_paused = true)]
async fn it_is_awaited_without_a_sleep_and_wakes_when_enough_came() {
    let recorder = Recorder::new();
    let waiting = recorder.clone();
    let waiting = tokio::spawn(async move { waiting.wait_for(2).await.len() });
    recorder.handle(run("1", "a")).await.unwrap();
    sleep(SECOND).await;
    assert!(!waiting.is_finished());
    recorder.handle(run("2", "a")).await.unwrap();
    assert_eq!(waiting.await.unwrap(), 2);
}

#[tokio::test]
async fn each_run_is_given_once_by_next_and_rest() {
    let recorder = Recorder::new();
    for id in ["1", "2", "3"] {
        recorder.handle(run(id, "a")).await.unwrap();
    }
    assert_eq!(recorder.next().await.delivery().resource_id(), Some("1"));
    assert_eq!(recorder.rest().await.len(), 2);
    assert!(recorder.rest().await.is_empty());
    assert!(recorder.next().now_or_never().is_none());
    recorder.handle(run("4", "a")).await.unwrap();
    assert_eq!(recorder.next().await.delivery().resource_id(), Some("4"));
    assert_eq!(recorder.runs().len(), 4);
}

#[tokio::test(start_paused = true)]
async fn it_fails_panics_and_hangs_as_it_is_told() {
    let recorder = Recorder::acting(|_| Act::fail());
    assert!(recorder.handle(run("1", "a")).await.is_err());
    recorder.act(|_| Act::panic());
    let panicking = std::panic::AssertUnwindSafe(recorder.handle(run("1", "a")));
    assert!(panicking.catch_unwind().await.is_err());
    recorder.act(|_| Act::hang());
    let hanging = recorder.clone();
    let hanging = tokio::spawn(async move { hanging.handle(run("1", "a")).await });
    let runs = recorder.wait_for(3).await;
    let ended: Vec<_> = runs.iter().map(|run| run.ended().is_some()).collect();
    assert_eq!(ended, [true, true, false]);
    recorder.release();
    assert!(hanging.await.unwrap().is_ok());
}

#[tokio::test]
async fn a_run_that_is_dropped_has_ended() {
    let recorder = Recorder::acting(|_| Act::hang());
    assert!(recorder.handle(run("1", "a")).now_or_never().is_none());
    assert!(recorder.runs()[0].ended().is_some());
}
