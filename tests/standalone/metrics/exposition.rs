//! Reads the text format of Prometheus, version 0.0.4, and refuses whatever is not that.

use std::collections::{BTreeMap, BTreeSet, HashSet};

/// One sample.
#[derive(Debug)]
pub(crate) struct Sample {
    pub(crate) name: String,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) value: f64,
}

/// A metric with its samples.
#[derive(Debug, Default)]
pub(crate) struct Family {
    pub(crate) kind: String,
    pub(crate) help: String,
    pub(crate) samples: Vec<Sample>,
}

impl Family {
    /// The labels that its samples have, apart from the bounds of buckets.
    pub(crate) fn labels(&self) -> BTreeSet<&str> {
        let labels = self.samples.iter().flat_map(|sample| sample.labels.keys());
        labels
            .map(String::as_str)
            .filter(|label| *label != "le")
            .collect()
    }
}

/// Metrics by name.
pub(crate) type Exposition = BTreeMap<String, Family>;

/// The metrics in a text.
pub(crate) fn parse(text: &str) -> Result<Exposition, String> {
    let mut families = Exposition::new();
    let mut current = String::new();
    let mut seen = HashSet::new();
    if !text.ends_with('\n') {
        return Err("the last line does not end".into());
    }
    for line in text.lines().filter(|line| !line.is_empty()) {
        let fault = |what: &str| Err(format!("{what}: {line}"));
        if let Some(comment) = line.strip_prefix("# ") {
            let mut parts = comment.splitn(3, ' ');
            let (Some(word), Some(name), Some(rest)) = (parts.next(), parts.next(), parts.next())
            else {
                return fault("half a comment");
            };
            if name != current && families.contains_key(name) {
                return fault("a metric in two places");
            }
            current = name.to_owned();
            let family = families.entry(current.clone()).or_default();
            let told = match word {
                "HELP" => &mut family.help,
                "TYPE" => &mut family.kind,
                _ => return fault("neither help nor type"),
            };
            if !told.is_empty() || !family.samples.is_empty() {
                return fault("told twice, or too late");
            }
            *told = rest.to_owned();
        } else {
            let Some(sample) = sample(line) else {
                return fault("no sample");
            };
            if !seen.insert((sample.name.clone(), sample.labels.clone())) {
                return fault("a sample comes twice");
            }
            let Some(family) = families.get_mut(&current) else {
                return fault("a sample of nothing");
            };
            let suffix = sample.name.strip_prefix(&current);
            let fits = match family.kind.as_str() {
                "histogram" => matches!(suffix, Some("_bucket" | "_sum" | "_count")),
                "counter" | "gauge" => suffix == Some(""),
                _ => return fault("of no kind"),
            };
            if !fits {
                return fault("a sample of another metric");
            }
            family.samples.push(sample);
        }
    }
    Ok(families)
}

/// `name{label="value",…} number`
fn sample(line: &str) -> Option<Sample> {
    let end = line.find(['{', ' '])?;
    let (name, rest) = line.split_at(end);
    let mut labels = BTreeMap::new();
    let mut rest = rest.strip_prefix('{').unwrap_or(rest);
    if line[end..].starts_with('{') {
        loop {
            let (label, value) = rest.split_once("=\"")?;
            let (value, after) = quoted(value)?;
            if !is_name(label) || labels.insert(label.to_owned(), value).is_some() {
                return None;
            }
            rest = match after.strip_prefix(',') {
                Some(next) => next,
                None => break rest = after.strip_prefix('}')?,
            };
        }
    }
    let value = rest.strip_prefix(' ')?.parse().ok()?;
    is_name(name).then(|| Sample {
        name: name.to_owned(),
        labels,
        value,
    })
}

/// The text up to the quote that ends it, and what follows.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut characters = text.char_indices();
    loop {
        match characters.next()? {
            (end, '"') => return Some((value, &text[end + 1..])),
            (_, '\\') => value.push(match characters.next()?.1 {
                'n' => '\n',
                plain @ ('\\' | '"') => plain,
                _ => return None,
            }),
            (_, plain) => value.push(plain),
        }
    }
}

fn is_name(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

#[test]
fn what_is_not_the_format_is_refused() {
    let good = "# HELP a what\n# TYPE a counter\na{b=\"x\\\"y\"} 1\na 2e3\n";
    let families = parse(good).unwrap();
    assert_eq!(families["a"].samples[0].labels["b"], "x\"y");
    assert_eq!(families["a"].samples[1].value, 2000.0);
    for bad in [
        "a 1\n",
        "# TYPE a counter\na 1",
        "# TYPE a counter\na{b=\"x\"\n",
        "# TYPE a counter\na{b=\"x} 1\n",
        "# TYPE a counter\na{b-c=\"x\"} 1\n",
        "# TYPE a counter\na{b=\"x\",b=\"y\"} 1\n",
        "# TYPE a counter\na one\n",
        "# TYPE a counter\na 1\na 1\n",
        "# TYPE a counter\nab 1\n",
        "# TYPE a histogram\na 1\n",
        "# TYPE a counter\n# TYPE b counter\n# TYPE a counter\n",
    ] {
        assert!(parse(bad).is_err(), "{bad}");
    }
}
