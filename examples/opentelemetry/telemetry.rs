//! What an app needs beside the receiver to have its deliveries traced by OpenTelemetry.

use std::collections::HashMap;

use opentelemetry::propagation::TextMapPropagator;
use opentelemetry::trace::TracerProvider;
use opentelemetry_otlp::SpanExporter;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing::{Level, Span, Subscriber};
use tracing_opentelemetry::OpenTelemetrySpanExt;
use tracing_subscriber::filter::{LevelFilter, filter_fn};
use tracing_subscriber::layer::Layer;
use tracing_subscriber::registry::LookupSpan;
use voipbin_receiver::event::TraceContext;
use voipbin_receiver::observe::Propagator;

/// Exports spans from a thread of its own, every five seconds and when it is shut down. Traces that
/// a proxy does not sample are not exported.
pub fn provider(service: &'static str, exporter: SpanExporter) -> SdkTracerProvider {
    SdkTracerProvider::builder()
        .with_resource(Resource::builder().with_service_name(service).build())
        .with_batch_exporter(exporter)
        .build()
}

/// Makes spans of OpenTelemetry of the receiver's, which are at `debug`, and of all at `info`.
pub fn layer<S>(provider: &SdkTracerProvider) -> impl Layer<S> + use<S>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    let traced = filter_fn(|metadata| {
        let is_receivers = metadata.is_span() && metadata.target().starts_with("voipbin_receiver");
        is_receivers || *metadata.level() <= Level::INFO
    });
    tracing_opentelemetry::layer()
        .with_tracer(provider.tracer("voipbin-receiver"))
        .with_location(false)
        .with_threads(false)
        .with_filter(traced.with_max_level_hint(LevelFilter::DEBUG))
}

/// Carries the contexts of OpenTelemetry's spans over the inbox.
#[derive(Debug, Default)]
pub struct OpenTelemetry(TraceContextPropagator);

impl Propagator for OpenTelemetry {
    fn context(&self, span: &Span) -> Option<TraceContext> {
        let mut headers = HashMap::new();
        self.0.inject_context(&span.context(), &mut headers);
        let header = |name| headers.get(name).map_or("", String::as_str);
        TraceContext::new(header("traceparent"), header("tracestate"))
    }

    fn set_parent(&self, span: &Span, parent: &TraceContext) {
        let headers: HashMap<String, String> = HashMap::from([
            ("traceparent".into(), parent.traceparent().into()),
            ("tracestate".into(), parent.tracestate().into()),
        ]);
        // It fails for a span that is filtered out.
        let _ = span.set_parent(self.0.extract(&headers));
    }
}
