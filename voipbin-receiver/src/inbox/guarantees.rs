use std::time::Duration;

/// What an inbox claims. The contract, `testing::inbox_contract`, tests each claim, and what a
/// receiver promises follows from them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Guarantees {
    /// What a kept event survives.
    pub durability: Durability,
    /// Across whom the jobs of one lane and handler do not overlap.
    pub order: LaneOrder,
    /// Whether there may be several [consumers](super::Consumer) at once, in this process or in
    /// several.
    pub shared: bool,
    /// How long the identity of a finished event is known at least, as long as there are not too
    /// many of them. `None` when the inbox knows no copies: each delivery is kept anew, and
    /// [`max_event_age`](crate::ReceiverBuilder::max_event_age) cannot be set.
    pub identity_ttl: Option<Duration>,
    /// How long a finished event stays to be [looked at](super::Records), as long as there is room.
    /// `None` where it does not.
    pub retention: Option<Duration>,
}

impl Guarantees {
    /// Those of an inbox with this durability, for one consumer at a time, that knows no copies.
    #[must_use]
    pub const fn new(durability: Durability) -> Self {
        Self {
            durability,
            order: LaneOrder::Process,
            shared: false,
            identity_ttl: None,
            retention: None,
        }
    }

    /// Says how long the identity of a finished event is known at least.
    #[must_use]
    pub const fn knowing_copies_for(self, identity_ttl: Duration) -> Self {
        Self {
            identity_ttl: Some(identity_ttl),
            ..self
        }
    }

    /// Says how long an event that has ended stays to be looked at.
    #[must_use]
    pub const fn retaining_for(self, retention: Duration) -> Self {
        Self {
            retention: Some(retention),
            ..self
        }
    }

    /// How long it knows that it took an event, by its identity or by itself.
    #[cfg(any(feature = "history", feature = "postgres"))]
    pub(crate) fn knows_events_for(&self) -> Duration {
        let times = [self.identity_ttl, self.retention];
        times.into_iter().flatten().max().unwrap_or_default()
    }

    /// Says that several consumers may take from it at once, and across whom lanes hold then.
    #[must_use]
    pub const fn shared(self, order: LaneOrder) -> Self {
        Self {
            shared: true,
            order,
            ..self
        }
    }
}

/// What a kept event survives; each survives what the one before it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Durability {
    /// A clean shutdown, which drains it. It is lost when the process dies.
    Process,
    /// `kill -9` and a power cut.
    Machine,
    /// The loss of a machine.
    Cluster,
}

/// Across whom the jobs of one lane and handler do not overlap.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LaneOrder {
    /// Within a consumer, which sees to it itself. Of a shared inbox, two consumers may run two
    /// events of one lane at once.
    Process,
    /// Across all consumers: while one of them holds a job of a lane and handler, no other gets
    /// one.
    Cluster,
}
