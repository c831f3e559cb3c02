//! What is shown of personal data: the one place that decides it.

use std::fmt;
use std::net::IpAddr;

use super::access::{Permit, Revealer};
use crate::catalog::EventType;
use crate::event::Delivery;
use crate::inbox::AttemptEnd;

/// Hides personal data, unless somebody may see it and has asked to.
#[derive(Clone, Copy)]
pub(super) struct Mask {
    lifted: bool,
}

/// A text, or that there is one.
pub(super) enum Masked {
    Text(String),
    Hidden { characters: usize },
}

impl Mask {
    pub(super) const fn on() -> Self {
        Self { lifted: false }
    }

    pub(super) fn lifted(_: &Permit<Revealer>) -> Self {
        Self { lifted: true }
    }

    pub(super) const fn is_lifted(self) -> bool {
        self.lifted
    }

    pub(super) fn text(self, text: &str) -> Masked {
        match self.lifted {
            true => Masked::Text(text.to_owned()),
            false => Masked::Hidden {
                characters: text.chars().count(),
            },
        }
    }

    /// What a handler said of its failure.
    pub(super) fn ended(self, ended: &AttemptEnd) -> Masked {
        match ended {
            AttemptEnd::Failed(error) => self.text(error),
            other => Masked::Text(other.to_string()),
        }
    }

    pub(super) fn body(self, delivery: &Delivery) -> Masked {
        self.text(&String::from_utf8_lossy(delivery.body()))
    }

    /// Whoever writes a flow chooses the names of events that the catalogue does not hold.
    pub(super) fn event_type(self, delivery: &Delivery) -> String {
        match delivery.received_as() {
            None => "custom".to_owned(),
            Some(event) if self.lifted => event.as_str().to_owned(),
            Some(event) => EventType::loggable(event).to_owned(),
        }
    }

    /// An id that lets its holder act is hidden from everybody.
    pub(super) fn resource(self, delivery: &Delivery) -> Option<String> {
        let acts = delivery
            .received_as()
            .is_some_and(EventType::id_is_credential);
        match delivery.resource_id() {
            Some(id) if self.lifted && !acts => Some(id.to_owned()),
            _ => delivery.loggable_id().map(|id| id.to_string()),
        }
    }

    /// The network that an address is of.
    pub(super) fn address(self, address: IpAddr) -> String {
        match address {
            _ if self.lifted => address.to_string(),
            IpAddr::V4(address) => {
                let [first, second, ..] = address.octets();
                format!("{first}.{second}.x.x")
            }
            IpAddr::V6(address) => {
                let [first, second, ..] = address.segments();
                format!("{first:x}:{second:x}:…")
            }
        }
    }
}

/// Templates escape it as any other text.
impl fmt::Display for Masked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Hidden { characters } => write!(f, "hidden, {characters} characters"),
        }
    }
}

impl Masked {
    pub(super) fn is_hidden(&self) -> bool {
        matches!(self, Self::Hidden { .. })
    }
}
