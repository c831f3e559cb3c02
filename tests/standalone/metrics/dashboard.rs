//! The dashboard, as Grafana loads it.

use std::collections::{BTreeSet, HashSet};

use serde_json::{Value, json};
use voipbin_receiver::observe::metrics::METRICS;

use crate::metrics::queries::{Emitted, placeholders};
use crate::metrics::{list, read, text};

fn dashboard() -> Value {
    serde_json::from_str(&read("dashboard.json")).unwrap()
}

/// All panels that show something.
fn panels(dashboard: &Value) -> impl Iterator<Item = &Value> {
    let panels = list(dashboard, "/panels").iter();
    panels.filter(|panel| panel["type"] != "row")
}

#[test]
fn it_has_what_grafana_needs_to_load_it() {
    let dashboard = dashboard();
    assert!(!text(&dashboard, "/title").is_empty());
    let uid = text(&dashboard, "/uid");
    assert!(!uid.is_empty() && uid.len() <= 40);
    // What Grafana 11 writes; a later one brings it up to date as it loads it.
    assert_eq!(dashboard["schemaVersion"], 39);
    assert!(dashboard.get("id").is_none_or(Value::is_null));
    assert!(text(&dashboard, "/time/from").starts_with("now-"));
    list(&dashboard, "/annotations/list");
    for panel in list(&dashboard, "/panels") {
        assert!(!text(panel, "/title").is_empty());
        assert!(panel["id"].as_u64().unwrap() > 0);
        let kind = text(panel, "/type");
        assert!(
            ["row", "stat", "gauge", "timeseries"].contains(&kind),
            "{kind}"
        );
    }
    let ids: HashSet<u64> = list(&dashboard, "/panels")
        .iter()
        .map(|panel| panel["id"].as_u64().unwrap())
        .collect();
    assert_eq!(ids.len(), list(&dashboard, "/panels").len());
    for panel in panels(&dashboard) {
        assert!(
            !text(panel, "/description").is_empty(),
            "{}",
            panel["title"]
        );
        assert!(!text(panel, "/fieldConfig/defaults/unit").is_empty());
        list(panel, "/fieldConfig/overrides");
        let targets = list(panel, "/targets");
        let references: HashSet<&str> = targets
            .iter()
            .map(|target| text(target, "/refId"))
            .collect();
        assert!(!targets.is_empty() && references.len() == targets.len());
    }
}

#[test]
fn no_panel_covers_another() {
    let dashboard = dashboard();
    let mut cells = HashSet::new();
    for panel in list(&dashboard, "/panels") {
        let [x, y, w, h] =
            ["x", "y", "w", "h"].map(|side| panel["gridPos"][side].as_u64().unwrap());
        assert!(w > 0 && h > 0 && x + w <= 24, "{}", panel["title"]);
        for cell in (x..x + w).flat_map(|x| (y..y + h).map(move |y| (x, y))) {
            assert!(cells.insert(cell), "{} at {cell:?}", panel["title"]);
        }
    }
}

#[test]
fn the_source_of_its_data_is_chosen_by_a_variable() {
    let dashboard = dashboard();
    let variables = list(&dashboard, "/templating/list");
    assert_eq!(variables[0]["type"], "datasource");
    assert_eq!(variables[0]["query"], "prometheus");
    let name = text(&variables[0], "/name");
    let source = json!({"type": "prometheus", "uid": format!("${{{name}}}")});
    let queried = variables
        .iter()
        .filter(|variable| variable["type"] == "query");
    let targets = panels(&dashboard).flat_map(|panel| list(panel, "/targets"));
    for user in queried.chain(panels(&dashboard)).chain(targets) {
        assert_eq!(user["datasource"], source, "{user}");
    }
}

#[tokio::test(start_paused = true)]
async fn its_queries_ask_for_what_is_emitted_and_leave_nothing_out() {
    let dashboard = dashboard();
    let emitted = Emitted::of(&crate::metrics::drive::everything().await);
    let variables: BTreeSet<&str> = list(&dashboard, "/templating/list")
        .iter()
        .map(|variable| text(variable, "/name"))
        .chain(["__rate_interval"])
        .collect();
    let mut shown = BTreeSet::new();
    for target in panels(&dashboard).flat_map(|panel| list(panel, "/targets")) {
        let query = text(target, "/expr");
        let asked = emitted.check(query).unwrap();
        for label in placeholders(text(target, "/legendFormat"), "{{") {
            assert!(asked.labels.contains(label), "{label}: {query}");
        }
        for variable in placeholders(query, "$") {
            assert!(variables.contains(variable), "{variable}: {query}");
        }
        shown.extend(asked.names);
    }
    for metric in METRICS {
        let there =
            shown.contains(metric.name) || shown.contains(&format!("{}_bucket", metric.name));
        assert!(there, "{} is on no panel", metric.name);
    }
    for variable in list(&dashboard, "/templating/list") {
        if let Some(query) = variable.pointer("/query/query").and_then(Value::as_str) {
            // `label_values(selector, label)` is Grafana's own.
            let inside = query.strip_prefix("label_values(").unwrap();
            let (selector, label) = inside.strip_suffix(')').unwrap().rsplit_once(", ").unwrap();
            let selector = match selector.contains("_total") {
                true => format!("sum by ({label}) (rate({selector}[5m]))"),
                false => format!("sum by ({label}) ({selector})"),
            };
            emitted.check(&selector).unwrap();
        }
    }
}
