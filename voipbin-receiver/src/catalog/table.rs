//! The catalogue: every event name, in one table. What the table makes is in `expand.rs`.

use super::expand::catalog;

// One row per name: `"name" Variant: Resource [status] "when it is sent" "quirks";`. The resource
// `Json` is one that has no struct. The status is one of
//
// - `sent`: the platform sends it;
// - `unreachable`: the platform has the code and nothing that runs it;
// - `alias X`: another name of X;
// - `when X, "field" = "value"`: another name of those X whose field has the value;
// - `each X Y …`: one name for several;
// - `not_sent`: known to documents or inside the platform only.
catalog! {
    // Calls
    "call_created" CallCreated: Call [sent]
        "a call was created: an incoming one came, or an outgoing one is about to be dialled."
        "The first state of a call is announced by this event only; an outgoing call starts as `dialing`.";
    "call_dialing" CallDialing: Call [unreachable]
        "a call is being dialled."
        "`call_created` with the status `dialing` tells the same.";
    "call_ringing" CallRinging: Call [sent]
        "the far end rings." "";
    "call_progressing" CallProgressing: Call [sent]
        "the call was answered." "";
    "call_updated" CallUpdated: Call [sent]
        "the call changed, with each flow action among others."
        "Sent often: one per flow action.";
    "call_terminating" CallTerminating: Call [sent]
        "the call is being ended." "";
    "call_canceling" CallCanceling: Call [sent]
        "the call is being ended before it was answered." "";
    "call_hangup" CallHangup: Call [sent]
        "the call ended." "May come before events of earlier states.";
    "call_deleted" CallDeleted: Call [sent]
        "the record of the call was deleted." "";
    "call_answered" CallAnswered: Call [alias CallProgressing]
        "the call was answered." "";
    "call_hungup" CallHungup: Call [alias CallHangup]
        "the call ended." "";
    "call.created" DottedCallCreated: Call [alias CallCreated]
        "a call was created." "";
    "call.answered" DottedCallAnswered: Call [alias CallProgressing]
        "the call was answered." "";
    "call.progressing" DottedCallProgressing: Call [alias CallProgressing]
        "the call was answered." "";
    "call.completed" CallCompleted: Call [alias CallHangup]
        "the call ended." "";
    "call.status" AnyCallStatus: Call
        [each CallDialing CallRinging CallProgressing CallTerminating CallCanceling CallHangup]
        "the state of a call changed."
        "The first state comes with `call_created`, which is not one of these.";
    "call.outbound_whitelist_rejected" CallOutboundWhitelistRejected: Json [not_sent]
        "an outgoing call was refused." "Known inside the platform only.";
    "groupcall_created" GroupcallCreated: Groupcall [sent]
        "a groupcall was created." "";
    "groupcall_progressing" GroupcallProgressing: Groupcall [sent]
        "a leg of the groupcall was answered." "";
    "groupcall_hangup" GroupcallHangup: Groupcall [sent]
        "the groupcall ended." "";
    "groupcall_deleted" GroupcallDeleted: Groupcall [sent]
        "the record of the groupcall was deleted." "";

    // Recordings
    "recording_started" RecordingStarted: Recording [sent]
        "a recording began." "";
    "recording_finished" RecordingFinished: Recording [sent]
        "a recording ended."
        "Sent before the files are stored: right after it the archive can be empty.";
    "recording_created" RecordingCreated: Recording [alias RecordingStarted]
        "a recording began." "";
    "recording_updated" RecordingUpdated: Recording [alias RecordingFinished]
        "a recording ended." "Sent once; that a recording is being stopped is not announced.";
    "recording.completed" RecordingCompleted: Recording [alias RecordingFinished]
        "a recording ended." "";
    "recording_deleted" RecordingDeleted: Recording [not_sent]
        "the record of a recording was deleted." "";

    // Messages
    "message_created" MessageCreated: Message [sent]
        "a message was received, or is about to be sent."
        "Comes for the account's own messages too: look at the direction before you reply. `conversation_message_created` comes for the same message.";
    "message_updated" MessageUpdated: Message [sent]
        "a message was handed over to the provider."
        "Sent once: that a message was delivered may never be told.";
    "message_deleted" MessageDeleted: Message [sent]
        "the record of a message was deleted." "";
    "message.received" MessageReceived: Message [when MessageCreated, "direction" = "inbound"]
        "a message was received." "";
    "email_created" EmailCreated: Email [sent]
        "an e-mail is about to be sent." "";
    "email_updated" EmailUpdated: Email [sent]
        "the provider reported something about an e-mail." "`open` and `click` can repeat.";
    "email_deleted" EmailDeleted: Email [sent]
        "the record of an e-mail was deleted." "";

    // Conversations
    "conversation_created" ConversationCreated: Conversation [sent]
        "a conversation began." "";
    "conversation_updated" ConversationUpdated: Conversation [sent]
        "a conversation changed." "";
    "conversation_deleted" ConversationDeleted: Conversation [not_sent]
        "a conversation was deleted." "Known inside the platform only.";
    "conversation_message_created" ConversationMessageCreated: ConversationMessage [sent]
        "a message of a conversation was received, or is about to be sent."
        "Comes for each SMS too: handle this family or `message_*`, not both.";
    "conversation_message_updated" ConversationMessageUpdated: ConversationMessage [sent]
        "a message of a conversation changed." "";
    "conversation_message_deleted" ConversationMessageDeleted: ConversationMessage [sent]
        "a message of a conversation was deleted." "";
    "account_created" AccountCreated: Account [sent]
        "a messaging account was created." "For WhatsApp it carries the app's secret.";
    "account_updated" AccountUpdated: Account [sent]
        "a messaging account changed."
        "For WhatsApp it carries the app's secret. Changes of the billing account are not sent.";
    "account_deleted" AccountDeleted: Account [sent]
        "a messaging account was deleted." "For WhatsApp it carries the app's secret.";

    // Flows
    "activeflow_created" ActiveflowCreated: Activeflow [sent]
        "a flow began to run." "Not sent to the webhook that the flow's instance has of its own.";
    "activeflow_updated" ActiveflowUpdated: Activeflow [sent]
        "a running flow changed, or ended."
        "The end of a flow is this event with the status `ended`. Grows with every executed action.";
    "activeflow_deleted" ActiveflowDeleted: Activeflow [sent]
        "the record of a flow's instance was deleted."
        "Documents take it for the end of the flow, which is `activeflow_updated` with the status `ended`.";
    "activeflow.created" DottedActiveflowCreated: Activeflow [alias ActiveflowCreated]
        "a flow began to run." "";
    "activeflow.updated" DottedActiveflowUpdated: Activeflow [alias ActiveflowUpdated]
        "a running flow changed, or ended." "";
    "activeflow.deleted" DottedActiveflowDeleted: Activeflow [alias ActiveflowDeleted]
        "the record of a flow's instance was deleted." "";
    "flow_created" FlowCreated: Json [not_sent]
        "a flow was created." "Known inside the platform only.";
    "flow_updated" FlowUpdated: Json [not_sent]
        "a flow was changed." "Known inside the platform only.";

    // Transcription
    "transcribe_created" TranscribeCreated: Transcribe [sent]
        "a transcription began." "Its status is `progressing` already.";
    "transcribe_progressing" TranscribeProgressing: Transcribe [unreachable]
        "a transcription runs." "`transcribe_created` tells the same.";
    "transcribe_done" TranscribeDone: Transcribe [sent]
        "a transcription ended." "";
    "transcribe_updated" TranscribeUpdated: Transcribe [alias TranscribeDone]
        "a transcription ended." "";
    "transcribe.completed" TranscribeCompleted: Transcribe [alias TranscribeDone]
        "a transcription ended." "";
    "transcribe_deleted" TranscribeDeleted: Transcribe [not_sent]
        "the record of a transcription was deleted." "Known inside the platform only.";
    "transcribe_speech_started" TranscribeSpeechStarted: Speech [sent]
        "somebody began to speak." "The id is a new one for each event.";
    "transcribe_speech_interim" TranscribeSpeechInterim: Speech [sent]
        "something was understood, while it is being said."
        "Sent often: once per partial result. The id is a new one for each event.";
    "transcribe_speech_ended" TranscribeSpeechEnded: Speech [sent]
        "somebody stopped speaking." "The id is a new one for each event.";
    "transcript_created" TranscriptCreated: Transcript [sent]
        "a piece of a transcription is there in its final form." "";
    "transcript_deleted" TranscriptDeleted: Transcript [not_sent]
        "a piece of a transcription was deleted." "Known inside the platform only.";
    "speaking_started" SpeakingStarted: Json [not_sent]
        "speaking began." "Known inside the platform only.";
    "speaking_stopped" SpeakingStopped: Json [not_sent]
        "speaking stopped." "Known inside the platform only.";
    "streaming_started" StreamingStarted: Json [not_sent]
        "an audio stream began." "Known inside the platform only.";
    "streaming_stopped" StreamingStopped: Json [not_sent]
        "an audio stream ended." "Known inside the platform only.";

    // Queues
    "queue_created" QueueCreated: Queue [not_sent]
        "a queue was created." "Known inside the platform only.";
    "queue_updated" QueueUpdated: Queue [not_sent]
        "a queue was changed." "Known inside the platform only.";
    "queue_deleted" QueueDeleted: Queue [not_sent]
        "a queue was deleted." "Known inside the platform only.";
    "queuecall_created" QueuecallCreated: Queuecall [sent]
        "a call entered a queue." "Which queue it is, is not told.";
    "queuecall_waiting" QueuecallWaiting: Queuecall [sent]
        "an entry of a queue waits." "";
    "queuecall_connecting" QueuecallConnecting: Queuecall [sent]
        "an agent is being connected to an entry of a queue." "";
    "queuecall_kicking" QueuecallKicking: Queuecall [alias QueuecallConnecting]
        "an agent is being connected to an entry of a queue."
        "The status `kicking` means something else, and is never announced.";
    "queuecall_serviced" QueuecallServiced: Queuecall [sent]
        "an entry of a queue is being served." "";
    "queuecall_done" QueuecallDone: Queuecall [sent]
        "an entry of a queue was served." "";
    "queuecall_abandoned" QueuecallAbandoned: Queuecall [sent]
        "an entry left a queue before it was served." "";
    "queuecall_deleted" QueuecallDeleted: Queuecall [sent]
        "the record of an entry of a queue was deleted." "";

    // Conferences
    "conference_created" ConferenceCreated: Conference [sent]
        "a conference was created." "";
    "conference_updated" ConferenceUpdated: Conference [sent]
        "a conference changed, its list of participants among others." "";
    "conference_deleted" ConferenceDeleted: Conference [sent]
        "a conference was deleted." "";
    "confbridge_created" ConfbridgeCreated: Json [not_sent]
        "an audio bridge was created." "The nearest event that is sent is `conference_updated`.";
    "confbridge_updated" ConfbridgeUpdated: Json [not_sent]
        "an audio bridge changed." "The nearest event that is sent is `conference_updated`.";
    "confbridge_joined" ConfbridgeJoined: Json [not_sent]
        "a call joined an audio bridge." "The nearest event that is sent is `conference_updated`.";
    "confbridge_leaved" ConfbridgeLeaved: Json [not_sent]
        "a call left an audio bridge." "The nearest event that is sent is `conference_updated`.";
    "confbridge_left" ConfbridgeLeft: Json [not_sent]
        "a call left an audio bridge." "The nearest event that is sent is `conference_updated`.";
    "confbridge_record_started" ConfbridgeRecordStarted: Json [not_sent]
        "the recording of an audio bridge began." "";

    // Agents and numbers
    "agent_created" AgentCreated: Agent [sent]
        "an agent was created." "";
    "agent_updated" AgentUpdated: Agent [sent]
        "an agent's permission was changed."
        "Other changes of an agent are not announced; the status has an event of its own.";
    "agent_status_updated" AgentStatusUpdated: Agent [sent]
        "an agent's status changed." "";
    "agent_deleted" AgentDeleted: Agent [sent]
        "an agent was deleted." "";
    "number_created" NumberCreated: Number [sent]
        "a number was added." "";
    "number_updated" NumberUpdated: Number [sent]
        "a number was changed." "";
    "number_deleted" NumberDeleted: Number [sent]
        "a number was removed." "";
    "number_renewed" NumberRenewed: Number [not_sent]
        "a number was renewed." "Known inside the platform only.";

    // Campaigns
    "campaign_created" CampaignCreated: Campaign [sent]
        "a campaign was created." "";
    "campaign_updated" CampaignUpdated: Campaign [sent]
        "a campaign was changed." "";
    "campaign_status_run" CampaignStatusRun: Campaign [sent]
        "a campaign was started." "";
    "campaign_status_stopping" CampaignStatusStopping: Campaign [sent]
        "a campaign is being stopped." "";
    "campaign_status_stop" CampaignStatusStop: Campaign [sent]
        "a campaign was stopped." "";
    "campaign_deleted" CampaignDeleted: Campaign [sent]
        "a campaign was deleted." "";
    "campaigncall_created" CampaigncallCreated: Campaigncall [sent]
        "a campaign began to call a target." "";
    "campaigncall_updated" CampaigncallUpdated: Campaigncall [sent]
        "the call of a target changed, or ended." "";
    "campaigncall_deleted" CampaigncallDeleted: Campaigncall [sent]
        "the record of a target's call was deleted." "";
    "outdial_created" OutdialCreated: Outdial [sent]
        "a target list was created." "";
    "outdial_updated" OutdialUpdated: Outdial [sent]
        "a target list was changed." "";
    "outdial_deleted" OutdialDeleted: Outdial [sent]
        "a target list was deleted." "";

    // AI
    "ai_created" AiCreated: Ai [sent]
        "an AI was created." "Carries the key of the language model's API.";
    "ai_updated" AiUpdated: Ai [sent]
        "an AI was changed." "Carries the key of the language model's API.";
    "ai_deleted" AiDeleted: Ai [sent]
        "an AI was deleted." "Carries the key of the language model's API.";
    "aicall_status_initializing" AicallStatusInitializing: Aicall [sent]
        "a session with an AI is being set up." "The status in it reads `initiating`.";
    "aicall_status_progressing" AicallStatusProgressing: Aicall [sent]
        "a session with an AI began." "";
    "aicall_status_pausing" AicallStatusPausing: Aicall [unreachable]
        "a session with an AI is being paused." "";
    "aicall_status_resuming" AicallStatusResuming: Aicall [unreachable]
        "a session with an AI is being resumed." "";
    "aicall_status_terminating" AicallStatusTerminating: Aicall [unreachable]
        "a session with an AI is being ended." "";
    "aicall_status_terminated" AicallStatusTerminated: Aicall [sent]
        "a session with an AI ended." "";
    "aimessage_created" AimessageCreated: AiMessage [sent]
        "a message was said in a session with an AI." "";
    "aimessage_intermediate" AimessageIntermediate: AiMessageDelta [sent]
        "an AI said the next piece of a reply."
        "Sent often: once per piece. All pieces of a reply share the id and have no times; order them by `sequence`.";
    "summary_created" SummaryCreated: Summary [sent]
        "a summary is being written." "It holds no text yet.";
    "summary_updated" SummaryUpdated: Summary [sent]
        "a summary changed, or is done." "";
    "summary_deleted" SummaryDeleted: Summary [sent]
        "a summary was deleted." "";
    "team_created" TeamCreated: Team [sent]
        "a team of AIs was created." "";
    "team_updated" TeamUpdated: Team [sent]
        "a team of AIs was changed." "";
    "team_deleted" TeamDeleted: Team [sent]
        "a team of AIs was deleted." "";
    "mcp_server_created" McpServerCreated: McpServer [sent]
        "an MCP server was added." "";
    "mcp_server_updated" McpServerUpdated: McpServer [sent]
        "an MCP server was changed." "";
    "mcp_server_deleted" McpServerDeleted: McpServer [sent]
        "an MCP server was removed." "";

    // Chats
    "chat_created" ChatCreated: Chat [sent]
        "a chat was created." "";
    "chat_updated" ChatUpdated: Chat [sent]
        "a chat was changed." "";
    "chat_deleted" ChatDeleted: Chat [sent]
        "a chat was deleted." "";
    "chatmessage_created" ChatmessageCreated: ChatMessage [sent]
        "a message was written in a chat." "";
    "chatmessage_deleted" ChatmessageDeleted: ChatMessage [sent]
        "a message of a chat was deleted." "";
    "chatmessage_reaction_updated" ChatmessageReactionUpdated: ChatMessage [sent]
        "somebody reacted to a message of a chat." "";
    "chatparticipant_added" ChatparticipantAdded: ChatParticipant [sent]
        "somebody was added to a chat." "";
    "chatparticipant_removed" ChatparticipantRemoved: ChatParticipant [sent]
        "somebody was removed from a chat." "";
    "webchat_message_created" WebchatMessageCreated: WebchatMessage [sent]
        "a visitor wrote something, or was written to." "The session's id is a credential.";
    "webchat_session_ended" WebchatSessionEnded: WebchatSession [sent]
        "a visitor's session ended."
        "The id is a credential. `tm_end` stays unset even here.";
}
