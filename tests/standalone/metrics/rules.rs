//! The alerts, as Prometheus loads them.

use std::collections::HashSet;

use promql_parser::util::parse_duration;
use serde::Deserialize;

use crate::metrics::queries::{Emitted, placeholders};
use crate::metrics::read;

/// A file of rules. Prometheus refuses fields that it does not know.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    groups: Vec<Group>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Group {
    name: String,
    rules: Vec<Rule>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rule {
    alert: String,
    expr: String,
    r#for: String,
    labels: Labels,
    annotations: Annotations,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Labels {
    severity: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Annotations {
    summary: String,
    description: String,
    runbook: String,
}

fn rules() -> Vec<Rule> {
    let file: File = serde_saphyr::from_str(&read("alerts.yml")).unwrap();
    let names: HashSet<&str> = file
        .groups
        .iter()
        .map(|group| group.name.as_str())
        .collect();
    assert_eq!(names.len(), file.groups.len());
    file.groups
        .into_iter()
        .flat_map(|group| group.rules)
        .collect()
}

#[test]
fn each_rule_has_what_prometheus_and_whoever_is_woken_need() {
    let rules = rules();
    let names: HashSet<&str> = rules.iter().map(|rule| rule.alert.as_str()).collect();
    assert_eq!(names.len(), rules.len());
    for rule in &rules {
        assert!(rule.alert.starts_with("Voipbin"), "{}", rule.alert);
        if rule.r#for != "0m" {
            assert!(!parse_duration(&rule.r#for).unwrap().is_zero());
        }
        let severity = rule.labels.severity.as_str();
        assert!(
            ["critical", "warning", "info"].contains(&severity),
            "{severity}"
        );
        let Annotations {
            summary,
            description,
            runbook,
        } = &rule.annotations;
        for told in [summary, description, runbook] {
            assert!(
                told.len() > 10 && told == told.trim(),
                "{}: {told}",
                rule.alert
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn their_queries_ask_for_what_is_emitted_and_their_texts_for_what_is_left() {
    let emitted = Emitted::of(&crate::metrics::drive::everything().await);
    for rule in rules() {
        let asked = emitted.check(&rule.expr).unwrap();
        assert!(!asked.names.is_empty(), "{}", rule.alert);
        let Annotations {
            summary,
            description,
            runbook,
        } = &rule.annotations;
        for told in [summary, description, runbook] {
            for label in placeholders(told, "$labels.") {
                assert!(asked.labels.contains(label), "{}: {label}", rule.alert);
            }
        }
    }
}

#[test]
fn each_rule_has_a_case_in_which_it_fires() {
    let cases = include_str!("alerts.test.yml");
    for rule in rules() {
        assert!(cases.contains(&rule.alert), "{}", rule.alert);
    }
}
