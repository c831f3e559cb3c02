//! Why a delivery is not taken.

use std::fmt;
use std::time::Duration;

use crate::event::BodyError;
use crate::gate::{Exceeded, SignatureError, SourceError, Unverified};
use crate::inbox::KeepError;

/// A delivery that is refused, by the room that refuses it.
#[derive(Debug)]
pub(crate) enum Refusal {
    Method,
    TooLarge,
    TooSlow,
    Broken,
    Head,
    Busy,
    Rate(Exceeded),
    Source(SourceError),
    Signature(SignatureError),
    Secrets,
    Body(BodyError),
    TooOld(Duration),
    Identity,
    Keep(KeepError),
}

impl From<Unverified> for Refusal {
    fn from(unverified: Unverified) -> Self {
        match unverified {
            Unverified::Signature(error) => Self::Signature(error),
            Unverified::Undecided => Self::Secrets,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Method => f.write_str("the method is not one that VoIPBIN sends with"),
            Self::TooLarge => f.write_str("the body is over the limit"),
            Self::TooSlow => f.write_str("the body did not come in time"),
            Self::Broken => f.write_str("the body broke off"),
            Self::Head => f.write_str("the headers are over the limit"),
            Self::Busy => f.write_str("as many requests are being answered as in_flight_limit allows"),
            Self::Rate(Exceeded::Source) => {
                f.write_str("its source sends more than source_rate_limit allows")
            }
            Self::Rate(Exceeded::All) => f.write_str("more comes than rate_limit allows"),
            Self::Source(error) => fmt::Display::fmt(error, f),
            Self::Signature(error) => fmt::Display::fmt(error, f),
            Self::Secrets => f.write_str(
                "no known secret makes its signature, and a source of secrets has not said which there are: refresh them",
            ),
            Self::Body(error) => fmt::Display::fmt(error, f),
            Self::TooOld(age) => write!(
                f,
                "its resource last changed {} s ago, which is over max_event_age: it was sent again by somebody, or came by a long way",
                age.as_secs()
            ),
            Self::Identity => f.write_str("the identity could not be determined"),
            Self::Keep(error) => fmt::Display::fmt(error, f),
        }
    }
}
