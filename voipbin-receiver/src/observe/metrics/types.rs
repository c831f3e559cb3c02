use std::collections::HashMap;
use std::mem::{Discriminant, discriminant};
use std::sync::LazyLock;

use foldhash::fast::RandomState;

use crate::catalog::{CATALOG, EventType};

/// The values of the label `event_type`: the names of the catalogue and two more, so that nobody
/// who writes a flow can make up others.
pub(super) struct Types {
    words: Vec<&'static str>,
    places: HashMap<Discriminant<EventType>, usize, RandomState>,
}

const CUSTOM: usize = 0;
const OTHER: usize = 1;

pub(super) static TYPES: LazyLock<Types> = LazyLock::new(|| {
    let known = CATALOG.iter().map(|entry| entry.name);
    let words: Vec<_> = ["custom", "other"].into_iter().chain(known).collect();
    let by_word: HashMap<_, _> = words.iter().copied().zip(0..).collect();
    let places = CATALOG.iter().filter_map(|entry| {
        let event_type = EventType::parse(entry.name);
        let place = by_word.get(event_type.canonical().as_str())?;
        Some((discriminant(&event_type), *place))
    });
    Types {
        places: places.collect(),
        words,
    }
});

impl Types {
    /// The place of a type among the words; `None` is a custom delivery.
    pub(super) fn place(&self, event_type: Option<&EventType>) -> usize {
        let Some(event_type) = event_type else {
            return CUSTOM;
        };
        let place = self.places.get(&discriminant(event_type));
        place.copied().unwrap_or(OTHER)
    }

    pub(super) fn word(&self, place: usize) -> &'static str {
        self.words.get(place).copied().unwrap_or("other")
    }

    /// How many places there are.
    pub(super) fn len(&self) -> usize {
        self.words.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn word(event_type: &EventType) -> &'static str {
        TYPES.word(TYPES.place(Some(event_type)))
    }

    #[test]
    fn a_type_of_the_catalogue_is_named_as_it_is_sent_today() {
        for entry in CATALOG {
            let event_type = EventType::parse(entry.name);
            assert_eq!(word(&event_type), event_type.canonical().as_str());
        }
        assert_eq!(word(&EventType::parse("call_hungup")), "call_hangup");
    }

    #[test]
    fn whatever_the_catalogue_does_not_hold_is_other_and_what_has_no_type_is_custom() {
        assert_eq!(word(&EventType::parse("made_up_by_a_flow")), "other");
        assert_eq!(word(&EventType::parse("custom")), "other");
        assert_eq!(TYPES.word(TYPES.place(None)), "custom");
    }
}
