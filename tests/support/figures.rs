//! What is measured in a round, and how rounds are summed up.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// One round of one kind.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Round {
    /// Answers a second.
    pub per_second: f64,
    /// The time within which a half of the answers came, in milliseconds.
    pub p50: f64,
    /// The same for 99 %.
    pub p99: f64,
    /// The same for 99.9 %.
    pub p999: f64,
    /// The same for 99 % of each second: the median of its seconds. What stops the whole machine
    /// for a moment, and counts against whoever is measured then, is in few of them.
    pub p99_of_a_second: f64,
    /// Bytes written for each event, where the system tells.
    pub written: Option<f64>,
}

impl Round {
    /// Sorts the times of all answers, in microseconds, which are in the order in which they came.
    pub fn new(times: &mut [u32], took: Duration) -> Self {
        let per_second = times.len() as f64 / took.as_secs_f64();
        let seconds = times.chunks_mut((per_second as usize).max(1000));
        let p99s = seconds.map(|second| {
            second.sort_unstable();
            share_of(second, 0.99)
        });
        let p99_of_a_second = Spread::of(p99s).map_or(f64::NAN, |spread| spread.middle);
        times.sort_unstable();
        Self {
            per_second,
            p50: share_of(times, 0.5),
            p99: share_of(times, 0.99),
            p999: share_of(times, 0.999),
            p99_of_a_second,
            written: None,
        }
    }
}

/// The time within which this share of sorted ones lies, in milliseconds.
fn share_of(times: &[u32], share: f64) -> f64 {
    f64::from(times[((times.len() - 1) as f64 * share) as usize]) / 1000.0
}

/// A time in microseconds, as [`Round::new`] takes it.
pub fn micros(time: Duration) -> u32 {
    u32::try_from(time.as_micros()).unwrap_or(u32::MAX)
}

/// A median with the least and the most.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Spread {
    /// The median.
    pub middle: f64,
    /// The least.
    pub least: f64,
    /// The most.
    pub most: f64,
}

impl Spread {
    /// That of all values; `None` when there are none.
    pub fn of(values: impl Iterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.collect();
        values.sort_unstable_by(f64::total_cmp);
        Some(Self {
            middle: *values.get(values.len() / 2)?,
            least: *values.first()?,
            most: *values.last()?,
        })
    }
}

impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let places = f.precision().unwrap_or(2);
        let text = format!(
            "{:.places$} ({:.places$}-{:.places$})",
            self.middle, self.least, self.most
        );
        f.pad_integral(true, "", &text)
    }
}

/// The columns that all tables share: of one kind, and beside another one of the same rounds.
pub fn row(rounds: &[Round], beside: &[Round]) -> String {
    let spread = |value: fn(&Round) -> f64| Spread::of(rounds.iter().map(value)).unwrap();
    let ratio = |value: fn(&Round) -> f64| {
        Spread::of(rounds.iter().zip(beside).map(|(a, b)| value(a) / value(b))).unwrap()
    };
    let written = Spread::of(rounds.iter().filter_map(|round| round.written));
    format!(
        "{:>24.0} {:>6.2} {:>20.2} {:>8.2} {:>8} {:>18.2} {:>18.2} {:>18.2} {:>18.2}",
        spread(|round| round.per_second),
        spread(|round| round.p50).middle,
        spread(|round| round.p99),
        spread(|round| round.p999).middle,
        written.map_or("n/a".to_owned(), |written| format!("{:.0}", written.middle)),
        ratio(|round| round.per_second),
        ratio(|round| round.p50),
        ratio(|round| round.p99),
        ratio(|round| round.p999),
    )
}

/// What the columns of [`row`] are.
pub fn columns(beside: &str) -> String {
    format!(
        "{:>24} {:>6} {:>20} {:>8} {:>8} {:>18} {:>18} {:>18} {:>18}",
        "a second",
        "p50 ms",
        "p99 ms",
        "p99.9 ms",
        "written",
        format!("of {beside}"),
        "p50 of it",
        "p99 of it",
        "p99.9 of it",
    )
}
