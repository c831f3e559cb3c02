use std::time::Duration;

use tokio::sync::watch;
use tokio::time::sleep;

use crate::handler::HandlerError;

/// What a [`Recorder`](super::Recorder) does with one event.
///
/// ```
/// use std::time::Duration;
/// use voipbin_receiver::testing::{Act, Recorder};
///
/// // Slow at first, and then away.
/// let crm = Recorder::acting(|context| match context.attempt() {
///     1 => Act::succeed().after(Duration::from_secs(20)),
///     _ => Act::fail(),
/// });
/// # drop(crm);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "an act does nothing until a recorder is told it"]
pub struct Act {
    wait: Duration,
    end: End,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum End {
    Succeed,
    Fail,
    RetryAfter(Duration),
    GiveUp,
    Panic,
    Hang,
}

impl Act {
    /// It ends well.
    pub fn succeed() -> Self {
        Self::new(End::Succeed)
    }

    /// It fails, and leaves it to the retry policy whether and when it is tried again.
    pub fn fail() -> Self {
        Self::new(End::Fail)
    }

    /// It fails and asks for the next attempt after this time, as
    /// [`HandlerError::retry_after`] does.
    pub fn retry_after(time: Duration) -> Self {
        Self::new(End::RetryAfter(time))
    }

    /// It fails for good, as [`HandlerError::permanent`] does.
    pub fn give_up() -> Self {
        Self::new(End::GiveUp)
    }

    /// It panics, without a message on the terminal.
    pub fn panic() -> Self {
        Self::new(End::Panic)
    }

    /// It hangs until the recorder is [released](super::Recorder::release), and then ends well.
    pub fn hang() -> Self {
        Self::new(End::Hang)
    }

    /// The same after a sleep; none by default.
    pub fn after(self, time: Duration) -> Self {
        Self { wait: time, ..self }
    }

    const fn new(end: End) -> Self {
        Self {
            wait: Duration::ZERO,
            end,
        }
    }

    pub(super) async fn perform(
        self,
        mut released: watch::Receiver<bool>,
    ) -> Result<(), HandlerError> {
        const TOLD: &str = "the recorder was told to fail";
        if !self.wait.is_zero() {
            sleep(self.wait).await;
        }
        match self.end {
            End::Succeed => Ok(()),
            End::Fail => Err(HandlerError::new(TOLD)),
            End::RetryAfter(time) => Err(HandlerError::new(TOLD).retry_after(time)),
            End::GiveUp => Err(HandlerError::permanent(TOLD)),
            // Unlike the macro it says nothing.
            End::Panic => std::panic::resume_unwind(Box::new("the recorder was told to panic")),
            End::Hang => {
                // Its recorder lives as long as this run.
                let _ = released.wait_for(|released| *released).await;
                Ok(())
            }
        }
    }
}
