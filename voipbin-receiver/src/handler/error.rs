use std::error::Error as StdError;
use std::fmt;

use crate::event::PayloadError;

/// Why a handler failed.
///
/// Every error type converts into it, so `?` works in a handler. Boxed errors, which are not error
/// types themselves, take one more word: `.map_err(HandlerError::new)?`. It deliberately does not
/// implement [`std::error::Error`] itself, as that conversion could not exist otherwise.
///
/// The receiver logs the text of the error: it must not hold a phone number, a body or a secret.
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
