use std::error::Error;
use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use voipbin_receiver::event::Time;
use voipbin_receiver::inbox::{
    Consumer, DiskRecords, Durability, Guarantees, Inbox, InboxError, InboxStats, Incoming,
    KeepError, KeepErrorKind, Kept, Records, Reply,
};
use voipbin_receiver::source::{CatchUp, Checkpoint};
use voipbin_receiver::{Receiver, Role, handlers};

use crate::inbox::moment;
use crate::settings::{Access, GateSettings, HistorySettings, InboxChoice, InboxSettings};
use crate::terminal::{Output, complain, in_full, say};
use crate::{TOOL, disk, print};

/// Recover what was missed while no server ran
///
/// It is kept in the inbox, for the server to handle it. With an inbox on disk the server does not
/// run meanwhile, unless this is a dry run with --since; or the server does it itself, with its
/// --catch-up. What the inbox knows is not kept again. The history has calls, conferences,
/// activeflows and recordings, and not all of them.
#[derive(Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct CatchUpCommand {
    /// The server's file with settings
    #[arg(long, env = "VOIPBIN_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,

    /// Since when: a time of RFC 3339, or an age such as 2h. By default since the inbox was last in
    /// use
    #[arg(long, value_name = "TIME", value_parser = moment)]
    since: Option<Time>,

    /// Ask and count, and keep nothing
    #[arg(long)]
    dry_run: bool,

    /// Go on where an earlier run stopped, as it said
    #[arg(long, value_name = "CHECKPOINT", value_parser = checkpoint, conflicts_with = "since")]
    resume: Option<Checkpoint>,

    #[command(flatten, next_help_heading = "History")]
    history: HistorySettings,

    #[command(flatten, next_help_heading = "Who may come in, as of the server")]
    gate: GateSettings,

    #[command(flatten, next_help_heading = "Inbox, as of the server")]
    inbox: InboxSettings,
}

const AFTER_HELP: &str = "\
Examples:
  What was missed since yesterday's deployment, by the settings of the server:
    standalone catch-up --config /etc/voipbin/standalone.toml --since 2026-11-29T18:00:00Z --dry-run
  Recover it:
    standalone catch-up --config /etc/voipbin/standalone.toml --since 2026-11-29T18:00:00Z

Exit status: 0 when it came to its end; 1 when it did not; 2 when the command makes no sense.";

fn checkpoint(text: &str) -> Result<Checkpoint, String> {
    serde_json::from_str(text).map_err(|_| "it is none that an earlier run has printed".to_owned())
}

pub(crate) async fn run(command: CatchUpCommand) -> ExitCode {
    let receiver = match command.receiver().await {
        Ok(receiver) => receiver,
        Err(error) => {
            complain(in_full(&*error));
            return ExitCode::from(2);
        }
    };
    match command.catch_up(&receiver).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            complain(in_full(&*error));
            ExitCode::FAILURE
        }
    }
}

impl CatchUpCommand {
    /// One that only takes in.
    async fn receiver(&self) -> Result<Receiver, Box<dyn Error>> {
        let access = self.gate.access(([127, 0, 0, 1], 0).into())?;
        if let Access::Generated(_) = access {
            return Err(
                "no secret: what the inbox knows is told by it, so give the server's".into(),
            );
        }
        let builder = Receiver::builder()
            .role(Role::Ingress)
            .handlers(handlers![print::event, print::custom]);
        let builder = self.gate.apply(builder, &access);
        let builder = match self.inbox.choice {
            InboxChoice::Disk => match DiskRecords::open(&self.inbox.disk.directory) {
                Ok(records) if self.dry_run && records.is_served() => {
                    builder.inbox(Beside(records))
                }
                _ => builder.inbox(disk::open(&self.inbox, TOOL).await?),
            },
            #[cfg(feature = "postgres")]
            InboxChoice::Postgres => builder.inbox(self.inbox.postgres()?.connect().await?),
            InboxChoice::Memory => {
                return Err("an inbox in memory is gone with its server: only one on disk or on PostgreSQL can catch up".into());
            }
        };
        Ok(builder.build()?)
    }

    /// False when it stopped before its end.
    async fn catch_up(&self, receiver: &Receiver) -> Result<bool, Box<dyn Error>> {
        let platform = self.history.platform()?;
        let mut catch_up = CatchUp::new(&platform).budget(self.history.catch_up_requests);
        if let Some(since) = self.since.and_then(Time::to_system_time) {
            catch_up = catch_up.since(since);
        }
        if let Some(checkpoint) = &self.resume {
            catch_up = catch_up.resume(checkpoint);
        }
        if self.dry_run {
            catch_up = catch_up.dry_run();
        }
        if io::stderr().is_terminal() {
            catch_up = catch_up.on_progress(|progress| {
                if progress.done % 50 == 0 {
                    say(format_args!(
                        "{} of {} resources",
                        progress.done, progress.candidates
                    ));
                }
            });
        }
        let report = receiver.catch_up(&catch_up).await?;
        let dry = if self.dry_run { "dry run: " } else { "" };
        Output::default().print(&format!("{dry}{report}\n"))?;
        if let Some(checkpoint) = &report.checkpoint {
            let checkpoint = serde_json::to_string(checkpoint)?;
            say(format_args!("go on with --resume '{checkpoint}'"));
        }
        Ok(report.checkpoint.is_none())
    }
}

/// The inbox of a server that runs: to look into, and nothing else.
#[derive(Debug)]
struct Beside(DiskRecords);

impl Inbox for Beside {
    fn keep(&self, _: Incoming) -> Reply<Kept, KeepError> {
        Reply::ready(Err(KeepError::new(KeepErrorKind::Draining)))
    }

    fn consume(&self) -> Result<Box<dyn Consumer>, InboxError> {
        Err(InboxError::in_use())
    }

    fn guarantees(&self) -> Guarantees {
        Guarantees::new(Durability::Machine)
    }

    fn stats(&self) -> InboxStats {
        InboxStats::default()
    }

    fn records(&self) -> Option<&dyn Records> {
        Some(&self.0)
    }
}
