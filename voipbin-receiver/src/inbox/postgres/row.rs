//! What rows are made of, and what is made of them.

use std::borrow::Cow;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use serde_json::{Value, json};
use tokio_postgres::Row;

use super::server::{Trouble, get};
use crate::event::{Delivery, HandlerName, Identity, Origin, Proof, StoredDelivery, TraceContext};
use crate::inbox::{Attempt, AttemptEnd, HandlerSet};

/// A text as PostgreSQL can store it: without the character that it cannot. Bodies are stored as
/// bytes.
pub(super) fn clean(text: &str) -> Cow<'_, str> {
    match text.contains('\0') {
        true => Cow::Owned(text.replace('\0', "\u{fffd}")),
        false => Cow::Borrowed(text),
    }
}

/// The names as PostgreSQL writes an array of texts.
pub(super) fn names(handlers: &HandlerSet) -> String {
    let quoted = |name: &HandlerName| {
        let name = clean(name.as_str())
            .replace('\\', r"\\")
            .replace('"', r#"\""#);
        format!("\"{name}\"")
    };
    let names: Vec<String> = handlers.iter().map(quoted).collect();
    format!("{{{}}}", names.join(","))
}

/// Microseconds since 1970, as precise as the server is.
pub(super) fn unix_micros(time: SystemTime) -> i64 {
    let micros = |time: Duration| i64::try_from(time.as_micros()).unwrap_or(i64::MAX);
    match time.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(after) => micros(after),
        Err(before) => -micros(before.duration()),
    }
}

pub(super) fn of_unix_micros(micros: i64) -> SystemTime {
    let by = Duration::from_micros(micros.unsigned_abs());
    let time = match micros >= 0 {
        true => SystemTime::UNIX_EPOCH.checked_add(by),
        false => SystemTime::UNIX_EPOCH.checked_sub(by),
    };
    time.unwrap_or(SystemTime::UNIX_EPOCH)
}

/// The columns that a delivery is made of, as [`delivery`] reads them.
pub(super) const DELIVERY: &str = "e.identity, e.signed, e.origin, e.possible_repeat, \
     (extract(epoch FROM e.received_at) * 1e6)::bigint, e.content_type, e.lane, e.replay_of, b.body, e.trace";

/// The delivery in the columns [`DELIVERY`], from this one on; `None` when it is not as it was
/// kept.
pub(super) fn delivery(row: &Row, first: usize) -> Result<Option<Delivery>, Trouble> {
    let identity: &[u8] = get(row, first)?;
    let proof = match get(row, first + 1)? {
        true => Proof::Signed,
        false => Proof::Unsigned,
    };
    let origin: &str = get(row, first + 2)?;
    let received_at = of_unix_micros(get(row, first + 4)?);
    let body: &[u8] = get(row, first + 8)?;
    let Ok(identity) = identity.try_into() else {
        return Ok(None);
    };
    let body = Bytes::copy_from_slice(body);
    let mut stored = StoredDelivery::new(body, Identity::from_bytes(identity), proof, received_at);
    stored.content_type = get(row, first + 5)?;
    let trace: Option<&str> = get(row, first + 9)?;
    stored.trace_context = trace.and_then(TraceContext::of_stored);
    let known = Origin::ALL.iter().find(|known| known.as_str() == origin);
    stored.origin = known.copied().unwrap_or_default();
    Ok(stored.restore().ok())
}

/// An attempt as it is stored within a history.
pub(super) fn attempt_json(attempt: &Attempt) -> Value {
    const MOST_TEXT: usize = 1024;
    let (end, error) = match &attempt.ended {
        AttemptEnd::Failed(error) => {
            let error = clean(error);
            let mut most = MOST_TEXT.min(error.len());
            while !error.is_char_boundary(most) {
                most -= 1;
            }
            (0, error.get(..most).map(str::to_owned))
        }
        AttemptEnd::Panicked => (1, None),
        AttemptEnd::TimedOut => (2, None),
        AttemptEnd::Interrupted => (3, None),
    };
    let took = u64::try_from(attempt.took.as_millis()).unwrap_or(u64::MAX);
    json!({ "at": unix_micros(attempt.began_at), "took": took, "end": end, "error": error })
}

/// The attempts of a history. What this release does not know is left out.
pub(super) fn history(json: Option<&str>) -> Vec<Attempt> {
    let stored: Vec<Value> = json
        .and_then(|json| serde_json::from_str(json).ok())
        .unwrap_or_default();
    let attempt = |stored: &Value| {
        let end = match (stored.get("end")?.as_i64()?, stored.get("error")) {
            (0, Some(error)) => AttemptEnd::Failed(error.as_str().unwrap_or_default().to_owned()),
            (1, _) => AttemptEnd::Panicked,
            (2, _) => AttemptEnd::TimedOut,
            (3, _) => AttemptEnd::Interrupted,
            _ => return None,
        };
        let took = Duration::from_millis(stored.get("took")?.as_u64()?);
        Some(Attempt::new(
            of_unix_micros(stored.get("at")?.as_i64()?),
            took,
            end,
        ))
    };
    stored.iter().filter_map(attempt).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_attempt_comes_back_as_it_was_and_a_long_text_is_cut_between_characters() {
        let began_at = of_unix_micros(1_700_000_000_000_001);
        for ended in [
            AttemptEnd::Failed("no such \"number\"".into()),
            AttemptEnd::Panicked,
            AttemptEnd::TimedOut,
            AttemptEnd::Interrupted,
        ] {
            let attempt = Attempt::new(began_at, Duration::from_millis(7), ended);
            let json = format!("[{}, {{\"end\": 9}}]", attempt_json(&attempt));
            assert_eq!(history(Some(&json)), [attempt]);
        }
        let long = AttemptEnd::Failed(format!("\0{}", "é".repeat(2000)));
        let json = format!(
            "[{}]",
            attempt_json(&Attempt::new(began_at, Duration::ZERO, long))
        );
        let [
            Attempt {
                ended: AttemptEnd::Failed(text),
                ..
            },
        ] = &history(Some(&json))[..]
        else {
            panic!("{json}");
        };
        assert!(
            text.starts_with("\u{fffd}éé") && text.len() <= 1024,
            "{}",
            text.len()
        );
        assert!(history(None).is_empty() && history(Some("x")).is_empty());
    }

    #[test]
    fn names_can_be_odd() {
        let odd = ["crm", "", "a,b", r#"a"b\"#, "{NULL}", "NULL", "a\0b"];
        let handlers = HandlerSet::from_iter(odd.map(HandlerName::new));
        let written = r#"{"crm","","a,b","a\"b\\","{NULL}","NULL","a�b"}"#;
        assert_eq!(names(&handlers), written);
        assert_eq!(names(&HandlerSet::from_iter([])), "{}");
    }

    #[test]
    fn a_time_before_1970_comes_back_too() {
        for micros in [0, 1, -1, i64::MIN + 1, i64::MAX] {
            let back = unix_micros(of_unix_micros(micros));
            assert!(
                back == micros || micros.unsigned_abs() > i64::MAX as u64 / 2,
                "{micros} {back}"
            );
        }
    }
}
