//! The traces of deliveries, as an OpenTelemetry collector gets them from the example.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "this is test code"
)]

mod collector;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use collector::{Collector, attribute};
use opentelemetry_otlp::{SpanExporter, WithExportConfig};
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_sdk::trace::SdkTracerProvider;
use telemetry::OpenTelemetry;
use tokio::runtime::Handle;
use tower::ServiceExt;
use tracing::Instrument;
use tracing::subscriber::DefaultGuard;
use tracing_subscriber::layer::SubscriberExt;
use voipbin_receiver::event::TraceContext;
use voipbin_receiver::events::CallHangup;
use voipbin_receiver::gate::PeerAddr;
use voipbin_receiver::inbox::{DiskInbox, Inbox, MemoryInbox};
use voipbin_receiver::observe::Propagator;
use voipbin_receiver::testing::Signer;
use voipbin_receiver::{
    Context, HandlerError, HandlerOptions, Receiver, Registration, RetryPolicy,
};

const SECRET: &str = "the-webhook-secret-of-a-customer";
const NUMBER: &str = "+15551234567";
const TEXT: &str = "meet me at the old mill";
const ERROR: &str = "the CRM is away";
const PROXY: &str = "10.1.0.7:4711";
const STRANGER: &str = "203.0.113.9:4711";
const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

/// A process of the example, with an exporter of its own: of another it knows what the inbox knows.
struct Process {
    receiver: Receiver,
    provider: SdkTracerProvider,
    _subscriber: DefaultGuard,
}

impl Process {
    fn start(collector: &Collector, inbox: impl Inbox) -> Self {
        let exporter = SpanExporter::builder()
            .with_http()
            .with_endpoint(collector.endpoint());
        let provider = telemetry::provider("test", exporter.build().unwrap());
        let subscriber = tracing_subscriber::registry().with(telemetry::layer(&provider));
        let subscriber = tracing::subscriber::set_default(subscriber);
        let has_failed = AtomicBool::new(false);
        let crm = move |_: Context| {
            let fails = !has_failed.swap(true, Ordering::Relaxed);
            async move {
                match fails {
                    true => Err(HandlerError::new(ERROR)),
                    false => Ok(()),
                }
            }
        };
        let retry = RetryPolicy::default().initial(Duration::from_millis(1));
        let receiver = Receiver::builder()
            .secret(SECRET)
            .trust_proxies(["10.1.0.0/16"])
            .inbox(inbox)
            .propagator(OpenTelemetry::default())
            .handler_options(HandlerOptions::new().retry(retry))
            .runtime(Handle::current())
            .handlers([
                Registration::new(CallHangup, crm).name("crm"),
                Registration::new(CallHangup, |_: Context| async {}).name("audit"),
            ])
            .build()
            .unwrap();
        Self {
            receiver,
            provider,
            _subscriber: subscriber,
        }
    }

    async fn deliver(&self, id: &str, peer: &str, traceparent: Option<&str>) {
        let body = format!(
            r#"{{"type":"call_hangup","data":{{"id":"{id}","text":"{TEXT}","source":{{"type":"tel","target":"{NUMBER}"}}}}}}"#
        );
        let mut request = Signer::new(SECRET).request("/voipbin/webhook".parse().unwrap(), body);
        request
            .extensions_mut()
            .insert(PeerAddr(peer.parse().unwrap()));
        if let Some(traceparent) = traceparent {
            let headers = request.headers_mut();
            headers.insert("traceparent", traceparent.parse().unwrap());
            headers.insert("tracestate", "vendor=value".parse().unwrap());
        }
        let answer = self.receiver.service().oneshot(request).await.unwrap();
        assert_eq!(answer.status(), 200);
    }

    /// As at a deployment: what is exported by then is all that there is.
    async fn stop(self) {
        let _ = self.receiver.shutdown(Duration::ZERO).await;
        self.provider.shutdown().unwrap();
    }
}

fn hex(id: &[u8]) -> String {
    id.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The span of the delivery of the resource, and those of its attempts, by handler and number.
fn of_resource(collector: &Collector, id: &str) -> (Span, Vec<Span>) {
    let spans = collector.spans().into_iter();
    // What is no UUID is shown as a hash.
    let body = format!(r#"{{"type":"call_hangup","data":{{"id":"{id}"}}}}"#);
    let delivery = voipbin_receiver::testing::delivery(body).unwrap();
    let shown = delivery.loggable_id().unwrap().to_string();
    let (mut deliveries, mut attempts): (Vec<_>, Vec<_>) = spans
        .filter(|span| attribute(span, "resource_id") == shown)
        .partition(|span| span.name == "voipbin.delivery");
    assert_eq!(deliveries.len(), 1, "{deliveries:?}");
    attempts.sort_by_key(|span| (attribute(span, "handler"), attribute(span, "attempt")));
    (deliveries.remove(0), attempts)
}

/// Both handlers, of which one failed first, and nothing else; in one trace below the delivery.
#[track_caller]
fn assert_one_trace(delivery: &Span, attempts: &[Span]) {
    assert_eq!(delivery.kind(), SpanKind::Producer);
    assert_eq!(attribute(delivery, "outcome"), "accepted");
    assert_eq!(attribute(delivery, "messaging.operation.type"), "send");
    let told: Vec<_> = attempts
        .iter()
        .map(|span| {
            assert_eq!(span.name, "voipbin.handle");
            assert_eq!(span.kind(), SpanKind::Consumer);
            assert_eq!(span.trace_id, delivery.trace_id);
            assert_eq!(span.parent_span_id, delivery.span_id);
            assert_eq!(span.trace_state, delivery.trace_state);
            for same in ["identity", "event", "origin", "messaging.system"] {
                assert!(!attribute(span, same).is_empty(), "{same}");
                assert_eq!(attribute(span, same), attribute(delivery, same));
            }
            assert_eq!(attribute(span, "messaging.operation.type"), "process");
            let failed = span.status.as_ref().map(|status| status.code());
            (
                attribute(span, "handler"),
                attribute(span, "attempt"),
                attribute(span, "error.type"),
                failed == Some(StatusCode::Error),
            )
        })
        .collect();
    let attempt = |handler: &str, number: &str, error: &str| {
        let (handler, number) = (handler.to_owned(), number.to_owned());
        (handler, number, error.to_owned(), !error.is_empty())
    };
    let expected = [
        attempt("audit", "1", ""),
        attempt("crm", "1", "error"),
        attempt("crm", "2", ""),
    ];
    assert_eq!(told, expected);
}

/// Nothing of the body, the secret, a signature or what a handler's error says.
#[track_caller]
fn assert_private(collector: &Collector) {
    let exported = format!("{:?}", collector.spans());
    for private in [SECRET, "15551234567", TEXT, "sha256=", ERROR] {
        assert!(!exported.contains(private), "{private} in {exported}");
    }
}

#[tokio::test]
async fn a_delivery_and_all_attempts_of_its_handlers_are_in_the_trace_of_the_proxy() {
    let collector = Collector::start();
    let process = Process::start(&collector, MemoryInbox::new());
    process.deliver("traced", PROXY, Some(PARENT)).await;
    process.receiver.idle().await;
    process.stop().await;
    let (delivery, attempts) = of_resource(&collector, "traced");
    assert_eq!(hex(&delivery.trace_id), TRACE);
    assert_eq!(hex(&delivery.parent_span_id), "b7ad6b7169203331");
    assert_eq!(delivery.trace_state, "vendor=value");
    assert_one_trace(&delivery, &attempts);
    assert_private(&collector);
}

/// The first process keeps them and runs nothing: the second has no more than the inbox on disk.
#[tokio::test]
async fn a_trace_goes_on_in_the_process_after_a_restart() {
    let collector = Collector::start();
    let directory = tempfile::tempdir().unwrap();
    for (id, traceparent) in [("of-the-proxy", Some(PARENT)), ("of-its-own", None)] {
        let inbox = DiskInbox::open(directory.path()).await.unwrap();
        let first = Process::start(&collector, inbox);
        assert!(first.receiver.pause("crm") && first.receiver.pause("audit"));
        first.deliver(id, PROXY, traceparent).await;
        first.stop().await;
        let (delivery, attempts) = of_resource(&collector, id);
        assert!(attempts.is_empty());

        let inbox = DiskInbox::open(directory.path()).await.unwrap();
        let second = Process::start(&collector, inbox);
        second.receiver.idle().await;
        second.stop().await;
        let (same, attempts) = of_resource(&collector, id);
        assert_eq!(same, delivery);
        assert_one_trace(&delivery, &attempts);
        assert_eq!(
            hex(&delivery.trace_id) == TRACE,
            traceparent.is_some(),
            "{id}"
        );
        assert_eq!(delivery.parent_span_id.is_empty(), traceparent.is_none());
    }
    assert_private(&collector);
}

#[tokio::test]
async fn a_traceparent_of_a_stranger_and_one_that_is_malformed_are_ignored() {
    let collector = Collector::start();
    for (id, peer, traceparent) in [
        ("of-a-stranger", STRANGER, PARENT),
        ("malformed", PROXY, &PARENT[..54]),
    ] {
        let process = Process::start(&collector, MemoryInbox::new());
        process.deliver(id, peer, Some(traceparent)).await;
        process.receiver.idle().await;
        process.stop().await;
        let (delivery, attempts) = of_resource(&collector, id);
        assert_ne!(hex(&delivery.trace_id), TRACE, "{id}");
        assert!(delivery.parent_span_id.is_empty(), "{id}");
        assert_eq!(delivery.trace_state, "", "{id}");
        assert_one_trace(&delivery, &attempts);
    }
}

#[tokio::test]
async fn what_the_proxy_does_not_sample_is_not_exported() {
    let collector = Collector::start();
    let process = Process::start(&collector, MemoryInbox::new());
    let unsampled = format!("{}00", &PARENT[..53]);
    process.deliver("unsampled", PROXY, Some(&unsampled)).await;
    process.receiver.idle().await;
    assert_eq!(process.receiver.stats().handled, 2);
    process.stop().await;
    assert_eq!(collector.spans(), []);
}

#[tokio::test]
async fn a_span_of_the_app_in_the_same_trace_is_nearer_than_the_proxy() {
    let collector = Collector::start();
    let process = Process::start(&collector, MemoryInbox::new());
    let request = tracing::info_span!("request");
    let parent = TraceContext::new(PARENT, "").unwrap();
    OpenTelemetry::default().set_parent(&request, &parent);
    let deliver = process.deliver("within", PROXY, Some(PARENT));
    deliver.instrument(request).await;
    process.receiver.idle().await;
    process.stop().await;
    let spans = collector.spans();
    let request = spans.iter().find(|span| span.name == "request").unwrap();
    let (delivery, attempts) = of_resource(&collector, "within");
    assert_eq!(hex(&delivery.trace_id), TRACE);
    assert_eq!(delivery.parent_span_id, request.span_id);
    assert_one_trace(&delivery, &attempts);
}
