//! The metrics: what is emitted, that it is what the table says, and that the dashboard and the
//! alerts ask for nothing else.
//!
//! Needs `sh` and `curl`. Prometheus's own `promtool` checks more where it is there: `.ci/test`
//! installs it and tells where by `PROMTOOL`.

mod dashboard;
mod drive;
mod emitted;
mod exposition;
mod promtool;
mod queries;
mod rules;
mod standalone;

use std::path::{Path, PathBuf};

use serde_json::Value;

/// Where the dashboard and the alerts are.
fn monitoring() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/standalone/monitoring")
}

fn read(name: &str) -> String {
    std::fs::read_to_string(monitoring().join(name)).unwrap()
}

/// What stands at this pointer, as text.
fn text<'v>(value: &'v Value, pointer: &str) -> &'v str {
    let found = value.pointer(pointer).and_then(Value::as_str);
    found.unwrap_or_else(|| panic!("no text at {pointer} in {value}"))
}

/// The elements of the list at this pointer.
fn list<'v>(value: &'v Value, pointer: &str) -> &'v [Value] {
    let found = value.pointer(pointer).and_then(Value::as_array);
    found.unwrap_or_else(|| panic!("no list at {pointer} in {value}"))
}
