//! What was sent while no server ran, out of the platform's history.
//!
//! ```text
//! at_start   by the server, before its handlers begin
//! cli        by hand, into the inbox of a server that does not run, or is to be asked only
//! ```

mod cli;

use std::error::Error;
use std::time::{Duration, SystemTime};

use voipbin_receiver::platform::Platform;
use voipbin_receiver::source::{CatchUp, CatchUpErrorKind};
use voipbin_receiver::{Receiver, Role, event};

pub(crate) use self::cli::{CatchUpCommand, run};
use crate::settings::{InboxChoice, Settings};
use crate::terminal::in_full;

/// How long handlers wait for what was missed.
pub(crate) const HOLD: Duration = Duration::from_secs(60);

/// What a server recovers at its start, where it is to.
#[derive(Clone)]
pub(crate) struct AtStart {
    platform: Platform,
    requests: u32,
}

impl AtStart {
    pub(crate) fn new(settings: &Settings) -> Result<Option<Self>, Box<dyn Error>> {
        let history = &settings.history;
        if !history.catch_up {
            return Ok(None);
        }
        if settings.role() == Role::Worker {
            return Err(
                "--catch-up is for a server that takes events in, and not for a worker".into(),
            );
        }
        if settings.inbox.choice == InboxChoice::Memory {
            return Err(
                "--catch-up takes an inbox that knows what an earlier process took: --inbox disk or postgres".into(),
            );
        }
        Ok(Some(Self {
            platform: history.platform()?,
            requests: history.catch_up_requests,
        }))
    }

    /// Says in the log what came of it.
    pub(crate) async fn run(self, receiver: Receiver) {
        let catch_up = CatchUp::new(&self.platform).budget(self.requests);
        match receiver.catch_up(&catch_up).await {
            Ok(report) if report.checkpoint.is_some() => tracing::error!(
                from = time(report.from),
                "what was missed is recovered in part: {report}; `standalone catch-up` goes on, or the next start"
            ),
            Ok(report) if report.recovered > 0 => tracing::warn!(
                from = time(report.from),
                until = time(report.until),
                "events were missed, as something was down: {report}"
            ),
            Ok(report) => tracing::info!("nothing is found that was missed: {report}"),
            Err(error) if error.kind() == CatchUpErrorKind::Since => {
                tracing::info!("the inbox is new: nothing was missed");
            }
            Err(error) => {
                tracing::error!("what was missed is not recovered: {}", in_full(&error));
            }
        }
    }
}

fn time(time: SystemTime) -> Option<String> {
    Some(event::Time::try_from(time).ok()?.to_string())
}
