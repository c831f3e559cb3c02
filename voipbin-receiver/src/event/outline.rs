//! Finds the parts of an envelope that is written as the platform writes it.

use crate::scan::members;

/// `type` and `data` of an envelope, as they were written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Outline<'a> {
    /// What is between the quotes; there is no escape in it.
    pub(super) event_type: &'a str,
    pub(super) data: &'a str,
}

/// Reads a whole document in a part of the time that serde_json takes. It gives up on what is seldom: then
/// nothing is known, and serde_json decides. What it takes is JSON, with one `type`, a string, and one
/// `data`.
pub(super) fn read(json: &str) -> Option<Outline<'_>> {
    let (mut event_type, mut data) = (None, None);
    members(json, |name, value| {
        let known = match name.text {
            "type" => &mut event_type,
            "data" => &mut data,
            _ if name.escaped => return None,
            _ => &mut None,
        };
        known.replace(value).is_none().then_some(())
    })?;
    let event_type = event_type?.strip_prefix('"')?.strip_suffix('"')?;
    let plain = !event_type.contains('\\');
    plain.then_some(Outline {
        event_type,
        data: data?,
    })
}

#[cfg(test)]
mod tests;
