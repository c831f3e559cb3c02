//! Names that handlers are registered with and that no event will have.

use super::{CATALOG, CatalogEntry, EventType, ResourceKind, Status};

/// Names with a shorter first part are too near to each other: `ai_created` and `ui_created`.
const SHORTEST_PART: usize = 4;

/// Why no event is called that, and what was probably meant.
pub(crate) fn mistake(name: &str) -> Option<String> {
    if EventType::known(name).is_some() {
        return None;
    }
    if name.trim().is_empty() {
        return Some("it is empty".into());
    }
    let set = match name {
        "any" => "`any`, or `catalog::Any`, is every event",
        "custom" => "`custom`, or `catalog::Custom`, is every body that is not an event",
        "fallback" => "`fallback`, or `catalog::Fallback`, is what no other handler takes",
        _ => "",
    };
    if !set.is_empty() {
        return Some(format!("a quoted name is exact: without quotes {set}"));
    }
    if name.contains(['*', '|', ',', '^', '$', '%']) {
        return Some(pattern(name));
    }
    let meant = meant(name)?;
    Some(format!(
        "did you mean `{}`, which is `events::{}`? If it is a name of your own, handle `catalog::Any` \
         and look at the type of the delivery",
        meant.name, meant.variant
    ))
}

/// What is written instead of a pattern.
fn pattern(name: &str) -> String {
    let word = name.trim_start_matches('^');
    let end = word.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let word = word.get(..end.unwrap_or(word.len())).unwrap_or_default();
    let word = word.trim_end_matches('_');
    let kind = ResourceKind::ALL.iter().find(|kind| kind.as_str() == word);
    let instead = match kind {
        Some(kind) => {
            format!("every event of a {word} is `any({kind:?})`, or `all_of::<{kind:?}>()`")
        }
        None if word.is_empty() => "every event is `any`, or `catalog::Any`".into(),
        None => "list the events one by one".into(),
    };
    format!("names are exact and no patterns: {instead}")
}

/// The name that differs in letters' case, in what stands between words, or in one letter.
fn meant(name: &str) -> Option<&'static CatalogEntry> {
    let letters = letters(name);
    let same = CATALOG
        .iter()
        .find(|entry| self::letters(entry.name) == letters);
    same.or_else(|| {
        CATALOG.iter().find(|entry| {
            first_part(entry.name).len() >= SHORTEST_PART
                && strsim::osa_distance(entry.name, name) == 1
        })
    })
}

fn letters(name: &str) -> String {
    let letters = name.chars().filter(|c| c.is_alphanumeric());
    letters.flat_map(char::to_lowercase).collect()
}

fn first_part(name: &str) -> &str {
    name.split(['_', '.']).next().unwrap_or(name)
}

/// Where a name is none of the catalogue's but begins like one: how those begin.
pub(crate) fn unknown_of(name: &str) -> Option<&str> {
    let first = first_part(name);
    let begins = |entry: &CatalogEntry| first_part(entry.name) == first;
    (EventType::known(name).is_none() && CATALOG.iter().any(begins)).then_some(first)
}

/// The row of a name that the platform does not send today under any name.
pub(crate) fn never_sent(event_type: &EventType) -> Option<&'static CatalogEntry> {
    let name = event_type.as_str();
    let entry = CATALOG.iter().find(|entry| entry.name == name)?;
    matches!(entry.status, Status::Unreachable | Status::NotSent).then_some(entry)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_event_is_called_is_refused_with_what_was_meant() {
        for (name, meant) in [
            ("*", "`any`"),
            ("call_*", "any(Call)"),
            ("call.*", "any(Call)"),
            ("^conversation_message_", "any(ConversationMessage)"),
            ("order_*", "one by one"),
            ("call_hangup|call_created", "one by one"),
            ("any", "`any`"),
            ("CallHangup", "`call_hangup`"),
            ("CALL_HANGUP", "`call_hangup`"),
            ("call-hangup", "`call_hangup`"),
            (" call_hangup", "`call_hangup`"),
            ("call_hangupp", "`call_hangup`"),
            ("cal_hangup", "`call_hangup`"),
            ("call_hagnup", "`call_hangup`"),
            ("mesage.received", "`message.received`"),
            ("", "empty"),
        ] {
            let mistake = mistake(name).unwrap_or_default();
            assert!(mistake.contains(meant), "{name}: {mistake}");
        }
    }

    #[test]
    fn names_of_ones_own_are_let_be() {
        for name in [
            "case_created",
            "order.paid",
            "x",
            "ui_created",
            "number_ordered",
            "注文",
        ] {
            assert_eq!(mistake(name), None, "{name}");
        }
        for entry in CATALOG {
            assert_eq!(mistake(entry.name), None);
            assert_eq!(unknown_of(entry.name), None);
        }
        assert_eq!(unknown_of("call_ended"), Some("call"));
        assert_eq!(unknown_of("order.paid"), None);
    }
}
