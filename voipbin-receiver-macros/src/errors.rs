use syn::{Error, Result};

/// Every mistake found so far, so that one compilation reports all of them.
#[derive(Default)]
pub(crate) struct Errors(Option<Error>);

impl Errors {
    pub(crate) fn push(&mut self, error: Error) {
        match &mut self.0 {
            Some(errors) => errors.combine(error),
            None => self.0 = Some(error),
        }
    }

    pub(crate) fn take<T>(&mut self, result: Result<T>) {
        if let Err(error) = result {
            self.push(error);
        }
    }

    /// The value, unless there was a mistake.
    pub(crate) fn or<T>(self, value: T) -> Result<T> {
        match self.0 {
            Some(errors) => Err(errors),
            None => Ok(value),
        }
    }
}
