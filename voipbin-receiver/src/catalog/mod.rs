//! Which events exist, which resource each one carries, and how handlers name them.
//!
//! [`EventType`] is the name of a delivery; [`events`] holds one unit struct per name, which is
//! what a registration is written with: `#[on(CallHangup)]` or `.on(CallHangup, …)`. A set of
//! events is anything that implements [`EventSet`]: one event, a tuple of events, a custom name,
//! everything.
//!
//! Many names that the platform's documents show are not what it sends. They are in the catalogue
//! all the same, as aliases, conditions or patterns of what is sent, so that a handler for a
//! documented name runs; [`Status`] tells which is which. [`events`] lists them all.

mod expand;
mod kind;
mod selector;
mod spelling;
mod table;

use std::fmt;

pub use self::kind::ResourceKind;
pub use self::selector::{
    AllOf, Any, CarriedBy, Carries, Custom, EventSet, Fallback, Named, Selector, all_of, named,
};
pub(crate) use self::selector::{Condition, Matcher};
pub(crate) use self::spelling::{mistake, never_sent, unknown_of};
pub use self::table::{CATALOG, EventType, events};

/// How the platform treats a name of the catalogue today.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Status {
    /// The platform sends it.
    Sent,
    /// The platform has the code to send it, and nothing that runs that code.
    Unreachable,
    /// An older or documented name of an event that is sent under another one.
    AliasOf(&'static str),
    /// An older name of those events of another name whose payload has this value in this field.
    AliasWhen {
        /// The name that is sent.
        name: &'static str,
        /// The field of the payload.
        field: &'static str,
        /// What it holds.
        value: &'static str,
    },
    /// One name for all of these.
    Pattern(&'static [&'static str]),
    /// Known to documents or inside the platform only; nothing replaces it.
    NotSent,
}

/// One row of the [`CATALOG`].
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct CatalogEntry {
    /// The name as it stands in `type`.
    pub name: &'static str,
    /// The name of the variant of [`EventType`] and of the unit struct in [`events`].
    pub variant: &'static str,
    /// The resource that `data` holds, where it is known.
    pub resource: Option<ResourceKind>,
    /// Whether the platform sends it today.
    pub status: Status,
    /// When it is sent, in one sentence.
    pub summary: &'static str,
    /// What is worth knowing about it; may be empty.
    pub quirks: &'static str,
}

impl fmt::Display for EventType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Reads a name, as [`EventType::parse`] does.
impl From<&str> for EventType {
    fn from(name: &str) -> Self {
        Self::parse(name)
    }
}

impl EventType {
    /// The name as logs may show it: one that the catalogue does not hold, which whoever writes a
    /// flow can choose, only when it looks like a name.
    #[must_use]
    pub fn loggable(&self) -> &str {
        const LONGEST: usize = 64;
        let name = self.as_str();
        let like_a_name = name.len() <= LONGEST
            && name.starts_with(|first: char| first.is_ascii_alphabetic())
            && name
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte));
        match self {
            Self::Other(_) if !like_a_name => "[not a name]",
            _ => name,
        }
    }

    /// Whether the id of the event's resource lets its holder act: such an id is logged as a hash
    /// only. A name that the catalogue does not hold counts by its beginning, as the platform's own
    /// names do.
    #[must_use]
    pub fn id_is_credential(&self) -> bool {
        match self {
            Self::Other(name) => name.starts_with("webchat_session"),
            known => known.resource().is_some_and(ResourceKind::id_is_credential),
        }
    }
}

#[cfg(test)]
mod tests;
