use super::object::{resource, words};
use super::{Address, Id, MessageDirection, Target};
use crate::event::Time;

resource! {
    /// An SMS.
    ///
    /// One that the account sends is announced too, with the direction `outbound`.
    pub struct Message {
        /// The resource's id.
        id: Option<Id> = Always;
        /// The account that owns it.
        customer_id: Option<Id> = Always;
        /// What kind it is.
        kind as "type": Option<MessageType> = Always;
        /// The sender; may be missing.
        source: Address = Null;
        /// The recipients, each with a status of its own. The message has none.
        targets: Vec<Target> = Always;
        /// The text.
        text: Option<String> = Always;
        /// Inbound is from the phone network to the account.
        direction: Option<MessageDirection> = Always;
        /// When it was created.
        tm_create: Option<Time> = Null;
        /// When it was last changed; none until the first change.
        tm_update: Option<Time> = Null;
        /// When it was deleted.
        tm_delete: Option<Time> = Null;
    }
}

impl Message {
    /// Whether the message came to the account. A message that the account itself sends is
    /// announced too, and is not inbound.
    #[must_use]
    pub fn is_inbound(&self) -> bool {
        self.direction == Some(MessageDirection::Inbound)
    }

    /// From where to where a reply goes.
    ///
    /// `None` for a message that is not inbound, so that an automatic reply never answers itself;
    /// for one from the number to which it was sent, for the same reason; and where an address is
    /// missing.
    ///
    /// ```
    /// use voipbin_receiver::resource::Message;
    ///
    /// fn answer(message: &Message) -> Option<serde_json::Value> {
    ///     let reply = message.reply()?;
    ///     Some(serde_json::json!({
    ///         "source": reply.source,
    ///         "destinations": [reply.destination],
    ///         "text": "Thank you, we will call back.",
    ///     }))
    /// }
    /// # let inbound = r#"{"direction":"inbound","source":"+15550111","targets":[{"destination":"+15550100"}]}"#;
    /// # let message: Message = serde_json::from_str(inbound)?;
    /// # assert_eq!(answer(&message).map(|body| body["source"]["target"] == "+15550100"), Some(true));
    /// # Ok::<(), serde_json::Error>(())
    /// ```
    #[must_use]
    pub fn reply(&self) -> Option<ReplyAddresses<'_>> {
        if !self.is_inbound() {
            return None;
        }
        let own = &self.targets.first()?.destination;
        let (source, destination) = (own.target.as_deref()?, self.source.target.as_deref()?);
        (source != destination).then_some(ReplyAddresses {
            source: own,
            destination: &self.source,
        })
    }
}

/// The addresses of a reply, as `POST /v1.0/messages` takes them. Made by [`Message::reply`].
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct ReplyAddresses<'a> {
    /// Where the reply comes from: the number of the account that the message was sent to.
    pub source: &'a Address,
    /// Where it goes: the sender of the message.
    pub destination: &'a Address,
}

words! {
    /// What kind of message it is.
    pub enum MessageType {
        /// An SMS.
        Sms = "sms",
    }
}
