//! What metrics cost a delivery: nothing of the allocator's, and how much time.
//!
//! `cargo test --release -p voipbin-receiver-tests --test metrics_cost -- --nocapture` prints the
//! times.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "this is test code"
)]

use std::alloc::System;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use metrics::{
    Counter, CounterFn, Gauge, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder,
    SharedString, Unit,
};
use metrics_exporter_prometheus::PrometheusBuilder;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use support::{builder, call_hangup, deliver, send, signed};
use voipbin_receiver::catalog::Any;
use voipbin_receiver::observe::{Metrics, Observer, Transition};
use voipbin_receiver::{Receiver, ReceiverBuilder};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Counts in place: what it allocates is none of its own.
#[derive(Default)]
struct Plain {
    updates: Arc<Updates>,
}

#[derive(Default)]
struct Updates(AtomicU64);

impl CounterFn for Updates {
    fn increment(&self, _: u64) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn absolute(&self, _: u64) {}
}

impl HistogramFn for Updates {
    fn record(&self, _: f64) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl Recorder for Plain {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, _: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(Arc::clone(&self.updates))
    }

    fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::noop()
    }

    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::from_arc(Arc::clone(&self.updates))
    }
}

/// Has metrics observe each transition over and over: what that allocates, and how long one takes.
struct Measure {
    metrics: Metrics,
    updates: Arc<Updates>,
    found: Arc<Mutex<Vec<Found>>>,
}

struct Found {
    what: &'static str,
    allocations: usize,
    updates: u64,
    took: Duration,
}

const ROUNDS: u32 = 10;

const TIMES: u32 = 10_000;

impl Observer for Measure {
    fn observe(&self, transition: &Transition<'_>) {
        let what = match transition {
            Transition::Answered { .. } => "answered",
            Transition::Started { .. } => "started",
            Transition::Finished { .. } => "finished",
            _ => "another",
        };
        // The first time registers.
        self.metrics.observe(transition);
        let before = self.updates.0.load(Ordering::Relaxed);
        let rounds = (0..ROUNDS).map(|_| {
            let (region, began) = (Region::new(ALLOCATOR), Instant::now());
            for _ in 0..TIMES {
                self.metrics.observe(transition);
            }
            let (took, allocated) = (began.elapsed(), region.change());
            (took, allocated.allocations + allocated.reallocations)
        });
        let (took, allocations): (Vec<_>, Vec<_>) = rounds.unzip();
        let found = Found {
            what,
            // The threads of the test's own runner allocate now and then.
            allocations: allocations.into_iter().min().unwrap(),
            updates: self.updates.0.load(Ordering::Relaxed) - before,
            took: took.into_iter().min().unwrap(),
        };
        self.found.lock().unwrap().push(found);
    }
}

/// One after the other on one thread, so that the allocator counts nothing else.
#[tokio::test]
async fn metrics_allocate_nothing_for_a_delivery_or_a_run() {
    let recorder = Plain::default();
    let updates = Arc::clone(&recorder.updates);
    let found = Arc::new(Mutex::new(Vec::new()));
    let receiver = alone(builder().observe(Measure {
        metrics: Metrics::with_recorder(Arc::new(recorder)),
        updates,
        found: Arc::clone(&found),
    }));
    assert_eq!(
        deliver(&receiver.service(), call_hangup(1)).await.status(),
        200
    );
    assert!(
        receiver
            .shutdown(Duration::from_secs(60))
            .await
            .is_drained()
    );
    let found = std::mem::take(&mut *found.lock().unwrap());
    let whats: Vec<&str> = found.iter().map(|found| found.what).collect();
    assert_eq!(whats, ["answered", "started", "finished"]);
    for found in found {
        // A counter and more each.
        assert!(
            found.updates >= u64::from(ROUNDS * TIMES) * 2,
            "{}",
            found.what
        );
        assert_eq!(found.allocations, 0, "{}", found.what);
        let nanos = found.took.as_nanos() / u128::from(TIMES);
        println!("{:>8}: {nanos} ns, no allocation", found.what);
    }
    times().await;
}

fn alone(builder: ReceiverBuilder) -> Receiver {
    let here = tokio::runtime::Handle::current();
    builder.runtime(here).on(Any, || async {}).build().unwrap()
}

/// Whole deliveries with their runs, without metrics and with them.
async fn times() {
    // Without optimisation the times mean little.
    const DELIVERIES: u32 = if cfg!(debug_assertions) { 200 } else { 10_000 };
    let exporter = PrometheusBuilder::new()
        .set_buckets(&[0.001, 0.01, 0.1, 1.0])
        .unwrap();
    let exporter = exporter.build_recorder();
    let handle = exporter.handle();
    let receivers = [
        ("without metrics", alone(builder())),
        (
            "counted in place",
            alone(builder().observe(Metrics::with_recorder(Arc::new(Plain::default())))),
        ),
        (
            "for Prometheus",
            alone(builder().observe(Metrics::with_recorder(Arc::new(exporter)))),
        ),
    ];
    let mut best = [Duration::MAX; 3];
    for round in 0..5 {
        for ((_, receiver), best) in receivers.iter().zip(&mut best) {
            let service = receiver.service();
            let ids = round * DELIVERIES..(round + 1) * DELIVERIES;
            let requests: Vec<_> = ids.map(|id| signed(call_hangup(id))).collect();
            let handled = receiver.stats().handled + u64::from(DELIVERIES);
            let began = Instant::now();
            for request in requests {
                assert_eq!(send(&service, request).await.status(), 200);
            }
            while receiver.stats().handled < handled {
                tokio::task::yield_now().await;
            }
            *best = began.elapsed().min(*best);
            handle.run_upkeep();
        }
    }
    for ((name, _), best) in receivers.iter().zip(best) {
        println!(
            "{name:>16}: {} ns a delivery",
            best.as_nanos() / u128::from(DELIVERIES)
        );
    }
}
