//! What users build on beside the API, whose own list `.ci/test api` holds.

use std::fmt::Write;

use voipbin_receiver::observe::metrics::METRICS;

use crate::pages::root;

/// `API=overwrite cargo test -p voipbin-receiver-tests --test docs public` writes it anew, with a
/// line in the CHANGELOG.
#[test]
fn metrics_are_those_that_dashboards_and_alerts_of_users_know() {
    let mut metrics = String::new();
    for metric in METRICS {
        let labels = metric.labels.join(", ");
        writeln!(metrics, "{} {:?} {{{labels}}}", metric.name, metric.kind).unwrap();
    }
    let file = root().join("tests/public-api/metrics.txt");
    if std::env::var_os("API").is_some_and(|mode| mode == "overwrite") {
        std::fs::write(&file, &metrics).unwrap();
    }
    let known = std::fs::read_to_string(file).unwrap();
    assert!(known == metrics, "is now:\n{metrics}");
}
