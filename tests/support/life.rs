//! The life of an inbox on disk that a test follows: its events, and what its process says of them.

use std::fmt;
use std::str::FromStr;

/// What the process that lives it says, in the order in which it happens: one line each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// The inbox is open.
    Opened,
    /// It is asked to keep this event.
    Keep(u64),
    /// The event is acknowledged.
    Kept(u64),
    /// The event is refused.
    Refused(u64),
    /// An attempt at this event began, the one of this number.
    Begun(u64, u32),
    /// The inbox is about to be told how the attempt ended.
    Settle(u64, End),
    /// It has been told.
    Settled(u64),
    /// All that was settled is to be stored.
    Flush,
    /// It is.
    Flushed,
    /// A dead letter is to be handled again.
    Replay(u64),
    /// It will be.
    Replayed(u64),
    /// A dead letter is to be thrown away.
    Discard(u64),
    /// The inbox is closed: all that was settled is stored.
    Closed,
    /// The process is to be killed at this point.
    Kill,
    /// What fails is to fail no longer.
    Release,
}

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Well.
    Done,
    /// Badly, and it was the last one.
    Dead,
    /// Badly, and there is to be another one.
    Retry,
    /// It was broken off and does not count.
    Released,
}

const ENDS: [(End, &str); 4] = [
    (End::Done, "done"),
    (End::Dead, "dead"),
    (End::Retry, "retry"),
    (End::Released, "released"),
];

impl Mark {
    /// The event that it speaks of.
    pub fn event(self) -> Option<u64> {
        match self {
            Self::Keep(event)
            | Self::Kept(event)
            | Self::Refused(event)
            | Self::Begun(event, _)
            | Self::Settle(event, _)
            | Self::Settled(event)
            | Self::Replay(event)
            | Self::Replayed(event)
            | Self::Discard(event) => Some(event),
            Self::Opened
            | Self::Flush
            | Self::Flushed
            | Self::Closed
            | Self::Kill
            | Self::Release => None,
        }
    }
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Opened => f.write_str("opened"),
            Self::Keep(event) => write!(f, "keep {event}"),
            Self::Kept(event) => write!(f, "kept {event}"),
            Self::Refused(event) => write!(f, "refused {event}"),
            Self::Begun(event, attempt) => write!(f, "begun {event} {attempt}"),
            Self::Settle(event, end) => {
                let (_, end) = ENDS.iter().find(|(one, _)| one == end).unwrap();
                write!(f, "settle {event} {end}")
            }
            Self::Settled(event) => write!(f, "settled {event}"),
            Self::Flush => f.write_str("flush"),
            Self::Flushed => f.write_str("flushed"),
            Self::Replay(event) => write!(f, "replay {event}"),
            Self::Replayed(event) => write!(f, "replayed {event}"),
            Self::Discard(event) => write!(f, "discard {event}"),
            Self::Closed => f.write_str("closed"),
            Self::Kill => f.write_str("kill"),
            Self::Release => f.write_str("release"),
        }
    }
}

impl FromStr for Mark {
    type Err = String;

    fn from_str(line: &str) -> Result<Self, String> {
        let mut words = line.split_whitespace();
        let word = words.next().unwrap_or_default();
        let mut number = || words.next().and_then(|word| word.parse().ok());
        let unknown = || line.to_owned();
        let mut event = || number().ok_or_else(unknown);
        Ok(match word {
            "opened" => Self::Opened,
            "keep" => Self::Keep(event()?),
            "kept" => Self::Kept(event()?),
            "refused" => Self::Refused(event()?),
            "begun" => {
                let (event, attempt) = (event()?, event()?);
                Self::Begun(event, u32::try_from(attempt).map_err(|_| unknown())?)
            }
            "settle" => {
                let event = event()?;
                let word = words.next().unwrap_or_default();
                let end = ENDS.iter().find(|(_, one)| *one == word);
                Self::Settle(event, end.ok_or_else(unknown)?.0)
            }
            "settled" => Self::Settled(event()?),
            "flush" => Self::Flush,
            "flushed" => Self::Flushed,
            "replay" => Self::Replay(event()?),
            "replayed" => Self::Replayed(event()?),
            "discard" => Self::Discard(event()?),
            "closed" => Self::Closed,
            "kill" => Self::Kill,
            "release" => Self::Release,
            _ => return Err(unknown()),
        })
    }
}

/// The body of the event of this number, mostly of some hundred bytes. No two have much in common.
pub fn body(event: u64) -> String {
    let mut random = fastrand::Rng::with_seed(event);
    let words = match random.u8(..) {
        0..240 => random.usize(0..100),
        240..254 => random.usize(100..1000),
        254.. => random.usize(1000..8000),
    };
    let mut note = String::with_capacity(16 * words);
    for _ in 0..words {
        note.push_str(&format!("{:016x}", random.u64(..)));
    }
    format!(
        r#"{{"type":"call_hangup","data":{{"id":"{event}","status":"hangup","hangup_reason":"normal","note":"{note}"}}}}"#
    )
}
