//! What a signature costs in memory. It counts what the whole process allocates, and so stands alone.
#![allow(clippy::unwrap_used, clippy::panic, reason = "this is test code")]

use std::alloc::System;

use http::Request;
use http_body_util::Full;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use support::{Recorder, SECRET, call_hangup, send};
use voipbin_receiver::Receiver;
use voipbin_receiver::catalog::Any;
use voipbin_receiver::gate::Secret;
use voipbin_receiver::testing::Signer;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// How many allocations it takes to refuse a signature that none of this many secrets makes.
async fn allocations(secrets: usize) -> usize {
    let receiver = Receiver::builder()
        .secret(SECRET)
        .on(Any, Recorder::new())
        .build()
        .unwrap();
    let set = (0..secrets).map(|number| Secret::from(format!("{SECRET}{number}")));
    receiver.secrets().set(set).unwrap();
    let service = receiver.service();
    let request = || -> Request<Full<bytes::Bytes>> {
        Signer::new("a stranger's").request("/".parse().unwrap(), call_hangup(1))
    };
    // The first one may set something up.
    assert_eq!(send(&service, request()).await.status(), 401);
    let mut least = usize::MAX;
    // Other threads may allocate in between, and not each time.
    for _ in 0..20 {
        let request = request();
        let region = Region::new(ALLOCATOR);
        let answer = send(&service, request).await;
        least = least.min(region.change().allocations);
        assert_eq!(answer.status(), 401);
    }
    least
}

#[tokio::test]
async fn checking_against_more_secrets_takes_no_more_memory() {
    let (few, many) = (allocations(1).await, allocations(64).await);
    println!("allocations of a refused delivery: {few} with 1 secret, {many} with 64");
    assert_eq!(few, many);
}
