//! How often memory is asked for. It counts what the whole process allocates, and so stands alone.
//!
//! `cargo test -p voipbin-receiver-cost -- --nocapture` prints the figures.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "this is test code"
)]

use std::alloc::System;

use cost::{OneThread, SECRET, hangup};
use futures_util::FutureExt;
use http::StatusCode;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use tower_service::Service;
use voipbin_receiver::Receiver;
use voipbin_receiver::catalog::Any;
use voipbin_receiver::gate::Secret;
use voipbin_receiver::testing::Signer;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// From the request to the answer: the body, what is known of it, its place in the inbox, how deep
/// its JSON is nested, and the two tables of the answer's headers.
const ANSWER: usize = 6;

/// From the queue to the end of the handler: the entry, the permit, the future of the job, its
/// task, and the handler's future.
const HANDLE: usize = 5;

/// The same for an event that comes alone: taking is a future and two lists of its own.
const HANDLE_ONE: usize = 9;

/// Of how many deliveries each figure is the mean. Queues and maps grow meanwhile, which is less
/// than one allocation in ten deliveries.
const DELIVERIES: usize = 1024;

/// How many times memory was asked for, be it anew or for more.
fn asked(region: &Region<'_, System>) -> usize {
    let change = region.change();
    change.allocations + change.reallocations
}

/// One test, since the allocator counts for the whole process.
#[test]
fn a_delivery_asks_for_memory_as_seldom_as_its_budget_says() {
    an_accepted_delivery_stays_within_its_budget();
    checking_against_more_secrets_takes_no_more_memory();
}

fn an_accepted_delivery_stays_within_its_budget() {
    let mut bench = OneThread::new();
    let rounds = |bench: &mut OneThread, round: usize| {
        let (mut answering, mut handling) = (0, 0);
        for _ in 0..DELIVERIES / round {
            let requests = bench.requests(round as u64);
            let region = Region::new(ALLOCATOR);
            bench.answer(requests, StatusCode::OK);
            answering += asked(&region);
            let region = Region::new(ALLOCATOR);
            bench.handle();
            handling += asked(&region);
        }
        (answering, handling)
    };
    // Tables and lines of identities are small at first, and grow often.
    for _ in 0..12 {
        rounds(&mut bench, 64);
    }
    for (round, handle, what) in [
        (64, HANDLE, "of 64 at once"),
        (1, HANDLE_ONE, "that comes alone"),
    ] {
        let (answering, handling) = rounds(&mut bench, round);
        println!(
            "allocations of an event {what}: {:.2} up to its answer, {:.2} from there to the end of its handler",
            answering as f64 / DELIVERIES as f64,
            handling as f64 / DELIVERIES as f64,
        );
        let growth = DELIVERIES / 10;
        assert!(answering <= ANSWER * DELIVERIES + growth, "{what}");
        assert!(handling <= handle * DELIVERIES + growth, "{what}");
    }
}

/// How many allocations it takes to refuse a signature that none of this many secrets makes.
fn refusing(secrets: usize) -> usize {
    let receiver = Receiver::builder()
        .secret(SECRET)
        .on(Any, || async {})
        .build()
        .unwrap();
    let set = (0..secrets).map(|number| Secret::from(format!("{SECRET}{number}")));
    receiver.secrets().set(set).unwrap();
    let mut service = receiver.service();
    let stranger = Signer::new("a stranger's");
    let counts = (0..20).map(|call| {
        let request = stranger.request("/".parse().unwrap(), hangup(call));
        let region = Region::new(ALLOCATOR);
        let answer = service.call(request).now_or_never().unwrap().unwrap();
        assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
        asked(&region)
    });
    // Other threads may allocate in between, and not each time.
    counts.min().unwrap()
}

fn checking_against_more_secrets_takes_no_more_memory() {
    let (few, many) = (refusing(1), refusing(64));
    println!("allocations of a refused delivery: {few} with 1 secret, {many} with 64");
    assert_eq!(few, many);
}
