//! What was sent while the receiver was down, out of the platform's lists and timelines.
//!
//! ```text
//! known        what the inbox has of that time
//! candidates   which resources may have changed
//! rows         what happened to them
//! report       what came of it
//! ```

mod candidates;
mod error;
mod known;
mod report;
mod requests;
mod rows;
mod settings;

use std::time::Duration;

use bytes::Bytes;
use tokio::time::sleep;

use self::candidates::Candidate;
pub use self::error::{CatchUpError, CatchUpErrorKind};
use self::known::Known;
pub use self::report::{CatchUpReport, Checkpoint};
use self::requests::{Requests, Stop};
use self::rows::Row;
use self::settings::Window;
pub use self::settings::{CatchUp, CatchUpProgress};
use crate::Receiver;
use crate::catalog::EventType;
use crate::dispatch::Dispatch;
use crate::event::Origin;
use crate::observe::{Accepted, RefusalReason};

/// The wait before an event is offered again that could not be kept.
const AGAIN: Duration = Duration::from_millis(200);

impl Receiver {
    /// Recovers what was sent in a time in which nobody took it, as far as the platform's history
    /// has it.
    ///
    /// Resources that may have changed are found in its lists, what happened to them in its
    /// timelines, and each event that the inbox does not know goes the way of
    /// [`accept`](Self::accept) with [`Origin::History`], the oldest first, and of resources that
    /// are in no list last. The receiver may take webhooks meanwhile.
    ///
    /// Known is what has the identity of a remembered or a retained event, or is of the same type
    /// and resource and tells the same last change. The history covers calls, conferences,
    /// activeflows and, where the resource confirms it, the last state of recordings; the report
    /// names the types with handlers that it does not cover. It takes events on a best effort and
    /// hides what was deleted, so that a catch-up is never known to be complete.
    ///
    /// Where the builder was told to [hold handlers](crate::ReceiverBuilder::hold_for_catch_up),
    /// they begin when this ends.
    ///
    /// ```no_run
    /// use voipbin_receiver::Receiver;
    /// use voipbin_receiver::platform::Platform;
    /// use voipbin_receiver::source::CatchUp;
    ///
    /// # async fn example(receiver: Receiver, platform: Platform) -> Result<(), Box<dyn std::error::Error>> {
    /// let report = receiver.catch_up(&CatchUp::new(&platform)).await?;
    /// println!("{report}");
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// Before anything is asked, [`CatchUpErrorKind::Since`] when it is not known what to look for,
    /// and [`CatchUpErrorKind::Forgotten`] when the inbox may have forgotten what it took in that
    /// time. Otherwise when the platform's lists or the inbox cannot be read. When a timeline
    /// cannot be asked for, what was found until then is recovered, and the report has a
    /// [checkpoint](CatchUpReport::checkpoint).
    ///
    /// # Cancel safety
    ///
    /// A future that is dropped has recovered some of the events or none. Run it again: what is
    /// recovered is known.
    pub async fn catch_up(&self, settings: &CatchUp) -> Result<CatchUpReport, CatchUpError> {
        let _hold = HoldGuard(self.dispatch());
        let inbox = &self.dispatch().inbox;
        let down_since = inbox.down_since();
        let since = settings.since.or(down_since);
        let since = since.ok_or(CatchUpErrorKind::Since)?;
        let window = settings.window(since, self.dispatch().clock.wall());
        if !settings.allows_repeats() && window.from < self.remembers_since() {
            return Err(CatchUpErrorKind::Forgotten.into());
        }
        let mut report = CatchUpReport::new(&window);
        let (covered, uncovered) = rows::split(self.handled_events());
        report.uncovered = uncovered;
        if !covered.is_empty() {
            self.look_for(&covered, settings, &window, &mut report)
                .await?;
        }
        let is_whole = report.checkpoint.is_none() && report.unavailable == 0;
        if is_whole
            && down_since.is_some_and(|since| settings.covers(since))
            && let Err(error) = inbox.caught_up().await
        {
            tracing::warn!(%error, "what was recovered will be looked for once more");
        }
        Ok(report)
    }

    async fn look_for(
        &self,
        covered: &[EventType],
        settings: &CatchUp,
        window: &Window,
        report: &mut CatchUpReport,
    ) -> Result<(), CatchUpError> {
        let known = Known::read(self, window).await?;
        let mut requests = Requests::new(settings);
        let found = candidates::find(&mut requests, covered, &known, window).await;
        let candidates = found.map_err(|stop| match stop {
            Stop::Budget => CatchUpErrorKind::Budget.into(),
            Stop::Failed(error) => CatchUpError::from(error),
        })?;
        report.candidates = candidates.len();
        let mut rows = Vec::new();
        for (done, candidate) in candidates.iter().enumerate() {
            match rows::read(&mut requests, candidate, covered, window, report).await {
                Ok(read) => rows.extend(read),
                Err(stop) => {
                    report.stopped(&stop, candidate);
                    break;
                }
            }
            // Stable: of one millisecond they stay in the order in which they were found.
            rows.sort_by_key(|row: &Row| row.at);
            // Those before which no further candidate has one: a long downtime's do not fit into
            // memory at once.
            let next = candidates.get(done + 1).map(Candidate::earliest);
            let ready = rows.partition_point(|row| next.is_none_or(|next| row.at < next));
            for row in rows.drain(..ready) {
                self.recover(row, settings, &known, report).await?;
            }
            settings.progress(done + 1, candidates.len());
        }
        report.requests = requests.made();
        for row in rows {
            self.recover(row, settings, &known, report).await?;
        }
        Ok(())
    }

    async fn recover(
        &self,
        row: Row,
        settings: &CatchUp,
        known: &Known,
        report: &mut CatchUpReport,
    ) -> Result<(), CatchUpError> {
        let body: Bytes = row.body();
        let identity = self.identity_of(&body);
        if known.has(&body, identity) {
            report.known += 1;
            return Ok(());
        }
        if settings.is_dry_run() {
            report.recovered += 1;
            return Ok(());
        }
        loop {
            match self.accept(body.clone(), Origin::History).await {
                Ok(Accepted::New) => report.recovered += 1,
                Ok(Accepted::Duplicate) => report.known += 1,
                Ok(_) => report.unmatched += 1,
                Err(error) if error.reason() == RefusalReason::ShuttingDown => {
                    return Err(CatchUpErrorKind::ShuttingDown.into());
                }
                Err(error) => match error.reason() {
                    RefusalReason::InboxFull => {
                        // Handlers that are held make no room.
                        self.dispatch().release();
                        sleep(AGAIN).await;
                        continue;
                    }
                    RefusalReason::Storage => {
                        sleep(AGAIN).await;
                        continue;
                    }
                    // Counted and logged by the receiver.
                    _ => report.unmatched += 1,
                },
            }
            return Ok(());
        }
    }
}

/// Lets held handlers begin, however a catch-up ends.
struct HoldGuard<'a>(&'a Dispatch);

impl Drop for HoldGuard<'_> {
    fn drop(&mut self) {
        self.0.release();
    }
}

/// What a candidate is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum CandidateKind {
    Call,
    Conference,
    Activeflow,
    Recording,
}

impl CandidateKind {
    const ALL: [Self; 4] = [
        Self::Call,
        Self::Conference,
        Self::Activeflow,
        Self::Recording,
    ];

    /// Of an event, where the history has it.
    fn of(event_type: &EventType) -> Option<Self> {
        let name = event_type.as_str();
        let segment = name.split('_').next().unwrap_or_default();
        Self::ALL.into_iter().find(|kind| kind.segment() == segment)
    }

    const fn segment(self) -> &'static str {
        match self {
            Self::Call => "call",
            Self::Conference => "conference",
            Self::Activeflow => "activeflow",
            Self::Recording => "recording",
        }
    }

    /// How long before a change a resource may have been made. A call lasts an hour at most, by
    /// default.
    const fn look_back(self) -> Duration {
        match self {
            Self::Call | Self::Recording => Duration::from_secs(70 * 60),
            Self::Conference | Self::Activeflow => Duration::from_secs(24 * 60 * 60),
        }
    }
}
