//! How deliveries came out: counted, logged, and told to whoever observes.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::{Answer, Pipeline, Refusal};
use crate::catalog::EventType;
use crate::event::BodyErrorKind;
use crate::gate::{Exceeded, SignatureErrorKind};
use crate::inbox::{KeepErrorKind, Kept};
use crate::observe::{Outcome, RefusalReason, Transition};

/// When warnings were last told: those of one kind must not hide those of another.
#[derive(Debug, Default)]
pub(crate) struct Warnings {
    signatures: Seldom,
    secrets: Seldom,
    strangers: Seldom,
    proxies: Seldom,
    replays: Seldom,
    overload: Seldom,
}

/// Lets one warning a minute pass: a wrong secret must not go unseen, and nobody may fill a log.
#[derive(Debug, Default)]
pub(crate) struct Seldom {
    /// The minute of the last one, from 1; 0 before the first.
    minute: AtomicU64,
}

impl Seldom {
    fn may_warn(&self, now: Duration) -> bool {
        let minute = now.as_secs() / 60 + 1;
        self.minute.swap(minute, Ordering::Relaxed) != minute
    }
}

/// A delivery that is about to be answered.
pub(crate) struct Answered {
    pub(crate) outcome: Result<Answer, Refusal>,
    pub(crate) event_type: Option<EventType>,
    /// When its head came, where somebody wants to know.
    pub(crate) began: Option<Instant>,
}

impl Pipeline {
    /// Counts and logs how a delivery came out.
    pub(crate) fn record(&self, answered: &Answered) {
        let Answered {
            outcome,
            event_type,
            began,
        } = answered;
        self.hooks.tell(|| Transition::Answered {
            outcome: transition(outcome),
            event_type: event_type.as_ref(),
            took: began.map(|began| began.elapsed()).unwrap_or_default(),
        });
        let counters = &self.counters;
        match outcome {
            Ok(Answer::Kept(Kept::New)) => counters.accepted.add(),
            Ok(Answer::Kept(Kept::Duplicate)) => counters.duplicates.add(),
            Ok(Answer::Unmatched) => counters.unmatched.add(),
            // Anybody can cause these: they must not fill a log.
            Err(Refusal::Method) => counters.refused_method.add(),
            Err(Refusal::TooLarge) => {
                counters.refused_size.add();
                tracing::debug!(
                    limit = self.body_limit,
                    "refused: the body is over the limit"
                );
            }
            Err(refusal @ (Refusal::TooSlow | Refusal::Broken)) => {
                counters.refused_read.add();
                tracing::debug!(reason = %refusal, "refused");
            }
            Err(refusal @ Refusal::Head) => {
                counters.refused_head.add();
                self.warn_seldom(&self.warnings.proxies, refusal);
            }
            Err(refusal @ Refusal::Source(error)) => {
                counters.refused_source.add();
                let seldom = match error.is_final() {
                    true => &self.warnings.strangers,
                    false => &self.warnings.proxies,
                };
                self.warn_seldom(seldom, refusal);
            }
            Err(refusal @ Refusal::Rate(Exceeded::Source)) => {
                counters.refused_rate.add();
                self.warn_seldom(&self.warnings.strangers, refusal);
            }
            Err(refusal @ Refusal::Rate(Exceeded::All)) => {
                counters.refused_rate.add();
                self.warn_seldom(&self.warnings.overload, refusal);
            }
            Err(refusal @ Refusal::Busy) => {
                counters.refused_busy.add();
                self.warn_seldom(&self.warnings.overload, refusal);
            }
            Err(refusal @ Refusal::Signature(_)) => {
                counters.refused_signature.add();
                self.warn_seldom(&self.warnings.signatures, refusal);
            }
            Err(refusal @ Refusal::Secrets) => {
                counters.refused_secrets.add();
                self.warn_seldom(&self.warnings.secrets, refusal);
            }
            Err(refusal @ Refusal::Body(error)) if error.kind() == BodyErrorKind::Empty => {
                counters.refused_body.add();
                self.warn_seldom(&self.warnings.proxies, refusal);
            }
            // Only a sender with the secret gets this far.
            Err(Refusal::Body(error)) => {
                counters.refused_body.add();
                tracing::warn!(reason = %error, "refused for good: the event is lost");
            }
            Err(refusal @ Refusal::TooOld(_)) => {
                counters.refused_age.add();
                self.warn_seldom(&self.warnings.replays, refusal);
            }
            Err(Refusal::Identity) => {
                counters.refused_inbox.add();
                tracing::error!("the identity function panicked: the event is not kept");
            }
            Err(Refusal::Keep(error)) => {
                counters.refused_inbox.add();
                let cause = std::error::Error::source(error).map(ToString::to_string);
                tracing::warn!(reason = %error, cause, "not kept: the sender may try again");
            }
        }
    }

    /// Tells of what anybody can cause: often enough to be seen, too seldom to fill a log.
    fn warn_seldom(&self, seldom: &Seldom, refusal: &Refusal) {
        if seldom.may_warn(self.clock.monotonic()) {
            tracing::warn!(
                reason = %refusal,
                "a delivery was refused; of more like it, one a minute is told here"
            );
        } else {
            tracing::debug!(reason = %refusal, "refused");
        }
    }
}

fn transition(outcome: &Result<Answer, Refusal>) -> Outcome {
    Outcome::Refused(match outcome {
        Ok(Answer::Kept(Kept::New)) => return Outcome::Accepted,
        Ok(Answer::Kept(Kept::Duplicate)) => return Outcome::Duplicate,
        Ok(Answer::Unmatched) => return Outcome::Unmatched,
        Err(Refusal::Method) => RefusalReason::Method,
        Err(Refusal::TooLarge) => RefusalReason::TooLarge,
        Err(Refusal::TooSlow) => RefusalReason::TooSlow,
        Err(Refusal::Broken) => RefusalReason::Broken,
        Err(Refusal::Head) => RefusalReason::HeadTooLarge,
        Err(Refusal::Busy) => RefusalReason::Busy,
        Err(Refusal::Rate(Exceeded::Source)) => RefusalReason::SourceRate,
        Err(Refusal::Rate(Exceeded::All)) => RefusalReason::Rate,
        Err(Refusal::Source(error)) if error.is_final() => RefusalReason::Source,
        Err(Refusal::Source(_)) => RefusalReason::SourceUnknown,
        Err(Refusal::Signature(error)) => match error.kind() {
            SignatureErrorKind::NoBody => RefusalReason::NoBody,
            _ => RefusalReason::Signature,
        },
        Err(Refusal::Secrets) => RefusalReason::Secrets,
        Err(Refusal::Body(error)) => match error.kind() {
            BodyErrorKind::Empty => RefusalReason::NoBody,
            BodyErrorKind::NotUtf8 | BodyErrorKind::NotJson => RefusalReason::Body,
        },
        Err(Refusal::TooOld(_)) => RefusalReason::TooOld,
        Err(Refusal::Identity) => RefusalReason::Identity,
        Err(Refusal::Keep(error)) => match error.kind() {
            KeepErrorKind::Full => RefusalReason::InboxFull,
            KeepErrorKind::Draining => RefusalReason::ShuttingDown,
            KeepErrorKind::Storage => RefusalReason::Storage,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_warning_passes_once_in_each_minute() {
        let seldom = Seldom::default();
        let passed: Vec<u64> = (0..200)
            .filter(|second| seldom.may_warn(Duration::from_secs(*second)))
            .collect();
        assert_eq!(passed, [0, 60, 120, 180]);
    }
}
