//! Reads PromQL, and refuses what asks for something that is not emitted.

use std::collections::{BTreeMap, BTreeSet};

use promql_parser::label::{MatchOp, Matchers};
use promql_parser::parser::{self, Expr, VectorSelector};

use crate::metrics::exposition::Exposition;

/// Put on every series by Prometheus itself.
const OF_PROMETHEUS: [&str; 2] = ["job", "instance"];

/// What there is to ask for: by the name of its samples, the labels and their values.
pub(crate) struct Emitted {
    series: BTreeMap<String, BTreeMap<String, BTreeSet<String>>>,
    kinds: BTreeMap<String, String>,
}

impl Emitted {
    pub(crate) fn of(exposition: &Exposition) -> Self {
        let mut emitted = Self {
            series: BTreeMap::new(),
            kinds: BTreeMap::new(),
        };
        for family in exposition.values() {
            for sample in &family.samples {
                let kind = family.kind.clone();
                emitted.kinds.insert(sample.name.clone(), kind);
                let labels = emitted.series.entry(sample.name.clone()).or_default();
                for (label, value) in &sample.labels {
                    let values = labels.entry(label.clone()).or_default();
                    values.insert(value.clone());
                }
            }
        }
        emitted
    }

    /// Checks a query, of which variables of Grafana's are part; what it asks for, and the labels
    /// that its aggregations leave.
    pub(crate) fn check(&self, query: &str) -> Result<Asked, String> {
        let plain = query.replace("$__rate_interval", "5m");
        let parsed = parser::parse(&plain).map_err(|error| format!("{error}: {query}"))?;
        let mut asked = Asked::default();
        self.walk(&parsed, false, &mut asked)
            .map_err(|error| format!("{error}: {query}"))?;
        Ok(asked)
    }

    fn walk(&self, expr: &Expr, over_time: bool, asked: &mut Asked) -> Result<(), String> {
        match expr {
            Expr::VectorSelector(selector) => self.selector(selector, over_time, asked),
            Expr::MatrixSelector(matrix) => {
                if !over_time {
                    return Err("a range that nothing is made of".into());
                }
                self.selector(&matrix.vs, true, asked)
            }
            Expr::Aggregate(aggregate) => {
                let mut inside = Asked::default();
                self.walk(&aggregate.expr, false, &mut inside)?;
                if let Some(modifier) = &aggregate.modifier {
                    for label in &modifier.labels().labels {
                        if let Some(name) = inside.names.iter().find(|name| !self.has(name, label))
                        {
                            return Err(format!("{name} has no label {label}"));
                        }
                        asked.labels.insert(label.clone());
                    }
                }
                asked.labels.extend(inside.labels);
                asked.names.extend(inside.names);
                Ok(())
            }
            Expr::Call(call) => {
                let over_time = ["rate", "increase"].contains(&call.func.name);
                let mut args = call.args.args.iter();
                args.try_for_each(|arg| self.walk(arg, over_time, asked))
            }
            Expr::Binary(binary) => {
                self.walk(&binary.lhs, false, asked)?;
                self.walk(&binary.rhs, false, asked)
            }
            Expr::Unary(unary) => self.walk(&unary.expr, false, asked),
            Expr::Paren(paren) => self.walk(&paren.expr, over_time, asked),
            Expr::NumberLiteral(_) | Expr::StringLiteral(_) => Ok(()),
            other => Err(format!("not looked into: {other:?}")),
        }
    }

    fn selector(
        &self,
        selector: &VectorSelector,
        over_time: bool,
        asked: &mut Asked,
    ) -> Result<(), String> {
        let name = selector
            .name
            .as_deref()
            .ok_or("a selector without a name")?;
        let kind = self.kinds.get(name).ok_or(format!("no metric {name}"))?;
        if (kind == "gauge") == over_time {
            return Err(format!("{name} is a {kind}"));
        }
        let Matchers {
            matchers,
            or_matchers,
        } = &selector.matchers;
        for matcher in matchers.iter().chain(or_matchers.iter().flatten()) {
            if !self.has(name, &matcher.name) {
                return Err(format!("{name} has no label {}", matcher.name));
            }
            if OF_PROMETHEUS.contains(&matcher.name.as_str()) || matcher.value.starts_with('$') {
                continue;
            }
            let known = &self.series[name][&matcher.name];
            let wanted: Vec<&str> = match matcher.op {
                MatchOp::Equal | MatchOp::NotEqual => vec![&matcher.value],
                MatchOp::Re(_) | MatchOp::NotRe(_) => matcher.value.split('|').collect(),
            };
            if let Some(value) = wanted.iter().find(|value| !known.contains(**value)) {
                return Err(format!("{name} has no {}=\"{value}\"", matcher.name));
            }
        }
        asked.names.insert(name.to_owned());
        Ok(())
    }

    fn has(&self, name: &str, label: &str) -> bool {
        OF_PROMETHEUS.contains(&label) || self.series[name].contains_key(label)
    }
}

/// What a query asks for.
#[derive(Debug, Default)]
pub(crate) struct Asked {
    /// The series.
    pub(crate) names: BTreeSet<String>,
    /// The labels that it groups by.
    pub(crate) labels: BTreeSet<String>,
}

/// The names between `open` and the next thing that cannot be part of a name.
pub(crate) fn placeholders<'t>(text: &'t str, open: &'t str) -> impl Iterator<Item = &'t str> {
    text.split(open).skip(1).map(|after| {
        let after = after.trim_start();
        let end = after.find(|part: char| !part.is_ascii_alphanumeric() && part != '_');
        &after[..end.unwrap_or(after.len())]
    })
}

#[tokio::test(start_paused = true)]
async fn a_query_for_what_is_not_emitted_is_refused() {
    let emitted = Emitted::of(&crate::metrics::drive::everything().await);
    for good in [
        "voipbin_ready == 0",
        "sum by (outcome) (rate(voipbin_deliveries_total{job=~\"$job\"}[$__rate_interval]))",
        "histogram_quantile(0.5, sum by (le) (rate(voipbin_queue_wait_seconds_bucket[1m])))",
    ] {
        emitted.check(good).unwrap();
    }
    for bad in [
        "sum by (",
        "voipbin_redy == 0",
        "voipbin_deliveries_total > 1",
        "rate(voipbin_ready[5m])",
        "voipbin_deliveries_total[5m]",
        "rate(voipbin_deliveries_total{reasons=\"none\"}[5m])",
        "rate(voipbin_deliveries_total{reason=\"signatures\"}[5m])",
        "rate(voipbin_deliveries_total{reason=~\"signature|bodies\"}[5m])",
        "sum by (handler) (rate(voipbin_deliveries_total[5m]))",
        "rate(voipbin_queue_wait_seconds[5m])",
    ] {
        assert!(emitted.check(bad).is_err(), "{bad}");
    }
}
