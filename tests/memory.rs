//! What remembering and queueing cost, as counted by the allocator.
//!
//! `cargo test --release -p voipbin-receiver-tests --test memory -- --nocapture` prints the
//! figures. They are bytes asked for; what an allocator adds for itself is not in them.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "this is test code"
)]

use std::alloc::System;
use std::future::pending;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use http::{Request, StatusCode};
use http_body_util::Full;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use support::{ManualClock, builder, call_hangup, on_the_wire, serve_alone, signed};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, watch};
use tower::Service;
use voipbin_receiver::catalog::{Any, Custom};
use voipbin_receiver::inbox::{
    Consumer, Guarantees, Inbox, InboxError, InboxStats, Incoming, Job, KeepError, Kept,
    MemoryInbox, Prefetch, Repeats, Reply, Settled,
};
use voipbin_receiver::{
    Context, Delivery, HandlerOptions, Receiver, ReceiverService, Registration, async_trait,
};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// A memory inbox that gives nothing to handlers, so that nothing runs beside what is measured.
#[derive(Clone, Debug)]
struct Alone {
    inner: Arc<MemoryInbox>,
    /// Whether each event is taken and finished as soon as it is kept.
    finishes: bool,
    consumer: Hidden<Arc<dyn Consumer>>,
}

/// Not for `Debug`.
#[derive(Clone)]
struct Hidden<T>(T);

impl<T> std::fmt::Debug for Hidden<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("…")
    }
}

impl Alone {
    fn new(inner: Arc<MemoryInbox>, finishes: bool) -> Self {
        let consumer = Hidden(inner.consume().unwrap().into());
        Self {
            inner,
            finishes,
            consumer,
        }
    }
}

impl Inbox for Alone {
    fn keep(&self, incoming: Incoming) -> Reply<Kept, KeepError> {
        let reply = self.inner.keep(incoming);
        if self.finishes {
            let consumer = &self.consumer.0;
            let taken = consumer.take(Prefetch::for_jobs(1)).now_or_never();
            for job in taken.flatten().into_iter().flatten() {
                consumer.settle(&job, Settled::Done);
            }
        }
        reply
    }

    fn consume(&self) -> Result<Box<dyn Consumer>, InboxError> {
        Ok(Box::new(Nothing))
    }

    fn guarantees(&self) -> Guarantees {
        self.inner.guarantees()
    }

    fn stats(&self) -> InboxStats {
        self.inner.stats()
    }
}

struct Nothing;

#[async_trait]
impl Consumer for Nothing {
    async fn take(&self, _: Prefetch) -> Option<Vec<Job>> {
        pending().await
    }

    fn settle(&self, _: &Job, _: Settled) {}

    fn drain(&self) {}
}

/// A memory inbox that tells how many jobs were taken and how many are settled.
#[derive(Clone, Debug)]
struct Counting {
    inner: Arc<MemoryInbox>,
    taken: watch::Sender<usize>,
    settled: watch::Sender<usize>,
}

impl Inbox for Counting {
    fn keep(&self, incoming: Incoming) -> Reply<Kept, KeepError> {
        self.inner.keep(incoming)
    }

    fn consume(&self) -> Result<Box<dyn Consumer>, InboxError> {
        let (inner, taken) = (self.inner.consume()?, self.taken.clone());
        let settled = self.settled.clone();
        Ok(Box::new(CountingConsumer {
            inner,
            taken,
            settled,
        }))
    }

    fn guarantees(&self) -> Guarantees {
        self.inner.guarantees()
    }

    fn stats(&self) -> InboxStats {
        self.inner.stats()
    }
}

struct CountingConsumer {
    inner: Box<dyn Consumer>,
    taken: watch::Sender<usize>,
    settled: watch::Sender<usize>,
}

#[async_trait]
impl Consumer for CountingConsumer {
    async fn take(&self, room: Prefetch) -> Option<Vec<Job>> {
        let jobs = self.inner.take(room).await?;
        self.taken.send_modify(|taken| *taken += jobs.len());
        Some(jobs)
    }

    fn settle(&self, job: &Job, outcome: Settled) {
        self.inner.settle(job, outcome);
        self.settled.send_modify(|settled| *settled += 1);
    }

    fn drain(&self) {
        self.inner.drain();
    }
}

/// What is held beyond what was held before.
fn held(region: &Region<'_, System>) -> usize {
    let change = region.change();
    change.bytes_allocated - change.bytes_deallocated
}

fn per(bytes: usize, events: usize) -> f64 {
    bytes as f64 / events as f64
}

/// Custom deliveries of one number each, from two threads: the cheapest there are.
fn pass_through(service: &ReceiverService, numbers: Range<usize>) {
    std::thread::scope(|scope| {
        for odd in 0..2 {
            let (mut service, numbers) = (service.clone(), numbers.clone());
            scope.spawn(move || {
                for number in numbers.skip(odd).step_by(2) {
                    let request = Request::new(Full::new(Bytes::from(number.to_string())));
                    let answer = service.call(request).now_or_never().unwrap().unwrap();
                    assert_eq!(answer.status(), StatusCode::OK);
                }
            });
        }
    });
}

/// One test, since the allocator counts for the whole process.
#[test]
fn memory_is_what_the_documentation_says() {
    a_remembered_identity_takes_at_most_66_bytes_and_gives_them_back();
    a_queued_event_takes_its_body_and_little_more();
    lanes_that_are_over_give_their_memory_back();
    a_connection_takes_its_two_buffers_and_little_more();
}

fn a_remembered_identity_takes_at_most_66_bytes_and_gives_them_back() {
    // Unoptimised, a quarter stands for the whole.
    const EVENTS: usize = if cfg!(debug_assertions) {
        250_000
    } else {
        1_000_000
    };
    let clock = Arc::new(ManualClock::default());
    let region = Region::new(ALLOCATOR);
    let inner = Arc::new(MemoryInbox::builder().clock(clock.clone()).build());
    let receiver = Receiver::builder()
        .allow_unsigned()
        .repeats(Repeats::Drop)
        .inbox(Alone::new(Arc::clone(&inner), true))
        .on(Custom, |_: Context| async {})
        .build()
        .unwrap();
    let service = receiver.service();

    pass_through(&service, 0..1);
    let before = held(&region);
    pass_through(&service, 1..EVENTS);
    let full = held(&region) - before;
    let stats = inner.stats();
    assert_eq!(
        (stats.events, stats.identities, stats.evicted),
        (0, EVENTS, 0)
    );
    println!(
        "a remembered identity, of {EVENTS}: {:.1} bytes",
        per(full, EVENTS)
    );
    assert!(full <= 66 * EVENTS);

    clock.advance(MemoryInbox::DEFAULT_IDENTITY_TTL + Duration::from_secs(1));
    pass_through(&service, EVENTS..2 * EVENTS);
    let after = held(&region) - before;
    let stats = inner.stats();
    assert_eq!(
        (stats.events, stats.identities, stats.evicted),
        (0, EVENTS, 0)
    );
    println!(
        "the same after all of them expired and as many came: {:.1} bytes",
        per(after, EVENTS)
    );
    assert!(after <= 66 * EVENTS);
}

fn a_queued_event_takes_its_body_and_little_more() {
    /// As many as the inbox takes, nearly.
    const EVENTS: usize = 16_000;
    const STEP: usize = 500;
    /// Its place in the queue, what is known of it beside the bytes, and its identity.
    const MORE: f64 = 300.0;
    for length in [100, 1200] {
        let inner = Arc::new(MemoryInbox::new());
        let receiver = builder()
            .inbox(Alone::new(Arc::clone(&inner), false))
            .on(Any, |_: Context| async {})
            .build()
            .unwrap();
        let mut service = receiver.service();
        let mut send = |id: usize| {
            let body = call_hangup(format_args!("{id:0length$}"));
            let answer = service.call(signed(body)).now_or_never().unwrap().unwrap();
            assert_eq!(answer.status(), StatusCode::OK);
        };
        send(0);
        let body = inner.stats().bytes;
        let region = Region::new(ALLOCATOR);
        // Tables and queues grow by steps: an event takes the most right after one.
        let (mut most, mut last): (f64, f64) = (0.0, 0.0);
        for sent in (STEP..=EVENTS).step_by(STEP) {
            (sent - STEP + 1..=sent).for_each(&mut send);
            let stats = inner.stats();
            assert_eq!((stats.events, stats.bytes), (sent + 1, body * (sent + 1)));
            last = per(held(&region) - body * sent, sent);
            if sent >= 4 * STEP {
                most = most.max(last);
            }
        }
        let change = region.change();
        println!(
            "a queued event with a body of {body}: {last:.1} bytes more, at most {most:.1}, in {:.1} allocations",
            per(change.allocations - change.deallocations, EVENTS),
        );
        assert!(most <= MORE);
    }
}

/// Each delivery has a lane of its own, and all of them wait for one that runs.
fn lanes_that_are_over_give_their_memory_back() {
    const LANES: usize = if cfg!(debug_assertions) {
        100_000
    } else {
        1_000_000
    };
    let inner = MemoryInbox::builder()
        .max_events(2 * LANES)
        .max_bytes(usize::MAX)
        .max_identities(1);
    let inbox = Counting {
        inner: Arc::new(inner.build()),
        taken: watch::Sender::new(0),
        settled: watch::Sender::new(0),
    };
    let gate = Arc::new(Semaphore::new(1));
    let passes = Arc::clone(&gate);
    let handler = Registration::new(Custom, move |_: Context| {
        let passes = Arc::clone(&passes);
        async move { passes.acquire().await.unwrap().forget() }
    });
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_time()
        .build()
        .unwrap();
    let receiver = Receiver::builder()
        .allow_unsigned()
        .runtime(runtime.handle().clone())
        .inbox(inbox.clone())
        .lane_key(|delivery: &Delivery| Some(format!("{:?}", delivery.body())))
        .handlers([handler.options(HandlerOptions::new().concurrency(1))])
        .build()
        .unwrap();
    let reach = |counter: &watch::Sender<usize>, count: usize| {
        let mut counter = counter.subscribe();
        runtime.block_on(async {
            counter.wait_for(|reached| *reached == count).await.unwrap();
        });
    };

    pass_through(&receiver.service(), 0..1);
    reach(&inbox.settled, 1);
    let region = Region::new(ALLOCATOR);
    pass_through(&receiver.service(), 1..LANES + 1);
    reach(&inbox.taken, LANES + 1);
    let full = held(&region);
    gate.add_permits(LANES + 1);
    reach(&inbox.settled, LANES + 1);
    // It begins when all of the one before is over.
    pass_through(&receiver.service(), LANES + 1..LANES + 2);
    reach(&inbox.settled, LANES + 2);
    let after = held(&region);
    println!(
        "a lane, of {LANES} that wait: {:.1} bytes; after all of them are over: {:.1} bytes",
        per(full, LANES),
        per(after, LANES),
    );
    // Queues keep some room, however many there were.
    assert!(after <= 1 << 20, "{after} bytes are left");
    let report = runtime.block_on(receiver.shutdown(Duration::from_secs(60)));
    assert!(report.is_drained());
}

/// After its first request, and before its next one.
fn a_connection_takes_its_two_buffers_and_little_more() {
    const CONNECTIONS: usize = 100;
    /// hyper reads into one and writes from the other.
    const BUFFERS: usize = 2 * 8192;
    /// Its state, and two tables for the headers of requests and of answers, which are used again.
    const MORE: usize = 5 * 1024;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    // No handler wants the events: only connections are left of them.
    let receiver = builder().on(Custom, |_: Context| async {}).build().unwrap();
    let address = runtime.block_on(serve_alone(receiver.service()));
    let request = on_the_wire("POST", &call_hangup("x"));
    let answered = async || {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(&request).await.unwrap();
        let mut answer = [0; 1024];
        assert!(stream.read(&mut answer).await.unwrap() > 0);
        assert!(answer.starts_with(b"HTTP/1.1 200 OK\r\n"));
        stream
    };
    runtime.block_on(async {
        let mut streams = Vec::with_capacity(2 * CONNECTIONS);
        for _ in 0..CONNECTIONS {
            streams.push(answered().await);
        }
        let region = Region::new(ALLOCATOR);
        for _ in 0..CONNECTIONS {
            streams.push(answered().await);
        }
        let each = per(held(&region), CONNECTIONS);
        println!("a connection: {each:.0} bytes");
        assert!(each <= (BUFFERS + MORE) as f64);
    });
}
