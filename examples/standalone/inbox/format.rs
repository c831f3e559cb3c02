//! Events as a person reads them in a terminal.

use std::fmt::Write;

use voipbin_receiver::event::Time;

use super::event::{Event, Job, Try};
use crate::terminal::cell;

/// The longest name or id in a list, and the longest error or list of handlers.
const NAME: usize = 64;
const TEXT: usize = 100;

/// The longest value of an event that is shown alone.
const VALUE: usize = 1000;

/// Rows that are aligned with those around them.
pub(crate) struct Table {
    widths: [usize; COLUMNS],
    rows: Vec<[String; COLUMNS]>,
}

const COLUMNS: usize = 8;
const HEADS: [&str; COLUMNS] = [
    "ID",
    "STATE",
    "EVENT",
    "RESOURCE",
    "RECEIVED",
    "FAILED",
    "HANDLERS",
    "LAST ERROR",
];

/// How many rows are aligned with each other. Those after them may be a little wider.
const TOGETHER: usize = 200;

impl Table {
    pub(crate) fn new() -> Self {
        Self {
            widths: [0; COLUMNS],
            rows: vec![HEADS.map(str::to_owned)],
        }
    }

    /// Takes a row, and gives what can be printed by now.
    pub(crate) fn add(&mut self, event: &Event) -> Option<String> {
        let handlers = event.jobs.iter().map(|job| {
            let Job { handler, stage, .. } = job;
            format!("{handler}:{stage}")
        });
        self.rows.push([
            event.id.to_string(),
            cell(&event.state, NAME),
            cell(event_name(event), NAME),
            cell(event.resource_id.as_deref().unwrap_or("-"), NAME),
            to_the_second(event.received_at),
            event.failed_attempts.to_string(),
            cell(&handlers.collect::<Vec<_>>().join(" "), TEXT),
            cell(event.last_error.as_deref().unwrap_or_default(), TEXT),
        ]);
        (self.rows.len() > TOGETHER).then(|| self.take())
    }

    /// What has not been printed.
    pub(crate) fn take(&mut self) -> String {
        for row in &self.rows {
            for (width, cell) in self.widths.iter_mut().zip(row) {
                *width = cell.chars().count().max(*width);
            }
        }
        let mut text = String::new();
        for row in self.rows.drain(..) {
            let mut line = String::new();
            for (width, cell) in self.widths.iter().zip(row) {
                let _ = write!(line, "{cell:width$}  ");
            }
            let _ = writeln!(text, "{}", line.trim_end());
        }
        text
    }
}

/// All of an event but its body.
pub(crate) fn in_full(event: &Event) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: &str| {
        let _ = writeln!(text, "{name:13} {}", cell(value, VALUE));
    };
    line("id", &event.id.to_string());
    if let Some(original) = event.replay_of {
        line("replay of", &original.to_string());
    }
    line("state", &event.state);
    line("event", event_name(event));
    line("resource", event.resource_id.as_deref().unwrap_or("-"));
    line("identity", &event.identity);
    line("received", &time(event.received_at));
    line("signed", if event.signed { "yes" } else { "no" });
    line("content type", &event.content_type);
    line("bytes", &event.bytes.to_string());
    for job in &event.jobs {
        let Job {
            handler,
            stage,
            at,
            failed_attempts,
            ..
        } = job;
        let when = match (at, stage.as_str()) {
            (None, _) => String::new(),
            (at, "delayed") => format!(" until {}", time(*at)),
            (at, _) => format!(" since {}", time(*at)),
        };
        let failed = match failed_attempts {
            0 => String::new(),
            1 => ", 1 attempt failed".to_owned(),
            failed => format!(", {failed} attempts failed"),
        };
        let _ = writeln!(text, "{:13} {stage}{when}{failed}", cell(handler, VALUE));
        for attempt in job.history.iter().flatten() {
            let Try {
                began_at,
                took_ms,
                error,
            } = attempt;
            let _ = writeln!(
                text,
                "  {} {}.{:03} s  {}",
                time(*began_at),
                took_ms / 1000,
                took_ms % 1000,
                cell(error, VALUE)
            );
        }
    }
    text
}

fn event_name(event: &Event) -> &str {
    event.event.as_deref().unwrap_or("(custom)")
}

fn time(time: Option<Time>) -> String {
    time.map_or_else(|| "-".to_owned(), |time| time.to_string())
}

fn to_the_second(at: Option<Time>) -> String {
    time(at.and_then(|at| Time::from_unix_seconds(at.as_unix_seconds()).ok()))
}
