use std::time::Duration;

use serde_json::{Map, Value};

use super::object::{resource, words};
use super::{Action, Address, Direction, Id, OwnerType};
use crate::event::Time;

resource! {
    /// A call leg.
    pub struct Call {
        /// The resource's id.
        id: Option<Id> = Always;
        /// The account that owns it.
        customer_id: Option<Id> = Always;
        /// The kind of owner, if it has one.
        owner_type: Option<OwnerType> = Always;
        /// The agent that owns the call, if any.
        owner_id: Option<Id> = Always;
        /// The flow that is run.
        flow_id: Option<Id> = Always;
        /// The running instance of the flow; it may have a webhook of its own.
        activeflow_id: Option<Id> = Always;
        /// Why the call exists.
        kind as "type": Option<CallType> = Omit;
        /// The parent call of a chain.
        master_call_id: Option<Id> = Always;
        /// The child calls of a chain.
        chained_call_ids: Vec<Id> = Omit;
        /// The recording in progress.
        recording_id: Option<Id> = Always;
        /// All recordings so far.
        recording_ids: Vec<Id> = Omit;
        /// Always none: the platform never fills it in.
        groupcall_id: Option<Id> = Always;
        /// The caller.
        source: Address = Always;
        /// The callee.
        destination: Address = Always;
        /// Where it is in its life.
        status: Option<CallStatus> = Omit;
        /// The flow action that is being executed.
        action: Action = Always;
        /// What the platform noted: `rtp_debug`, `route_provider_ids`, `skip_source_validation`,
        /// `codecs`.
        metadata: Map<String, Value> = Omit;
        /// Which way it went.
        direction: Option<Direction> = Omit;
        /// Which way the audio is muted.
        mute_direction: Option<MuteDirection> = Omit;
        /// Which end hung up.
        hangup_by: Option<HangupBy> = Omit;
        /// Why it ended.
        hangup_reason: Option<HangupReason> = Omit;
        /// When it was answered.
        tm_progressing: Option<Time> = Omit;
        /// When the far end began to ring; outgoing calls only.
        tm_ringing: Option<Time> = Omit;
        /// When it ended.
        tm_hangup: Option<Time> = Omit;
        /// When it was created.
        tm_create: Option<Time> = Omit;
        /// When it was last changed; none until the first change.
        tm_update: Option<Time> = Omit;
        /// When it was deleted.
        tm_delete: Option<Time> = Omit;
    }
}

impl Call {
    /// Whether the call is over.
    ///
    /// Documents show other words for the state of a finished call, or leave it out: a reason or a
    /// time of its end tells as well.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.tm_hangup.is_some()
            || self.hangup_reason.is_some()
            || self.status.as_ref().is_some_and(|status| {
                matches!(status.as_str(), "hangup" | "completed" | "terminated")
            })
    }

    /// Whether anybody answered.
    #[must_use]
    pub fn was_answered(&self) -> bool {
        self.tm_progressing.is_some()
    }

    /// How long the two sides talked: from the answer to the end. `None` for a call that was not
    /// answered or is not over.
    ///
    /// Where these times are missing, a number of seconds in `duration`, which older documents
    /// show, is taken.
    #[must_use]
    pub fn duration(&self) -> Option<Duration> {
        match (self.tm_progressing, self.tm_hangup) {
            (Some(answer), Some(end)) => end.since(answer),
            (None, None) => self.extra.read("duration")?.ok().map(Duration::from_secs),
            _ => None,
        }
    }

    /// How long the far end rang before the answer or the end.
    #[must_use]
    pub fn ringing_time(&self) -> Option<Duration> {
        self.tm_progressing
            .or(self.tm_hangup)?
            .since(self.tm_ringing?)
    }
}

words! {
    /// Why a call exists.
    pub enum CallType {
        /// It runs a flow.
        Flow = "flow",
        /// It is a leg of a conference.
        Conference = "conference",
        /// A service call of the SIP side.
        SipService = "sip-service",
    }
}

words! {
    /// Where a call is in its life.
    pub enum CallStatus {
        /// It is being dialled.
        Dialing = "dialing",
        /// The far end rings.
        Ringing = "ringing",
        /// It was answered.
        Progressing = "progressing",
        /// It is being ended.
        Terminating = "terminating",
        /// It is being ended before an answer.
        Canceling = "canceling",
        /// It ended.
        Hangup = "hangup",
    }
}

words! {
    /// Which way the audio of a call is muted.
    pub enum MuteDirection {
        /// Both ways.
        Both = "both",
        /// What the far end would hear.
        Out = "out",
        /// What comes from the far end.
        In = "in",
    }
}

words! {
    /// Which end hung up.
    pub enum HangupBy {
        /// The far end.
        Remote = "remote",
        /// The platform.
        Local = "local",
    }
}

words! {
    /// Why a call ended.
    pub enum HangupReason {
        /// It was hung up.
        Normal = "normal",
        /// It failed.
        Failed = "failed",
        /// The far end was busy.
        Busy = "busy",
        /// It was cancelled before an answer.
        Cancel = "cancel",
        /// It lasted too long.
        Timeout = "timeout",
        /// Nobody answered.
        NoAnswer = "noanswer",
        /// It was given up while dialling.
        DialOut = "dialout",
        /// A machine answered.
        Amd = "amd",
    }
}
