//! The metrics of the standalone server, as Prometheus gets them.

use support::standalone::{Server, paste};
use support::{SECRET, call_hangup, within};
use voipbin_receiver::observe::metrics::names;

use crate::metrics::exposition::parse;

const ANY_PORT: [&str; 4] = ["--secret", SECRET, "--metrics-listen", "127.0.0.1:0"];

#[tokio::test]
async fn metrics_are_on_an_address_of_their_own_and_on_no_other() {
    within(async {
        let mut server = Server::start(&ANY_PORT, &[]).await;
        let metrics = server.told("metrics on ").await;
        assert!(
            server
                .send(SECRET, &call_hangup(1))
                .await
                .delivered()
                .is_some()
        );
        server.event().await;
        let told = paste(&format!("curl -sS --fail --include {metrics}")).await;
        let (head, body) = told.split_once("\r\n\r\n").unwrap();
        assert!(
            head.to_lowercase()
                .contains("content-type: text/plain; version=0.0.4")
        );
        let emitted = parse(body).unwrap();
        let value = |name: &str| {
            let samples = emitted[name].samples.iter();
            samples.map(|sample| sample.value).sum::<f64>()
        };
        assert_eq!(value(names::DELIVERIES), 1.0);
        assert_eq!(value(names::RUNS_STARTED), 1.0);
        assert_eq!(value(names::READY), 1.0);
        assert!(value(names::INBOX_DISK) > 0.0 && value(names::INBOX_MAX_EVENTS) > 0.0);
        // Histograms, not summaries.
        let buckets = &emitted[names::HANDLER_DURATION];
        assert_eq!(buckets.kind, "histogram");

        let root = metrics.strip_suffix("/metrics").unwrap();
        paste(&format!("curl -sS --fail {root}/health/ready")).await;
        let status = "curl -sS -o /dev/null -w '%{http_code}'";
        for elsewhere in [
            format!("{root}/voipbin/webhook"),
            format!("-X POST {metrics}"),
            format!("http://{}/metrics", server.address),
        ] {
            assert_eq!(
                paste(&format!("{status} {elsewhere}")).await,
                "404",
                "{elsewhere}"
            );
        }
        assert_eq!(server.stop().await.status.code(), Some(0));
    })
    .await;
}

#[tokio::test]
async fn there_are_no_metrics_unless_they_are_asked_for() {
    within(async {
        let server = Server::start(&["--secret", SECRET], &[]).await;
        let end = server.stop().await;
        assert!(
            !end.stderr.iter().any(|line| line.contains("metrics")),
            "{:?}",
            end.stderr
        );

        let environment = [
            ("VOIPBIN_METRICS_LISTEN", "127.0.0.1:0"),
            ("VOIPBIN_SECRET", SECRET),
        ];
        let mut server = Server::start(&[], &environment).await;
        assert!(server.told("metrics on ").await.ends_with("/metrics"));
    })
    .await;
}
