use std::time::SystemTime;

use serde_json::Value;
use voipbin_receiver::event::Time;
use voipbin_receiver::resource::{Transcript, last_change};

/// A text is a time or none, in a payload as by itself, and a time comes back from each form that
/// it has.
pub fn time(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let json = Value::from(text).to_string();
    let parsed = text.parse::<Time>().ok();
    assert_eq!(serde_json::from_str::<Time>(&json).ok(), parsed);
    let payload = format!(r#"{{"tm_create":null,"tm_update":{json}}}"#);
    // The platform's older way to write "not yet".
    let is_set = |time: &Time| !time.to_string().starts_with("9999-01-01T");
    assert_eq!(last_change(&payload), parsed.filter(is_set));

    let Some(time) = parsed else { return };
    let printed = time.to_string();
    assert_eq!(printed.parse(), Ok(time));
    assert_eq!(
        serde_json::to_string(&time).unwrap(),
        format!("\"{printed}\"")
    );
    assert_eq!(Time::from_unix_nanos(time.as_unix_nanos()), Ok(time));
    let whole = Time::from_unix_seconds(time.as_unix_seconds()).unwrap();
    assert!((time.as_unix_nanos() - whole.as_unix_nanos()).abs() < 1_000_000_000);
    if let Some(system) = time.to_system_time() {
        assert_eq!(Time::try_from(system), Ok(time));
        assert_eq!(system < SystemTime::UNIX_EPOCH, time.as_unix_nanos() < 0);
    }
    // A date in the year 1 stands for a position.
    let mut transcript = Transcript::default();
    transcript.tm_transcript = Some(time);
    let is_position = printed.starts_with("0001-");
    assert_eq!(transcript.offset().is_some(), is_position);

    // The older form of the same.
    let old = printed.replace('T', " ").replace('Z', "");
    assert_eq!(old.parse(), Ok(time));
}
