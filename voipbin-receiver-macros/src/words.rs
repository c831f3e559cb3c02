//! Spelling: the case in which events are named, and the word that was probably meant.

/// Whether a name is written like an event: `CallHangup`.
pub(crate) fn is_pascal_case(name: &str) -> bool {
    name.starts_with(char::is_uppercase) && !name.contains('_')
}

/// The name as an event would be written: `CallHangup` for `call_hangup` and `CALL_HANGUP`.
pub(crate) fn to_pascal_case(name: &str) -> String {
    let shouted = !name.contains(char::is_lowercase);
    let mut pascal = String::with_capacity(name.len());
    for word in name.split('_') {
        let mut letters = word.chars();
        pascal.extend(letters.next().into_iter().flat_map(char::to_uppercase));
        if shouted {
            pascal.extend(letters.flat_map(char::to_lowercase));
        } else {
            pascal.push_str(letters.as_str());
        }
    }
    pascal
}

/// The candidate that differs from `word` in at most a third of its letters, if there is one.
pub(crate) fn nearest<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let limit = (word.chars().count() / 3).max(1);
    candidates
        .into_iter()
        .map(|candidate| (strsim::osa_distance(word, candidate), candidate))
        .filter(|(distance, _)| *distance <= limit)
        .min()
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_pascal_case_names_an_event() {
        assert!(is_pascal_case("CallHangup"));
        for other in [
            "call_hangup",
            "callHangup",
            "Call_Hangup",
            "CALL_HANGUP",
            "any",
        ] {
            assert!(!is_pascal_case(other), "{other}");
        }
    }

    #[test]
    fn any_case_becomes_pascal_case() {
        for name in [
            "call_hangup",
            "callHangup",
            "Call_Hangup",
            "CALL_HANGUP",
            "call__hangup_",
        ] {
            assert_eq!(to_pascal_case(name), "CallHangup", "{name}");
        }
    }

    #[test]
    fn a_slip_of_the_finger_finds_its_word() {
        let words = ["any", "blocking", "custom", "fallback", "name"];
        for (slip, meant) in [
            ("fallbck", "fallback"),
            ("nmae", "name"),
            ("bloking", "blocking"),
            ("ayn", "any"),
        ] {
            assert_eq!(nearest(slip, words), Some(meant), "{slip}");
        }
        for other in ["call_hangup", "hangup", "retries", "x"] {
            assert_eq!(nearest(other, words), None, "{other}");
        }
    }
}
