use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use clap::{ArgGroup, Args, Subcommand, ValueEnum};
use voipbin_receiver::catalog::EventType;
use voipbin_receiver::event::Time;
use voipbin_receiver::handler::HandlerName;
use voipbin_receiver::inbox::{PhoneNumber, RecordFilter, RecordId, RecordState};

use crate::settings::DIRECTORY;
#[cfg(feature = "postgres")]
use crate::settings::DatabaseSettings;

/// Look into the inbox on disk, and have its events handled again
///
/// They work beside a server that uses the directory: they read the file, and ask the server for
/// what is to be changed. Without one they open the inbox for that themselves, and no handler runs.
/// Only the owner of the directory can use them.
///
/// Bodies are personal data: only show --body and export print them.
#[derive(Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct InboxCommand {
    /// The server's file with settings, for its directory
    #[arg(long, global = true, env = "VOIPBIN_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,

    /// The directory of the inbox
    #[arg(
        long,
        global = true,
        env = "VOIPBIN_DIRECTORY",
        value_name = "DIR",
        default_value = DIRECTORY
    )]
    pub(crate) directory: PathBuf,

    #[command(subcommand)]
    pub(crate) tool: Tool,
}

const AFTER_HELP: &str = "\
Examples:
  What nobody could handle:
    standalone inbox list --state dead
  Why, with each attempt:
    standalone inbox show 17
  Have it handled again, once the cause is gone:
    standalone inbox replay --state dead --event call_hangup --after 2h
  Keep a copy, and make room:
    standalone inbox export --state dead > dead.jsonl
    standalone inbox purge --dead --older-than 7d
  Keep a copy of the inbox, and look into it:
    standalone inbox backup /backup/voipbin/inbox.db
    standalone inbox --directory /backup/voipbin list
  What is there about a person, and then no more:
    standalone inbox export --number +15551234567
    standalone inbox erase --number +15551234567
  Go on after the disk has damaged the file:
    standalone inbox salvage voipbin-inbox-2
    standalone --directory voipbin-inbox-2

A time is one of RFC 3339, such as 2026-09-01T12:00:00Z, or an age, such as 90s, 15m, 2h, 7d.
Exit status: 0; 1 when something is not there or failed; 2 when the command makes no sense.";

#[derive(Subcommand)]
pub(crate) enum Tool {
    /// A line for each event, in the order in which they came
    List(List),
    /// One event, with the attempts that ended badly
    Show(Show),
    /// Have events handled again, each as a new event; prints the new ids
    Replay(Replay),
    /// Give events up: they are not handled any more, and their bodies are removed
    Discard(Discard),
    /// Discard the finished events and, if asked to, the dead letters
    Purge(Purge),
    /// A line of JSON for each event, with its body exactly as it came, in a string
    Export(Export),
    /// Copy the inbox into a new file, each event checked; a server may run
    Backup(Backup),
    /// Discard all that speaks of a person or a resource, whatever its state, and leave nothing of
    /// it in the files
    Erase(Erase),
    /// Bring back what can be read of a damaged inbox, into a new directory; no server may run
    Salvage(Salvage),
    /// Move all that the inbox holds into another kind of inbox; no server may run
    ///
    /// What is not finished is handled there, and no more here: the file is set aside, in a
    /// directory of its own. When it was ended or failed, do it again: it goes on.
    #[cfg(feature = "postgres")]
    Move(Move),
}

#[cfg(feature = "postgres")]
#[derive(Args)]
pub(crate) struct Move {
    /// Where to
    #[arg(long, value_name = "INBOX")]
    to: Target,

    #[command(flatten)]
    pub(crate) database: DatabaseSettings,
}

#[cfg(feature = "postgres")]
#[derive(Clone, Copy, ValueEnum)]
enum Target {
    /// An inbox on PostgreSQL
    Postgres,
}

#[derive(Args)]
pub(crate) struct Backup {
    /// The new file. As inbox.db in a directory of its own it is an inbox
    #[arg(value_name = "FILE")]
    pub(crate) to: PathBuf,
}

#[derive(Args)]
#[command(group(ArgGroup::new("whom").required(true)))]
pub(crate) struct Erase {
    /// Those that hold this phone number in one of its usual spellings, anywhere in the body
    #[arg(long, value_name = "NUMBER", group = "whom")]
    number: Option<PhoneNumber>,

    /// Those of the resource with this id, and those that speak of it
    #[arg(long, value_name = "ID", group = "whom")]
    resource: Option<String>,

    /// Only count
    #[arg(long)]
    pub(crate) dry_run: bool,
}

impl Erase {
    pub(crate) fn filter(&self) -> RecordFilter {
        let mut filter = RecordFilter::new();
        if let Some(number) = &self.number {
            filter = filter.number(number.clone());
        }
        if let Some(id) = &self.resource {
            filter = filter.mentions(id);
        }
        filter
    }
}

#[derive(Args)]
pub(crate) struct Salvage {
    /// The new directory: give it to the server afterwards
    #[arg(value_name = "NEW")]
    pub(crate) into: PathBuf,
}

#[derive(Args)]
pub(crate) struct List {
    #[command(flatten)]
    pub(crate) filters: Filters,

    /// At most so many; 0 for all
    #[arg(long, value_name = "N", default_value_t = 50)]
    pub(crate) limit: u64,

    /// Only those that came after the event with this id; a list that was cut names it
    #[arg(long, value_name = "ID")]
    pub(crate) after_id: Option<u64>,

    /// Print a line of JSON for each
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args)]
pub(crate) struct Show {
    /// The id of the event, as list prints it
    pub(crate) id: u64,

    /// With the body as it came: personal data
    #[arg(long)]
    pub(crate) body: bool,

    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args)]
pub(crate) struct Replay {
    #[command(flatten)]
    pub(crate) events: Events,

    /// The handlers that run; without it those that gave up or, if none did, all
    #[arg(long, value_name = "HANDLER", value_delimiter = ',')]
    pub(crate) by: Vec<String>,

    /// Print the ids of the events that would be handled again, and do nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
}

#[derive(Args)]
pub(crate) struct Discard {
    #[command(flatten)]
    pub(crate) events: Events,

    /// Only count
    #[arg(long)]
    pub(crate) dry_run: bool,
}

#[derive(Args)]
pub(crate) struct Purge {
    /// The dead letters too
    #[arg(long)]
    pub(crate) dead: bool,

    /// Only those whose last handler ended longer ago than this
    #[arg(long, value_name = "AGE", default_value = "0s", value_parser = age)]
    pub(crate) older_than: Duration,

    /// Only count
    #[arg(long)]
    pub(crate) dry_run: bool,
}

#[derive(Args)]
pub(crate) struct Export {
    #[command(flatten)]
    pub(crate) filters: Filters,

    /// At most so many; 0 for all
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) limit: u64,

    /// Only those that came after the event with this id; an export that was cut names it
    #[arg(long, value_name = "ID")]
    pub(crate) after_id: Option<u64>,
}

/// Which events something is done to. Never all of them by accident.
#[derive(Args)]
pub(crate) struct Events {
    /// The ids of the events
    #[arg(value_name = "ID", conflicts_with_all = ["Filters", "all"])]
    ids: Vec<u64>,

    #[command(flatten)]
    filters: Filters,

    /// All events, those that are still to be handled too
    #[arg(long, conflicts_with = "Filters")]
    all: bool,
}

#[derive(Args)]
pub(crate) struct Filters {
    /// Those in this state; beside --handler, those that are in it for this handler
    #[arg(long)]
    state: Option<State>,

    /// Those that this handler is for
    #[arg(long)]
    handler: Option<String>,

    /// Those of this type, under whatever name they came
    #[arg(long, value_name = "NAME")]
    event: Option<String>,

    /// Those of the resource with this id
    #[arg(long, value_name = "ID")]
    resource: Option<String>,

    /// Those that hold this phone number in one of its usual spellings, anywhere in the body
    #[arg(long, value_name = "NUMBER")]
    number: Option<PhoneNumber>,

    /// Those received before this time, or longer ago than this
    #[arg(long, value_name = "TIME", value_parser = moment)]
    before: Option<Time>,

    /// Those received at this time or later, or no longer ago than this
    #[arg(long, value_name = "TIME", value_parser = moment)]
    after: Option<Time>,
}

#[derive(Clone, Copy, ValueEnum)]
enum State {
    /// A handler has not ended with it
    Pending,
    /// A handler gave up
    Dead,
    /// Every handler is done with it
    Done,
}

impl Filters {
    pub(crate) fn build(&self) -> RecordFilter {
        let mut filter = RecordFilter::new();
        if let Some(state) = self.state {
            filter = filter.state(match state {
                State::Pending => RecordState::Pending,
                State::Dead => RecordState::Dead,
                State::Done => RecordState::Done,
            });
        }
        if let Some(handler) = &self.handler {
            filter = filter.handler(HandlerName::new(handler));
        }
        if let Some(event) = &self.event {
            filter = filter.event_type(EventType::parse(event));
        }
        if let Some(resource) = &self.resource {
            filter = filter.resource_id(resource);
        }
        if let Some(number) = &self.number {
            filter = filter.number(number.clone());
        }
        if let Some(before) = self.before.and_then(Time::to_system_time) {
            filter = filter.received_before(before);
        }
        if let Some(after) = self.after.and_then(Time::to_system_time) {
            filter = filter.received_after(after);
        }
        filter
    }

    fn is_empty(&self) -> bool {
        let Self {
            state,
            handler,
            event,
            resource,
            number,
            before,
            after,
        } = self;
        state.is_none()
            && handler.is_none()
            && event.is_none()
            && resource.is_none()
            && number.is_none()
            && before.is_none()
            && after.is_none()
    }
}

/// Which events something is done to.
pub(crate) enum Which {
    Ids(Vec<RecordId>),
    Matching(RecordFilter),
}

impl Events {
    /// `None` when nothing says which.
    pub(crate) fn which(self) -> Option<Which> {
        if !self.ids.is_empty() {
            Some(Which::Ids(
                self.ids.into_iter().map(RecordId::new).collect(),
            ))
        } else if self.all || !self.filters.is_empty() {
            Some(Which::Matching(self.filters.build()))
        } else {
            None
        }
    }
}

/// A time, or an age.
pub(crate) fn moment(text: &str) -> Result<Time, String> {
    if let Ok(time) = text.parse() {
        return Ok(time);
    }
    let age = age(text).map_err(|_| {
        "say a time such as 2026-09-01T12:00:00Z, or an age such as 90s, 15m, 2h, 7d".to_owned()
    })?;
    ago(age)
}

fn age(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text)
        .map_err(|error| format!("{error}: say an age such as 90s, 15m, 2h, 7d"))
}

/// The time that was so long ago.
pub(crate) fn ago(age: Duration) -> Result<Time, String> {
    SystemTime::now()
        .checked_sub(age)
        .and_then(|time| Time::try_from(time).ok())
        .ok_or_else(|| "that is too long ago".to_owned())
}
