//! A receiver whose deliveries are traced: from a proxy's request over the inbox on disk to each
//! attempt of each handler. It exports to `OTEL_EXPORTER_OTLP_ENDPOINT`, by default
//! `http://localhost:4318`.
//!
//! The secret is that of `VOIPBIN_SECRET`.

use std::error::Error;
use std::time::Duration;

use opentelemetry_otlp::SpanExporter;
use telemetry::OpenTelemetry;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;
use voipbin_receiver::gate::Secret;
use voipbin_receiver::inbox::DiskInbox;
use voipbin_receiver::mount::Server;
use voipbin_receiver::resource::Call;
use voipbin_receiver::{Event, Receiver, handlers, on};

#[on(CallHangup)]
async fn update_crm(call: Event<Call>) {
    // It is in the span of the attempt, as are the spans of clients that are called from here.
    tracing::info!(because = ?call.hangup_reason, "a call has ended");
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let exporter = SpanExporter::builder().with_http().build()?;
    let provider = telemetry::provider("call-center", exporter);
    tracing_subscriber::registry()
        .with(telemetry::layer(&provider))
        .with(tracing_subscriber::fmt::layer().with_filter(LevelFilter::INFO))
        .init();

    let receiver = Receiver::builder()
        .secret(Secret::from_env("VOIPBIN_SECRET")?)
        // A `traceparent` is taken from these alone.
        .trust_proxies(["127.0.0.0/8", "::1/128"])
        .inbox(DiskInbox::open("voipbin-inbox").await?)
        .propagator(OpenTelemetry::default())
        .handlers(handlers![update_crm])
        .build()?;
    let drained = async {
        if let Err(error) = tokio::signal::ctrl_c().await {
            tracing::error!(%error, "Ctrl-C cannot be waited for");
        }
        let report = receiver.shutdown(Duration::from_secs(30)).await;
        if !report.is_clean() {
            tracing::warn!("cut short: it is handled again when the app starts");
        }
    };
    let listener = Server::bind("127.0.0.1:5000").await?;
    Server::new()
        .serve(listener, receiver.service(), drained)
        .await;
    // What was not exported yet; it waits for the collector.
    tokio::task::spawn_blocking(move || provider.shutdown()).await??;
    Ok(())
}
