//! Who or what a body speaks of.

use std::fmt;
use std::str::FromStr;

use serde_json::Value;

/// A phone number in international form, to find it in bodies however it is written there.
///
/// ```
/// use voipbin_receiver::inbox::PhoneNumber;
///
/// let number: PhoneNumber = "+1 (555) 123-4567".parse()?;
/// assert!("0015551234567".parse::<PhoneNumber>().is_ok_and(|same| same == number));
/// assert!("5551234567".parse::<PhoneNumber>().is_err(), "without its country code");
/// # Ok::<(), voipbin_receiver::inbox::PhoneNumberError>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct PhoneNumber {
    /// Country code first.
    digits: String,
}

/// A text is no phone number in international form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PhoneNumberError;

/// E.164 has at most 15 digits; what is shorter than seven names nobody.
const DIGITS: std::ops::RangeInclusive<usize> = 7..=15;

/// The longest country code.
const COUNTRY_CODE: usize = 3;

impl FromStr for PhoneNumber {
    type Err = PhoneNumberError;

    /// # Errors
    ///
    /// When it does not begin with `+` or `00`, holds anything but digits and what separates them,
    /// or has fewer than 7 or more than 15 digits.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let rest = text.trim().strip_prefix('+');
        let rest = rest.or_else(|| text.trim().strip_prefix("00"));
        let rest = rest.ok_or(PhoneNumberError)?.replace("(0)", "");
        if !rest.chars().all(|c| c.is_ascii_digit() || separates(c)) {
            return Err(PhoneNumberError);
        }
        let digits: String = rest.chars().filter(char::is_ascii_digit).collect();
        match DIGITS.contains(&digits.len()) {
            true => Ok(Self { digits }),
            false => Err(PhoneNumberError),
        }
    }
}

impl PhoneNumber {
    /// Whether a text has this number in it: with `+`, `00` or `011` and its country code, with the
    /// code alone, or without it as within the country; in one piece or in groups.
    pub(super) fn is_in(&self, text: &str) -> bool {
        let groups = groups(text);
        (0..groups.len()).any(|first| self.begins_at(&groups, first))
    }

    fn begins_at(&self, groups: &[Group<'_>], first: usize) -> bool {
        /// With `011` or `00` before it.
        const MOST: usize = *DIGITS.end() + 3;
        let mut digits = String::new();
        let mut last = first;
        while let Some(group) = groups.get(last)
            && (last == first || group.joined)
        {
            digits.push_str(group.digits);
            if digits.len() > MOST {
                return false;
            }
            if self.is_written(&digits, groups.get(first)) {
                return true;
            }
            last += 1;
        }
        false
    }

    fn is_written(&self, digits: &str, first: Option<&Group<'_>>) -> bool {
        let Some(first) = first else { return false };
        if digits == self.digits {
            return true;
        }
        if first.plus {
            return false;
        }
        let abroad = ["00", "011"].iter().find_map(|by| digits.strip_prefix(by));
        if abroad == Some(&self.digits) {
            return true;
        }
        // A group within a number that has a country code is no number of its own.
        let national = digits.strip_prefix('0').unwrap_or(digits);
        !first.international
            && national.len() >= *DIGITS.start()
            && self.digits.len() > national.len()
            && self.digits.len() - national.len() <= COUNTRY_CODE
            && self.digits.ends_with(national)
    }
}

/// Without the number, which is personal data.
impl fmt::Debug for PhoneNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PhoneNumber").finish_non_exhaustive()
    }
}

impl fmt::Display for PhoneNumberError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a phone number begins with + and its country code, such as +15551234567")
    }
}

impl std::error::Error for PhoneNumberError {}

/// Digits in a row.
struct Group<'a> {
    digits: &'a str,
    /// There is a `+` before it.
    plus: bool,
    /// Nothing but separators is between the group before and this one.
    joined: bool,
    /// It, or one that it is joined to, has a `+`.
    international: bool,
}

fn groups(text: &str) -> Vec<Group<'_>> {
    let mut groups: Vec<Group<'_>> = Vec::new();
    let mut rest = text;
    while let Some(start) = rest.find(|c: char| c.is_ascii_digit()) {
        let (between, digits) = rest.split_at(start);
        let end = digits
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(digits.len());
        let (digits, after) = digits.split_at(end);
        let plus = between.trim_end_matches(['(', ' ']).ends_with('+');
        let joined = !groups.is_empty()
            && !plus
            && between.chars().count() <= 3
            && between.chars().all(separates);
        rest = after;
        // The trunk prefix in `+49 (0)30`, which is not dialled from abroad.
        if joined && digits == "0" && between.ends_with('(') && after.starts_with(')') {
            continue;
        }
        let international = plus || joined && groups.last().is_some_and(|last| last.international);
        groups.push(Group {
            digits,
            plus,
            joined,
            international,
        });
    }
    groups
}

/// What people put between the digits of a number.
fn separates(c: char) -> bool {
    matches!(
        c,
        ' ' | '-' | '.' | '/' | '(' | ')' | '\u{a0}' | '\u{2009}'..='\u{2015}' | '\u{202f}'
    )
}

/// Whether a text is this id, or has it in it as a word of its own: short ones are too common for
/// that.
pub(super) fn is_in(id: &str, text: &str) -> bool {
    const UNMISTAKABLE: usize = 8;
    if text == id {
        return true;
    }
    let alone = |at: usize| {
        let (before, rest) = text.split_at(at);
        let after = rest.get(id.len()..).unwrap_or_default();
        !before.ends_with(char::is_alphanumeric) && !after.starts_with(char::is_alphanumeric)
    };
    id.len() >= UNMISTAKABLE && text.match_indices(id).any(|(at, _)| alone(at))
}

/// Whether a text of a JSON document is found: a string, the name of a field, or a number as it is
/// written.
pub(super) fn any_text(body: &[u8], finds: &dyn Fn(&str) -> bool) -> bool {
    match serde_json::from_slice(body) {
        Ok(document) => any_in(&document, finds),
        // None that was kept.
        Err(_) => finds(&String::from_utf8_lossy(body)),
    }
}

/// A document is not nested deeper than serde_json reads it.
fn any_in(value: &Value, finds: &dyn Fn(&str) -> bool) -> bool {
    match value {
        Value::Null | Value::Bool(_) => false,
        Value::Number(number) => finds(&number.to_string()),
        Value::String(text) => finds(text),
        Value::Array(values) => values.iter().any(|value| any_in(value, finds)),
        Value::Object(fields) => fields
            .iter()
            .any(|(name, value)| finds(name) || any_in(value, finds)),
    }
}

#[cfg(test)]
mod tests;
