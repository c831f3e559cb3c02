use std::error::Error as StdError;
use std::fmt;

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
pub struct HandlerError(Box<dyn StdError + Send + Sync>);

/// A chain that is longer is more likely a circle.
const MOST_CAUSES: usize = 16;

impl HandlerError {
    /// An error with a message of your own.
    pub fn new(error: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self(error.into())
    }

    /// The error inside.
    #[must_use]
    pub fn get_ref(&self) -> &(dyn StdError + Send + Sync + 'static) {
        &*self.0
    }

    /// The error and its causes, as one line.
    pub(crate) fn chain(&self) -> String {
        let mut line = self.0.to_string();
        let mut cause = self.0.source();
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
        line
    }

    /// Whether the handler did not run because the payload did not fit the type it asks for.
    #[must_use]
    pub fn is_payload(&self) -> bool {
        self.0.is::<PayloadError>()
    }
}

impl<E> From<E> for HandlerError
where
    E: StdError + Send + Sync + 'static,
{
    fn from(error: E) -> Self {
        Self(Box::new(error))
    }
}

impl fmt::Display for HandlerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for HandlerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
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
    }
}
