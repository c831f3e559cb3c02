//! What is sent.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use serde_json::Value;
use voipbin_receiver::catalog::{CATALOG, Status};
use voipbin_receiver::event::Time;
use voipbin_receiver::testing::{SampleEvent, event};

use super::cli::{Change, TriggerCommand};
use crate::terminal::say;

/// One event to be sent.
pub(super) struct Body {
    pub(super) event: Option<String>,
    pub(super) resource_id: Option<String>,
    pub(super) bytes: Bytes,
}

/// All that is sent, in the order in which it happened.
pub(super) async fn bodies(command: &TriggerCommand) -> Result<Vec<Body>, String> {
    if let Some(file) = &command.file {
        let bytes = tokio::fs::read(file)
            .await
            .map_err(|error| format!("{} cannot be read: {error}", file.display()))?;
        let bytes = Bytes::from(bytes);
        let body = || Body {
            event: None,
            resource_id: None,
            bytes: bytes.clone(),
        };
        return Ok((0..command.times).map(|_| body()).collect());
    }
    let names: Vec<Name> = command
        .events
        .iter()
        .map(|name| resolve(name))
        .collect::<Result<_, _>>()?;
    let mut bodies = Vec::new();
    for _ in 0..command.times {
        let id = id()?;
        let now = SystemTime::now();
        for (place, name) in names.iter().enumerate() {
            let before = Duration::from_millis((names.len() - place) as u64);
            let created = now - Duration::from_millis(names.len() as u64);
            let sample = sample(name, &id, created, now - before, &command.set)?;
            let data = data(&sample);
            bodies.push(Body {
                event: Some(name.sent.clone()),
                resource_id: data.get("id").and_then(Value::as_str).map(str::to_owned),
                bytes: sample.into(),
            });
        }
    }
    Ok(bodies)
}

/// A name under which the platform sends, and what makes the event the one that was asked for.
struct Name {
    sent: String,
    condition: Option<(&'static str, &'static str)>,
}

/// The tutorial's names, and other old ones, are those of events that are sent under others.
fn resolve(name: &str) -> Result<Name, String> {
    let entry = CATALOG.iter().find(|entry| entry.name == name);
    let (sent, condition) = match entry.map(|entry| entry.status) {
        Some(Status::AliasOf(sent) | Status::Pattern(&[sent])) => (sent, None),
        Some(Status::AliasWhen { name, field, value }) => (name, Some((field, value))),
        Some(Status::Pattern(several)) => {
            return Err(format!(
                "`{name}` stands for several events, name one: {}",
                several.join(", ")
            ));
        }
        Some(Status::NotSent | Status::Unreachable) => {
            say(format_args!("note: VoIPBIN itself never sends {name}"));
            (name, None)
        }
        _ => (name, None),
    };
    if sent != name {
        say(format_args!(
            "note: VoIPBIN sends {name} as {sent}, and so does this"
        ));
    }
    Ok(Name {
        sent: sent.to_owned(),
        condition,
    })
}

fn sample(
    name: &Name,
    id: &str,
    created: SystemTime,
    changed: SystemTime,
    changes: &[Change],
) -> Result<SampleEvent, String> {
    let mut sample = event(name.sent.as_str()).id(id);
    for (field, value) in data(&sample) {
        if field.starts_with("tm_") && value.is_string() {
            let time = if field == "tm_create" {
                created
            } else {
                changed
            };
            let time =
                Time::try_from(time).map_err(|error| format!("the clock is off: {error}"))?;
            sample = sample.set(field, time.to_string());
        }
    }
    if let Some((field, value)) = name.condition {
        sample = sample.set(field, value);
    }
    for Change { path, value } in changes {
        let Some((top, below)) = path.split_first() else {
            continue;
        };
        let mut whole = data(&sample).remove(top).unwrap_or_default();
        put(&mut whole, below, value.clone()).map_err(|part| {
            format!("--set data.{}: there is no `{part}` to set", path.join("."))
        })?;
        sample = sample.set(top, whole);
    }
    Ok(sample)
}

fn data(sample: &SampleEvent) -> serde_json::Map<String, Value> {
    match serde_json::to_value(sample).map(|mut body| body["data"].take()) {
        Ok(Value::Object(data)) => data,
        _ => serde_json::Map::new(),
    }
}

/// Sets what is at the end of a path. Objects are made on the way, elements of lists are not.
fn put<'p>(at: &mut Value, path: &'p [String], value: Value) -> Result<(), &'p str> {
    let Some((first, below)) = path.split_first() else {
        *at = value;
        return Ok(());
    };
    if let Value::Array(list) = at {
        let element = first
            .parse()
            .ok()
            .and_then(|place: usize| list.get_mut(place));
        return put(element.ok_or(first.as_str())?, below, value);
    }
    if at.is_null() {
        *at = Value::Object(serde_json::Map::new());
    }
    match at {
        Value::Object(fields) => put(fields.entry(first).or_insert(Value::Null), below, value),
        _ => Err(first),
    }
}

/// A random UUID (version 4, RFC 9562), as the platform's ids are.
fn id() -> Result<String, String> {
    let mut random = [0; 16];
    getrandom::fill(&mut random).map_err(|error| format!("there is no randomness: {error}"))?;
    let bits = u128::from_be_bytes(random);
    let bits = bits & !(0xf << 76) | 4 << 76;
    let bits = bits & !(0b11 << 62) | 0b10 << 62;
    let hex = format!("{bits:032x}");
    let parts = [0..8, 8..12, 12..16, 16..20, 20..32].map(|part| hex.get(part).unwrap_or_default());
    Ok(parts.join("-"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "this is test code")]

    use serde_json::json;

    use super::*;

    #[test]
    fn an_id_is_a_random_uuid() {
        let (one, other) = (id().unwrap(), id().unwrap());
        assert_ne!(one, other);
        let parts: Vec<_> = one.split('-').map(str::len).collect();
        assert_eq!(parts, [8, 4, 4, 4, 12]);
        assert_eq!(one.as_bytes()[14], b'4');
        assert!(b"89ab".contains(&one.as_bytes()[19]));
    }

    #[test]
    fn a_path_leads_through_objects_and_lists() {
        let mut value = json!([{"status": "sent"}]);
        let path = |path: &str| path.split('.').map(str::to_owned).collect::<Vec<_>>();
        put(&mut value, &path("0.status"), json!("failed")).unwrap();
        put(
            &mut value,
            &path("0.destination.target"),
            json!("+15550100"),
        )
        .unwrap();
        assert_eq!(
            value,
            json!([{"status": "failed", "destination": {"target": "+15550100"}}])
        );
        assert_eq!(put(&mut value, &path("1.status"), json!(1)), Err("1"));
        assert_eq!(
            put(&mut value, &path("0.status.word"), json!(1)),
            Err("word")
        );
    }

    #[test]
    fn every_event_that_is_sent_can_be_made() {
        for entry in CATALOG.iter().filter(|entry| entry.status == Status::Sent) {
            let now = SystemTime::now();
            let name = resolve(entry.name).unwrap();
            let sample = sample(&name, "c-1", now, now, &[]).unwrap();
            assert_eq!(serde_json::to_value(&sample).unwrap()["type"], entry.name);
        }
    }
}
