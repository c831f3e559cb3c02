//! What the tools tell of an event, and of a copy.

use std::path::Path;

use voipbin_receiver::inbox::CopyReport;

use super::event::Event;
use super::format::in_full;
use crate::terminal::say;

/// Tells what came of a copy. False when something is missing in it.
pub(super) fn told(report: &CopyReport, done: &str, directory: &Path) -> bool {
    say(format_args!(
        "{} events are {done}, {} of them unfinished, and {} identities of others",
        report.events, report.unfinished, report.identities
    ));
    for lost in &report.lost {
        let id = lost.id.get();
        match lost.identity {
            Some(identity) => say(format_args!("lost: event {id}, {identity}")),
            None => say(format_args!("lost: event {id}")),
        }
    }
    for range in &report.unread {
        say(format_args!(
            "cannot be looked up: events {} to {}",
            range.start().get(),
            range.end().get()
        ));
    }
    if report.unreadable_bytes > 0 {
        say(format_args!(
            "the disk does not give {} bytes of the file",
            report.unreadable_bytes
        ));
    }
    if !report.is_whole() {
        say(format_args!(
            "what is damaged may lead to more: `sqlite3 -readonly {}/inbox.db .recover` looks at each page by itself",
            directory.display()
        ));
    }
    report.is_whole()
}

pub(super) fn counted(events: usize) -> String {
    match events {
        1 => "1 event".to_owned(),
        events => format!("{events} events"),
    }
}

pub(super) fn whole(event: &Event) -> String {
    let mut text = in_full(event);
    if let Some(body) = &event.body {
        text.push('\n');
        text.push_str(body);
        text.push('\n');
    }
    text
}
