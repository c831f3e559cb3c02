//! Looks into an inbox and prints what is there.

use std::path::Path;
use std::process::ExitCode;
#[cfg(feature = "postgres")]
use std::time::Duration;
use std::time::SystemTime;

use clap::builder::PossibleValuesParser;
use clap::error::{ContextKind, ErrorKind};
use clap::{Arg, CommandFactory};
use voipbin_receiver::catalog::CATALOG;
use voipbin_receiver::handler::HandlerName;
use voipbin_receiver::inbox::{
    DiskInbox, DiskInboxErrorKind, DiskRecords, Record, RecordFilter, RecordId, RecordState,
    Records, RecordsError, RecordsErrorKind,
};

#[cfg(feature = "postgres")]
use super::cli::Move;
use super::cli::{InboxCommand, Purge, Replay, Tool, Which, ago};
use super::event::{Detail, Event};
use super::format::Table;
use super::report::{counted, told, whole};
use crate::options::Options;
use crate::terminal::{self, Output, complain, json, say};

/// How many events are read at once, with their bodies.
const AT_ONCE: usize = 64;

/// Status 1: something is not there, or failed.
pub(crate) async fn run(command: InboxCommand) -> ExitCode {
    let InboxCommand {
        directory, tool, ..
    } = command;
    match carry_out(&directory, tool).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(Failed::Usage(error)) => terminal::exit(&error),
        Err(Failed::Why(why)) => {
            complain(&why);
            ExitCode::FAILURE
        }
    }
}

/// Why a tool did not do what it was to.
enum Failed {
    Usage(clap::Error),
    Why(String),
}

impl From<RecordsError> for Failed {
    fn from(error: RecordsError) -> Self {
        Self::Why(terminal::in_full(&error))
    }
}

impl From<clap::Error> for Failed {
    fn from(error: clap::Error) -> Self {
        Self::Usage(error)
    }
}

impl From<String> for Failed {
    fn from(why: String) -> Self {
        Self::Why(why)
    }
}

impl From<serde_json::Error> for Failed {
    fn from(error: serde_json::Error) -> Self {
        Self::Why(error.to_string())
    }
}

/// False when something was not there.
async fn carry_out(directory: &Path, tool: Tool) -> Result<bool, Failed> {
    let tool = match tool {
        Tool::Salvage(salvage) => {
            // Blocks, which holds up nobody: there is nothing else to do.
            let report = DiskInbox::salvage(directory, &salvage.into);
            let report = report.map_err(|error| Failed::Why(terminal::in_full(&error)))?;
            return Ok(told(
                &report,
                &format!("back in {}", salvage.into.display()),
                directory,
            ));
        }
        #[cfg(feature = "postgres")]
        Tool::Move(to) => return move_all(directory, &to).await,
        Tool::Replay(Replay {
            events,
            by,
            dry_run,
        }) => Checked::Replay(chosen("replay", events.which())?, by, dry_run),
        Tool::Discard(discard) => {
            Checked::Discard(chosen("discard", discard.events.which())?, discard.dry_run)
        }
        other => Checked::Other(other),
    };
    let records = open(directory)?;
    let ended = match check_names(&records).await {
        Ok(()) => on(&records, directory, tool).await,
        Err(failed) => Err(failed),
    };
    records.closed().await;
    ended
}

/// A tool that makes sense.
enum Checked {
    Replay(Which, Vec<String>, bool),
    Discard(Which, bool),
    Other(Tool),
}

async fn on(records: &DiskRecords, directory: &Path, tool: Checked) -> Result<bool, Failed> {
    match tool {
        Checked::Replay(which, by, dry_run) => return replay(records, which, by, dry_run).await,
        Checked::Discard(which, dry_run) => return discard(records, which, dry_run).await,
        Checked::Other(Tool::List(list)) => {
            let (detail, style) = match list.json {
                true => (Detail::Brief, Style::Json),
                false => (Detail::Brief, Style::Table(Table::new())),
            };
            let filter = list.filters.build();
            print_all(records, &filter, (list.after_id, list.limit), detail, style).await?;
        }
        Checked::Other(Tool::Export(export)) => {
            let some = (export.after_id, export.limit);
            let filter = export.filters.build();
            print_all(records, &filter, some, Detail::Body, Style::Json).await?;
        }
        Checked::Other(Tool::Show(show)) => {
            let Some(record) = records.get(RecordId::new(show.id)).await? else {
                not_found(show.id);
                return Ok(false);
            };
            let detail = if show.body {
                Detail::Body
            } else {
                Detail::Attempts
            };
            let event = Event::of(&record, detail)?;
            let text = if show.json {
                json(&event)?
            } else {
                whole(&event)
            };
            Output::default().print(&text)?;
        }
        Checked::Other(Tool::Purge(Purge {
            dead,
            older_than,
            dry_run,
        })) => {
            let ended = ago(older_than).map_err(|why| usage("purge", &why))?;
            // Before the first time that there is nothing has ended.
            let ended = ended.to_system_time().unwrap_or(SystemTime::UNIX_EPOCH);
            let mut filter = RecordFilter::new().ended_before(ended);
            if !dead {
                filter = filter.state(RecordState::Done);
            }
            discard(records, Which::Matching(filter), dry_run).await?;
        }
        Checked::Other(Tool::Erase(erase)) => {
            let filter = erase.filter();
            let (erased, done) = match erase.dry_run {
                true => (ids(records, &filter).await?.len(), "would be erased"),
                false => (records.erase(&filter).await?, "erased"),
            };
            Output::default().print(&format!("{} {done}\n", counted(erased)))?;
        }
        Checked::Other(Tool::Backup(backup)) => {
            let report = records.backup(&backup.to).await;
            let report = report.map_err(|error| Failed::Why(terminal::in_full(&error)))?;
            return Ok(told(
                &report,
                &format!("copied to {}", backup.to.display()),
                directory,
            ));
        }
        // They were taken care of.
        Checked::Other(Tool::Replay(_) | Tool::Discard(_) | Tool::Salvage(_)) => {}
        #[cfg(feature = "postgres")]
        Checked::Other(Tool::Move(_)) => {}
    }
    Ok(true)
}

#[cfg(feature = "postgres")]
async fn move_all(directory: &Path, to: &Move) -> Result<bool, Failed> {
    let failed = |error: &dyn std::error::Error| Failed::Why(terminal::in_full(error));
    let inbox = to.database.inbox().map_err(|error| failed(&*error))?;
    // Whose settings are a server's: nothing is removed for its age here.
    let inbox = inbox
        .retain_done(Duration::MAX)
        .retain_dead(Duration::MAX)
        .identity_ttl(Duration::MAX);
    let inbox = inbox.connect().await.map_err(|error| failed(&error))?;
    let report = inbox.move_from(directory).await;
    let report = report.map_err(|error| failed(&error))?;
    Ok(told(&report, "moved", directory))
}

fn open(directory: &Path) -> Result<DiskRecords, Failed> {
    DiskRecords::open(directory).map_err(|error| {
        Failed::Why(match error.kind() {
            DiskInboxErrorKind::NotFound => format!(
                "there is no inbox in {}: name the server's directory with --directory or VOIPBIN_DIRECTORY",
                directory.display()
            ),
            _ => terminal::in_full(&error),
        })
    })
}

/// Refuses the name of a type or a handler that nothing in the inbox has: an empty list would look
/// like an answer.
async fn check_names(records: &DiskRecords) -> Result<(), Failed> {
    let is_given = |argument| matched_with(argument, &[]).is_err();
    if is_given("handler") || is_given("by") {
        let handlers = records.handlers().await?;
        let handlers = handlers.iter().map(HandlerName::as_str);
        let handlers: Vec<String> = handlers.map(str::to_owned).collect();
        matched_with("handler", &handlers)?;
        match matched_with("by", &handlers) {
            // A release to come may have it.
            Err(error) if error.get(ContextKind::SuggestedValue).is_none() => {
                say("nothing in the inbox was for such a handler so far: it waits for one");
            }
            matched => matched?,
        }
    }
    if !is_given("event") {
        return Ok(());
    }
    let mut types: Vec<String> = CATALOG.iter().map(|entry| entry.name.to_owned()).collect();
    if matched_with("event", &types).is_err() {
        let own = records.event_types().await?;
        types.extend(own.iter().map(|own| own.as_str().to_owned()));
        matched_with("event", &types).map_err(|mut error| {
            // They are too many to be shown.
            error.remove(ContextKind::ValidValue);
            error
        })?;
    }
    Ok(())
}

/// Whether what was given makes sense where an argument takes these values alone.
fn matched_with(argument: &str, values: &[String]) -> Result<(), clap::Error> {
    let limited = |arg: Arg| match arg.get_id() == argument {
        true => arg.value_parser(PossibleValuesParser::new(values.to_vec())),
        false => arg,
    };
    let command = Options::command().mut_subcommand("inbox", |inbox| {
        inbox.mut_subcommands(|tool| tool.mut_args(limited))
    });
    command.try_get_matches().map(drop)
}

fn chosen(tool: &str, which: Option<Which>) -> Result<Which, Failed> {
    which.ok_or_else(|| {
        usage(
            tool,
            "say which events: their ids, a filter such as --state dead, or --all for all of them",
        )
    })
}

fn usage(tool: &str, why: &str) -> Failed {
    let mut program = Options::command();
    program.build();
    let inbox = program.find_subcommand_mut("inbox");
    let kind = ErrorKind::MissingRequiredArgument;
    Failed::Usage(
        match inbox.and_then(|inbox| inbox.find_subcommand_mut(tool)) {
            Some(tool) => tool.error(kind, why),
            None => program.error(kind, why),
        },
    )
}

/// How events are printed.
enum Style {
    Table(Table),
    Json,
}

/// Goes through the events that a filter takes.
struct Search<'a> {
    records: &'a dyn Records,
    filter: &'a RecordFilter,
    after: Option<RecordId>,
    left: u64,
    over: bool,
}

impl Search<'_> {
    /// The next few of them, none at the end.
    async fn next(&mut self) -> Result<Vec<Record>, RecordsError> {
        let most = usize::try_from(self.left).map_or(AT_ONCE, |left| left.min(AT_ONCE));
        if self.over || most == 0 {
            return Ok(Vec::new());
        }
        let page = self.records.list(self.filter, self.after, most).await?;
        self.left = self.left.saturating_sub(page.records.len() as u64);
        self.over = page.next.is_none();
        self.after = page.next;
        Ok(page.records)
    }
}

/// Prints those after this one, up to so many, 0 for all.
async fn print_all(
    records: &dyn Records,
    filter: &RecordFilter,
    (after, limit): (Option<u64>, u64),
    detail: Detail,
    mut style: Style,
) -> Result<(), Failed> {
    let mut output = Output::default();
    let mut search = Search {
        records,
        filter,
        after: after.map(RecordId::new),
        left: if limit > 0 { limit } else { u64::MAX },
        over: false,
    };
    loop {
        let found = search.next().await?;
        for record in &found {
            let event = Event::of(record, detail)?;
            match &mut style {
                Style::Table(table) => output.print(&table.add(&event).unwrap_or_default())?,
                Style::Json => output.print(&json(&event)?)?,
            }
        }
        // Whoever reads may have seen enough.
        if found.is_empty() || output.closed {
            break;
        }
    }
    if let Style::Table(table) = &mut style {
        output.print(&table.take())?;
    }
    if let Some(after) = search.after.filter(|_| !search.over && !output.closed) {
        say(format_args!(
            "there are more: go on with --after-id {}, or see all with --limit 0",
            after.get()
        ));
    }
    Ok(())
}

/// The numbers of the events that a filter takes.
async fn ids(records: &dyn Records, filter: &RecordFilter) -> Result<Vec<RecordId>, RecordsError> {
    let (after, left) = (None, u64::MAX);
    let mut search = Search {
        records,
        filter,
        after,
        left,
        over: false,
    };
    let mut ids = Vec::new();
    loop {
        let found = search.next().await?;
        if found.is_empty() {
            return Ok(ids);
        }
        ids.extend(found.iter().map(|record| record.id));
    }
}

/// Those of these events that are there. Tells of the others.
async fn there(records: &dyn Records, ids: Vec<RecordId>) -> Result<Vec<RecordId>, RecordsError> {
    let mut there = Vec::with_capacity(ids.len());
    for id in ids {
        match records.get(id).await? {
            Some(_) => there.push(id),
            None => not_found(id.get()),
        }
    }
    Ok(there)
}

async fn replay(
    records: &DiskRecords,
    which: Which,
    by: Vec<String>,
    dry_run: bool,
) -> Result<bool, Failed> {
    let by: Vec<_> = by.iter().map(|name| HandlerName::new(name)).collect();
    let by = (!by.is_empty()).then_some(by);
    // All of them first: what is handled again comes at the end, and would be found again.
    let ids = match which {
        Which::Ids(ids) => ids,
        Which::Matching(filter) => ids(records, &filter).await?,
    };
    let wanted = ids.len();
    let mut output = Output::default();
    if dry_run {
        let there = there(records, ids).await?;
        for id in &there {
            output.print(&format!("{}\n", id.get()))?;
        }
        say(format_args!(
            "{} would be handled again",
            counted(there.len())
        ));
        return Ok(there.len() == wanted);
    }
    let mut replayed = 0;
    for ids in ids.chunks(AT_ONCE) {
        let replays = records.replay_many(ids, by.as_deref()).await;
        for (id, replay) in ids.iter().zip(replays) {
            match replay {
                Ok(new) => {
                    replayed += 1;
                    output.print(&format!("{}\n", new.get()))?;
                }
                Err(error) => match error.kind() {
                    RecordsErrorKind::NotFound => not_found(id.get()),
                    RecordsErrorKind::Replayed => complain(format_args!(
                        "event {} was replayed already; --by says which handlers run once more",
                        id.get()
                    )),
                    _ => return Err(error.into()),
                },
            }
        }
    }
    match records.is_served() || replayed == 0 {
        true => say(format_args!("{} to be handled again", counted(replayed))),
        false => say(format_args!(
            "{} to be handled again when the server starts: none uses this directory now",
            counted(replayed)
        )),
    }
    Ok(replayed == wanted)
}

async fn discard(records: &DiskRecords, which: Which, dry_run: bool) -> Result<bool, Failed> {
    let (mut all_there, mut events) = (true, 0);
    match which {
        Which::Ids(mut named) => {
            named.sort_unstable();
            named.dedup();
            let wanted = named.len();
            let there = there(records, named).await?;
            all_there = there.len() == wanted;
            events = if dry_run {
                there.len()
            } else {
                records.discard(&there).await?
            };
        }
        Which::Matching(filter) if dry_run => events += ids(records, &filter).await?.len(),
        Which::Matching(filter) => events += records.discard_all(&filter).await?,
    }
    let done = if dry_run {
        "would be discarded"
    } else {
        "discarded"
    };
    Output::default().print(&format!("{} {done}\n", counted(events)))?;
    Ok(all_there)
}

fn not_found(id: u64) {
    complain(format_args!(
        "there is no event {id} in the inbox, or its body is gone; `standalone inbox list` shows what is there"
    ));
}
