//! Asks an inbox and prints the answers.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::CommandFactory;
use clap::error::ErrorKind;
use voipbin_receiver::inbox::DiskInbox;

use super::cli::{Discard, InboxCommand, List, Purge, Replay, Show, Tool, ago};
use super::client::{Replies, Source};
use super::format::{Table, in_full};
use super::protocol::{Answer, Ask, Detail, Event, Which};
use crate::options::Options;
use crate::terminal::{Output, complain, exit, json, say};

/// Status 1: something is not there, or failed.
pub(crate) async fn run(command: InboxCommand) -> ExitCode {
    let InboxCommand {
        directory, tool, ..
    } = command;
    let (ask, style) = match request(tool) {
        Ok(Asked::Inbox(ask, style)) => (ask, style),
        Ok(Asked::Salvage(into)) => return salvage(&directory, &into),
        Err(error) => exit(&error),
    };
    let ended = async {
        let source = Source::open(&directory).await?;
        let served = source.is_served();
        let replies = source.ask(ask).await?;
        report(replies, style, served).await
    };
    match ended.await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(why) => {
            complain(why);
            ExitCode::FAILURE
        }
    }
}

/// How the answers are printed.
#[derive(Clone, Copy)]
enum Style {
    Table,
    Json,
    Text,
    Replays { dry_run: bool },
    Count { dry_run: bool },
}

/// What a tool is about.
enum Asked {
    /// The events of an inbox, and how to print them.
    Inbox(Ask, Style),
    /// A damaged inbox, and where to put what is left of it.
    Salvage(PathBuf),
}

fn request(tool: Tool) -> Result<Asked, clap::Error> {
    let (ask, style) = match tool {
        Tool::Salvage(salvage) => return Ok(Asked::Salvage(salvage.into)),
        Tool::List(List {
            filters,
            limit,
            after_id,
            json,
        }) => {
            let ask = Ask::List {
                which: filters.page(limit, after_id),
                detail: Detail::Brief,
            };
            (ask, if json { Style::Json } else { Style::Table })
        }
        Tool::Export(export) => {
            let ask = Ask::List {
                which: export.filters.page(export.limit, export.after_id),
                detail: Detail::Body,
            };
            (ask, Style::Json)
        }
        Tool::Show(Show { id, body, json }) => {
            let detail = if body { Detail::Body } else { Detail::Attempts };
            let style = if json { Style::Json } else { Style::Text };
            (Ask::Show { id, detail }, style)
        }
        Tool::Replay(Replay {
            events,
            by,
            dry_run,
        }) => {
            let ask = Ask::Replay {
                which: chosen("replay", events.which())?,
                by: (!by.is_empty()).then_some(by),
                dry_run,
            };
            (ask, Style::Replays { dry_run })
        }
        Tool::Discard(Discard { events, dry_run }) => {
            let ask = Ask::Discard {
                which: chosen("discard", events.which())?,
                dry_run,
            };
            (ask, Style::Count { dry_run })
        }
        Tool::Purge(Purge {
            dead,
            older_than,
            dry_run,
        }) => {
            let ask = Ask::Purge {
                ended_before: ago(older_than).map_err(|why| usage("purge", &why))?,
                dead,
                dry_run,
            };
            (ask, Style::Count { dry_run })
        }
    };
    Ok(Asked::Inbox(ask, style))
}

/// Blocks, which holds up nobody: there is nothing else to do.
fn salvage(damaged: &Path, into: &Path) -> ExitCode {
    let report = match DiskInbox::salvage(damaged, into) {
        Ok(report) => report,
        Err(error) => {
            complain(error);
            return ExitCode::FAILURE;
        }
    };
    say(format_args!(
        "{} events are back in {}, {} of them unfinished, and {} identities of others",
        report.events,
        into.display(),
        report.unfinished,
        report.identities
    ));
    if report.damaged_rows > 0 {
        say(format_args!(
            "{} rows of the file were damaged",
            report.damaged_rows
        ));
    }
    for identity in &report.lost {
        say(format_args!("lost: {identity}"));
    }
    if report.lost.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn chosen(tool: &str, which: Option<Which>) -> Result<Which, clap::Error> {
    which.ok_or_else(|| {
        usage(
            tool,
            "say which events: their ids, a filter such as --state dead, or --all for all of them",
        )
    })
}

fn usage(tool: &str, why: &str) -> clap::Error {
    let mut program = Options::command();
    program.build();
    let inbox = program.find_subcommand_mut("inbox");
    match inbox.and_then(|inbox| inbox.find_subcommand_mut(tool)) {
        Some(tool) => tool.error(ErrorKind::MissingRequiredArgument, why),
        None => program.error(ErrorKind::MissingRequiredArgument, why),
    }
}

/// Prints until the end. False when something was not there.
async fn report(mut replies: Replies, style: Style, served: bool) -> Result<bool, String> {
    let mut output = Output::default();
    let mut table = Table::new();
    let (mut all_there, mut replayed) = (true, 0_usize);
    while let Some(answer) = replies.next().await? {
        match answer {
            Answer::Event(event) => {
                output.print(&match style {
                    Style::Table => table.add(&event).unwrap_or_default(),
                    Style::Text => whole(&event),
                    _ => json(&event).map_err(|error| error.to_string())?,
                })?;
                // Whoever reads has seen enough. What changes something goes on.
                if output.closed {
                    return Ok(all_there);
                }
            }
            Answer::Replayed { id, replay } => {
                replayed += 1;
                output.print(&format!("{}\n", replay.unwrap_or(id)))?;
            }
            Answer::Discarded { events } => {
                let done = match style {
                    Style::Count { dry_run: true } => "would be discarded",
                    _ => "discarded",
                };
                output.print(&format!("{} {done}\n", counted(events)))?;
            }
            Answer::NotFound { id } => {
                all_there = false;
                complain(format_args!(
                    "there is no event {id} in the inbox, or its body is gone; `standalone inbox list` shows what is there"
                ));
            }
            Answer::ReplayedBefore { id } => {
                all_there = false;
                complain(format_args!(
                    "event {id} was replayed already; --by says which handlers run once more"
                ));
            }
            Answer::More { after } => {
                if matches!(style, Style::Table) {
                    output.print(&table.take())?;
                }
                say(format_args!(
                    "there are more: go on with --after-id {after}, or see all with --limit 0"
                ));
            }
            _ => {}
        }
    }
    match style {
        Style::Table => output.print(&table.take())?,
        Style::Replays { dry_run: true } => {
            say(format_args!("{} would be handled again", counted(replayed)));
        }
        Style::Replays { .. } if replayed > 0 && !served => say(format_args!(
            "{} to be handled again when the server starts: none uses this directory now",
            counted(replayed)
        )),
        Style::Replays { .. } => say(format_args!("{} to be handled again", counted(replayed))),
        _ => {}
    }
    Ok(all_there)
}

fn counted(events: usize) -> String {
    match events {
        1 => "1 event".to_owned(),
        events => format!("{events} events"),
    }
}

fn whole(event: &Event) -> String {
    let mut text = in_full(event);
    if let Some(body) = &event.body {
        text.push('\n');
        text.push_str(body);
        text.push('\n');
    }
    text
}
