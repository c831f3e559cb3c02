use std::time::Duration;

use serde_json::{Value, json};
use voipbin_receiver::Delivery;
use voipbin_receiver::testing::{Act, RecordedRun, Recorder};

/// An event of a call, with a label by which the test knows it. What stands before its first dash
/// says what must not overlap.
pub fn labelled_call(id: &str, label: &str) -> String {
    labelled("call_updated", id, label)
}

/// The same of any type.
pub fn labelled(kind: &str, id: &str, label: &str) -> String {
    json!({"type": kind, "data": {"id": id, "label": label}}).to_string()
}

/// The label of an event.
pub fn label(delivery: &Delivery) -> String {
    let payload: Value = serde_json::from_str(delivery.payload_json()).unwrap();
    payload["label"].as_str().unwrap_or_default().to_owned()
}

/// A handler that takes this time for each run.
pub fn slow(takes: Duration) -> Recorder {
    Recorder::acting(move |_| Act::succeed().after(takes))
}

/// The labels of all runs, in the order in which they began.
pub fn labels(recorder: &Recorder) -> Vec<String> {
    let runs = recorder.runs();
    runs.iter().map(|run| label(run.delivery())).collect()
}

/// When each of the runs of a lane began, in whole seconds.
pub fn begins(recorder: &Recorder, lane: &str) -> Vec<u64> {
    let runs = recorder.runs();
    let of_lane = runs.iter().filter(|run| lane_of(run) == lane);
    of_lane.map(|run| run.began().as_secs()).collect()
}

/// That no two runs by one handler in one lane overlap.
///
/// # Panics
///
/// When they do.
pub fn assert_apart(runs: &[RecordedRun]) {
    for (place, run) in runs.iter().enumerate() {
        let same = |other: &&RecordedRun| {
            lane_of(other) == lane_of(run) && other.handler() == run.handler()
        };
        for later in runs[place + 1..].iter().filter(same) {
            assert!(
                run.ended().is_some_and(|ended| ended <= later.began()),
                "{run:?} overlaps {later:?}"
            );
        }
    }
}

fn lane_of(run: &RecordedRun) -> String {
    let label = label(run.delivery());
    label.split('-').next().unwrap().to_owned()
}
