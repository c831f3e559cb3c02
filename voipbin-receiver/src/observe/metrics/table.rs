//! Every metric, written down once: its name, its kind, its labels, its unit and what it means.

use ::metrics::Unit;

/// A metric of the [table](names).
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Metric {
    /// Its name, as Prometheus shows it.
    pub name: &'static str,
    /// What it is.
    pub kind: MetricKind,
    /// Its unit.
    pub unit: Unit,
    /// Its labels, beside the `receiver` of [`Metrics::receiver`](super::Metrics::receiver).
    pub labels: &'static [&'static str],
    /// What it means, in one sentence.
    pub help: &'static str,
    /// Upper bounds of buckets that suit it, in its unit; empty for what is no histogram.
    pub buckets: &'static [f64],
}

/// What a metric is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum MetricKind {
    /// Only grows, until the process ends.
    Counter,
    /// Goes up and down; as of the last [`record_gauges`](crate::Receiver::record_gauges).
    Gauge,
    /// How often values fell below each of some bounds, their number and their sum.
    Histogram,
}

macro_rules! table {
    ($($kind:ident $constant:ident $name:literal [$($label:literal)*] $unit:ident $help:literal $([$($bound:literal)+])?;)+) => {
        /// Every metric.
        pub const METRICS: &[Metric] = &[
            $(Metric {
                name: $name,
                kind: MetricKind::$kind,
                unit: Unit::$unit,
                labels: &[$($label),*],
                help: $help,
                buckets: &[$($($bound),+)?],
            },)+
        ];

        /// The names of the metrics.
        ///
        /// | name | kind | labels | unit | meaning |
        /// | --- | --- | --- | --- | --- |
        $(#[doc = concat!(
            "| `", $name, "` | ", stringify!($kind), " | ", $("`", $label, "` ",)*
            "| ", stringify!($unit), " | ", $help, " |",
        )])+
        pub mod names {
            $(
                #[doc = $help]
                pub const $constant: &str = $name;
            )+
        }
    };
}

table! {
    Counter DELIVERIES "voipbin_deliveries_total" ["outcome" "reason"] Count
        "Deliveries that were answered, by outcome and by the reason of a refusal.";
    Counter EVENTS "voipbin_events_total" ["event_type"] Count
        "Deliveries that were kept for their handlers, by type of event.";
    Counter RECOVERED "voipbin_recovered_events_total" [] Count
        "Events that were recovered from the platform's history, as nobody took them when they were sent.";
    Counter RUNS_STARTED "voipbin_handler_runs_started_total" ["handler"] Count
        "Runs of handlers that have begun, further attempts included.";
    Counter RUNS_FINISHED "voipbin_handler_runs_finished_total" ["handler"] Count
        "Runs of handlers that ended well.";
    Counter RUNS_FAILED "voipbin_handler_runs_failed_total" ["handler" "end"] Count
        "Runs of handlers that ended badly: with an error, a panic or a timeout.";
    Counter RUNS_RETRIED "voipbin_handler_runs_retried_total" ["handler"] Count
        "Failed runs that another attempt follows.";
    Counter RUNS_REPLAYED "voipbin_handler_runs_replayed_total" ["handler"] Count
        "Events that somebody had handled again, counted when their first run begins.";
    Counter RUNS_SKIPPED "voipbin_handler_runs_skipped_total" ["handler"] Count
        "Events that a handler was spared because they were stale.";
    Counter RUNS_HELD "voipbin_handler_runs_held_total" ["handler"] Count
        "Events that are held because no handler of their name is registered.";
    Counter RUNS_DROPPED "voipbin_handler_runs_dropped_total" ["handler" "state"] Count
        "Runs that a shutdown left undone, by how far they had come.";
    Counter DEAD_LETTERS "voipbin_dead_letters_total" ["handler" "reason"] Count
        "Events that a handler will not get again, by reason.";
    Histogram ANSWER_DURATION "voipbin_answer_duration_seconds" ["outcome"] Seconds
        "From the head of a request to its answer."
        [0.0005 0.001 0.0025 0.005 0.01 0.025 0.05 0.1 0.25 0.5 1.0 2.5 5.0 10.0];
    Histogram QUEUE_WAIT "voipbin_queue_wait_seconds" ["handler"] Seconds
        "From the receipt of an event to its first run."
        [0.001 0.005 0.01 0.05 0.1 0.5 1.0 5.0 15.0 60.0 300.0 900.0 3600.0 21600.0];
    Histogram HANDLER_DURATION "voipbin_handler_duration_seconds" ["handler" "event_type"] Seconds
        "How long runs of handlers took, those that ended badly included."
        [0.001 0.005 0.01 0.05 0.1 0.25 0.5 1.0 2.5 5.0 10.0 30.0 60.0 300.0];
    Histogram EVENT_AGE "voipbin_event_age_seconds" ["handler"] Seconds
        "From the receipt of an event to the end of the run that handled it."
        [0.005 0.01 0.05 0.1 0.5 1.0 5.0 15.0 60.0 300.0 900.0 1800.0 3600.0 21600.0 86400.0];
    Counter FAILED_CONNECTIONS "voipbin_failed_connections_total" ["reason"] Count
        "Connections that ended before a request, by reason: a TLS handshake that failed, no HTTP/1.1, a head answered 431; there with a server that is given the metrics.";
    Gauge CERTIFICATE_EXPIRES "voipbin_certificate_expiry_timestamp_seconds" [] Seconds
        "When the certificate of the server ends, in seconds since 1970; there with a server of TLS that tells it.";
    Gauge INBOX_EVENTS "voipbin_inbox_events" [] Count
        "Events that are kept and not finished.";
    Gauge INBOX_MAX_EVENTS "voipbin_inbox_max_events" [] Count
        "How many events the inbox takes; not there where it has no limit.";
    Gauge INBOX_BYTES "voipbin_inbox_bytes" [] Bytes
        "Bytes of the bodies of events that are kept and not finished.";
    Gauge INBOX_USED_BYTES "voipbin_inbox_used_bytes" [] Bytes
        "Bytes that count towards the limit of the inbox.";
    Gauge INBOX_MAX_BYTES "voipbin_inbox_max_bytes" [] Bytes
        "How many bytes the inbox takes; not there where it has no limit.";
    Gauge INBOX_DISK "voipbin_inbox_disk_bytes" [] Bytes
        "What the inbox takes on disk.";
    Gauge INBOX_FULL "voipbin_inbox_full" [] Count
        "1 while the inbox refuses events because it is full, else 0.";
    Gauge INBOX_FAILING "voipbin_inbox_failing" [] Count
        "1 while the inbox refuses events because it cannot write, else 0.";
    Gauge INBOX_DELAYED "voipbin_inbox_delayed" [] Count
        "Jobs, a handler for an event each, that wait for their next attempt.";
    Gauge INBOX_HELD "voipbin_inbox_held" [] Count
        "Jobs that are held because no handler of their name is registered.";
    Gauge INBOX_DEAD "voipbin_inbox_dead" [] Count
        "Jobs that are dead letters and still there to be looked at.";
    Gauge INBOX_DEAD_NEARLY_FULL "voipbin_inbox_dead_nearly_full" [] Count
        "1 while dead letters take four fifths of their room or more, else 0.";
    Counter INBOX_DEAD_DROPPED "voipbin_inbox_dead_dropped_total" [] Count
        "Dead letters that were dropped because there were too many.";
    Gauge INBOX_DAMAGED "voipbin_inbox_damaged" [] Count
        "Events whose bytes turned out to be damaged.";
    Gauge INBOX_STUCK "voipbin_inbox_stuck" [] Count
        "Events that cannot be read at present, while others can.";
    Gauge INBOX_IDENTITIES "voipbin_inbox_identities" [] Count
        "Identities that are remembered to tell copies.";
    Counter INBOX_EVICTED "voipbin_inbox_identities_evicted_total" [] Count
        "Identities that were forgotten before their time because there were too many.";
    Gauge HANDLERS_RUNNING "voipbin_handlers_running" [] Count
        "Runs of handlers that have begun and not ended.";
    Gauge HANDLERS_LONG_RUNNING "voipbin_handlers_long_running" [] Count
        "Runs of handlers that have been going on for more than five minutes.";
    Gauge HANDLERS_PAUSED "voipbin_handlers_paused" [] Count
        "Handlers that are paused.";
    Gauge HANDLER_SLOTS "voipbin_handler_slots" [] Count
        "How many runs of handlers there may be at once.";
    Counter SECRET_ACCEPTED "voipbin_secret_accepted_total" ["secret"] Count
        "Deliveries that a secret signed, copies included, by its label.";
    Gauge SECRET_LAST_USED "voipbin_secret_last_used_timestamp_seconds" ["secret"] Seconds
        "When the last delivery that a secret signed came, in Unix time; not there before the first.";
    Gauge READY "voipbin_ready" [] Count
        "1 while new events are taken and handled, else 0.";
    Gauge PROBLEM "voipbin_problem" ["problem"] Count
        "1 while this keeps the receiver from its work, else 0.";
}
