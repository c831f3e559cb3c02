//! Metrics for Prometheus, on an address of their own.

use std::convert::Infallible;
use std::future::pending;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use tokio::net::TcpListener;
use tokio::time::MissedTickBehavior;
use voipbin_receiver::Receiver;
use voipbin_receiver::mount::Server;
use voipbin_receiver::observe::Metrics;
use voipbin_receiver::observe::metrics::{METRICS, MetricKind};

use crate::server::{Body, answer, bind_when_free, health, not_found, reads};
use crate::terminal::say;
use crate::tls::Tls;

/// The text format of Prometheus.
const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// How often values are put into their buckets when nobody scrapes: until then each takes memory.
const UPKEEP: Duration = Duration::from_secs(5);

/// What is recorded, and where it is asked for.
#[derive(Clone)]
pub(crate) struct Exporter {
    address: SocketAddr,
    prometheus: PrometheusHandle,
}

impl Exporter {
    /// Installs the recorder of the process: to be called before a receiver is built.
    pub(crate) fn install(address: SocketAddr) -> Result<Self, BuildError> {
        let histograms = METRICS
            .iter()
            .filter(|metric| metric.kind == MetricKind::Histogram);
        let mut builder = PrometheusBuilder::new();
        for metric in histograms {
            let name = Matcher::Full(metric.name.to_owned());
            builder = builder.set_buckets_for_metric(name, metric.buckets)?;
        }
        let prometheus = builder.install_recorder()?;
        Ok(Self {
            address,
            prometheus,
        })
    }

    /// Answers scrapes, and probes as well, for as long as it is polled.
    pub(crate) async fn serve(self, receiver: Receiver, tls: Option<Tls>) {
        let Self {
            address,
            prometheus,
        } = self;
        let rendered = prometheus.clone();
        let route = tower::service_fn(move |request| {
            route(rendered.clone(), receiver.clone(), tls.clone(), request)
        });
        let served = async {
            match listen(address).await {
                Ok(listener) => Server::new().serve(listener, route, pending()).await,
                Err(error) => {
                    tracing::error!("cannot listen on {address} for metrics: {error}");
                }
            }
            pending().await
        };
        let upkeep = async {
            let mut ticks = tokio::time::interval(UPKEEP);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                ticks.tick().await;
                prometheus.run_upkeep();
            }
        };
        tokio::select! {
            () = served => {}
            never = upkeep => match never {},
        }
    }
}

/// Listens, and says where.
async fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let listener = bind_when_free(address).await?;
    say(format_args!(
        "metrics on http://{}/metrics",
        listener.local_addr()?
    ));
    Ok(listener)
}

async fn route(
    prometheus: PrometheusHandle,
    receiver: Receiver,
    tls: Option<Tls>,
    request: Request<Incoming>,
) -> Result<Response<Body>, Infallible> {
    if request.uri().path() == "/metrics" && reads(&request) {
        receiver.record_gauges();
        if let Some(expires) = tls.and_then(|tls| tls.expires()) {
            Metrics::new().record_certificate(expires);
        }
        Ok(answer(TEXT, prometheus.render()))
    } else {
        Ok(health(&receiver, &request).unwrap_or_else(|| {
            receiver.misdirected(request.headers());
            not_found()
        }))
    }
}
