//! Typed payloads: one struct per kind of resource.
//!
//! Reading is lenient, because a payload that cannot be read is an event lost to its handler:
//!
//! - `null`, `""`, an absent field, the nil UUID, an empty object or list and the date `9999-01-01`
//!   are all "none";
//! - times are read in today's form and in the older one, into one type, [`Time`];
//! - a word that is not known becomes the enum's `Other`; a field that is not known is kept in
//!   `extra`;
//! - a field that came in another shape than expected reads as "none" and is kept in `odd`, as raw
//!   JSON.
//!
//! They are read from the text of JSON, as serde_json has it: none can be `#[serde(flatten)]`ed
//! into a struct of yours or be a variant of an untagged enum, which read from a copy without the
//! text. A struct of yours that needs more than one of these has fields of `Box<RawValue>`, or its
//! handler asks for [`Delivery`](crate::Delivery).
//!
//! Writing gives today's form, and what was written reads as an equal struct. The exact bytes of a
//! delivery are [`Delivery::body`](crate::Delivery::body).
//!
//! ```
//! use voipbin_receiver::resource::{Call, CallStatus};
//!
//! let call: Call = serde_json::from_str(
//!     r#"{"id":"c7c1e226-8c86-4b43-9606-2d5bb2059a09","owner_id":"00000000-0000-0000-0000-000000000000",
//!         "status":"on_hold","tm_create":"2022-05-01 15:10:38.721000","mood":"calm","mute_direction":7}"#,
//! )?;
//!
//! assert_eq!(call.owner_id, None);
//! assert_eq!(call.status, Some(CallStatus::Other("on_hold".into())));
//! assert!(call.has_status("on_hold") && !call.has_direction("incoming"));
//! assert_eq!(call.extra.get("mood"), Some(r#""calm""#));
//! assert_eq!(call.odd.get("mute_direction"), Some("7"));
//! # Ok::<(), serde_json::Error>(())
//! ```
//!
//! `Debug` shows ids, states, numbers and times; texts, addresses, free objects and credentials are
//! shown as `[redacted]`.

use std::fmt;

use serde::Serialize;
use serde::de::{DeserializeOwned, IgnoredAny};

use crate::catalog::ResourceKind;
use crate::event::Time;

mod account;
mod action;
mod activeflow;
mod address;
mod agent;
mod ai;
mod ai_message;
mod ai_message_delta;
mod aicall;
mod attachment;
mod call;
mod campaign;
mod campaigncall;
mod chat;
mod chat_message;
mod chat_participant;
mod conference;
mod conversation;
mod conversation_message;
mod direction;
mod email;
mod field;
mod groupcall;
mod id;
mod mcp_server;
mod media;
mod message;
mod number;
mod object;
mod outdial;
mod owner;
mod queue;
mod queuecall;
mod raw;
mod recording;
mod speech;
mod summary;
mod target;
mod team;
mod tool_call;
mod transcribe;
mod transcript;
mod webchat_message;
mod webchat_session;

pub use self::{
    account::*, action::*, activeflow::*, address::*, agent::*, ai::*, ai_message::*,
    ai_message_delta::*, aicall::*, attachment::*, call::*, campaign::*, campaigncall::*, chat::*,
    chat_message::*, chat_participant::*, conference::*, conversation::*, conversation_message::*,
    direction::*, email::*, groupcall::*, id::*, mcp_server::*, media::*, message::*, number::*,
    outdial::*, owner::*, queue::*, queuecall::*, raw::*, recording::*, speech::*, summary::*,
    target::*, team::*, tool_call::*, transcribe::*, transcript::*, webchat_message::*,
    webchat_session::*,
};

/// When any payload was last changed or, while that has not happened, created; read without the
/// rest of it. `None` where the payload does not tell.
#[must_use]
pub fn last_change(payload: &str) -> Option<Time> {
    serde_json::from_str::<IgnoredAny>(payload).ok()?;
    crate::event::last_change(payload)
}

/// The payload of a catalogue event.
pub trait Resource:
    DeserializeOwned + Serialize + Clone + Default + PartialEq + fmt::Debug + Send + Sync + 'static
{
    /// Which kind it is.
    const KIND: ResourceKind;

    /// The fields that are known, under their names in the payload.
    const FIELDS: &'static [&'static str];

    /// Reads a payload that is known to be JSON, and so need not be looked through before.
    #[doc(hidden)]
    fn read(json: &str) -> serde_json::Result<Self> {
        serde_json::from_str(json)
    }

    /// The resource's own id.
    fn id(&self) -> Option<&Id>;

    /// The account that owns the resource.
    fn customer_id(&self) -> Option<&Id>;

    /// The fields that the struct does not know.
    fn unknown_fields(&self) -> &RawFields;

    /// The fields that came in another shape than the struct knows.
    fn odd_fields(&self) -> &RawFields;

    /// The field of [`container_id`](Self::container_id), under its name in the payload.
    const CONTAINER_FIELD: Option<&'static str> = None;

    /// The id of the resource that this one is a part of, where order matters across its parts: the
    /// transcription of a transcript, the AI call of an AI message, the chat of a chat message.
    fn container_id(&self) -> Option<&Id> {
        None
    }

    /// The id whose events belong in one order: the container's, or the resource's own.
    fn lane_id(&self) -> Option<&Id> {
        self.container_id().or_else(|| self.id())
    }

    /// When the resource was created.
    fn created_at(&self) -> Option<Time> {
        None
    }

    /// When the resource was last changed; `None` while it was only created.
    fn updated_at(&self) -> Option<Time> {
        None
    }

    /// The number of this part in a series, for the one resource that is sent in parts.
    fn sequence(&self) -> Option<i64> {
        None
    }

    /// When the resource was last changed or, while that has not happened, created.
    fn last_change(&self) -> Option<Time> {
        self.updated_at().or_else(|| self.created_at())
    }

    /// Whether `other` shows a later state of the same resource: events come in any order, and a
    /// handler that overwrites what it knows should not go back.
    ///
    /// `false` for another resource, for the same state, and where nothing tells. A resource that
    /// was only created is older than one that was updated.
    fn is_older_than(&self, other: &Self) -> bool {
        let same = self.id().is_some() && self.id() == other.id();
        same && (self.updated_at(), self.sequence()) < (other.updated_at(), other.sequence())
    }

    /// Whether the resource was last changed before `time`, such as the
    /// [`last_change`](Self::last_change) that a handler stored with what it saw. `false` where
    /// nothing tells.
    fn changed_before(&self, time: Time) -> bool {
        self.last_change().is_some_and(|change| change < time)
    }
}

#[cfg(test)]
mod tests;
