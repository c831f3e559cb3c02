use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

use crate::event::PayloadError;

/// Why a handler failed.
///
/// Every error type converts into it, so `?` works in a handler. Boxed errors, which are not error
/// types themselves, take one more word: `.map_err(HandlerError::new)?`. It deliberately does not
/// implement [`std::error::Error`] itself, as that conversion could not exist otherwise.
///
/// The receiver logs the text of the error and of its causes: they must not hold a phone number, a
/// body or a secret. Errors of others can: the ones of HTTP clients often show the URL with its query
/// (for reqwest's there is `without_url()`), the ones of mail servers an address.
///
/// ```
/// use voipbin_receiver::HandlerError;
///
/// fn parse(text: &str) -> Result<u16, HandlerError> {
///     Ok(text.parse::<u16>()?)
/// }
/// assert!(parse("no number").is_err());
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
    next: Next,
}

/// What is to follow a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// What the policy says.
    Policy,
    /// Another attempt after this time, if the policy leaves one.
    After(Duration),
    /// No further attempt.
    GiveUp,
}

/// What is kept of the text of an error and its causes, in bytes: inboxes keep it with each attempt.
const LONGEST_TEXT: usize = 1000;

/// A chain that is longer is more likely a circle.
const MOST_CAUSES: usize = 16;

impl HandlerError {
    /// An error with a message of your own.
    pub fn new(error: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self {
            error: error.into(),
            next: Next::Policy,
        }
    }

    /// An error that another attempt would meet again: the event becomes a dead letter at once.
    pub fn permanent(error: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self {
            error: error.into(),
            next: Next::GiveUp,
        }
    }

    /// Asks for the next attempt after this time rather than after the policy's. It still counts
    /// towards the policy's number of attempts. Where the event would be older than the policy's
    /// [`max_age`](crate::RetryPolicy::max_age) by then, it is a dead letter at once: raise that for a
    /// handler that may ask for more than a day.
    #[must_use]
    pub fn retry_after(self, after: Duration) -> Self {
        Self {
            next: Next::After(after),
            ..self
        }
    }

    /// What is to follow. A payload that did not fit will not fit the next time.
    pub(crate) fn next(&self) -> Next {
        match self.next {
            Next::Policy if self.is_payload() => Next::GiveUp,
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
        // It may hold what a sender wrote, which must neither end a line of a log nor steer a terminal.
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
    E: StdError + Send + Sync + 'static,
{
    fn from(error: E) -> Self {
        Self {
            error: Box::new(error),
            next: Next::Policy,
        }
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
