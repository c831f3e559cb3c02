//! What happens, as metrics: through the facade of the crate [`metrics`], to whatever
//! exporter the application has installed.
//!
//! [`Metrics`] is an [`Observer`]. The metrics are in one [table](names), with their labels and
//! units, and as data in [`METRICS`].
//!
//! # Labels
//!
//! Each has few values: none is an id, a number or a name that a sender can choose.
//!
//! | label | values |
//! | --- | --- |
//! | `outcome` | `accepted`, `duplicate`, `unmatched`, `refused` |
//! | `reason` of a delivery | of a refusal the words of [`RefusalReason`](super::RefusalReason), else `none` |
//! | `reason` of a dead letter | the words of [`DeadLetterReason`](super::DeadLetterReason) |
//! | `event_type` | the [names that are sent](crate::catalog), `custom` for a delivery without a type, `other` for a type that the catalogue does not hold |
//! | `handler` | the names of handlers |
//! | `end` | `error`, `panic`, `timeout` |
//! | `state` | `queued`, `running`, `failed` |
//! | `secret` | the [labels](crate::gate::Secret::with_label) of secrets |
//! | `problem` | the words of [`Problem`](super::Problem) |
//! | `receiver` | what [`Metrics::receiver`] was given; not there without it |

mod factory;
mod gauges;
mod series;
mod table;
mod types;

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::SystemTime;

#[cfg(feature = "server")]
use ::metrics::Counter;

use self::factory::MetricFactory;
use self::gauges::GaugeSet;
use self::series::Series;
pub use self::table::{METRICS, Metric, MetricKind, names};
use super::{Gauges, Observer, Transition};

/// Records what happens through the facade of the crate [`metrics`].
///
/// Counters and histograms follow what happens. Gauges are recorded by
/// [`Receiver::record_gauges`](crate::Receiver::record_gauges): call it before each scrape, or
/// every few seconds. It also makes the series of handlers that have not run yet, at zero.
///
/// Install the application's recorder before the receiver is built: what was registered without one
/// is not recorded later.
///
/// ```
/// use metrics_exporter_prometheus::{Matcher, PrometheusBuilder};
/// use voipbin_receiver::Receiver;
/// use voipbin_receiver::catalog::Any;
/// use voipbin_receiver::observe::Metrics;
/// use voipbin_receiver::observe::metrics::{METRICS, MetricKind};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let mut exporter = PrometheusBuilder::new();
/// for metric in METRICS.iter().filter(|metric| metric.kind == MetricKind::Histogram) {
///     let name = Matcher::Full(metric.name.into());
///     exporter = exporter.set_buckets_for_metric(name, metric.buckets)?;
/// }
/// let prometheus = exporter.install_recorder()?;
///
/// let receiver = Receiver::builder()
///     .secret("the-webhook-secret-of-a-customer")
///     .observe(Metrics::new())
///     .on(Any, || async {})
///     .build()?;
///
/// // For each scrape.
/// receiver.record_gauges();
/// assert!(prometheus.render().contains("voipbin_ready 1"));
/// # Ok(()) }
/// ```
#[derive(Default)]
pub struct Metrics {
    factory: MetricFactory,
    all: OnceLock<(Series, GaugeSet)>,
}

impl Metrics {
    /// Records to the recorder that is installed for the process.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Records to this recorder instead.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use metrics_exporter_prometheus::PrometheusBuilder;
    /// use voipbin_receiver::observe::Metrics;
    ///
    /// let recorder = PrometheusBuilder::new().build_recorder();
    /// let prometheus = recorder.handle();
    /// let metrics = Metrics::with_recorder(Arc::new(recorder));
    /// # drop((prometheus, metrics));
    /// ```
    #[must_use]
    pub fn with_recorder(recorder: Arc<dyn ::metrics::Recorder + Send + Sync>) -> Self {
        let factory = MetricFactory {
            recorder: Some(recorder),
            receiver: None,
        };
        Self {
            factory,
            all: OnceLock::new(),
        }
    }

    /// Puts the label `receiver` with this value on all metrics. For a process with several
    /// receivers, whose gauges would overwrite each other otherwise; none by default.
    ///
    /// ```
    /// use voipbin_receiver::observe::Metrics;
    ///
    /// let metrics = Metrics::new().receiver("europe");
    /// ```
    #[must_use]
    pub fn receiver(self, name: &str) -> Self {
        let factory = MetricFactory {
            receiver: Some(name.to_owned().into()),
            ..self.factory
        };
        Self {
            factory,
            all: OnceLock::new(),
        }
    }

    /// Records when the certificate of the server ends, which no receiver knows: as often as it may
    /// have changed. `Tls::expires` says when.
    ///
    /// ```
    /// use std::time::{Duration, SystemTime};
    /// use voipbin_receiver::observe::Metrics;
    ///
    /// let in_a_week = SystemTime::now() + Duration::from_secs(7 * 86_400);
    /// Metrics::new().record_certificate(in_a_week);
    /// ```
    pub fn record_certificate(&self, expires: SystemTime) {
        let since = expires.duration_since(SystemTime::UNIX_EPOCH);
        let gauge = self.factory.gauge(names::CERTIFICATE_EXPIRES, &[]);
        gauge.set(since.unwrap_or_default().as_secs_f64());
    }

    /// Counts connections of a server that ended before a request, for this reason.
    #[cfg(feature = "server")]
    pub(crate) fn failed_connections(&self, reason: &'static str) -> Counter {
        let labels = [("reason", reason.into())];
        self.factory.counter(names::FAILED_CONNECTIONS, &labels)
    }

    fn all(&self) -> &(Series, GaugeSet) {
        self.all.get_or_init(|| {
            let gauges = GaugeSet::new(&self.factory);
            (Series::new(self.factory.clone()), gauges)
        })
    }
}

impl Observer for Metrics {
    fn observe(&self, transition: &Transition<'_>) {
        let (series, _) = self.all();
        match *transition {
            Transition::Answered {
                origin,
                outcome,
                event_type,
                took,
                ..
            } => {
                series.answered(origin, outcome, event_type, took);
            }
            Transition::Started { run, waited } => {
                let handler = series.handler(run.handler());
                handler.started.increment(1);
                if run.replay_of().is_some() && run.attempt() == 1 {
                    handler.replayed.increment(1);
                }
                if let Some(waited) = waited {
                    handler.waited.record(waited);
                }
            }
            Transition::Finished { run, took, age } => {
                let handler = series.handler(run.handler());
                handler.finished.increment(1);
                handler.age.record(age);
                series.took(&handler, run.delivery().event_type().as_ref(), took);
            }
            Transition::Failed {
                run,
                attempt,
                retry_after,
            } => {
                let handler = series.handler(run.handler());
                if let Some(failed) = handler.failed(&attempt.ended) {
                    failed.increment(1);
                }
                if retry_after.is_some() {
                    handler.retried.increment(1);
                }
                let event_type = run.delivery().event_type();
                series.took(&handler, event_type.as_ref(), attempt.took);
            }
            Transition::Dead { run, reason } => {
                if let Some(dead) = series.handler(run.handler()).dead(reason) {
                    dead.increment(1);
                }
            }
            Transition::Skipped { run } => series.handler(run.handler()).skipped.increment(1),
            Transition::Held { run } => series.handler(run.handler()).held.increment(1),
            Transition::Inspected(_) => {}
            Transition::Dropped { run, state } => {
                if let Some(dropped) = series.handler(run.handler()).dropped(state) {
                    dropped.increment(1);
                }
            }
        }
    }

    fn record_gauges(&self, gauges: &Gauges<'_>) {
        let (series, set) = self.all();
        for handler in gauges.handlers {
            drop(series.handler(handler));
        }
        set.record(gauges);
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics")
            .field("receiver", &self.factory.receiver)
            .finish_non_exhaustive()
    }
}
