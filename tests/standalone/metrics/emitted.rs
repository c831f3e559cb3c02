//! What is emitted, beside the table.

use std::collections::{BTreeMap, BTreeSet};
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use metrics_exporter_prometheus::PrometheusBuilder;
use support::{
    Certificate, ManualClock, PATH, PreparedInbox, Valve, builder, call_hangup, deliver, offering,
    send, tls_connect, within,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use voipbin_receiver::catalog::{Any, EventType};
use voipbin_receiver::gate::Secret;
use voipbin_receiver::inbox::{DiskInbox, MemoryInbox};
use voipbin_receiver::mount::Server;
use voipbin_receiver::observe::metrics::{METRICS, MetricKind, names};
use voipbin_receiver::observe::{DeadLetterReason, Metrics, RefusalReason};
use voipbin_receiver::testing::Signer;
use voipbin_receiver::{Problem, Receiver, Registration};

use crate::metrics::drive::{Exporter, everything, here, rendered, scrape};
use crate::metrics::exposition::{Exposition, parse};

/// The sum of the samples that have these labels, whatever others they have.
fn sum(exposition: &Exposition, name: &str, labels: &[(&str, &str)]) -> f64 {
    let family = exposition.get(name).unwrap_or_else(|| panic!("no {name}"));
    let matching = family.samples.iter().filter(|sample| {
        labels
            .iter()
            .all(|(label, value)| sample.labels.get(*label).map(String::as_str) == Some(*value))
    });
    matching.map(|sample| sample.value).sum()
}

/// The values that a label has.
fn values<'e>(exposition: &'e Exposition, name: &str, label: &str) -> BTreeSet<&'e str> {
    let samples = exposition[name].samples.iter();
    samples
        .map(|sample| sample.labels[label].as_str())
        .collect()
}

#[tokio::test(start_paused = true)]
async fn everything_in_the_table_is_emitted_as_it_says_and_nothing_else() {
    let emitted = everything().await;
    let names: BTreeSet<&str> = emitted.keys().map(String::as_str).collect();
    let table: BTreeSet<&str> = METRICS.iter().map(|metric| metric.name).collect();
    assert_eq!(names, table);
    for metric in METRICS {
        let family = &emitted[metric.name];
        assert_eq!(family.help, metric.help, "{}", metric.name);
        let kind = match metric.kind {
            MetricKind::Counter => "counter",
            MetricKind::Gauge => "gauge",
            MetricKind::Histogram => "histogram",
            other => panic!("{other:?}"),
        };
        assert_eq!(family.kind, kind, "{}", metric.name);
        let labels: BTreeSet<&str> = metric.labels.iter().copied().collect();
        assert_eq!(family.labels(), labels, "{}", metric.name);
        for sample in &family.samples {
            let labels = sample.labels.keys().filter(|label| *label != "le");
            assert_eq!(labels.count(), metric.labels.len(), "{sample:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn each_thing_that_happens_is_counted_as_what_it_is() {
    let emitted = everything().await;
    let delivered = |outcome, reason| {
        let labels = [("outcome", outcome), ("reason", reason)];
        sum(&emitted, names::DELIVERIES, &labels)
    };
    for reason in RefusalReason::ALL {
        assert_eq!(delivered("refused", reason.as_str()), 1.0, "{reason:?}");
    }
    assert_eq!(delivered("duplicate", "none"), 1.0);
    assert_eq!(delivered("unmatched", "none"), 1.0);
    // One, two of the gate, the eight of the handlers, and the two that a shutdown found.
    assert_eq!(delivered("accepted", "none"), 13.0);
    assert_eq!(sum(&emitted, names::EVENTS, &[]), 13.0);
    let typed = |event_type| sum(&emitted, names::EVENTS, &[("event_type", event_type)]);
    assert_eq!((typed("custom"), typed("other")), (1.0, 1.0));

    let bad = |name, label, value| sum(&emitted, name, &[("handler", "bad"), (label, value)]);
    // Twice each, and two more of the panics by a replay.
    assert_eq!(bad(names::RUNS_FAILED, "end", "panic"), 4.0);
    assert_eq!(bad(names::RUNS_FAILED, "end", "timeout"), 2.0);
    let dead = |reason: DeadLetterReason| bad(names::DEAD_LETTERS, "reason", reason.as_str());
    assert_eq!(
        DeadLetterReason::ALL
            .iter()
            .map(|reason| dead(*reason))
            .collect::<Vec<_>>(),
        [4.0, 1.0, 1.0, 1.0]
    );
    let one = |name, handler| sum(&emitted, name, &[("handler", handler)]);
    assert_eq!(one(names::RUNS_REPLAYED, "bad"), 1.0);
    assert_eq!(one(names::RUNS_SKIPPED, "spared"), 1.0);
    assert_eq!(one(names::RUNS_HELD, "unregistered"), 1.0);
    assert_eq!(one(names::RUNS_STARTED, "once"), 14.0);
    assert_eq!(one(names::RUNS_RETRIED, "once"), 7.0);
    assert_eq!(one(names::RUNS_FINISHED, "once"), 7.0);
    let dropped = |state| sum(&emitted, names::RUNS_DROPPED, &[("state", state)]);
    assert_eq!((dropped("failed"), dropped("running")), (1.0, 1.0));
}

#[tokio::test(start_paused = true)]
async fn times_are_recorded_once_for_each_of_their_kind() {
    let emitted = everything().await;
    let count = |name: &str, handler: &str| {
        let samples = emitted[name].samples.iter();
        let counts = samples.filter(|sample| sample.name.ends_with("_count"));
        let counts =
            counts.filter(|sample| handler.is_empty() || sample.labels["handler"] == handler);
        counts.map(|sample| sample.value).sum::<f64>()
    };
    let deliveries = sum(&emitted, names::DELIVERIES, &[]);
    assert_eq!(count(names::ANSWER_DURATION, ""), deliveries);
    // The first runs of seven events, the ends of seven, and fourteen runs.
    assert_eq!(count(names::QUEUE_WAIT, "once"), 7.0);
    assert_eq!(count(names::EVENT_AGE, "once"), 7.0);
    assert_eq!(count(names::HANDLER_DURATION, "once"), 14.0);
    for metric in METRICS
        .iter()
        .filter(|metric| metric.kind == MetricKind::Histogram)
    {
        assert!(metric.buckets.is_sorted() && !metric.buckets.is_empty());
        let bounds = values_of_buckets(&emitted, metric.name);
        assert_eq!(bounds.len(), metric.buckets.len() + 1, "{}", metric.name);
    }
}

fn values_of_buckets<'e>(exposition: &'e Exposition, name: &str) -> BTreeSet<&'e str> {
    let samples = exposition[name].samples.iter();
    samples
        .filter_map(|sample| sample.labels.get("le"))
        .map(String::as_str)
        .collect()
}

#[tokio::test(start_paused = true)]
async fn no_label_has_a_value_that_a_sender_chose() {
    let emitted = everything().await;
    for name in [names::EVENTS, names::HANDLER_DURATION] {
        for value in values(&emitted, name, "event_type") {
            let known = !matches!(EventType::parse(value), EventType::Other(_));
            assert!(known || ["custom", "other"].contains(&value), "{value}");
        }
    }
    let handlers = [
        "*",
        "bad",
        "call_hangup",
        "custom",
        "once",
        "runs",
        "spared",
        "unregistered",
    ];
    let all = emitted.values().flat_map(|family| &family.samples);
    for sample in all {
        if let Some(handler) = sample.labels.get("handler") {
            assert!(handlers.contains(&handler.as_str()), "{sample:?}");
        }
    }
    assert!(!rendered().await.contains("made_up"));
}

#[tokio::test(start_paused = true)]
async fn counters_of_a_registered_handler_are_there_at_zero_before_anything_happens() {
    let exporter = Exporter::new();
    let receiver = here(&exporter)
        .handlers([Registration::new(Any, Valve::new()).name("waits")])
        .build()
        .unwrap();
    let emitted = parse(&scrape(&exporter, &receiver)).unwrap();
    for metric in METRICS {
        // Those by type are there when one came, and a server counts its own connections.
        if metric.labels.contains(&"event_type") || metric.name == names::FAILED_CONNECTIONS {
            assert!(!emitted.contains_key(metric.name));
        } else if metric.kind == MetricKind::Counter {
            assert!(!emitted[metric.name].samples.is_empty());
            assert_eq!(sum(&emitted, metric.name, &[]), 0.0, "{}", metric.name);
        }
    }
    assert_eq!(sum(&emitted, names::READY, &[]), 1.0);
    assert_eq!(sum(&emitted, names::HANDLER_SLOTS, &[]), 256.0);
}

#[tokio::test(start_paused = true)]
async fn gauges_tell_how_the_receiver_stands_when_they_are_recorded() {
    let exporter = Exporter::new();
    let valve = Valve::new();
    let receiver = here(&exporter)
        .inbox(MemoryInbox::builder().max_events(1).max_bytes(1000).build())
        .concurrency(3)
        .on(Any, valve.clone())
        .build()
        .unwrap();
    let body = call_hangup(1);
    let bytes = body.len() as f64;
    deliver(&receiver.service(), body).await;
    valve.begun().next().await;
    let emitted = parse(&scrape(&exporter, &receiver)).unwrap();
    let gauge = |name| sum(&emitted, name, &[]);
    for (name, value) in [
        (names::INBOX_EVENTS, 1.0),
        (names::INBOX_MAX_EVENTS, 1.0),
        (names::INBOX_BYTES, bytes),
        (names::INBOX_USED_BYTES, bytes),
        (names::INBOX_MAX_BYTES, 1000.0),
        (names::INBOX_FULL, 1.0),
        (names::INBOX_FAILING, 0.0),
        (names::INBOX_IDENTITIES, 1.0),
        (names::HANDLERS_RUNNING, 1.0),
        (names::HANDLER_SLOTS, 3.0),
        (names::READY, 0.0),
    ] {
        assert_eq!(gauge(name), value, "{name}");
    }
    for problem in Problem::ALL {
        let value = sum(&emitted, names::PROBLEM, &[("problem", problem.as_str())]);
        let there = *problem == Problem::InboxFull;
        assert_eq!(value, if there { 1.0 } else { 0.0 }, "{problem}");
    }
}

#[tokio::test(start_paused = true)]
async fn each_secret_tells_how_often_it_was_used_and_when_last() {
    let clock = Arc::new(ManualClock::default());
    let exporter = Exporter::new();
    let secrets = ["the old secret", "the new secret"];
    let [old, new] = secrets.map(|secret| {
        let label = secret.split(' ').nth(1).unwrap();
        Secret::from(secret).with_label(label)
    });
    let receiver = Receiver::builder()
        .clock(clock.clone())
        .observe(exporter.metrics())
        .secret(old.clone())
        .on(Any, Valve::new())
        .build()
        .unwrap();
    let used = |secret| {
        let emitted = parse(&scrape(&exporter, &receiver)).unwrap();
        let label = [("secret", secret)];
        let last = emitted
            .get(names::SECRET_LAST_USED)
            .map_or(0.0, |_| sum(&emitted, names::SECRET_LAST_USED, &label));
        (sum(&emitted, names::SECRET_ACCEPTED, &label), last)
    };
    let deliver = async |secret: usize, id: u32| {
        let signer = Signer::new(secrets[secret]);
        let request = signer.request("/".parse().unwrap(), call_hangup(id));
        assert_eq!(send(&receiver.service(), request).await.status(), 200);
    };
    assert_eq!(used("old"), (0.0, 0.0));
    clock.advance(Duration::from_millis(1500));
    deliver(0, 1).await;
    deliver(0, 2).await;
    receiver.secrets().set([new.clone(), old]).unwrap();
    clock.advance(Duration::from_secs(60));
    deliver(1, 3).await;
    assert_eq!((used("old"), used("new")), ((2.0, 1.5), (1.0, 61.5)));
    receiver.secrets().set([new]).unwrap();
    // What is known of one that was taken away stays.
    assert_eq!(used("old"), (2.0, 1.5));
    assert!(!exporter.render().contains(secrets[1]));
}

#[tokio::test(start_paused = true)]
async fn an_inbox_without_limits_has_no_gauges_of_them() {
    let exporter = Exporter::new();
    let receiver = here(&exporter)
        .inbox(PreparedInbox::new([], 0))
        .on(Any, Valve::new())
        .build()
        .unwrap();
    let emitted = parse(&scrape(&exporter, &receiver)).unwrap();
    assert!(emitted.contains_key(names::INBOX_EVENTS));
    assert!(!emitted.contains_key(names::INBOX_MAX_EVENTS));
    assert!(!emitted.contains_key(names::INBOX_MAX_BYTES));
}

/// The clock of the disk is not tokio's.
#[tokio::test]
async fn an_inbox_on_disk_tells_its_size_and_its_limits() {
    within(async {
        let directory = tempfile::tempdir().unwrap();
        let inbox = DiskInbox::builder(directory.path())
            .max_events(10)
            .max_bytes(5000)
            .open()
            .await
            .unwrap();
        let (exporter, valve) = (Exporter::new(), Valve::new());
        let receiver = builder()
            .observe(exporter.metrics())
            .inbox(inbox)
            .on(Any, valve.clone())
            .build()
            .unwrap();
        deliver(&receiver.service(), call_hangup(1)).await;
        valve.begun().next().await;
        let emitted = parse(&scrape(&exporter, &receiver)).unwrap();
        let gauge = |name| sum(&emitted, name, &[]);
        assert_eq!(gauge(names::INBOX_MAX_EVENTS), 10.0);
        assert_eq!(gauge(names::INBOX_MAX_BYTES), 5000.0);
        assert_eq!(gauge(names::INBOX_USED_BYTES), call_hangup(1).len() as f64);
        assert!(gauge(names::INBOX_DISK) > 0.0);
        valve.open();
        assert!(
            receiver
                .shutdown(Duration::from_secs(10))
                .await
                .is_drained()
        );
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn receivers_of_one_process_are_told_apart_by_their_label() {
    let exporter = Exporter::new();
    let named = |name: &str| {
        let metrics = exporter.metrics().receiver(name);
        builder()
            .observe(metrics)
            .on(Any, Valve::new())
            .build()
            .unwrap()
    };
    let (eu, us) = (named("eu"), named("us"));
    deliver(&eu.service(), call_hangup(1)).await;
    eu.record_gauges();
    us.record_gauges();
    let emitted = parse(&exporter.render()).unwrap();
    for (receiver, events) in [("eu", 1.0), ("us", 0.0)] {
        let label = [("receiver", receiver)];
        assert_eq!(sum(&emitted, names::INBOX_EVENTS, &label), events);
        let accepted = [label[0], ("outcome", "accepted")];
        assert_eq!(sum(&emitted, names::DELIVERIES, &accepted), events);
    }
    let samples = emitted.values().flat_map(|family| &family.samples);
    assert!(
        samples
            .into_iter()
            .all(|sample| sample.labels.contains_key("receiver"))
    );
}

#[tokio::test(start_paused = true)]
async fn an_exporter_that_adds_units_and_suffixes_finds_them_there() {
    let exporter = Exporter::with(PrometheusBuilder::new().with_recommended_naming(true));
    crate::metrics::drive::runs(&exporter).await;
    let emitted = parse(&exporter.render()).unwrap();
    let table: BTreeMap<&str, MetricKind> = METRICS
        .iter()
        .map(|metric| (metric.name, metric.kind))
        .collect();
    for name in emitted.keys() {
        assert!(table.contains_key(name.as_str()), "{name}");
    }
    for (name, kind) in table {
        assert_eq!(
            name.ends_with("_total"),
            kind == MetricKind::Counter,
            "{name}"
        );
        assert!(name.starts_with("voipbin_"));
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_given_no_recorder_records_to_the_one_of_the_application() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let _installed = metrics::set_default_local_recorder(&recorder);
    let receiver = builder()
        .observe(Metrics::new())
        .on(Any, Valve::new())
        .build()
        .unwrap();
    receiver.record_gauges();
    assert!(recorder.handle().render().contains(names::READY));
}

#[tokio::test]
async fn connections_that_end_before_a_request_are_counted_by_why() {
    within(async {
        let exporter = Exporter::new();
        let receiver = builder().on(Any, || async {}).build().unwrap();
        let serve = async |server: Server| {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            let service = receiver.service();
            let server = server.metrics(&exporter.metrics());
            tokio::spawn(async move { server.serve(listener, service, pending()).await });
            address
        };
        let (plain, certificate) = (serve(Server::new()).await, Certificate::new());
        let tls = serve(Server::new().tls(certificate.tls())).await;
        let long = format!(
            "POST {PATH} HTTP/1.1\r\nx: {}\r\n\r\n",
            "x".repeat(1_000_000)
        );
        for bytes in ["PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", &long, ""] {
            let mut stream = TcpStream::connect(plain).await.unwrap();
            // A server that has seen enough closes.
            let _ = stream.write_all(bytes.as_bytes()).await;
            let _ = stream.shutdown().await;
            let _ = stream.read_to_end(&mut Vec::new()).await;
        }
        // As VoIPBIN, which does not trust the certificate; and a probe that only connects.
        let stranger = Certificate::new();
        assert!(tls_connect(tls, offering(&[], [&stranger])).await.is_err());
        drop(TcpStream::connect(tls).await.unwrap());
        let counted = || {
            let scraped = parse(&scrape(&exporter, &receiver)).unwrap();
            ["handshake", "not_http", "head_too_large"]
                .map(|reason| sum(&scraped, names::FAILED_CONNECTIONS, &[("reason", reason)]))
        };
        // A client sees the end of its connection before it is counted.
        while counted().contains(&0.0) {
            tokio::task::yield_now().await;
        }
        assert_eq!(counted(), [1.0; 3]);
    })
    .await;
}
