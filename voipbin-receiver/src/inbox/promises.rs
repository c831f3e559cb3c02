use std::time::Duration;

/// What an inbox can and cannot promise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Promises {
    /// What a kept event survives.
    pub durability: Durability,
    /// Whether several receivers may take from it at once, as from one that several processes share.
    /// Then [`attach`](super::Inbox::attach) refuses none.
    pub shared: bool,
    /// How long the identity of a finished event is remembered at least, as long as there are not too many
    /// of them. `None` when it cannot tell; then
    /// [`max_event_age`](crate::ReceiverBuilder::max_event_age) cannot be set.
    pub identity_ttl: Option<Duration>,
}

impl Promises {
    /// The promises of an inbox with this durability, for one receiver at a time.
    #[must_use]
    pub const fn new(durability: Durability) -> Self {
        Self {
            durability,
            shared: false,
            identity_ttl: None,
        }
    }

    /// Says how long the identity of a finished event is remembered at least.
    #[must_use]
    pub const fn remembering(self, identity_ttl: Duration) -> Self {
        Self {
            identity_ttl: Some(identity_ttl),
            ..self
        }
    }

    /// Says that several receivers may take from it at once.
    #[must_use]
    pub const fn shared(self) -> Self {
        Self {
            shared: true,
            ..self
        }
    }
}

/// What a kept event survives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Durability {
    /// A clean shutdown, which drains it. It is lost when the process dies.
    Process,
    /// `kill -9` and a power cut.
    Machine,
    /// The loss of a machine.
    Cluster,
}
