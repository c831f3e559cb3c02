use std::fmt;
use std::str::FromStr;
use std::time::{Duration, SystemTime};

// jiff: its timestamp reaches from the year -9999 to 9999 at nanoseconds, so both the year-1
// offsets and the 9999 sentinel are ordinary values; it reads RFC 3339 and the older zoneless form
// without a format description; and without its default features it brings no time zone database.
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::json::Text;

/// A point in time as the platform writes it, to the nanosecond.
///
/// Reads RFC 3339 with up to nine fraction digits and the older `YYYY-MM-DD HH:MM:SS.ffffff`, which
/// is UTC; any year from 1 to 9999, of which the last day is read as the latest time that can be
/// held. Prints, and serialises, as today's platform does: RFC 3339 in
/// UTC, without trailing zeros in the fraction.
///
/// ```
/// use voipbin_receiver::event::Time;
///
/// let old: Time = "2022-05-01 15:10:38.720000".parse()?;
/// assert_eq!(old.to_string(), "2022-05-01T15:10:38.72Z");
/// assert!(old < "2022-05-01T15:10:38.720000001Z".parse()?);
/// # Ok::<(), voipbin_receiver::event::TimeError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(Timestamp);

/// The first second of the year 1: what transcript offsets count from.
const YEAR_ONE: i64 = -62_135_596_800;
/// The first second of the year 9999: "not yet" in the platform's older form.
const NOT_YET: i64 = 253_370_764_800;
const DAY: i64 = 24 * 60 * 60;

impl Time {
    #[cfg(feature = "history")]
    pub(crate) const EPOCH: Self = Self(Timestamp::UNIX_EPOCH);

    /// The time this many seconds after the Unix epoch, or before it.
    ///
    /// # Errors
    ///
    /// When it lies outside of the years -9999 to 9999.
    pub fn from_unix_seconds(seconds: i64) -> Result<Self, TimeError> {
        Timestamp::from_second(seconds)
            .map(Self)
            .map_err(|_| TimeError(()))
    }

    /// The time this many nanoseconds after the Unix epoch, or before it: what
    /// [`as_unix_nanos`](Self::as_unix_nanos) gave.
    ///
    /// # Errors
    ///
    /// When it lies outside of the years -9999 to 9999.
    pub fn from_unix_nanos(nanos: i128) -> Result<Self, TimeError> {
        Timestamp::from_nanosecond(nanos)
            .map(Self)
            .map_err(|_| TimeError(()))
    }

    /// Whole seconds since the Unix epoch, rounded towards it.
    #[must_use]
    pub fn as_unix_seconds(self) -> i64 {
        self.0.as_second()
    }

    /// Nanoseconds since the Unix epoch.
    #[must_use]
    pub fn as_unix_nanos(self) -> i128 {
        self.0.as_nanosecond()
    }

    /// The same instant in the standard library's type; `None` where the system's clock cannot
    /// hold it.
    #[must_use]
    pub fn to_system_time(self) -> Option<SystemTime> {
        let since_epoch = self.0.as_duration();
        let distance = since_epoch.unsigned_abs();
        match since_epoch.is_negative() {
            true => SystemTime::UNIX_EPOCH.checked_sub(distance),
            false => SystemTime::UNIX_EPOCH.checked_add(distance),
        }
    }

    /// The time from `earlier` to this one; `None` when `earlier` is the later one.
    #[must_use]
    pub fn since(self, earlier: Self) -> Option<Duration> {
        Duration::try_from(self.0.duration_since(earlier.0)).ok()
    }

    /// The offset that a date in the year 1 stands for: how the platform writes the position of a
    /// transcript in its session.
    pub(crate) fn as_offset(self) -> Option<Duration> {
        let start = Timestamp::from_second(YEAR_ONE).ok()?;
        self.since(Self(start))
            .filter(|offset| offset.as_secs() < 365 * DAY.unsigned_abs())
    }

    /// Whether this is the platform's older way to write "not yet".
    pub(crate) fn is_not_yet(self) -> bool {
        (NOT_YET..NOT_YET + DAY).contains(&self.0.as_second())
    }
}

impl FromStr for Time {
    type Err = TimeError;

    fn from_str(text: &str) -> Result<Self, TimeError> {
        if let Ok(timestamp) = text.parse::<Timestamp>() {
            return Ok(Self(timestamp));
        }
        let zoneless = text.strip_suffix(['Z', 'z']).unwrap_or(text);
        // A date alone would be read as its midnight; the platform writes no such thing.
        if !zoneless.contains(':') {
            return Err(TimeError(()));
        }
        let civil: DateTime = zoneless.parse().map_err(|_| TimeError(()))?;
        let zoned = civil.to_zoned_datetime(TimeZone::UTC);
        Ok(zoned.map_or(Self(Timestamp::MAX), |zoned| Self(zoned.timestamp())))
    }
}

impl TryFrom<SystemTime> for Time {
    type Error = TimeError;

    fn try_from(time: SystemTime) -> Result<Self, TimeError> {
        Timestamp::try_from(time)
            .map(Self)
            .map_err(|_| TimeError(()))
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Text(text) = Text::deserialize(deserializer)?;
        text.parse().map_err(D::Error::custom)
    }
}

/// The text is not a time in a form that the platform writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeError(());

impl fmt::Display for TimeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a time in RFC 3339 or the form `YYYY-MM-DD HH:MM:SS`")
    }
}

impl std::error::Error for TimeError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(text: &str) -> Option<String> {
        text.parse::<Time>().ok().map(|time| time.to_string())
    }

    #[test]
    fn a_time_comes_back_from_its_number() {
        for text in [
            "2026-08-22T10:30:08.115004902Z",
            "0001-01-01T00:00:08.99184Z",
        ] {
            let time: Time = text.parse().unwrap();
            assert_eq!(Time::from_unix_nanos(time.as_unix_nanos()).unwrap(), time);
        }
        let whole: Time = "2026-08-22T10:30:08Z".parse().unwrap();
        assert_eq!(
            Time::from_unix_seconds(whole.as_unix_seconds()).unwrap(),
            whole
        );
        assert!(Time::from_unix_nanos(i128::MAX).is_err());
        assert!(Time::from_unix_seconds(i64::MIN).is_err());
    }

    #[test]
    fn every_form_of_the_platform_is_read_and_printed_in_todays() {
        for (given, expected) in [
            ("2026-08-22T10:30:00Z", "2026-08-22T10:30:00Z"),
            ("2026-08-22T10:30:00.87Z", "2026-08-22T10:30:00.87Z"),
            ("2026-08-22T10:30:00.870000Z", "2026-08-22T10:30:00.87Z"),
            (
                "2026-08-22T10:30:08.115004902Z",
                "2026-08-22T10:30:08.115004902Z",
            ),
            ("2026-08-22T19:30:00+09:00", "2026-08-22T10:30:00Z"),
            ("2022-05-01 15:10:38.721000", "2022-05-01T15:10:38.721Z"),
            (
                "2022-05-01 15:10:38.785510878",
                "2022-05-01T15:10:38.785510878Z",
            ),
            ("2022-05-01 15:10:38", "2022-05-01T15:10:38Z"),
            ("0001-01-01T00:00:08.99184Z", "0001-01-01T00:00:08.99184Z"),
            ("0001-01-01 00:05:04.441160", "0001-01-01T00:05:04.44116Z"),
            ("9999-01-01 00:00:00.000000", "9999-01-01T00:00:00Z"),
            ("9999-12-31T23:59:59Z", "9999-12-30T22:00:00.999999999Z"),
            (
                "9999-12-31 23:59:59.000000",
                "9999-12-30T22:00:00.999999999Z",
            ),
        ] {
            assert_eq!(printed(given).as_deref(), Some(expected), "{given}");
        }
    }

    #[test]
    fn anything_else_is_an_error() {
        for text in [
            "",
            "soon",
            "2026-08-22",
            "10:30:00",
            "2026-13-01T00:00:00Z",
            "1662000000",
        ] {
            assert_eq!(printed(text), None, "{text}");
        }
    }

    #[test]
    fn the_sentinel_is_known_in_both_spellings() {
        for text in ["9999-01-01 00:00:00.000000", "9999-01-01T00:00:00.000000Z"] {
            assert_eq!(text.parse::<Time>().map(Time::is_not_yet), Ok(true));
        }
        assert_eq!(
            "9998-12-31T23:59:59Z".parse::<Time>().map(Time::is_not_yet),
            Ok(false)
        );
    }

    #[test]
    fn a_date_in_year_one_is_an_offset() {
        let offset = |text: &str| text.parse::<Time>().ok().and_then(Time::as_offset);
        assert_eq!(
            offset("0001-01-01T00:00:08.99184Z"),
            Some(Duration::from_micros(8_991_840))
        );
        assert_eq!(offset("0001-01-01T00:00:00Z"), Some(Duration::ZERO));
        assert!(offset("0001-12-31T23:59:59Z").is_some());
        assert_eq!(offset("0002-01-01T00:00:00Z"), None);
        assert_eq!(offset("2024-03-01T10:00:05Z"), None);
    }

    #[test]
    fn the_system_time_is_the_same_instant() {
        let time = |text: &str| text.parse::<Time>().ok().and_then(Time::to_system_time);
        assert_eq!(
            time("1970-01-01T00:00:01.5Z"),
            SystemTime::UNIX_EPOCH.checked_add(Duration::from_millis(1500)),
        );
        assert_eq!(
            time("1969-12-31T23:59:58.5Z"),
            SystemTime::UNIX_EPOCH.checked_sub(Duration::from_millis(1500)),
        );
    }
}
