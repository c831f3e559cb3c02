//! What the pages tell of the past, in bounded memory: an observer that is there when an inspector
//! is.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use crate::clock::Clock;
use crate::event::{HandlerName, Origin};
use crate::observe::{Observer, Outcome, RefusalReason, Refused, Transition};

/// How many refusals are remembered.
pub(super) const REFUSALS: usize = 1000;

/// How many minutes are remembered: a day.
pub(super) const MINUTES: usize = 24 * 60;

/// Of how many handlers figures are kept: as of events, their names come from the program.
const HANDLERS: usize = 1000;

/// What answers are sorted by: up to so many milliseconds, and longer ones.
pub(super) const STEPS: [u64; 11] = [1, 2, 5, 10, 25, 50, 100, 250, 500, 1000, LONGEST];

const LONGEST: u64 = 5000;

pub(super) struct Journal {
    clock: Arc<dyn Clock>,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    /// The minutes before, in which something happened.
    past: VecDeque<Minute>,
    current: Minute,
    refusals: VecDeque<Rejected>,
    handlers: HashMap<HandlerName, HandlerFigures>,
}

/// What happened in one minute.
#[derive(Clone, Copy, Default)]
pub(super) struct Minute {
    /// Since the Unix epoch.
    pub(super) number: u64,
    pub(super) accepted: u32,
    /// Copies, and what no handler is registered for.
    pub(super) dropped: u32,
    pub(super) refused: u32,
    pub(super) handled: u32,
    pub(super) failed: u32,
    pub(super) dead: u32,
    /// How many answers took how long; see [`STEPS`].
    pub(super) answers: [u32; STEPS.len() + 1],
}

/// A delivery that was refused.
#[derive(Clone)]
pub(super) struct Rejected {
    pub(super) at: SystemTime,
    pub(super) origin: Origin,
    pub(super) client: Option<IpAddr>,
    pub(super) reason: RefusalReason,
    pub(super) told: String,
    /// Why the signature does not fit, where it was looked into: a word, and a sentence.
    pub(super) diagnosis: Option<(&'static str, String)>,
}

/// What became of one handler's runs since the inspector is there.
#[derive(Clone, Copy, Default)]
pub(super) struct HandlerFigures {
    pub(super) handled: u64,
    pub(super) failed: u64,
    pub(super) dead: u64,
    pub(super) skipped: u64,
    pub(super) held: u64,
    /// In all runs that ended.
    pub(super) took: Duration,
    pub(super) last_failed: Option<SystemTime>,
}

impl HandlerFigures {
    /// How long a run takes.
    pub(super) fn mean(&self) -> Option<Duration> {
        let runs = u32::try_from(self.handled + self.failed).ok()?;
        self.took.checked_div(runs)
    }
}

impl Journal {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            kept: Mutex::default(),
        }
    }

    /// Never going back.
    pub(super) fn monotonic(&self) -> Duration {
        self.clock.monotonic()
    }

    pub(super) fn now(&self) -> SystemTime {
        self.clock.wall()
    }

    /// The latest first.
    pub(super) fn refusals(&self) -> Vec<Rejected> {
        self.kept().refusals.iter().rev().cloned().collect()
    }

    pub(super) fn handler(&self, name: &HandlerName) -> HandlerFigures {
        self.kept().handlers.get(name).copied().unwrap_or_default()
    }

    /// The last so many minutes, up to this one, the earliest first.
    pub(super) fn minutes(&self, most: usize) -> Vec<Minute> {
        let last = minute(self.now());
        let first = last.saturating_sub(most.saturating_sub(1) as u64);
        let kept = self.kept();
        let mut minutes: Vec<_> = (first..=last).map(Minute::at).collect();
        for minute in kept.past.iter().chain([&kept.current]) {
            let place = minute.number.checked_sub(first);
            let place = place.and_then(|place| usize::try_from(place).ok());
            if let Some(there) = place.and_then(|place| minutes.get_mut(place)) {
                *there = *minute;
            }
        }
        minutes
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Observer for Journal {
    fn observe(&self, transition: &Transition<'_>) {
        let now = self.now();
        match *transition {
            Transition::Answered {
                outcome,
                origin,
                took,
                refused,
                ..
            } => {
                let rejected = match outcome {
                    Outcome::Refused(reason) => Some(Rejected::new(now, origin, reason, refused)),
                    _ => None,
                };
                let mut kept = self.kept();
                let minute = kept.minute(now);
                match outcome {
                    Outcome::Accepted => minute.accepted += 1,
                    Outcome::Duplicate | Outcome::Unmatched => minute.dropped += 1,
                    Outcome::Refused(_) => minute.refused += 1,
                }
                if origin == Origin::Webhook
                    && let Some(count) = minute.answers.get_mut(step(took))
                {
                    *count += 1;
                }
                if let Some(rejected) = rejected {
                    kept.refusals.push_back(rejected);
                    if kept.refusals.len() > REFUSALS {
                        kept.refusals.pop_front();
                    }
                }
            }
            Transition::Finished { run, took, .. } => {
                let mut kept = self.kept();
                kept.minute(now).handled += 1;
                kept.of(run.handler(), |figures| {
                    figures.handled += 1;
                    figures.took += took;
                });
            }
            Transition::Failed { run, attempt, .. } => {
                let mut kept = self.kept();
                kept.minute(now).failed += 1;
                kept.of(run.handler(), |figures| {
                    figures.failed += 1;
                    figures.took += attempt.took;
                    figures.last_failed = Some(now);
                });
            }
            Transition::Dead { run, .. } => {
                let mut kept = self.kept();
                kept.minute(now).dead += 1;
                kept.of(run.handler(), |figures| figures.dead += 1);
            }
            Transition::Skipped { run } => {
                self.kept()
                    .of(run.handler(), |figures| figures.skipped += 1);
            }
            Transition::Held { run } => self.kept().of(run.handler(), |figures| figures.held += 1),
            _ => {}
        }
    }
}

impl Rejected {
    fn new(
        at: SystemTime,
        origin: Origin,
        reason: RefusalReason,
        refused: Option<Refused<'_>>,
    ) -> Self {
        let diagnosis = refused.and_then(|refused| refused.diagnosis());
        Self {
            at,
            origin,
            reason,
            client: refused.and_then(|refused| refused.client()),
            told: refused
                .map(|refused| refused.to_string())
                .unwrap_or_default(),
            diagnosis: diagnosis.map(|diagnosis| (diagnosis.code(), diagnosis.to_string())),
        }
    }
}

impl Minute {
    fn at(number: u64) -> Self {
        Self {
            number,
            ..Self::default()
        }
    }
}

impl Kept {
    /// That of now. What a clock tells that goes back counts for the last one.
    fn minute(&mut self, now: SystemTime) -> &mut Minute {
        let number = minute(now);
        if self.current.number < number {
            let last = std::mem::replace(&mut self.current, Minute::at(number));
            self.past.push_back(last);
            if self.past.len() >= MINUTES {
                self.past.pop_front();
            }
        }
        &mut self.current
    }

    fn of(&mut self, handler: &HandlerName, change: impl FnOnce(&mut HandlerFigures)) {
        if let Some(figures) = self.handlers.get_mut(handler) {
            change(figures);
        } else if self.handlers.len() < HANDLERS {
            change(self.handlers.entry(handler.clone()).or_default());
        }
    }
}

fn minute(time: SystemTime) -> u64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH);
    since.unwrap_or_default().as_secs() / 60
}

/// The place among [`STEPS`].
fn step(took: Duration) -> usize {
    STEPS.partition_point(|most| Duration::from_millis(*most) < took)
}

/// How long this share of the answers took at most; `None` without answers.
pub(super) fn quantile(minutes: &[Minute], share: f64) -> Option<Quantile> {
    let mut counts = [0_u64; STEPS.len() + 1];
    for minute in minutes {
        for (sum, count) in counts.iter_mut().zip(minute.answers) {
            *sum += u64::from(count);
        }
    }
    let all: u64 = counts.iter().sum();
    if all == 0 {
        return None;
    }
    let wanted = all as f64 * share;
    let mut sum = 0;
    for (count, step) in counts.iter().zip(STEPS) {
        sum += count;
        if sum as f64 >= wanted {
            return Some(Quantile::Within(step));
        }
    }
    Some(Quantile::Longer)
}

/// How long an answer took, by [`STEPS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Quantile {
    Within(u64),
    Longer,
}

impl std::fmt::Display for Quantile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Within(millis) => write!(f, "at most {millis} ms"),
            Self::Longer => write!(f, "over {LONGEST} ms"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemClock;

    fn answered(outcome: Outcome, took: Duration) -> Transition<'static> {
        Transition::Answered {
            outcome,
            origin: Origin::Webhook,
            event_type: None,
            took,
            refused: None,
        }
    }

    #[test]
    fn no_more_refusals_are_kept_than_there_is_room_for() {
        let journal = Journal::new(Arc::new(SystemClock::new()));
        let refused = answered(Outcome::Refused(RefusalReason::Signature), Duration::ZERO);
        for _ in 0..REFUSALS + 5 {
            journal.observe(&refused);
        }
        assert_eq!(journal.refusals().len(), REFUSALS);
        let refused: u32 = journal.minutes(2).iter().map(|minute| minute.refused).sum();
        assert_eq!(refused as usize, REFUSALS + 5);
    }

    #[test]
    fn a_day_of_minutes_is_kept_and_those_without_events_are_there() {
        let mut kept = Kept::default();
        let at = |minute: u64| SystemTime::UNIX_EPOCH + Duration::from_secs(minute * 60);
        for number in 1..=MINUTES as u64 + 10 {
            kept.minute(at(number)).accepted += 1;
        }
        assert_eq!(kept.past.len(), MINUTES - 1);
        // The clock goes back.
        assert_eq!(kept.minute(at(3)).number, MINUTES as u64 + 10);
        let journal = Journal::new(Arc::new(SystemClock::new()));
        assert_eq!(journal.minutes(MINUTES).len(), MINUTES);
    }

    #[test]
    fn a_quantile_is_the_step_that_holds_it() {
        let journal = Journal::new(Arc::new(SystemClock::new()));
        assert_eq!(quantile(&journal.minutes(2), 0.5), None);
        for millis in [1, 1, 1, 30] {
            journal.observe(&answered(Outcome::Accepted, Duration::from_millis(millis)));
        }
        assert_eq!(
            quantile(&journal.minutes(2), 0.5),
            Some(Quantile::Within(1))
        );
        assert_eq!(
            quantile(&journal.minutes(2), 0.99),
            Some(Quantile::Within(50))
        );
        journal.observe(&answered(Outcome::Accepted, Duration::from_secs(60)));
        assert_eq!(quantile(&journal.minutes(2), 1.0), Some(Quantile::Longer));
    }
}
