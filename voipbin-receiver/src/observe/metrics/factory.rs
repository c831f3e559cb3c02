use std::sync::Arc;

use ::metrics::{
    Counter, Gauge, Histogram, Key, KeyName, Label, Level, Metadata, SharedString, with_recorder,
};

use super::table::{METRICS, MetricKind};

const METADATA: Metadata<'static> =
    Metadata::new("voipbin_receiver", Level::INFO, Some(module_path!()));

/// Registers series, and adds the label `receiver` to all of them.
#[derive(Clone, Default)]
pub(super) struct MetricFactory {
    /// `None` is the one that is installed for the process.
    pub(super) recorder: Option<Arc<dyn ::metrics::Recorder + Send + Sync>>,
    pub(super) receiver: Option<SharedString>,
}

type Labels<'l> = &'l [(&'static str, SharedString)];

impl MetricFactory {
    fn with<T>(&self, tell: impl FnOnce(&dyn ::metrics::Recorder) -> T) -> T {
        match &self.recorder {
            Some(recorder) => tell(recorder),
            None => with_recorder(tell),
        }
    }

    fn key(&self, name: &'static str, labels: Labels<'_>) -> Key {
        let receiver = self.receiver.iter().map(|name| ("receiver", name.clone()));
        let labels = labels.iter().cloned().chain(receiver);
        let labels = labels.map(|(name, value)| Label::new(name, value));
        Key::from_parts(name, labels.collect::<Vec<_>>())
    }

    pub(super) fn counter(&self, name: &'static str, labels: Labels<'_>) -> Counter {
        let key = self.key(name, labels);
        let counter = self.with(|recorder| recorder.register_counter(&key, &METADATA));
        // Some recorders show a series only when it has been told something.
        counter.increment(0);
        counter
    }

    pub(super) fn gauge(&self, name: &'static str, labels: Labels<'_>) -> Gauge {
        let key = self.key(name, labels);
        self.with(|recorder| recorder.register_gauge(&key, &METADATA))
    }

    pub(super) fn histogram(&self, name: &'static str, labels: Labels<'_>) -> Histogram {
        let key = self.key(name, labels);
        self.with(|recorder| recorder.register_histogram(&key, &METADATA))
    }

    /// Tells what each metric is.
    pub(super) fn describe(&self) {
        self.with(|recorder| {
            for metric in METRICS {
                let name = KeyName::from_const_str(metric.name);
                let (unit, help) = (Some(metric.unit), metric.help.into());
                match metric.kind {
                    MetricKind::Counter => recorder.describe_counter(name, unit, help),
                    MetricKind::Gauge => recorder.describe_gauge(name, unit, help),
                    MetricKind::Histogram => recorder.describe_histogram(name, unit, help),
                }
            }
        });
    }
}
