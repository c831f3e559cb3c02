mod recorded;
mod step;

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant as SystemInstant};

use bytes::Bytes;
use tokio::runtime::Handle;
use tokio::task::yield_now;
use tokio::time::{Instant, sleep, timeout};

use self::recorded::{RecordedInbox, standing_still};
pub use self::step::{Step, StepEnd};
use super::{Answer, AttemptError, Sender, Signer, TokioClock};
use crate::build_error::{BuildError, BuildErrorKind};
use crate::builder::ReceiverBuilder;
use crate::inbox::{Record, RecordFilter, RecordState, RecordsError};
use crate::observe::Stats;
use crate::receiver::Receiver;
use crate::service::ReceiverService;

/// A receiver that does nothing by itself: a test delivers events, lets handlers run one at a time,
/// and moves the clock.
///
/// It is the real receiver with all its parts: signatures, inbox, lanes, attempts, dead letters.
/// Only two things differ. Its inbox hands a job out when the test says [`step`](Self::step), one
/// at a time, so nothing happens behind the test's back. And time is tokio's paused clock, so a
/// wait of hours takes none: `#[tokio::test(start_paused = true)]`.
///
/// ```
/// use voipbin_receiver::events::CallHangup;
/// use voipbin_receiver::resource::Call;
/// use voipbin_receiver::testing::{TestReceiver, event};
/// use voipbin_receiver::{Context, Event, HandlerError, handlers, on};
///
/// #[on(CallHangup)]
/// async fn update_crm(call: Event<Call>, context: Context) -> Result<(), HandlerError> {
///     match context.attempt() {
///         1 => Err(HandlerError::new("the CRM is away")),
///         _ => Ok(drop(call)),
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let mut receiver = TestReceiver::build(|builder| builder.handlers(handlers![update_crm]))?;
///
/// // The answer comes before any handler runs.
/// assert_eq!(receiver.deliver(event(CallHangup)).await?.status(), 200);
///
/// let failed = receiver.step().await.ok_or("nothing to do")?;
/// assert_eq!((failed.handler(), failed.attempt()), ("update_crm", 1));
/// let wait = failed.retry_after().ok_or("it should be tried again")?;
///
/// // Nothing is due before the wait is over.
/// assert!(receiver.step().await.is_none());
/// receiver.advance(wait).await;
/// assert!(receiver.step().await.is_some_and(|step| step.is_done()));
/// assert_eq!(receiver.stats().handled, 1);
/// # Ok(()) }
/// ```
///
/// An app is tested with it as well: [`service`](Self::service) goes into the router in the place
/// of the receiver's, and requests are signed with [`SECRET`](Self::SECRET), by [`Signer`] or
/// whatever else signs.
///
/// # What a step is
///
/// One handler for one event, from its beginning to its end. Which one comes next is up to the
/// inbox and the dispatcher: the order in which the events were kept, further attempts when they
/// are due, and nothing whose lane or slot is taken. While it runs the clock moves by itself as far
/// as the handler sleeps or its `timeout` says. One that hangs is [`StepEnd::Running`] after
/// [`patience`](Self::patience) of that clock; it goes on beside later steps, and what is behind it
/// in its lane waits. A blocking handler runs on a thread, and the clock stands still meanwhile:
/// one that never returns hangs the test.
///
/// # Other inboxes
///
/// The inbox is the builder's, a [`MemoryInbox`](crate::inbox::MemoryInbox) by default. A
/// `DiskInbox` in a temporary directory works as well, and gives a test the next process: drop one
/// receiver, wait until the inbox is closed, and build another on the same directory. Give it the
/// same [`TokioClock`] as the builder. The clock stands still while such an inbox reads and writes.
pub struct TestReceiver {
    receiver: Receiver,
    inbox: Arc<RecordedInbox>,
    patience: Duration,
}

impl TestReceiver {
    /// The secret of its builder, with which [`deliver`](Self::deliver) signs.
    pub const SECRET: &'static str = "the secret of a test receiver";

    /// The default of [`patience`](Self::patience): 10 minutes.
    pub const DEFAULT_PATIENCE: Duration = Duration::from_secs(600);

    /// Builds a receiver from a builder that has a secret and a clock, to which `configure` adds
    /// the handlers and whatever else the test is about. Its handlers run on the test's own
    /// runtime.
    ///
    /// # Errors
    ///
    /// As [`ReceiverBuilder::build`], and of the kind [`Runtime`](crate::BuildErrorKind::Runtime)
    /// outside of a tokio runtime whose clock is paused.
    ///
    /// ```
    /// use voipbin_receiver::BuildErrorKind;
    /// use voipbin_receiver::catalog::Any;
    /// use voipbin_receiver::testing::{Recorder, TestReceiver};
    ///
    /// let error = TestReceiver::build(|builder| builder.on(Any, Recorder::new())).unwrap_err();
    /// assert_eq!(error.kind(), BuildErrorKind::Runtime);
    /// assert!(error.to_string().contains("start_paused = true"));
    /// ```
    pub fn build(
        configure: impl FnOnce(ReceiverBuilder) -> ReceiverBuilder,
    ) -> Result<Self, BuildError> {
        let runtime = Handle::try_current()
            .ok()
            .filter(|_| is_paused())
            .ok_or_else(|| {
                let needed = "a test receiver needs a tokio runtime whose clock is paused: write `#[tokio::test(start_paused = true)]`";
                BuildError::new(BuildErrorKind::Runtime, needed.into())
            })?;
        let builder = Receiver::builder()
            .secret(Self::SECRET)
            .clock(Arc::new(TokioClock::new()));
        let mut placed = None;
        let receiver = configure(builder)
            .runtime(runtime.clone())
            .stepped()
            .before_inbox(|inbox| {
                let inbox = Arc::new(RecordedInbox::new(inbox, runtime));
                placed = Some(Arc::clone(&inbox));
                inbox
            })
            .build()?;
        let inbox = placed.ok_or_else(|| {
            BuildError::runtime(io::Error::other("the inbox was not put in its place"))
        })?;
        Ok(Self {
            receiver,
            inbox,
            patience: Self::DEFAULT_PATIENCE,
        })
    }

    /// How long a step may take by the paused clock before it counts as
    /// [`Running`](StepEnd::Running); 10 minutes by default.
    #[must_use]
    pub fn patience(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// Sends one event, signed, as the platform's first attempt, and gives the answer. No handler
    /// runs meanwhile.
    ///
    /// The body is an [`event`](super::event), or any bytes. To send what is not signed so, or
    /// anything else that a request can be, there is the [`service`](Self::service).
    ///
    /// # Errors
    ///
    /// When the inbox has not kept it in 15 s, after which the platform would try again.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future drops the request; the event may be kept.
    pub async fn deliver(&self, body: impl Into<Bytes>) -> Result<Answer, AttemptError> {
        let report = self.sender().attempts(1).send(body).await;
        let mut attempts = report.attempts;
        attempts
            .pop()
            .unwrap_or_else(|| Err(AttemptError::timed_out()))
    }

    /// A stand-in for the platform that sends to this receiver, with its three attempts.
    pub fn sender(&self) -> Sender<ReceiverService> {
        Sender::new(self.service(), Signer::new(Self::SECRET))
    }

    /// Lets one job that is due run to its end: one handler for one event. `None` when none is due.
    ///
    /// # Cancel safety
    ///
    /// A job that was let run when the future is dropped runs on, and is in
    /// [`history`](Self::history) when it has ended.
    pub async fn step(&mut self) -> Option<Step> {
        let dispatch = self.receiver.dispatch();
        let journal = self.inbox.journal();
        // A step that is polled once and dropped lets nothing run.
        yield_now().await;
        loop {
            let before = journal.len();
            if let Some((job, ended)) = dispatch.step() {
                let since = Instant::now();
                let ended = timeout(self.patience, ended).await;
                let end = ended.ok().and_then(|_| journal.end_of(&job, before));
                return Some(end.unwrap_or_else(|| Step::running(job, since.elapsed())));
            }
            let taken = match dispatch.consumer() {
                Some(consumer) => self.inbox.due(&*consumer).await,
                None => None,
            };
            match taken {
                Some(jobs) if !dispatch.is_draining() => dispatch.admit(jobs),
                _ => {
                    journal.forget_overdue();
                    return None;
                }
            }
        }
    }

    /// Lets everything run that is due now and becomes due by it, one step after the other, and
    /// gives the steps. What has to wait for its next attempt still waits.
    ///
    /// # Cancel safety
    ///
    /// As [`step`](Self::step).
    pub async fn run_until_idle(&mut self) -> Vec<Step> {
        let mut steps = Vec::new();
        while let Some(step) = self.step().await {
            // It would come again at once, for ever.
            let stuck = *step.end() == StepEnd::Released;
            steps.push(step);
            if stuck {
                break;
            }
        }
        steps
    }

    /// Lets everything run, moving the clock from attempt to attempt, until each event is handled
    /// or a dead letter, and gives the steps.
    ///
    /// ```
    /// use voipbin_receiver::catalog::Any;
    /// use voipbin_receiver::events::CallHangup;
    /// use voipbin_receiver::testing::{Act, Recorder, TestReceiver, event};
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let crm = Recorder::acting(|_| Act::fail());
    /// let mut receiver = TestReceiver::build(|builder| builder.on(Any, crm))?;
    /// receiver.deliver(event(CallHangup)).await?;
    ///
    /// let steps = receiver.run_until_done().await;
    /// assert_eq!(steps.len(), 8);
    /// assert!(steps[7].is_dead());
    /// # Ok(()) }
    /// ```
    ///
    /// # Cancel safety
    ///
    /// As [`step`](Self::step).
    pub async fn run_until_done(&mut self) -> Vec<Step> {
        let mut steps = Vec::new();
        loop {
            let ran = self.run_until_idle().await;
            let stuck = ran
                .last()
                .is_some_and(|step| *step.end() == StepEnd::Released);
            steps.extend(ran);
            match self.next_attempt() {
                Some(wait) if !stuck => self.advance(wait).await,
                _ => return steps,
            }
        }
    }

    /// Moves the clock: waits for further attempts pass, identities are forgotten, runs that sleep
    /// go on. No job begins by it.
    ///
    /// What sleeps wakes at its time and not at the end, as it would without a test. Tokio's clock
    /// counts in milliseconds; a part of one counts as one.
    ///
    /// # Cancel safety
    ///
    /// The clock stays where it is when the future is dropped.
    pub async fn advance(&self, time: Duration) {
        sleep(time).await;
    }

    /// How long until the first of the next attempts that were seen to be planned is due, zero when
    /// one is; `None` when none waits.
    #[must_use]
    pub fn next_attempt(&self) -> Option<Duration> {
        let due = self.inbox.journal().next_due()?;
        Some(due.saturating_duration_since(Instant::now()))
    }

    /// All that has ended so far, in order: also runs that went on after their step, and those of a
    /// shutdown.
    #[must_use]
    pub fn history(&self) -> Vec<Step> {
        self.inbox.journal().steps()
    }

    /// The events that are dead letters, each with its handlers and their attempts, in the order in
    /// which they came. Empty for an inbox that cannot be looked into.
    ///
    /// ```
    /// use voipbin_receiver::catalog::Any;
    /// use voipbin_receiver::events::CallHangup;
    /// use voipbin_receiver::testing::{Act, Recorder, TestReceiver, event};
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let crm = Recorder::acting(|_| Act::give_up());
    /// let mut receiver = TestReceiver::build(|builder| builder.on(Any, crm))?;
    /// receiver.deliver(event(CallHangup).id("c-1")).await?;
    /// receiver.run_until_idle().await;
    ///
    /// let dead = receiver.dead_letters().await?;
    /// assert_eq!(dead.len(), 1);
    /// assert_eq!(dead[0].delivery.resource_id(), Some("c-1"));
    /// assert_eq!(dead[0].jobs[0].attempts, 1);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// When the inbox cannot be read.
    pub async fn dead_letters(&self) -> Result<Vec<Record>, RecordsError> {
        const PAGE: usize = 100;
        let Some(records) = self.receiver.records() else {
            return Ok(Vec::new());
        };
        // What is not stored is told by the list.
        if let Some(consumer) = self.receiver.dispatch().consumer() {
            let _ = consumer.flush().await;
        }
        let filter = RecordFilter::new().state(RecordState::Dead);
        let (mut dead, mut after) = (Vec::new(), None);
        loop {
            let page = standing_still(records.list(&filter, after, PAGE)).await?;
            dead.extend(page.records);
            after = page.next;
            if after.is_none() {
                return Ok(dead);
            }
        }
    }

    /// What the receiver has counted so far.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.receiver.stats()
    }

    /// The receiver, for all else: its records, its health, its shutdown. A shutdown runs what is
    /// left as it does without a test, and after it there is nothing to step.
    #[must_use]
    pub fn receiver(&self) -> &Receiver {
        &self.receiver
    }

    /// The receiver as a tower service, to be called with any request or mounted in an app.
    #[must_use]
    pub fn service(&self) -> ReceiverService {
        self.receiver.service()
    }
}

impl fmt::Debug for TestReceiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestReceiver")
            .field("receiver", &self.receiver)
            .finish_non_exhaustive()
    }
}

/// Whether tokio's clock stands still while the machine's moves. Tokio does not tell.
fn is_paused() -> bool {
    let (tokio, system) = (Instant::now(), SystemInstant::now());
    while system.elapsed().is_zero() {
        std::hint::spin_loop();
    }
    tokio.elapsed().is_zero()
}

#[cfg(test)]
mod tests;
