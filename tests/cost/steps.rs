//! How long each step of a delivery takes.
//!
//! `cargo bench -p voipbin-receiver-cost --bench steps` prints the times of each step for one event
//! of 1.5 KB; a name after `--` picks steps. Beside them stand the same work done otherwise, and
//! the signature alone, to compare with: the times themselves are the machine's. How much memory a
//! delivery asks for, and how many instructions it takes, has budgets of its own in this package.
#![allow(clippy::unwrap_used, reason = "this is test code")]

use std::cell::RefCell;
use std::collections::HashMap;

use bytes::Bytes;
use cost::{OneThread, SECRET, Signed, hangup};
use divan::{Bencher, black_box};
use futures_util::FutureExt;
use http::StatusCode;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};
use voipbin_receiver::handler::HandlerName;
use voipbin_receiver::inbox::{
    Consumer, HandlerSet, Inbox, Incoming, Job, Kept, MemoryInbox, Prefetch, Settled,
};
use voipbin_receiver::resource::Call;
use voipbin_receiver::testing::{Signer, delivery};
use voipbin_receiver::{Delivery, Event, Repeats};

/// How many identities an inbox remembers while it is measured.
const REMEMBERED: u64 = 1_000_000;

/// Events of a sample.
const ROUND: u32 = 64;

fn main() {
    divan::main();
}

/// What is done for an answer, from the request to the response: all of it in one.
#[divan::bench_group(sample_size = ROUND, sample_count = 1000)]
mod request {
    use super::*;

    /// A new event: verified, parsed, remembered, queued.
    #[divan::bench]
    fn accepted(bencher: Bencher<'_, '_>) {
        answered(bencher, StatusCode::OK, |_, request| request);
    }

    /// A copy of what is kept.
    #[divan::bench]
    fn duplicate(bencher: Bencher<'_, '_>) {
        answered(bencher, StatusCode::OK, |bench, request| {
            let copy = request.clone();
            bench.answer_one(request, StatusCode::OK);
            copy
        });
    }

    /// The signature of another body.
    #[divan::bench]
    fn forged(bencher: Bencher<'_, '_>) {
        answered(bencher, StatusCode::UNAUTHORIZED, |bench, mut request| {
            let other = bench.requests(1).pop().unwrap();
            *request.headers_mut() = other.headers().clone();
            request
        });
    }

    /// What follows the answer to a new event, to the end of a handler that does nothing. The first
    /// of a sample handles what waits for all of them.
    #[divan::bench]
    fn handled(bencher: Bencher<'_, '_>) {
        let bench = RefCell::new(OneThread::new());
        bencher
            .with_inputs(|| {
                let mut bench = bench.borrow_mut();
                let request = bench.requests(1).pop().unwrap();
                bench.answer_one(request, StatusCode::OK);
            })
            .bench_local_values(|()| bench.borrow().handle());
    }

    fn answered(
        bencher: Bencher<'_, '_>,
        status: StatusCode,
        prepare: impl Fn(&mut OneThread, Signed) -> Signed,
    ) {
        let bench = RefCell::new(OneThread::new());
        bencher
            .with_inputs(|| {
                let mut bench = bench.borrow_mut();
                // What the last sample left.
                bench.handle();
                let request = bench.requests(1).pop().unwrap();
                prepare(&mut bench, request)
            })
            .bench_local_values(|request| bench.borrow_mut().answer_one(request, status));
    }
}

/// What a body is signed with, which every receiver must do.
#[divan::bench]
fn signature(bencher: Bencher<'_, '_>) {
    let (signer, body) = (Signer::new(SECRET), hangup(0));
    bencher.bench(|| signer.sign(black_box(body.as_bytes())));
}

/// What a body is found to be.
#[divan::bench_group]
mod envelope {
    use super::*;

    #[derive(Deserialize)]
    struct Envelope<'a> {
        #[serde(borrow, rename = "type")]
        event_type: &'a str,
        #[serde(borrow)]
        data: &'a RawValue,
    }

    /// With the identity of an unsigned one, a SHA-256 of the body.
    #[divan::bench]
    fn ours_with_identity(bencher: Bencher<'_, '_>) {
        let body = Bytes::from(hangup(0));
        bencher.bench(|| delivery(black_box(&body).clone()).unwrap());
    }

    /// That SHA-256 alone.
    #[divan::bench]
    fn identity_alone(bencher: Bencher<'_, '_>) {
        let body = hangup(0);
        bencher.bench(|| Sha256::digest(black_box(&body)));
    }

    /// Its parts as they were written.
    #[divan::bench]
    fn serde_json_raw(bencher: Bencher<'_, '_>) {
        let body = hangup(0);
        bencher.bench(|| {
            let envelope: Envelope<'_> = serde_json::from_str(black_box(&body)).unwrap();
            (envelope.event_type.len(), envelope.data.get().len())
        });
    }

    /// As a tree.
    #[divan::bench]
    fn serde_json_value(bencher: Bencher<'_, '_>) {
        let body = hangup(0);
        bencher.bench(|| serde_json::from_str::<Value>(black_box(&body)).unwrap());
    }
}

/// What a handler, or the dispatcher for it, reads out of a payload.
#[divan::bench_group]
mod payload {
    use super::*;

    fn hung_up() -> Delivery {
        delivery(hangup(0)).unwrap()
    }

    #[divan::bench]
    fn last_change(bencher: Bencher<'_, '_>) {
        let delivery = hung_up();
        bencher.bench(|| black_box(&delivery).last_change());
    }

    #[divan::bench]
    fn lane(bencher: Bencher<'_, '_>) {
        let delivery = hung_up();
        bencher.bench(|| black_box(&delivery).lane_id().map(|id| id.len()));
    }

    /// The resource as a struct, which the first handler that asks for it pays for.
    #[divan::bench]
    fn resource(bencher: Bencher<'_, '_>) {
        bencher
            .with_inputs(hung_up)
            .bench_values(|delivery| Event::<Call>::read(&delivery).unwrap());
    }
}

/// The inbox in memory, which remembers a million identities.
#[divan::bench_group(sample_size = ROUND, sample_count = 1000)]
mod memory {
    use super::*;

    fn jobs() -> HandlerSet {
        std::iter::once(HandlerName::new("bench")).collect()
    }

    fn incoming(call: u64) -> Incoming {
        Incoming::new(delivery(hangup(call)).unwrap(), jobs(), Repeats::Drop)
    }

    fn keep((inbox, _): &Consumed, incoming: Incoming) -> Kept {
        inbox.keep(incoming).now_or_never().unwrap().unwrap()
    }

    /// An inbox and whoever takes from it.
    type Consumed = (MemoryInbox, Box<dyn Consumer>);

    fn take((_, consumer): &Consumed, jobs: u32) -> Vec<Job> {
        let taken = consumer
            .take(Prefetch::for_jobs(jobs as usize))
            .now_or_never();
        taken.flatten().unwrap_or_default()
    }

    fn settle((_, consumer): &Consumed, jobs: &[Job]) {
        for job in jobs {
            consumer.settle(job, Settled::Done);
        }
    }

    /// As many as that, each handled.
    fn full() -> Consumed {
        let inbox = MemoryInbox::builder()
            .max_identities(usize::try_from(2 * REMEMBERED).unwrap())
            .build();
        let consumer = inbox.consume().unwrap();
        let inbox = (inbox, consumer);
        for call in 0..REMEMBERED {
            keep(&inbox, incoming(call));
            settle(&inbox, &take(&inbox, 1));
        }
        inbox
    }

    /// Calls that did not come before.
    fn new() -> impl FnMut() -> u64 {
        let mut calls = REMEMBERED..;
        move || calls.next().unwrap()
    }

    /// Calls that did, in an order that no cache likes.
    fn known() -> impl FnMut() -> u64 {
        let mut calls = 0_u64..;
        move || calls.next().unwrap().wrapping_mul(0x9E37_79B9_7F4A_7C15) % REMEMBERED
    }

    #[divan::bench]
    fn keep_new(bencher: Bencher<'_, '_>) {
        let (inbox, mut next) = (full(), new());
        bencher
            .with_inputs(|| {
                settle(&inbox, &take(&inbox, ROUND));
                incoming(next())
            })
            .bench_local_values(|incoming| keep(&inbox, incoming));
    }

    #[divan::bench]
    fn keep_known(bencher: Bencher<'_, '_>) {
        let (inbox, mut next) = (full(), known());
        bencher
            .with_inputs(|| incoming(next()))
            .bench_local_values(|incoming| keep(&inbox, incoming));
    }

    /// Both, for one job of an event.
    #[divan::bench]
    fn take_and_settle(bencher: Bencher<'_, '_>) {
        let (inbox, mut next) = (full(), new());
        bencher
            .with_inputs(|| {
                keep(&inbox, incoming(next()));
            })
            .bench_local_values(|()| settle(&inbox, &take(&inbox, 1)));
    }

    /// A map of the standard library with as many keys, to compare with: the same look-up, and
    /// nothing else.
    #[divan::bench]
    fn std_map_known(bencher: Bencher<'_, '_>) {
        let key = |call| delivery(hangup(call)).unwrap().identity();
        let map: HashMap<_, u64> = (0..REMEMBERED).map(|call| (key(call), call)).collect();
        let mut next = known();
        bencher
            .with_inputs(|| key(next()))
            .bench_local_values(|key| map.get(&key).copied());
    }
}
