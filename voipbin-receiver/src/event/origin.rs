use std::fmt;

/// How a delivery came to the receiver.
///
/// Handlers ask for it by [`Delivery::origin`](crate::Delivery::origin) or
/// [`Context::origin`](crate::Context::origin).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Origin {
    /// The platform sent it over HTTP, and it went through the gate: what
    /// [`Delivery::proof`](crate::Delivery::proof) says of it holds.
    #[default]
    Webhook,
    /// Somebody handed in a body again that was received before.
    Replay,
    /// The platform's stream of events, over a connection that this side opened. It is not signed.
    Stream,
    /// The platform's lists and timelines, read after a downtime. They are not signed.
    History,
    /// Somebody changed the body of an event in the inspector and handed it in.
    /// It is not signed, and neither are its replays, which have this origin too.
    Edited,
}

impl Origin {
    /// All there are.
    pub const ALL: &[Self] = &[
        Self::Webhook,
        Self::Replay,
        Self::Stream,
        Self::History,
        Self::Edited,
    ];

    /// It in a word, as inboxes store it and logs show it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Webhook => "webhook",
            Self::Replay => "replay",
            Self::Stream => "stream",
            Self::History => "history",
            Self::Edited => "edited",
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
