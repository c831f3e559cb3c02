mod act;

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{Mutex as AsyncMutex, watch};
use tokio::time::Instant;

pub use self::act::Act;
use crate::catalog::EventType;
use crate::event::Delivery;
use crate::handler::{Context, EventHandler, HandlerError};

/// A handler that records what comes, and does as it is told.
///
/// It can be registered for any events, also several times and under several names. It succeeds at
/// once unless [told](Self::act) otherwise. A clone is the same recorder.
///
/// ```
/// use voipbin_receiver::events::CallHangup;
/// use voipbin_receiver::testing::{Act, Recorder, Sender, Signer, event};
/// use voipbin_receiver::{HandlerOptions, Receiver, RetryPolicy};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let crm = Recorder::acting(|context| match context.attempt() {
///     1 => Act::panic(),
///     _ => Act::succeed(),
/// });
/// let receiver = Receiver::builder()
///     .secret("the-webhook-secret-of-a-customer")
///     .handler_options(HandlerOptions::new().retry(RetryPolicy::default().initial(std::time::Duration::ZERO)))
///     .on(CallHangup, crm.clone())
///     .build()?;
///
/// let sender = Sender::new(receiver.service(), Signer::new("the-webhook-secret-of-a-customer"));
/// assert!(sender.send(event(CallHangup).id("c-1")).await.delivered().is_some());
///
/// let runs = crm.wait_for(2).await;
/// assert_eq!((runs[0].attempt(), runs[1].attempt()), (1, 2));
/// assert_eq!(runs[1].delivery().resource_id(), Some("c-1"));
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Recorder(Arc<Shared>);

struct Shared {
    runs: watch::Sender<Vec<RecordedRun>>,
    script: Mutex<Arc<Script>>,
    released: watch::Sender<bool>,
    /// How many runs `next` has given.
    seen: AsyncMutex<usize>,
    start: Instant,
}

type Script = dyn Fn(&Context) -> Act + Send + Sync;

/// One run that a [`Recorder`] has recorded.
#[derive(Clone, Debug)]
pub struct RecordedRun {
    context: Context,
    began: Duration,
    ended: Option<Duration>,
}

impl RecordedRun {
    /// What the handler was told of the run it is in.
    #[must_use]
    pub fn context(&self) -> &Context {
        &self.context
    }

    /// What was delivered.
    #[must_use]
    pub fn delivery(&self) -> &Delivery {
        self.context.delivery()
    }

    /// The type of the event under its current name; `None` for a custom delivery.
    #[must_use]
    pub fn event_type(&self) -> Option<EventType> {
        self.context.event_type()
    }

    /// The name under which the recorder is registered.
    #[must_use]
    pub fn handler(&self) -> &str {
        self.context.handler().as_str()
    }

    /// Which attempt it is, from 1.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.context.attempt()
    }

    /// When it began, by tokio's clock, from when the recorder was made.
    #[must_use]
    pub fn began(&self) -> Duration {
        self.began
    }

    /// When it ended, however it did: also by a panic, or because it was dropped. `None` while it
    /// runs.
    #[must_use]
    pub fn ended(&self) -> Option<Duration> {
        self.ended
    }
}

impl Recorder {
    /// A recorder that succeeds at once.
    #[must_use]
    pub fn new() -> Self {
        Self::acting(|_| Act::succeed())
    }

    /// A recorder that does what this says for each run, by the event, the handler's name or the
    /// number of the attempt.
    #[must_use]
    pub fn acting(script: impl Fn(&Context) -> Act + Send + Sync + 'static) -> Self {
        Self(Arc::new(Shared {
            runs: watch::Sender::new(Vec::new()),
            script: Mutex::new(Arc::new(script)),
            released: watch::Sender::new(false),
            seen: AsyncMutex::new(0),
            start: Instant::now(),
        }))
    }

    /// Changes what it does, for the runs that begin from now on.
    ///
    /// ```
    /// use voipbin_receiver::testing::{Act, Recorder};
    ///
    /// let crm = Recorder::acting(|_| Act::fail());
    /// // … and when it has failed:
    /// crm.act(|_| Act::succeed());
    /// ```
    pub fn act(&self, script: impl Fn(&Context) -> Act + Send + Sync + 'static) {
        *self.0.script.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(script);
    }

    /// Lets runs that [hang](Act::hang) go on, those that do and those to come.
    pub fn release(&self) {
        self.0.released.send_replace(true);
    }

    /// The runs so far, in the order in which they began.
    #[must_use]
    pub fn runs(&self) -> Vec<RecordedRun> {
        self.0.runs.borrow().clone()
    }

    /// Waits until at least this many runs have begun, and gives them all.
    ///
    /// It waits for ever when they do not come: on a paused clock a
    /// [`timeout`](tokio::time::timeout) around it takes no time.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost when the future is dropped.
    pub async fn wait_for(&self, runs: usize) -> Vec<RecordedRun> {
        self.wait(|begun| begun.len() >= runs, Clone::clone).await
    }

    /// Waits until at least this many runs have ended, however they did, and gives all that have
    /// begun.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost when the future is dropped.
    pub async fn wait_for_ends(&self, runs: usize) -> Vec<RecordedRun> {
        let ended =
            |begun: &Vec<RecordedRun>| begun.iter().filter(|run| run.ended.is_some()).count();
        self.wait(|begun| ended(begun) >= runs, Clone::clone).await
    }

    /// Waits for the first run that neither this nor [`rest`](Self::rest) has given yet.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost when the future is dropped.
    pub async fn next(&self) -> RecordedRun {
        let mut seen = self.0.seen.lock().await;
        loop {
            let next = self.wait(|runs| runs.len() > *seen, |runs| runs.get(*seen).cloned());
            if let Some(run) = next.await {
                *seen += 1;
                return run;
            }
        }
    }

    /// The runs that [`next`](Self::next) has not given yet, without waiting for more.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost when the future is dropped.
    pub async fn rest(&self) -> Vec<RecordedRun> {
        let mut seen = self.0.seen.lock().await;
        let rest: Vec<_> = self.0.runs.borrow().iter().skip(*seen).cloned().collect();
        *seen += rest.len();
        rest
    }

    async fn wait<T>(
        &self,
        enough: impl Fn(&Vec<RecordedRun>) -> bool,
        read: impl FnOnce(&Vec<RecordedRun>) -> T,
    ) -> T {
        let mut runs = self.0.runs.subscribe();
        match runs.wait_for(|runs| enough(runs)).await {
            Ok(runs) => read(&runs),
            // Its other end is in this recorder.
            Err(_) => read(&self.0.runs.borrow()),
        }
    }

    fn begin(&self, context: &Context) -> RunGuard<'_> {
        let run = RecordedRun {
            context: context.clone(),
            began: self.0.start.elapsed(),
            ended: None,
        };
        let mut place = 0;
        self.0.runs.send_modify(|runs| {
            place = runs.len();
            runs.push(run);
        });
        RunGuard {
            recorder: self,
            place,
        }
    }
}

/// Writes down the end of a run, however it comes.
struct RunGuard<'a> {
    recorder: &'a Recorder,
    place: usize,
}

impl Drop for RunGuard<'_> {
    fn drop(&mut self) {
        let Self { recorder, place } = self;
        let ended = recorder.0.start.elapsed();
        recorder.0.runs.send_modify(|runs| {
            if let Some(run) = runs.get_mut(*place) {
                run.ended = Some(ended);
            }
        });
    }
}

#[async_trait]
impl EventHandler for Recorder {
    async fn handle(&self, context: Context) -> Result<(), HandlerError> {
        let _recording = self.begin(&context);
        let script = Arc::clone(&self.0.script.lock().unwrap_or_else(PoisonError::into_inner));
        script(&context).perform(self.0.released.subscribe()).await
    }
}

impl Default for Recorder {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Recorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recorder")
            .field("runs", &self.0.runs.borrow().len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
