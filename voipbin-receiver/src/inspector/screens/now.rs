//! How the receiver stands, and what it did within a day.

use askama::Template;

use super::text::{When, bytes};
use super::{Answer, Call, page};
use crate::inbox::{Durability, InboxStats, RecordFilter, RecordState};
use crate::inspector::access::Reader;
use crate::inspector::journal::{MINUTES, Minute, quantile};
use crate::observe::{Problem as HealthProblem, Warning};

/// How many minutes a bar stands for.
const BAR: usize = 15;

/// The minutes that rates are told of.
const RECENT: usize = 5;

#[derive(Template)]
#[template(path = "inspector/now.html")]
struct NowPage {
    problems: Vec<Notice>,
    warnings: Vec<Notice>,
    /// What, in all, and in the last minutes.
    counts: Vec<(&'static str, u64, u32)>,
    answers: Vec<(&'static str, String)>,
    inbox: Vec<(&'static str, String)>,
    oldest: Option<When>,
    is_empty: bool,
    bars: Vec<Bar>,
    plots: Vec<Plot>,
}

struct Notice {
    word: &'static str,
    meaning: &'static str,
}

/// A quarter of an hour.
struct Bar {
    began: String,
    accepted: u32,
    refused: u32,
    failed: u32,
}

/// One row of bars. Coordinates are in units of a view of 960 by 60.
struct Plot {
    name: &'static str,
    most: u32,
    bars: Vec<(usize, u32, u32)>,
}

pub(super) async fn now(call: Call<Reader>) -> Answer {
    let Call {
        site,
        request,
        permit,
    } = call;
    let now = site.now();
    let (stats, health) = (site.receiver.stats(), site.receiver.health());
    let day = site.journal.minutes(MINUTES);
    let recent = last(&day, RECENT);
    let sum = |of: fn(&Minute) -> u32| recent.iter().map(of).sum::<u32>();
    let counts = vec![
        ("accepted", stats.accepted, sum(|minute| minute.accepted)),
        (
            "copies and unmatched",
            stats.duplicates + stats.unmatched,
            sum(|minute| minute.dropped),
        ),
        (
            "refused",
            stats.refused_total(),
            sum(|minute| minute.refused),
        ),
        ("handled", stats.handled, sum(|minute| minute.handled)),
        ("failed runs", stats.failed, sum(|minute| minute.failed)),
        ("dead letters", stats.dead, sum(|minute| minute.dead)),
    ];
    let hour = last(&day, 60);
    let share =
        |share| quantile(hour, share).map_or("no answers".to_owned(), |took| took.to_string());
    let answers = vec![("half of them", share(0.5)), ("99 of 100", share(0.99))];
    let mut inbox = vec![
        ("running", format!("{} of {}", stats.running, stats.slots)),
        ("unfinished events", stats.inbox.events.to_string()),
        ("bytes of their bodies", bytes(stats.inbox.bytes as u64)),
        (
            "wait for their next attempt",
            stats.inbox.delayed.to_string(),
        ),
        (
            "held for handlers that are not here",
            stats.inbox.held.to_string(),
        ),
        ("dead letters", stats.inbox.dead.to_string()),
    ];
    inbox.extend(further(&stats.inbox));
    // An inbox in memory lists dead letters alone.
    let durability = site.receiver.dispatch().inbox.guarantees().durability;
    let oldest = match site.records(&permit) {
        Some(records) if durability > Durability::Process && stats.inbox.events > 0 => {
            let pending = RecordFilter::new().state(RecordState::Pending);
            let page = records.list(&pending, None, 1).await?;
            page.records
                .first()
                .map(|record| When::new(record.delivery.received_at(), now))
        }
        _ => None,
    };
    let bars: Vec<Bar> = day.chunks(BAR).map(Bar::new).collect();
    let plots = vec![
        Plot::new("accepted", &bars, |bar| bar.accepted),
        Plot::new("refused", &bars, |bar| bar.refused),
        Plot::new("failed runs", &bars, |bar| bar.failed),
    ];
    let now_page = NowPage {
        problems: health.problems.into_iter().map(Notice::problem).collect(),
        warnings: health.warnings.into_iter().map(Notice::warning).collect(),
        counts,
        answers,
        inbox,
        oldest,
        is_empty: stats.accepted + stats.duplicates + stats.unmatched + stats.refused_total() == 0,
        bars,
        plots,
    };
    page(&site, &request, "Now", &now_page)
}

fn last(minutes: &[Minute], most: usize) -> &[Minute] {
    let from = minutes.len().saturating_sub(most);
    minutes.get(from..).unwrap_or_default()
}

/// What is worth a line only where it is there.
fn further(stats: &InboxStats) -> Vec<(&'static str, String)> {
    let counted = [
        ("dead letters that were dropped", stats.dead_dropped),
        ("damaged events", stats.damaged as u64),
        ("events that cannot be read at present", stats.stuck as u64),
    ];
    let counted = counted.into_iter().filter(|(_, count)| *count > 0);
    let mut further: Vec<_> = counted
        .map(|(name, count)| (name, count.to_string()))
        .collect();
    if stats.disk_bytes > 0 {
        further.push(("on disk", bytes(stats.disk_bytes)));
    }
    if let Some(most) = stats.max_events {
        further.push(("room for events", most.to_string()));
    }
    further
}

impl Notice {
    fn problem(problem: HealthProblem) -> Self {
        let meaning = match problem {
            HealthProblem::StorageFailing => {
                "The inbox cannot write: new events get a 503 until it can."
            }
            HealthProblem::InboxFull => {
                "The inbox is full: new events get a 503 until some are finished."
            }
            HealthProblem::ShuttingDown => "A shutdown has begun.",
            HealthProblem::HandlersGone => {
                "The runtime of the handlers is gone: nothing is handled any more."
            }
        };
        Self {
            word: problem.as_str(),
            meaning,
        }
    }

    fn warning(warning: Warning) -> Self {
        let meaning = match warning {
            Warning::DeadLettersNearlyFull => {
                "Dead letters take most of their room: when it is full, the oldest are dropped."
            }
            Warning::LongRun => {
                "A handler has been running for over five minutes; its lane waits behind it."
            }
            Warning::HandlerPaused => "A handler is paused: its events wait.",
        };
        Self {
            word: warning.as_str(),
            meaning,
        }
    }
}

impl Bar {
    fn new(minutes: &[Minute]) -> Self {
        let began = minutes.first().map_or(0, |minute| minute.number);
        let sum = |of: fn(&Minute) -> u32| minutes.iter().map(of).sum();
        Self {
            began: format!("{:02}:{:02}", began / 60 % 24, began % 60),
            accepted: sum(|minute| minute.accepted),
            refused: sum(|minute| minute.refused),
            failed: sum(|minute| minute.failed),
        }
    }

    fn is_empty(&self) -> bool {
        self.accepted + self.refused + self.failed == 0
    }
}

impl Plot {
    fn new(name: &'static str, bars: &[Bar], of: fn(&Bar) -> u32) -> Self {
        const HEIGHT: u64 = 60;
        let most = bars.iter().map(of).max().unwrap_or_default();
        let height = |count: u32| match (u64::from(count) * HEIGHT).checked_div(u64::from(most)) {
            // One event is seen beside a thousand.
            Some(0) if count > 0 => 1,
            height => height.unwrap_or_default() as u32,
        };
        let bars = bars.iter().enumerate().map(|(place, bar)| {
            let height = height(of(bar));
            (place * 10, HEIGHT as u32 - height, height)
        });
        Self {
            name,
            most,
            bars: bars.filter(|(_, _, height)| *height > 0).collect(),
        }
    }
}
