use std::fmt;

use http::HeaderMap;

/// The length of a `traceparent` of version 00.
const PARENT: usize = 55;

/// What the standard asks to propagate at the least.
const MOST_STATE: usize = 512;

/// A span in a trace that goes over several processes, as [W3C Trace Context][w3c] writes it: kept
/// with an event, so that each attempt of a handler can join its trace. See
/// [`Propagator`](crate::observe::Propagator).
///
/// ```
/// use voipbin_receiver::event::TraceContext;
///
/// let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
/// let context = TraceContext::new(parent, "").ok_or("not a traceparent")?;
/// assert_eq!(context.trace_id(), "0af7651916cd43dd8448eb211c80319c");
/// # Ok::<(), &str>(())
/// ```
///
/// [w3c]: https://www.w3.org/TR/trace-context/
// The `traceparent` and, where there is one, a space and the `tracestate`.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct TraceContext(Box<str>);

impl TraceContext {
    /// Of the headers `traceparent` and `tracestate`; the latter may be empty. `None` where the
    /// first is malformed.
    ///
    /// Of the flags only the one for sampled traces is kept. A state of more than 512 bytes is
    /// dropped, as is one of other characters than the standard allows.
    #[must_use]
    pub fn new(traceparent: &str, tracestate: &str) -> Option<Self> {
        let mut fields = traceparent.splitn(5, '-');
        let version = hex(fields.next()?, 2)?;
        let (trace, span) = (id(fields.next()?, 32)?, id(fields.next()?, 16)?);
        let flags = u8::from_str_radix(hex(fields.next()?, 2)?, 16).ok()?;
        if version == "ff" || (version == "00" && fields.next().is_some()) {
            return None;
        }
        let parent = format!("00-{trace}-{span}-{:02x}", flags & 1);
        let is_printable = |byte: u8| matches!(byte, b' '..=b'~');
        Some(Self(match tracestate.trim_ascii() {
            "" => parent.into(),
            state if state.len() > MOST_STATE || !state.bytes().all(is_printable) => parent.into(),
            state => format!("{parent} {state}").into(),
        }))
    }

    /// Of a request; `None` for one without, and for one with several.
    pub(crate) fn of_request(headers: &HeaderMap) -> Option<Self> {
        let mut parents = headers.get_all("traceparent").iter();
        let (parent, None) = (parents.next()?, parents.next()) else {
            return None;
        };
        let states = headers.get_all("tracestate").iter();
        let states: Result<Vec<&str>, _> = states.map(|state| state.to_str()).collect();
        Self::new(parent.to_str().ok()?, &states.unwrap_or_default().join(","))
    }

    /// Of [what is stored](Self::as_str).
    #[cfg(any(test, feature = "disk-system", feature = "postgres"))]
    pub(crate) fn of_stored(text: &str) -> Option<Self> {
        let (parent, state) = text.split_once(' ').unwrap_or((text, ""));
        Self::new(parent, state)
    }

    #[cfg(any(test, feature = "disk-system", feature = "postgres"))]
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// The header `traceparent`, of version 00.
    #[must_use]
    pub fn traceparent(&self) -> &str {
        self.0.get(..PARENT).unwrap_or_default()
    }

    /// The header `tracestate`; empty where there is none.
    #[must_use]
    pub fn tracestate(&self) -> &str {
        self.0.get(PARENT + 1..).unwrap_or_default()
    }

    /// The trace: 32 hexadecimal digits.
    #[must_use]
    pub fn trace_id(&self) -> &str {
        self.0.get(3..35).unwrap_or_default()
    }
}

fn hex(text: &str, length: usize) -> Option<&str> {
    let is_hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    (text.len() == length && text.bytes().all(is_hex)).then_some(text)
}

/// One that is all zeros is invalid.
fn id(text: &str, length: usize) -> Option<&str> {
    hex(text, length).filter(|id| id.bytes().any(|byte| byte != b'0'))
}

/// Without the state, which is the tracing systems' own.
impl fmt::Debug for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TraceContext")
            .field(&self.traceparent())
            .finish()
    }
}

#[cfg(test)]
mod tests;
