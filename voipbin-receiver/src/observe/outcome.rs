use std::fmt;

use super::words::words;

/// How a delivery was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Outcome {
    /// 200: it is new and kept.
    Accepted,
    /// 200: it is a copy of one that is kept.
    Duplicate,
    /// 200: no handler is registered for it.
    Unmatched,
    /// It was refused.
    Refused(RefusalReason),
}

impl Outcome {
    /// The outcome in a word; of a refusal, its reason.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Duplicate => "duplicate",
            Self::Unmatched => "unmatched",
            Self::Refused(reason) => reason.as_str(),
        }
    }
}

words! {
    /// Why a delivery was refused.
    RefusalReason {
        /// 405: not a method that the platform sends with.
        Method = "method",
        /// 413: the body is over the limit.
        TooLarge = "too_large",
        /// 503: the body did not come in time.
        TooSlow = "too_slow",
        /// 503: the body broke off.
        Broken = "broken",
        /// 503: the headers are over the limit, as when a proxy adds many.
        HeadTooLarge = "head_too_large",
        /// 503: as many requests as may be are being answered.
        Busy = "busy",
        /// 503: its source sends more than one may.
        SourceRate = "source_rate",
        /// 503: more comes than may from all together.
        Rate = "rate",
        /// 403: it comes from an address that is not allowed.
        Source = "source",
        /// 503: nobody says where it comes from, and not everybody is allowed: the server names no peer, a
        /// trusted proxy no client, or a proxy is not in `trust_proxies`.
        SourceUnknown = "source_unknown",
        /// 401: the signature is missing or wrong.
        Signature = "signature",
        /// 503: no known secret makes the signature, and not all secrets are known at present.
        Secrets = "secrets",
        /// 503: it came without a body, as after a redirect.
        NoBody = "no_body",
        /// 400: the body is not JSON.
        Body = "body",
        /// 403: the event is older than may be.
        TooOld = "too_old",
        /// 503: the identity function panicked.
        Identity = "identity",
        /// 503: the inbox is full.
        InboxFull = "inbox_full",
        /// 503: the receiver is shutting down.
        ShuttingDown = "shutting_down",
        /// 503: the inbox cannot store it.
        Storage = "storage",
    }
}

words! {
    /// Why no further attempt is made.
    DeadLetterReason {
        /// As many were made as the [`RetryPolicy`](crate::RetryPolicy) allows.
        AttemptsExhausted = "attempts_exhausted",
        /// The handler said that another one would fail as well, or the payload did not fit its type.
        Permanent = "permanent",
        /// The next one would come when the event is older than the [`RetryPolicy`](crate::RetryPolicy)
        /// allows.
        TooOld = "too_old",
        /// The receiver is shutting down and the inbox does not outlive it.
        ShutDown = "shut_down",
    }
}

impl fmt::Display for DeadLetterReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AttemptsExhausted => "no attempt is left",
            Self::Permanent => "the handler says that another attempt would fail as well",
            Self::TooOld => "it would be too old at its next attempt",
            Self::ShutDown => "the receiver is shutting down",
        })
    }
}
