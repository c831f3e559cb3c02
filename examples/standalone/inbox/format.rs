//! Events as a person reads them in a terminal.

use std::fmt::Write;

use voipbin_receiver::event::Time;

use super::protocol::{Event, Job, Try};

/// What a list shows of an error.
const ERROR: usize = 100;

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
            event.state.clone(),
            event_name(event),
            plain(event.resource_id.as_deref().unwrap_or("-")),
            to_the_second(event.received_at),
            event.failed_attempts.to_string(),
            plain(&handlers.collect::<Vec<_>>().join(" ")),
            shortened(&plain(event.last_error.as_deref().unwrap_or_default())),
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
        let _ = writeln!(text, "{name:13} {value}");
    };
    line("id", &event.id.to_string());
    if let Some(original) = event.replay_of {
        line("replay of", &original.to_string());
    }
    line("state", &event.state);
    line("event", &event_name(event));
    line(
        "resource",
        &plain(event.resource_id.as_deref().unwrap_or("-")),
    );
    line("identity", &event.identity);
    line("received", &time(event.received_at));
    line("signed", if event.signed { "yes" } else { "no" });
    line("content type", &plain(&event.content_type));
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
            (at, "waiting") => format!(" until {}", time(*at)),
            (at, _) => format!(" since {}", time(*at)),
        };
        let failed = match failed_attempts {
            0 => String::new(),
            1 => ", 1 attempt failed".to_owned(),
            failed => format!(", {failed} attempts failed"),
        };
        let _ = writeln!(text, "{:13} {stage}{when}{failed}", plain(handler));
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
                plain(error)
            );
        }
    }
    text
}

fn event_name(event: &Event) -> String {
    plain(event.event.as_deref().unwrap_or("(custom)"))
}

fn time(time: Option<Time>) -> String {
    time.map_or_else(|| "-".to_owned(), |time| time.to_string())
}

fn to_the_second(at: Option<Time>) -> String {
    time(at.and_then(|at| Time::from_unix_seconds(at.as_unix_seconds()).ok()))
}

/// Names and errors hold what others wrote: nothing in them may move the cursor or end the line.
fn plain(text: &str) -> String {
    let steers = |c: char| {
        c.is_control()
            || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.replace(steers, " ")
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(ERROR) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or(text)),
        None => text.to_owned(),
    }
}
