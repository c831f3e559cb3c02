use serde_json::{Map, Value};

use super::Id;
use super::object::{object, words};
use crate::event::Time;

object! {
    /// A step of a flow.
    pub struct Action {
        /// The id; `…0001` is the start, `…0002` the finish and `…0003` the next one.
        id: Option<Id> = Always;
        /// The successor; none is the next in the list.
        next_id: Option<Id> = Always;
        /// What it does.
        kind as "type": Option<ActionType> = Omit;
        /// Its settings, which depend on the type.
        option: Map<String, Value> = Omit;
        /// When it was started.
        tm_execute: Option<Time> = Null;
    }
}

words! {
    /// What a flow action does.
    pub enum ActionType {
        /// Detects an answering machine.
        Amd = "amd",
        /// Answers the call.
        Answer = "answer",
        /// Has an AI sum something up.
        AiSummary = "ai_summary",
        /// Lets the caller talk to an AI.
        AiTalk = "ai_talk",
        /// Gives an AI a task.
        AiTask = "ai_task",
        /// Plays a beep.
        Beep = "beep",
        /// Waits for something outside the flow.
        Block = "block",
        /// Goes on where a variable says.
        Branch = "branch",
        /// Makes a call.
        Call = "call",
        /// Opens a contact case.
        CaseCreate = "case_create",
        /// Goes on depending on the digits that were dialled.
        ConditionCallDigits = "condition_call_digits",
        /// Goes on depending on the call's status.
        ConditionCallStatus = "condition_call_status",
        /// Goes on depending on the time.
        ConditionDatetime = "condition_datetime",
        /// Goes on depending on a variable.
        ConditionVariable = "condition_variable",
        /// Joins an audio bridge.
        ConfbridgeJoin = "confbridge_join",
        /// Joins a conference.
        ConferenceJoin = "conference_join",
        /// Connects the call to others.
        Connect = "connect",
        /// Sends a message of a conversation.
        ConversationSend = "conversation_send",
        /// Receives digits.
        DigitsReceive = "digits_receive",
        /// Sends digits.
        DigitsSend = "digits_send",
        /// Sends the caller back what it says.
        Echo = "echo",
        /// Sends an e-mail.
        EmailSend = "email_send",
        /// Does nothing.
        Empty = "empty",
        /// Begins to pass media to the outside.
        ExternalMediaStart = "external_media_start",
        /// Stops passing media to the outside.
        ExternalMediaStop = "external_media_stop",
        /// Fetches the next actions from a URL.
        Fetch = "fetch",
        /// Fetches the next actions from a flow.
        FetchFlow = "fetch_flow",
        /// Goes on at another action.
        Goto = "goto",
        /// Hangs up.
        Hangup = "hangup",
        /// Sends an SMS.
        MessageSend = "message_send",
        /// Mutes the call.
        Mute = "mute",
        /// Plays a file.
        Play = "play",
        /// Joins a queue.
        QueueJoin = "queue_join",
        /// Begins a recording.
        RecordingStart = "recording_start",
        /// Ends a recording.
        RecordingStop = "recording_stop",
        /// Waits for a while.
        Sleep = "sleep",
        /// Stops the flow.
        Stop = "stop",
        /// Sends the caller back its stream.
        StreamEcho = "stream_echo",
        /// Speaks a text.
        Talk = "talk",
        /// Begins a transcription.
        TranscribeStart = "transcribe_start",
        /// Ends a transcription.
        TranscribeStop = "transcribe_stop",
        /// Transcribes a recording.
        TranscribeRecording = "transcribe_recording",
        /// Sets a variable.
        VariableSet = "variable_set",
        /// Sends a request to a URL: how a custom delivery comes about.
        WebhookSend = "webhook_send",
    }
}
