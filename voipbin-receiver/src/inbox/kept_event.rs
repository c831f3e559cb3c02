use crate::event::{Delivery, Lane, RecordId};

/// A kept event as an inbox hands it out: what the jobs of all its handlers share.
#[derive(Debug)]
pub struct KeptEvent {
    id: u64,
    delivery: Delivery,
    lane: Option<Lane>,
    annotations: Option<Box<Annotations>>,
}

/// What few events have.
#[derive(Debug)]
struct Annotations {
    possible_repeat: bool,
    replay_of: Option<RecordId>,
}

impl KeptEvent {
    /// An event under a number of the inbox's own, in no lane.
    #[must_use]
    pub fn new(id: u64, delivery: Delivery) -> Self {
        Self {
            id,
            delivery,
            lane: None,
            annotations: None,
        }
    }

    /// Sets the lane that it was kept with.
    #[must_use]
    pub fn in_lane(self, lane: Option<Lane>) -> Self {
        Self { lane, ..self }
    }

    /// Marks it as one whose bytes came shortly before; see
    /// [`Repeats::Mark`](super::Repeats::Mark).
    #[must_use]
    pub fn marked(mut self, possible_repeat: bool) -> Self {
        if possible_repeat != self.possible_repeat() {
            self.annotations_mut().possible_repeat = possible_repeat;
        }
        self
    }

    /// Says that it is a replay of another event.
    #[must_use]
    pub fn replaying(mut self, original: Option<RecordId>) -> Self {
        if original != self.replay_of() {
            self.annotations_mut().replay_of = original;
        }
        self
    }

    /// The number that the inbox gave it.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.id
    }

    /// The delivery, with the bytes that were verified.
    #[must_use]
    pub fn delivery(&self) -> &Delivery {
        &self.delivery
    }

    /// The lane that it was kept with. Events of one lane do not overlap, for each handler.
    #[must_use]
    pub fn lane(&self) -> Option<Lane> {
        self.lane
    }

    /// The record that it is a replay of.
    #[must_use]
    pub fn replay_of(&self) -> Option<RecordId> {
        self.annotations.as_ref()?.replay_of
    }

    pub(super) fn possible_repeat(&self) -> bool {
        let annotations = self.annotations.as_ref();
        annotations.is_some_and(|annotations| annotations.possible_repeat)
    }

    fn annotations_mut(&mut self) -> &mut Annotations {
        self.annotations.get_or_insert_with(|| {
            Box::new(Annotations {
                possible_repeat: false,
                replay_of: None,
            })
        })
    }
}
