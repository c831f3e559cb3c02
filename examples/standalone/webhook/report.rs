//! How a destination is printed.

use serde::Serialize;
use serde_json::{Value, json};
use voipbin_receiver::platform::{Change, Target};

use crate::terminal::{Output, cell, json as line, say};

/// The longest URI that the platform has room for.
const LONGEST: usize = 1023;

/// Prints for a program, or for a person.
pub(super) struct Report {
    output: Output,
    json: bool,
}

impl Report {
    pub(super) fn new(json: bool) -> Self {
        Self {
            output: Output::default(),
            json,
        }
    }

    pub(super) fn print(&mut self, object: &impl Serialize, text: &str) -> Result<(), String> {
        match self.json {
            true => self
                .output
                .print(&line(object).map_err(|error| error.to_string())?),
            false => self.output.print(&format!("{text}\n")),
        }
    }

    pub(super) fn change(&mut self, change: &Change) -> Result<(), String> {
        let (before, after) = (change.before(), change.after());
        let text = match change.is_change() {
            true => format!("{}\nbefore: {}", written(after), written(before)),
            false => format!("{}: as it was, nothing was written", written(after)),
        };
        for warning in change.warnings() {
            say(format_args!("warning: {warning}"));
        }
        let warnings: Vec<String> = change.warnings().iter().map(ToString::to_string).collect();
        let object = json!({
            "customer_id": change.customer_id(),
            "changed": change.is_change(),
            "before": object(before),
            "after": object(after),
            "warnings": warnings,
        });
        self.print(&object, &text)
    }
}

pub(super) fn object(target: &Target) -> Value {
    json!({"uri": target.uri(), "method": target.method()})
}

pub(super) fn written(target: &Target) -> String {
    if target.is_off() {
        return "events are sent nowhere".to_owned();
    }
    let method = match target.method() {
        "" => "GET, as no method is set",
        method => method,
    };
    format!(
        "events are sent to {} with {}",
        cell(target.uri(), LONGEST),
        cell(method, LONGEST)
    )
}
