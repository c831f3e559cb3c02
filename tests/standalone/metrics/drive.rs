//! Has receivers do everything that there is a metric for.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;
use futures_util::{poll, stream};
use http::{HeaderValue, Request};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use metrics_exporter_prometheus::{
    Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder,
};
use support::{
    Frames, HeldInbox, PATH, PreparedInbox, Valve, builder, call_hangup, deliver, send, signed,
    unsigned, until,
};
use tokio::runtime::Handle;
use tower::ServiceExt;
use voipbin_receiver::catalog::{Any, Custom};
use voipbin_receiver::events::{CallHangup, CallProgressing};
use voipbin_receiver::gate::{Limits, PeerAddr, Rate, Secret};
use voipbin_receiver::handler::HandlerName;
use voipbin_receiver::inbox::{Job, KeptEvent, MemoryInbox, RecordFilter, RecordState};
use voipbin_receiver::mount::Server;
use voipbin_receiver::observe::Metrics;
use voipbin_receiver::observe::metrics::{METRICS, MetricKind};
use voipbin_receiver::testing::{Signer, TokioClock, delivery};
use voipbin_receiver::{
    Context, Delivery, HandlerError, HandlerOptions, Receiver, ReceiverBuilder, Registration,
    RetryPolicy,
};

use crate::metrics::exposition::{Exposition, parse};

const HOUR: Duration = Duration::from_secs(3600);

/// An exporter of the test's own, set up as the documentation says.
pub(crate) struct Exporter {
    recorder: Arc<PrometheusRecorder>,
    handle: PrometheusHandle,
}

impl Exporter {
    pub(crate) fn new() -> Self {
        Self::with(PrometheusBuilder::new())
    }

    pub(crate) fn with(mut builder: PrometheusBuilder) -> Self {
        for metric in METRICS {
            if metric.kind == MetricKind::Histogram {
                let name = Matcher::Full(metric.name.into());
                builder = builder
                    .set_buckets_for_metric(name, metric.buckets)
                    .unwrap();
            }
        }
        let recorder = builder.build_recorder();
        Self {
            handle: recorder.handle(),
            recorder: Arc::new(recorder),
        }
    }

    pub(crate) fn metrics(&self) -> Metrics {
        Metrics::with_recorder(self.recorder.clone())
    }

    pub(crate) fn render(&self) -> String {
        self.handle.render()
    }
}

/// What a scrape gets.
pub(crate) fn scrape(exporter: &Exporter, receiver: &Receiver) -> String {
    receiver.record_gauges();
    exporter.render()
}

pub(crate) fn here(exporter: &Exporter) -> ReceiverBuilder {
    builder()
        .runtime(Handle::current())
        .clock(Arc::new(TokioClock::new()))
        .observe(exporter.metrics())
}

fn call(name: &str, id: &str, second: u32) -> String {
    format!(
        r#"{{"type":"{name}","data":{{"id":"{id}","tm_update":"2026-08-22T10:30:{second:02}.5Z"}}}}"#
    )
}

/// Every outcome of a delivery, and every reason of a refusal.
pub(crate) async fn answers(exporter: &Exporter) {
    let receiver = here(exporter)
        .inbox(MemoryInbox::builder().max_events(1).build())
        .limits(Limits::new().body_limit(200))
        .identity(|delivery: &Delivery| {
            assert_ne!(delivery.resource_id(), Some("panics"), "on purpose");
            None
        })
        .on(CallHangup, Valve::new())
        .build()
        .unwrap();
    let service = receiver.service();
    let mut patch = signed(call_hangup(1));
    *patch.method_mut() = http::Method::PATCH;
    assert_eq!(send(&service, patch).await.status(), 405);
    assert_eq!(deliver(&service, "x".repeat(300)).await.status(), 413);
    let slow = Request::post(PATH).body(Frames::hanging(["{"])).unwrap();
    assert_eq!(send(&service, slow).await.status(), 503);
    let broken = stream::iter([
        Ok(Frame::data(Bytes::from("{"))),
        Err(std::io::Error::other("gone")),
    ]);
    let broken = Request::post(PATH)
        .body(StreamBody::new(broken).boxed_unsync())
        .unwrap();
    assert_eq!(send(&service, broken).await.status(), 503);
    assert_eq!(send(&service, unsigned(call_hangup(1))).await.status(), 401);
    assert_eq!(deliver(&service, "[").await.status(), 400);
    assert_eq!(deliver(&service, "").await.status(), 503);
    assert_eq!(deliver(&service, call_hangup("panics")).await.status(), 503);
    assert_eq!(deliver(&service, r#"{"none":1}"#).await.status(), 200);
    assert_eq!(deliver(&service, call_hangup(1)).await.status(), 200);
    assert_eq!(deliver(&service, call_hangup(1)).await.word(), "duplicate");
    assert_eq!(deliver(&service, call_hangup(2)).await.code(), "inbox_full");
    assert!(!receiver.shutdown(Duration::ZERO).await.is_drained());
    assert_eq!(deliver(&service, call_hangup(3)).await.status(), 503);

    let inbox = HeldInbox::new();
    let receiver = here(exporter)
        .inbox(inbox.clone())
        .on(CallHangup, Valve::new())
        .build()
        .unwrap();
    let service = receiver.service();
    let (answer, ()) = tokio::join!(deliver(&service, call_hangup(4)), async {
        inbox.handed_over().await;
        inbox.fail();
    });
    assert_eq!(answer.status(), 503);
    assert!(receiver.shutdown(HOUR).await.is_drained());
}

/// Every refusal of the gate but for a signature.
pub(crate) async fn gate(exporter: &Exporter) {
    let here = || {
        let handler = Registration::new(CallHangup, || async {}).name("runs");
        here(exporter).handlers([handler])
    };
    let from = |peer: &str, id: u32| {
        let mut request = signed(call_hangup(id));
        let peer = SocketAddr::new(peer.parse().unwrap(), 4711);
        request.extensions_mut().insert(PeerAddr(peer));
        request
    };
    let receiver = here()
        .allow_sources(["203.0.113.0/24"])
        .source_rate_limit(Rate::per_minute(1))
        .rate_limit(Rate::per_minute(2))
        .build()
        .unwrap();
    let service = receiver.service();
    assert_eq!(deliver(&service, call_hangup(1)).await.status(), 503);
    for (id, (peer, status)) in (2..).zip([
        ("198.51.100.1", 403),
        ("203.0.113.1", 200),
        ("203.0.113.1", 503),
        ("203.0.113.2", 200),
        ("203.0.113.3", 503),
    ]) {
        assert_eq!(
            send(&service, from(peer, id)).await.status(),
            status,
            "{peer}"
        );
    }
    receiver.record_gauges();

    let receiver = here()
        .limits(Limits::new().in_flight_limit(1).header_count_limit(6))
        .max_event_age(HOUR)
        .secret_source(|| async { Ok(Vec::<Secret>::new()) })
        .build()
        .unwrap();
    let service = receiver.service();
    let reading = Request::post(PATH).body(Frames::hanging(["{"])).unwrap();
    let mut reading = Box::pin(service.clone().oneshot(reading));
    assert!(poll!(&mut reading).is_pending());
    assert_eq!(deliver(&service, call_hangup(1)).await.code(), "too_busy");
    drop(reading);
    let mut long = signed(call_hangup(1));
    for _ in 0..6 {
        let header = HeaderValue::from_static("1");
        long.headers_mut().append("x-more", header);
    }
    assert_eq!(send(&service, long).await.status(), 503);
    assert!(receiver.misdirected(signed(call_hangup(1)).headers()));
    assert!(!receiver.misdirected(Request::new(()).headers()));
    exporter.metrics().record_certificate(UNIX_EPOCH + HOUR);
    drop(Server::new().metrics(&exporter.metrics()));
    let other = Signer::new("another secret of somebody's");
    let other = other.request(PATH.parse().unwrap(), call_hangup(1));
    assert_eq!(send(&service, other).await.status(), 503);
    let old = call("call_hangup", "1", 9).replace("2026", "1970");
    assert_eq!(deliver(&service, old).await.status(), 403);
}

/// Every end of a run, and everything that follows it.
pub(crate) async fn runs(exporter: &Exporter) {
    let once = |context: Context| async move {
        match context.attempt() {
            1 => Err(HandlerError::new("not yet")),
            _ => Ok(()),
        }
    };
    let bad = |context: Context| async move {
        match context.delivery().resource_id() {
            Some("panics") => panic!("on purpose"),
            Some("hangs") => std::future::pending().await,
            Some("late") => Err(HandlerError::new("busy").retry_after(2 * HOUR)),
            Some("gone") => Err(HandlerError::permanent("gone")),
            _ => Err::<(), _>(HandlerError::new("no")),
        }
    };
    let receiver = here(exporter)
        .handler_options(HandlerOptions::new().retry(RetryPolicy::default().max_age(HOUR)))
        .handlers([
            Registration::new(Any, once).name("once"),
            Registration::new(Custom, || async {}).name("custom"),
            Registration::new(CallHangup, bad).name("bad").options(
                HandlerOptions::new()
                    .attempts(2)
                    .timeout(Duration::from_secs(5)),
            ),
            Registration::new((CallHangup, CallProgressing), || async {})
                .name("spared")
                .options(HandlerOptions::new().skip_stale()),
        ])
        .build()
        .unwrap();
    let service = receiver.service();
    for id in ["panics", "hangs", "late", "gone", "fails"] {
        deliver(&service, call("call_hangup", id, 9)).await;
    }
    deliver(&service, call("made_up_by_a_flow", "1", 9)).await;
    deliver(&service, "[1]").await;
    until(|| receiver.stats().handled >= 12).await;
    deliver(&service, call("call_progressing", "gone", 5)).await;
    until(|| receiver.stats().skipped == 1 && receiver.stats().dead == 5).await;
    let records = receiver.records().unwrap();
    let dead = RecordFilter::new().state(RecordState::Dead);
    let dead = records.list(&dead, None, 1).await.unwrap();
    records.replay(dead.records[0].id, None).await.unwrap();
    until(|| receiver.stats().dead == 6).await;

    // What a shutdown leaves undone: one that failed, one that runs.
    let valve = Valve::new();
    let waits = here(exporter)
        .handlers([
            Registration::new(CallHangup, bad).name("bad"),
            Registration::new(CallProgressing, valve.clone()).name("runs"),
        ])
        .build()
        .unwrap();
    deliver(&waits.service(), call_hangup("fails")).await;
    until(|| waits.stats().failed == 1).await;
    deliver(&waits.service(), call("call_progressing", "1", 9)).await;
    valve.begun().next().await;
    assert_eq!(waits.shutdown(HOUR).await.unfinished.len(), 2);
    assert!(receiver.shutdown(HOUR).await.is_drained());

    let event = KeptEvent::new(1, delivery(call_hangup(1)).unwrap());
    let job = Job::new(Arc::new(event), HandlerName::new("unregistered"), 1);
    let inbox = PreparedInbox::new([job], 0);
    let holds = here(exporter)
        .inbox(inbox.clone())
        .handlers([Registration::new(Any, Valve::new()).name("runs")])
        .build()
        .unwrap();
    inbox.settled().await;
    assert!(holds.shutdown(HOUR).await.is_drained());
}

/// What a scrape gets when everything has happened.
pub(crate) async fn everything() -> Exposition {
    parse(&rendered().await).unwrap()
}

pub(crate) async fn rendered() -> String {
    let exporter = Exporter::new();
    answers(&exporter).await;
    gate(&exporter).await;
    runs(&exporter).await;
    let receiver = here(&exporter)
        .handlers([Registration::new(Any, Valve::new()).name("runs")])
        .build()
        .unwrap();
    scrape(&exporter, &receiver)
}
