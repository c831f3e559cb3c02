use serde::de::IgnoredAny;
use voipbin_receiver::catalog::{EventType, ResourceKind};
use voipbin_receiver::resource::{self, Resource};
use voipbin_receiver::testing::delivery;

/// The payload of an event reads as its resource, whatever is in it; that of any other body reads
/// as each of them. What is written again reads as the same.
pub fn resource(body: &[u8]) {
    let Ok(delivery) = delivery(body.to_vec()) else {
        return;
    };
    let payload = delivery.payload_json();
    match delivery.received_as().and_then(EventType::resource) {
        Some(kind) => kind_holds(kind, payload),
        None => ResourceKind::ALL
            .iter()
            .for_each(|kind| kind_holds(*kind, payload)),
    }
}

macro_rules! kinds {
    ($($kind:ident)+) => {
        fn kind_holds(kind: ResourceKind, payload: &str) {
            match kind {
                $(ResourceKind::$kind => holds::<resource::$kind>(payload),)+
                unknown => panic!("{unknown:?} is not among the kinds here"),
            }
        }
    };
}

kinds! {
    Call
    Groupcall
    Recording
    Activeflow
    Message
    Conversation
    ConversationMessage
    Account
    Email
    Transcribe
    Transcript
    Speech
    Queue
    Queuecall
    Conference
    Agent
    Number
    Campaign
    Campaigncall
    Outdial
    Ai
    Aicall
    AiMessage
    AiMessageDelta
    Summary
    Team
    McpServer
    Chat
    ChatMessage
    ChatParticipant
    WebchatMessage
    WebchatSession
}

/// What must hold for any JSON that is read as a `T`.
fn holds<T: Resource>(json: &str) {
    let Ok(read) = serde_json::from_str::<T>(json) else {
        assert!(!is_object(json), "an object is never refused");
        return;
    };
    assert!(is_object(json), "nothing else is read");

    let written = serde_json::to_string(&read).unwrap();
    let again: T = serde_json::from_str(&written).unwrap();
    assert!(again == read, "{written}");
    assert_eq!(serde_json::to_string(&again).unwrap(), written);

    let odd = read.odd_fields();
    assert!(odd.iter().all(|(name, _)| T::FIELDS.contains(&name)));
    let unknown = read.unknown_fields();
    assert!(unknown.iter().all(|(name, _)| !T::FIELDS.contains(&name)));
    assert_eq!(unknown, again.unknown_fields());

    assert!(!read.is_older_than(&again) && !read.is_older_than(&read));
    // That it comes to an end.
    let _ = format!("{read:?}");
}

fn is_object(json: &str) -> bool {
    let begins = json.trim_ascii_start().starts_with('{');
    begins && serde_json::from_str::<IgnoredAny>(json).is_ok()
}
