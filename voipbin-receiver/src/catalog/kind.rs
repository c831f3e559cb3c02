use crate::resource::{self, Resource};

macro_rules! kinds {
    ($($(#[$meta:meta])* $kind:ident = $name:literal,)+) => {
        /// The kind of resource that an event carries in `data`. Each kind has a struct of the same
        /// name in [`resource`](crate::resource).
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum ResourceKind {
            $($(#[$meta])* $kind,)+
        }

        impl ResourceKind {
            /// Every kind.
            pub const ALL: &'static [Self] = &[$(Self::$kind),+];

            /// The kind's name in lower case, as it appears in logs.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$kind => $name,)+
                }
            }

            /// The fields that the kind's struct knows, under their names in the payload.
            #[must_use]
            pub const fn fields(self) -> &'static [&'static str] {
                match self {
                    $(Self::$kind => resource::$kind::FIELDS,)+
                }
            }

            /// The field that holds the id of the resource that this one is a part of, where order
            /// matters across its parts. What
            /// [`Resource::container_id`](crate::resource::Resource::container_id) reads.
            #[must_use]
            pub const fn container_field(self) -> Option<&'static str> {
                match self {
                    $(Self::$kind => <resource::$kind as Resource>::CONTAINER_FIELD,)+
                }
            }

            /// The kind's payload with nothing set, in today's form.
            #[cfg(feature = "testing")]
            pub(crate) fn blank(self) -> serde_json::Value {
                match self {
                    $(Self::$kind => {
                        serde_json::to_value(resource::$kind::default()).unwrap_or_default()
                    })+
                }
            }
        }
    };
}

kinds! {
    /// A call leg.
    Call = "call",
    /// Several addresses dialled as one.
    Groupcall = "groupcall",
    /// A recording of a call or conference.
    Recording = "recording",
    /// A running instance of a flow.
    Activeflow = "activeflow",
    /// An SMS.
    Message = "message",
    /// A thread with one peer over one channel.
    Conversation = "conversation",
    /// A message of a conversation.
    ConversationMessage = "conversation_message",
    /// A messaging account.
    Account = "account",
    /// An e-mail.
    Email = "email",
    /// A transcription.
    Transcribe = "transcribe",
    /// One piece of a transcription.
    Transcript = "transcript",
    /// Speech that is being transcribed; its id is new with each event.
    Speech = "speech",
    /// A queue.
    Queue = "queue",
    /// An entry of a queue.
    Queuecall = "queuecall",
    /// A conference.
    Conference = "conference",
    /// A person who takes calls.
    Agent = "agent",
    /// A phone number of the account.
    Number = "number",
    /// A campaign.
    Campaign = "campaign",
    /// A call or flow that a campaign started.
    Campaigncall = "campaigncall",
    /// A list of targets for campaigns.
    Outdial = "outdial",
    /// The settings of an AI.
    Ai = "ai",
    /// A session with an AI.
    Aicall = "aicall",
    /// A message in a session with an AI.
    AiMessage = "ai_message",
    /// The next piece of a reply that an AI is still giving.
    AiMessageDelta = "ai_message_delta",
    /// A summary that an AI writes.
    Summary = "summary",
    /// A team of AIs.
    Team = "team",
    /// A server of tools that AIs may call.
    McpServer = "mcp_server",
    /// A chat among agents.
    Chat = "chat",
    /// A message of a chat.
    ChatMessage = "chat_message",
    /// A member of a chat.
    ChatParticipant = "chat_participant",
    /// A message between a visitor of a web page and the account.
    WebchatMessage = "webchat_message",
    /// A visit to a web page with a webchat widget; its id is a credential.
    WebchatSession = "webchat_session",
}

impl ResourceKind {
    /// Whether the resource's id lets its holder act: such an id is logged as a hash only.
    #[must_use]
    pub const fn id_is_credential(self) -> bool {
        matches!(self, Self::WebchatSession)
    }
}
