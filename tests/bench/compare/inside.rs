//! What is measured without a network: parts that run in a process of their own.

use std::time::{Duration, Instant};

use futures_util::FutureExt;
use http::StatusCode;
use support::process::{keep_to_cores, memory};
use support::{call_hangup, signed};
use tokio::runtime::Builder;
use tower::Service;
use voipbin_receiver::inbox::{HandlerSet, Inbox, Incoming, Kept, MemoryInbox, Repeats};
use voipbin_receiver::testing::delivery;

use crate::report::Identities;
use crate::serve::wide;

/// Deliveries of each thread.
const EACH: usize = 50_000;

/// Prints how many deliveries a second threads hand to a receiver, each with its run of the
/// handler.
pub(crate) fn deliver(threads: &str) {
    let threads: usize = threads.parse().unwrap();
    keep_to_cores(0..threads);
    let mut runtime = Builder::new_multi_thread();
    let runtime = runtime
        .worker_threads(threads)
        .enable_all()
        .build()
        .unwrap();
    let receiver = runtime.block_on(async { wide() });
    let requests: Vec<Vec<_>> = (0..threads)
        .map(|thread| {
            let numbers = thread * EACH..(thread + 1) * EACH;
            numbers.map(|number| signed(call_hangup(number))).collect()
        })
        .collect();
    let begun = Instant::now();
    std::thread::scope(|scope| {
        for requests in requests {
            let mut service = receiver.service();
            scope.spawn(move || {
                for request in requests {
                    let answer = service.call(request).now_or_never().unwrap().unwrap();
                    assert_eq!(answer.status(), StatusCode::OK);
                }
            });
        }
    });
    while receiver.stats().handled < (threads * EACH) as u64 {
        std::thread::sleep(Duration::from_micros(100));
    }
    let took = begun.elapsed().as_secs_f64();
    println!("{}", (threads * EACH) as f64 / took);
    runtime.shutdown_background();
}

/// Fills an inbox with so many identities, and prints what they cost.
pub(crate) fn identities(count: &str) {
    const SAMPLE: usize = 100_000;
    const AT_ONCE: usize = 500;
    keep_to_cores(0..1);
    let count: usize = count.parse().unwrap();
    let inbox = MemoryInbox::builder()
        .max_identities(count + 2 * SAMPLE)
        .build();
    let nobody: HandlerSet = std::iter::empty().collect();
    let incoming = |number: usize| {
        let body = format!(r#"{{"number":{number}}}"#);
        Incoming::new(delivery(body).unwrap(), nobody.clone(), Repeats::Drop)
    };
    let keep = |incoming: Incoming| inbox.keep(incoming).now_or_never().unwrap().unwrap();

    let before = memory("VmRSS:");
    for number in 0..count {
        assert_eq!(keep(incoming(number)), Kept::New);
    }
    let after = memory("VmRSS:");
    let bytes = before.zip(after).filter(|_| count >= SAMPLE);
    let bytes = bytes.map(|(before, after)| (after.saturating_sub(before)) as f64 / count as f64);

    // In no order that a cache would like. Events are made before the clock runs, a few at a time.
    let time = |events: usize, number: &mut dyn FnMut() -> usize, expected: Kept| {
        let mut took = Duration::ZERO;
        for _ in 0..events / AT_ONCE {
            let made: Vec<_> = (0..AT_ONCE).map(|_| incoming(number())).collect();
            let begun = Instant::now();
            for incoming in made {
                assert_eq!(keep(incoming), expected);
            }
            took += begun.elapsed();
        }
        took.as_nanos() as f64 / events as f64
    };
    let mut random = fastrand::Rng::with_seed(7);
    let known = time(SAMPLE, &mut || random.usize(0..count), Kept::Duplicate);
    // Not so many that there are more than the row is about.
    let mut numbers = count..;
    let new = time(
        SAMPLE.min(count),
        &mut || numbers.next().unwrap(),
        Kept::New,
    );
    let identities = Identities {
        count,
        bytes,
        known,
        new,
    };
    println!("{}", serde_json::to_string(&identities).unwrap());
}
