use std::sync::Arc;
use std::time::SystemTime;

use ::metrics::{Counter, Gauge, SharedString};

use super::factory::MetricFactory;
use super::table::names;
use crate::gate::SecretUsage;
use crate::inbox::InboxStats;
use crate::observe::{Gauges, Problem, Stats};

/// The gauges of a receiver.
pub(super) struct GaugeSet {
    factory: MetricFactory,
    gauges: Vec<(Gauge, Read)>,
    evicted: Counter,
    dead_dropped: Counter,
    ready: Gauge,
    problems: Vec<(Problem, Gauge)>,
}

/// Reads the value of a gauge.
type Read = fn(&Stats) -> f64;

const GAUGES: &[(&str, Read)] = &[
    (names::INBOX_EVENTS, |stats| stats.inbox.events as f64),
    (names::INBOX_BYTES, |stats| stats.inbox.bytes as f64),
    (names::INBOX_USED_BYTES, |stats| {
        stats.inbox.used_bytes as f64
    }),
    (names::INBOX_DISK, |stats| stats.inbox.disk_bytes as f64),
    (names::INBOX_FULL, |stats| flag(stats.inbox.full)),
    (names::INBOX_FAILING, |stats| flag(stats.inbox.failing)),
    (names::INBOX_DELAYED, |stats| stats.inbox.delayed as f64),
    (names::INBOX_HELD, |stats| stats.inbox.held as f64),
    (names::INBOX_DEAD, |stats| stats.inbox.dead as f64),
    (names::INBOX_DEAD_NEARLY_FULL, |stats| {
        flag(stats.inbox.dead_nearly_full)
    }),
    (names::INBOX_DAMAGED, |stats| stats.inbox.damaged as f64),
    (names::INBOX_STUCK, |stats| stats.inbox.stuck as f64),
    (names::INBOX_IDENTITIES, |stats| {
        stats.inbox.identities as f64
    }),
    (names::HANDLERS_RUNNING, |stats| stats.running as f64),
    (names::HANDLERS_LONG_RUNNING, |stats| {
        stats.long_running as f64
    }),
    (names::HANDLERS_PAUSED, |stats| stats.paused as f64),
    (names::HANDLER_SLOTS, |stats| stats.slots as f64),
];

impl GaugeSet {
    pub(super) fn new(factory: &MetricFactory) -> Self {
        let gauges = GAUGES.iter();
        let problems = Problem::ALL.iter().map(|problem| {
            let labels = [("problem", problem.as_str().into())];
            (*problem, factory.gauge(names::PROBLEM, &labels))
        });
        Self {
            gauges: gauges
                .map(|(name, read)| (factory.gauge(name, &[]), *read))
                .collect(),
            evicted: factory.counter(names::INBOX_EVICTED, &[]),
            dead_dropped: factory.counter(names::INBOX_DEAD_DROPPED, &[]),
            ready: factory.gauge(names::READY, &[]),
            problems: problems.collect(),
            factory: factory.clone(),
        }
    }

    pub(super) fn record(&self, now: &Gauges<'_>) {
        let stats = now.stats;
        for (gauge, read) in &self.gauges {
            gauge.set(read(stats));
        }
        let InboxStats {
            max_events,
            max_bytes,
            evicted,
            dead_dropped,
            ..
        } = stats.inbox;
        if let Some(events) = max_events {
            let gauge = self.factory.gauge(names::INBOX_MAX_EVENTS, &[]);
            gauge.set(events as f64);
        }
        if let Some(bytes) = max_bytes {
            let gauge = self.factory.gauge(names::INBOX_MAX_BYTES, &[]);
            gauge.set(bytes as f64);
        }
        self.evicted.absolute(evicted);
        self.dead_dropped.absolute(dead_dropped);
        self.ready.set(flag(now.health.is_ready()));
        for (problem, gauge) in &self.problems {
            gauge.set(flag(now.health.problems.contains(problem)));
        }
        for secret in now.secrets {
            self.record_secret(secret);
        }
    }

    /// They come and go, so their series are looked up each time.
    fn record_secret(&self, secret: &SecretUsage) {
        let labels = [("secret", SharedString::from(Arc::clone(&secret.label)))];
        let accepted = self.factory.counter(names::SECRET_ACCEPTED, &labels);
        accepted.absolute(secret.accepted);
        let last = secret.last_used;
        let last = last.and_then(|last| last.duration_since(SystemTime::UNIX_EPOCH).ok());
        if let Some(last) = last {
            let gauge = self.factory.gauge(names::SECRET_LAST_USED, &labels);
            gauge.set(last.as_secs_f64());
        }
    }
}

fn flag(is: bool) -> f64 {
    if is { 1.0 } else { 0.0 }
}
