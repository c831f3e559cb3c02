//! The one table of refusals: how each reason is answered, logged and counted.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use http::StatusCode;

use crate::event::{BodyError, BodyErrorKind};
use crate::gate::{
    Diagnosis, RateExceeded, SignatureError, SignatureErrorKind, SourceError, VerifyError,
};
use crate::inbox::{KeepError, KeepErrorKind};

/// Whether the connection can carry another request after the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Connection {
    Keep,
    /// The rest of the body is not read, or the client should go elsewhere.
    Close,
}

/// How a refusal is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Log {
    /// Not at all: anybody can cause it, and it tells nothing.
    Never,
    /// At `debug`: anybody can cause it.
    Debug,
    /// As a warning once a minute for each of these groups, else at `debug`: it must be seen, and
    /// must not fill a log.
    Limited(WarnGroup),
    /// As a warning each time: only a sender with the secret gets this far.
    Warn(&'static str),
    /// As an error each time: user code is at fault.
    Error(&'static str),
}

/// Warnings of one group do not hide those of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WarnGroup {
    Signatures,
    Secrets,
    Strangers,
    /// What stands between the sender and the receiver, and can be mended.
    Proxies,
    Replays,
    Overload,
    Paths,
    Bodies,
}

impl WarnGroup {
    pub(crate) const COUNT: usize = 8;
}

/// A row of the table.
pub(crate) struct RefusalRow {
    pub(crate) status: StatusCode,
    pub(crate) connection: Connection,
    /// The stable code of the answer. Where a reason has several kinds, that of the kind counts.
    code: &'static str,
    /// What the sender is told.
    message: &'static str,
    pub(crate) log: Log,
    /// What the log is told, where the refusal has no error of its own.
    sentence: &'static str,
}

macro_rules! refusals {
    ($(
        $(#[$doc:meta])+
        $reason:ident = $word:literal:
        $status:ident $connection:ident $code:literal $message:literal,
        $log:expr => $sentence:literal;
    )+) => {
        /// Why a delivery was refused.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum RefusalReason {
            $($(#[$doc])+ $reason,)+
        }

        impl RefusalReason {
            /// All there are.
            pub const ALL: &[Self] = &[$(Self::$reason),+];

            /// It in a word, as metrics show it.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$reason => $word,)+
                }
            }

            pub(crate) const fn row(self) -> &'static RefusalRow {
                match self {
                    $(Self::$reason => &RefusalRow {
                        status: StatusCode::$status,
                        connection: Connection::$connection,
                        code: $code,
                        message: $message,
                        log: $log,
                        sentence: $sentence,
                    },)+
                }
            }
        }
    };
}

// The sender tries again only after a 5xx. Every other status is final for it, and so only for what
// is wrong with the request itself or is meant to be kept out. What this side's operator can mend,
// in the settings or in a proxy, is a 503.
refusals! {
    /// 405: not a method that the platform sends with.
    Method = "method": METHOD_NOT_ALLOWED Close "method_not_allowed"
        "send the event with POST, PUT, GET or DELETE",
        Log::Never => "the method is not one that VoIPBIN sends with";
    /// 404: it is for another path than the receiver's and has a signature; see
    /// [`Receiver::misdirected`](crate::Receiver::misdirected).
    Path = "path": NOT_FOUND Keep "wrong_path"
        "events are received at another path",
        Log::Limited(WarnGroup::Paths)
            => "it has a signature and is for another path: give VoIPBIN the webhook_uri with the receiver's path, letter for letter";
    /// 413: the body is over the limit.
    TooLarge = "too_large": PAYLOAD_TOO_LARGE Close "body_too_large"
        "the body is over the receiver's limit; raise body_limit if such events are to be received",
        Log::Limited(WarnGroup::Bodies)
            => "the body is over body_limit: an event of VoIPBIN's is lost by that";
    /// 503: the body did not come in time.
    TooSlow = "too_slow": SERVICE_UNAVAILABLE Close "body_timeout"
        "the body did not come in time; send the event again",
        Log::Debug => "the body did not come in time";
    /// 503: the body broke off.
    Broken = "broken": SERVICE_UNAVAILABLE Close "body_incomplete"
        "the body broke off; send the event again",
        Log::Debug => "the body broke off";
    /// 503: the headers are over the limit, as when a proxy adds many.
    HeadTooLarge = "head_too_large": SERVICE_UNAVAILABLE Close "headers_too_large"
        "the request has more headers, or longer ones, than the receiver takes; raise header_limit or header_count_limit if a proxy adds them",
        Log::Limited(WarnGroup::Proxies) => "the headers are over the limit";
    /// 503: as many requests as may be are being answered.
    Busy = "busy": SERVICE_UNAVAILABLE Close "too_busy"
        "the receiver answers as many requests as it can; send the event again",
        Log::Limited(WarnGroup::Overload)
            => "as many requests are being answered as in_flight_limit allows";
    /// 503: its source sends more than one may. A 429 would be final for the sender.
    SourceRate = "source_rate": SERVICE_UNAVAILABLE Close "source_rate_exceeded"
        "more comes from this address than the receiver takes; send the event again later",
        Log::Limited(WarnGroup::Strangers)
            => "its source sends more than source_rate_limit allows";
    /// 503: more comes than may from all together. A 429 would be final for the sender.
    Rate = "rate": SERVICE_UNAVAILABLE Close "rate_exceeded"
        "more comes than the receiver takes; send the event again later",
        Log::Limited(WarnGroup::Overload) => "more comes than rate_limit allows";
    /// 403: it comes from an address that is not allowed.
    Source = "source": FORBIDDEN Close "source_not_allowed"
        "the receiver accepts requests from the addresses on its list alone",
        Log::Limited(WarnGroup::Strangers) => "its source is not in allow_sources";
    /// 503: nobody says where it comes from, and not everybody is allowed: the server names no
    /// peer, a trusted proxy no client, or a proxy is not in `trust_proxies`.
    SourceUnknown = "source_unknown": SERVICE_UNAVAILABLE Close "source_unknown"
        "the receiver cannot tell where requests come from; see its log, and send the event again",
        Log::Limited(WarnGroup::Proxies) => "its source is not known";
    /// 401: the signature is missing or wrong.
    Signature = "signature": UNAUTHORIZED Keep "signature_mismatch"
        "the signature is missing or wrong",
        Log::Limited(WarnGroup::Signatures) => "the signature is missing or wrong";
    /// 503: no known secret makes the signature, and not all secrets are known at present.
    Secrets = "secrets": SERVICE_UNAVAILABLE Keep "secrets_unavailable"
        "the receiver does not know all of its secrets at present; see its log, and send the event again",
        Log::Limited(WarnGroup::Secrets)
            => "no known secret makes its signature, and a source of secrets has not said which there are: refresh them";
    /// 503: it came without a body, as after a redirect.
    NoBody = "no_body": SERVICE_UNAVAILABLE Keep "body_empty"
        "the request has no body",
        Log::Limited(WarnGroup::Proxies) => "the body is empty";
    /// 400: the body is not JSON.
    Body = "body": BAD_REQUEST Keep "body_not_json"
        "send the event as one JSON value",
        Log::Warn("refused for good: the event is lost") => "the body is not JSON";
    /// 403: the event is older than may be. Final: it only gets older.
    TooOld = "too_old": FORBIDDEN Keep "event_too_old"
        "the event is older than the receiver accepts; raise max_event_age if events come late",
        Log::Limited(WarnGroup::Replays) => "the event is over max_event_age";
    /// 503: the identity function panicked.
    Identity = "identity": SERVICE_UNAVAILABLE Keep "identity_failed"
        "the receiver could not tell which event this is; see its log, and send the event again",
        Log::Error("the identity function panicked: the event is not kept")
            => "the identity could not be determined";
    /// 503: the inbox is full.
    InboxFull = "inbox_full": SERVICE_UNAVAILABLE Keep "inbox_full"
        "the receiver has no room for the event; send it again later",
        Log::Warn("not kept: the sender may try again") => "the inbox is full";
    /// 503: the receiver is shutting down.
    ShuttingDown = "shutting_down": SERVICE_UNAVAILABLE Close "shutting_down"
        "the receiver is shutting down; send the event again",
        Log::Warn("not kept: the sender may try again") => "the receiver is shutting down";
    /// 503: the inbox cannot store it.
    Storage = "storage": SERVICE_UNAVAILABLE Keep "inbox_failed"
        "the receiver cannot store the event; see its log, and send the event again",
        Log::Warn("not kept: the sender may try again") => "the inbox cannot store the event";
}

/// A delivery that is refused: the reason, and what the room that refuses it knows beyond that.
#[derive(Debug)]
pub(crate) enum Refusal {
    Plain(RefusalReason),
    Source(SourceError),
    Signature(SignatureError, Option<Box<Diagnosis>>),
    Body(BodyError),
    TooOld(Duration),
    Keep(KeepError),
}

impl Refusal {
    pub(crate) fn reason(&self) -> RefusalReason {
        match self {
            Self::Plain(reason) => *reason,
            Self::Source(SourceError::NotAllowed(_)) => RefusalReason::Source,
            Self::Source(_) => RefusalReason::SourceUnknown,
            Self::Signature(error, _) => match error.kind() {
                SignatureErrorKind::NoBody => RefusalReason::NoBody,
                _ => RefusalReason::Signature,
            },
            Self::Body(error) => match error.kind() {
                BodyErrorKind::Empty => RefusalReason::NoBody,
                BodyErrorKind::NotUtf8 | BodyErrorKind::NotJson | BodyErrorKind::TooLong => {
                    RefusalReason::Body
                }
            },
            Self::TooOld(_) => RefusalReason::TooOld,
            Self::Keep(error) => match error.kind() {
                KeepErrorKind::Full => RefusalReason::InboxFull,
                KeepErrorKind::Draining => RefusalReason::ShuttingDown,
                KeepErrorKind::Storage => RefusalReason::Storage,
            },
        }
    }

    /// The code and the message of the answer.
    pub(crate) fn answer(&self) -> (&'static str, &'static str) {
        match self {
            Self::Signature(error, _) => (error.kind().code(), error.kind().sentence()),
            Self::Body(error) => (error.kind().code(), error.kind().advice()),
            _ => {
                let row = self.reason().row();
                (row.code, row.message)
            }
        }
    }
}

/// What is known of a delivery that was refused, beyond the [reason](RefusalReason). It prints as a
/// sentence for people, without anything of what was sent.
#[derive(Clone, Copy, Debug)]
pub struct Refused<'a> {
    refusal: &'a Refusal,
    client: Option<IpAddr>,
}

impl<'a> Refused<'a> {
    pub(crate) fn new(refusal: &'a Refusal, client: Option<IpAddr>) -> Self {
        Self { refusal, client }
    }

    /// Where it came from, as far as that is known; see [`PeerAddr`](crate::gate::PeerAddr).
    /// Personal data.
    #[must_use]
    pub fn client(&self) -> Option<IpAddr> {
        self.client
    }

    /// Why its signature does not fit, where that was looked into: while there is an inspector or
    /// `debug` is logged, once a second at most.
    #[must_use]
    pub fn diagnosis(&self) -> Option<&'a Diagnosis> {
        match self.refusal {
            Refusal::Signature(_, diagnosis) => diagnosis.as_deref(),
            _ => None,
        }
    }
}

impl fmt::Display for Refused<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.refusal {
            // Its text names the address, which is told by `client`.
            Refusal::Source(_) => f.write_str(self.refusal.reason().row().sentence),
            refusal => fmt::Display::fmt(refusal, f),
        }
    }
}

/// For a future that is polled after its end.
impl Default for Refusal {
    fn default() -> Self {
        Self::Plain(RefusalReason::Broken)
    }
}

impl From<RefusalReason> for Refusal {
    fn from(reason: RefusalReason) -> Self {
        Self::Plain(reason)
    }
}

impl From<SourceError> for Refusal {
    fn from(error: SourceError) -> Self {
        Self::Source(error)
    }
}

impl From<RateExceeded> for Refusal {
    fn from(exceeded: RateExceeded) -> Self {
        Self::Plain(match exceeded {
            RateExceeded::Source => RefusalReason::SourceRate,
            RateExceeded::All => RefusalReason::Rate,
        })
    }
}

impl From<VerifyError> for Refusal {
    fn from(unverified: VerifyError) -> Self {
        match unverified {
            VerifyError::Signature(error, diagnosis) => Self::Signature(error, diagnosis),
            VerifyError::SecretsIncomplete => Self::Plain(RefusalReason::Secrets),
        }
    }
}

impl From<BodyError> for Refusal {
    fn from(error: BodyError) -> Self {
        Self::Body(error)
    }
}

impl From<KeepError> for Refusal {
    fn from(error: KeepError) -> Self {
        Self::Keep(error)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plain(reason) => f.write_str(reason.row().sentence),
            Self::Source(error) => fmt::Display::fmt(error, f),
            Self::Signature(error, _) => fmt::Display::fmt(error, f),
            Self::Body(error) => fmt::Display::fmt(error, f),
            Self::TooOld(age) => write!(
                f,
                "its resource last changed {} s ago, which is over max_event_age: it was sent again by somebody, or came by a long way",
                age.as_secs()
            ),
            Self::Keep(error) => fmt::Display::fmt(error, f),
        }
    }
}

impl std::error::Error for Refusal {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Keep(error) => error.source(),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_table_says_needs_no_escaping_in_json() {
        for reason in RefusalReason::ALL {
            let row = reason.row();
            for text in [row.code, row.message] {
                assert!(
                    !text.contains(['"', '\\']) && !text.contains(char::is_control),
                    "{text}"
                );
            }
        }
    }

    /// What may come again is a 5xx, and what may not is none: by name, so that a new reason is
    /// thought about.
    #[test]
    fn only_what_would_be_refused_again_is_final() {
        let last: Vec<_> = RefusalReason::ALL
            .iter()
            .filter(|reason| !reason.row().status.is_server_error())
            .map(|reason| reason.as_str())
            .collect();
        assert_eq!(
            last,
            [
                "method",
                "path",
                "too_large",
                "source",
                "signature",
                "body",
                "too_old"
            ]
        );
    }

    #[test]
    fn each_reason_has_a_word_of_its_own() {
        let words: std::collections::BTreeSet<_> = RefusalReason::ALL
            .iter()
            .map(|reason| reason.as_str())
            .collect();
        assert_eq!(words.len(), RefusalReason::ALL.len());
    }
}
