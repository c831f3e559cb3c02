//! Metrics for Prometheus, on an address of their own.

use std::convert::Infallible;
use std::error::Error;
use std::future::pending;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tokio::net::TcpListener;
use tokio::time::MissedTickBehavior;
use voipbin_receiver::Receiver;
use voipbin_receiver::mount::{Server, Tls};
use voipbin_receiver::observe::Metrics;
use voipbin_receiver::observe::metrics::{METRICS, MetricKind};

use crate::server::{Body, answer, health, not_found, reads};

/// The text format of Prometheus.
const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// How often values are put into their buckets when nobody scrapes: until then each takes memory.
const UPKEEP: Duration = Duration::from_secs(5);

/// What is recorded, and where it is asked for.
pub(crate) struct Exporter {
    listener: TcpListener,
    prometheus: PrometheusHandle,
}

impl Exporter {
    /// Installs the recorder of the process: to be called before a receiver is built.
    pub(crate) async fn listen(address: SocketAddr) -> Result<Self, Box<dyn Error>> {
        let listener = TcpListener::bind(address)
            .await
            .map_err(|error| format!("cannot listen on {address} for metrics: {error}"))?;
        let histograms = METRICS
            .iter()
            .filter(|metric| metric.kind == MetricKind::Histogram);
        let mut builder = PrometheusBuilder::new();
        for metric in histograms {
            let name = Matcher::Full(metric.name.to_owned());
            builder = builder.set_buckets_for_metric(name, metric.buckets)?;
        }
        Ok(Self {
            listener,
            prometheus: builder.install_recorder()?,
        })
    }

    pub(crate) fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Answers scrapes, and probes as well, for as long as it is polled.
    pub(crate) async fn serve(self, receiver: Receiver, tls: Option<Tls>) {
        let Self {
            listener,
            prometheus,
        } = self;
        let rendered = prometheus.clone();
        let route = tower::service_fn(move |request| {
            route(rendered.clone(), receiver.clone(), tls.clone(), request)
        });
        let upkeep = async {
            let mut ticks = tokio::time::interval(UPKEEP);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                ticks.tick().await;
                prometheus.run_upkeep();
            }
        };
        let server = Server::new();
        tokio::select! {
            () = server.serve(listener, route, pending()) => {}
            never = upkeep => match never {},
        }
    }
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
