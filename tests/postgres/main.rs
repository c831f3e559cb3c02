//! The inbox on PostgreSQL, against servers of the distribution's package that these tests start.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "this is test code"
)]

mod contract;
mod deployment;
mod effects;
mod examples;
mod failover;
mod faults;
#[allow(dead_code, reason = "it is shared with the tests of the inspector")]
#[path = "../inspector/fixture.rs"]
mod fixture;
mod inspector;
mod keeping;
mod load;
mod moving;
mod network;
mod proxy;
mod server;
mod setup;
mod sharing;
mod sources;

use std::time::Duration;

use voipbin_receiver::handler::HandlerName;
use voipbin_receiver::inbox::{Consumer, HandlerSet, Incoming, Job, Lane, Prefetch, Repeats};
use voipbin_receiver::testing::delivery;

/// How long something may take that happens in its own time.
const PATIENCE: Duration = Duration::from_secs(60);

/// How often to look whether it has.
const GLANCE: Duration = Duration::from_millis(5);

/// An event of its own for each number, for one handler, in one of ten lanes.
fn event(number: usize) -> Incoming {
    let body = format!(r#"{{"type":"call_hangup","data":{{"id":"call-{number}"}}}}"#);
    let lane = Lane::of(format!("{}", number % 10));
    incoming(body, Repeats::Drop).in_lane(Some(lane))
}

fn incoming(body: impl Into<String>, repeats: Repeats) -> Incoming {
    let jobs = HandlerSet::from_iter([HandlerName::new("crm")]);
    Incoming::new(delivery(body.into()).unwrap(), jobs, repeats)
}

async fn patiently<T>(step: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, step)
        .await
        .expect("it takes too long")
}

/// So many jobs.
async fn take(consumer: &dyn Consumer, jobs: usize) -> Vec<Job> {
    let mut taken = Vec::new();
    while taken.len() < jobs {
        let room = Prefetch::for_jobs(jobs - taken.len());
        taken.extend(patiently(consumer.take(room)).await.unwrap());
    }
    taken
}
