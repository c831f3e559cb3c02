use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

use crate::event::PayloadError;

/// Why a handler failed.
///
/// Everything that converts into a boxed error converts into it, so `?` works in a handler: error
/// types, boxed errors, anyhow's, `String`s and `&str`s. For that it cannot be an
/// [`Error`](std::error::Error) itself; where one is needed, there is
/// [`into_boxed`](Self::into_boxed).
///
/// The receiver logs the text of the error and of its causes: they must not hold a phone number, a
/// body or a secret. Errors of others can: the ones of HTTP clients often show the URL with its
/// query (for reqwest's there is `without_url()`), the ones of mail servers an address.
///
/// ```
/// use voipbin_receiver::HandlerError;
///
/// fn port(text: &str) -> Result<u16, HandlerError> {
///     let port = text.parse::<u16>()?;
///     if port < 1024 {
///         return Err("it is the system's".into());
///     }
///     Ok(port)
/// }
/// assert!(port("no number").is_err());
/// ```
///
/// What follows is up to the receiver's [`RetryPolicy`](crate::RetryPolicy), unless the error says
/// otherwise:
///
/// ```
/// use std::time::Duration;
/// use voipbin_receiver::HandlerError;
///
/// # let (busy, gone) = (true, true);
/// # let reply = || -> Result<(), HandlerError> {
/// if busy {
///     return Err(HandlerError::new("the CRM is busy").retry_after(Duration::from_secs(30)));
/// }
/// if gone {
///     return Err(HandlerError::permanent("this customer has left"));
/// }
/// # Ok(()) };
/// # assert!(reply().is_err());
/// ```
pub struct HandlerError {
    error: Box<dyn StdError + Send + Sync>,
    next: RetryHint,
}

/// What is to follow a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RetryHint {
    /// What the policy says.
    Policy,
    /// Another attempt after this time, if the policy leaves one.
    After(Duration),
    /// No further attempt.
    GiveUp,
}

/// What is kept of the text of an error and its causes, in bytes: inboxes keep it with each
/// attempt.
const LONGEST_TEXT: usize = 1000;

/// A chain that is longer is more likely a circle.
const MOST_CAUSES: usize = 16;

impl HandlerError {
    /// An error with a message of your own.
    pub fn new(error: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self::from_boxed(error.into())
    }

    /// As a boxed error, for what takes nothing else, such as layers of tower's. What it says of
    /// further attempts comes back when that is made a `HandlerError` again, also from under
    /// another error that names it as its [source](StdError::source).
    ///
    /// ```
    /// use voipbin_receiver::HandlerError;
    ///
    /// let boxed = HandlerError::permanent("this customer has left").into_boxed();
    /// assert_eq!(boxed.to_string(), "this customer has left");
    /// let again = HandlerError::from(boxed);
    /// assert!(again.is_permanent());
    /// ```
    #[must_use]
    pub fn into_boxed(self) -> Box<dyn StdError + Send + Sync> {
        match self.next {
            RetryHint::Policy => self.error,
            _ => Box::new(Boxed(self)),
        }
    }

    fn from_boxed(error: Box<dyn StdError + Send + Sync>) -> Self {
        match error.downcast::<Boxed>() {
            Ok(boxed) => boxed.0,
            Err(error) => {
                let causes = std::iter::successors(error.source(), |cause| (*cause).source());
                let mut causes = causes.take(MOST_CAUSES);
                let boxed = causes.find_map(|cause| cause.downcast_ref::<Boxed>());
                let next = boxed.map_or(RetryHint::Policy, |boxed| boxed.0.next);
                Self { error, next }
            }
        }
    }

    /// An error that another attempt would meet again: the event becomes a dead letter at once.
    pub fn permanent(error: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self {
            error: error.into(),
            next: RetryHint::GiveUp,
        }
    }

    /// Asks for the next attempt after this time rather than after the policy's. It still counts
    /// towards the policy's number of attempts. Where the event would be older than the policy's
    /// [`max_age`](crate::RetryPolicy::max_age) by then, it is a dead letter at once: raise that
    /// for a handler that may ask for more than a day.
    #[must_use]
    pub fn retry_after(self, after: Duration) -> Self {
        Self {
            next: RetryHint::After(after),
            ..self
        }
    }

    /// Whether another attempt would fail as well: it says so, or the payload did not fit the type
    /// that the handler asks for.
    #[must_use]
    pub fn is_permanent(&self) -> bool {
        self.next() == RetryHint::GiveUp
    }

    /// What is to follow. A payload that did not fit will not fit the next time.
    pub(crate) fn next(&self) -> RetryHint {
        match self.next {
            RetryHint::Policy if self.is_payload() => RetryHint::GiveUp,
            next => next,
        }
    }

    /// The error inside.
    #[must_use]
    pub fn get_ref(&self) -> &(dyn StdError + Send + Sync + 'static) {
        &*self.error
    }

    /// The error and its causes, as one line.
    pub(crate) fn chain(&self) -> String {
        let mut line = self.error.to_string();
        let mut cause = self.error.source();
        for _ in 0..MOST_CAUSES {
            let Some(error) = cause else { break };
            let text = error.to_string();
            // Many errors repeat their cause in their own text.
            if !line.ends_with(&text) {
                line.push_str(": ");
                line.push_str(&text);
            }
            cause = error.source();
        }
        if line.len() > LONGEST_TEXT {
            let end = (0..=LONGEST_TEXT)
                .rev()
                .find(|end| line.is_char_boundary(*end));
            line.truncate(end.unwrap_or_default());
            line.push('…');
        }
        // It may hold what a sender wrote, which must neither end a line of a log nor steer a
        // terminal.
        if line.contains(char::is_control) {
            line = line.replace(char::is_control, " ");
        }
        line
    }

    /// Whether the handler did not run because the payload did not fit the type it asks for.
    #[must_use]
    pub fn is_payload(&self) -> bool {
        self.error.is::<PayloadError>()
    }
}

impl<E> From<E> for HandlerError
where
    E: Into<Box<dyn StdError + Send + Sync>>,
{
    fn from(error: E) -> Self {
        Self::from_boxed(error.into())
    }
}

/// A [`HandlerError`] as an error, which keeps what it says of further attempts.
struct Boxed(HandlerError);

impl fmt::Display for Boxed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for Boxed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl StdError for Boxed {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.error.source()
    }
}

impl fmt::Display for HandlerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.error, f)
    }
}

impl fmt::Debug for HandlerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.error, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Outer(std::num::ParseIntError);

    impl fmt::Display for Outer {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("the answer is no number")
        }
    }

    impl StdError for Outer {
        fn source(&self) -> Option<&(dyn StdError + 'static)> {
            Some(&self.0)
        }
    }

    #[test]
    fn an_error_is_logged_with_its_causes() {
        let error = HandlerError::from(Outer("x".parse::<u8>().unwrap_err()));
        assert_eq!(
            error.chain(),
            "the answer is no number: invalid digit found in string"
        );
        assert_eq!(HandlerError::new("alone").chain(), "alone");
        let lines = HandlerError::new("a\r\n2026 INFO b\u{1b}[2J\u{9b}2J").chain();
        assert_eq!(lines, "a  2026 INFO b [2J 2J");
        let long = HandlerError::new("é".repeat(5_000)).chain();
        assert!(long.len() <= LONGEST_TEXT + '…'.len_utf8() && long.ends_with("é…"));
    }
}
