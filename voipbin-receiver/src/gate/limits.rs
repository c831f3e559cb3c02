use std::sync::Arc;

use http::{HeaderMap, Method};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The methods that a customer can configure. The platform sends the name as it was typed there, so
/// lower case is real.
pub(crate) fn accepts_method(method: &Method) -> bool {
    ["POST", "PUT", "GET", "DELETE"]
        .iter()
        .any(|name| method.as_str().eq_ignore_ascii_case(name))
}

/// How much of a head is looked at.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HeadLimits {
    pub(crate) headers: usize,
    /// Of all names and values together.
    pub(crate) bytes: usize,
}

impl HeadLimits {
    pub(crate) fn allow(&self, headers: &HeaderMap) -> bool {
        let size = |(name, value): (&http::HeaderName, &http::HeaderValue)| {
            name.as_str().len() + value.len()
        };
        headers.len() <= self.headers && headers.iter().map(size).sum::<usize>() <= self.bytes
    }
}

/// The requests that are being answered, so many at once.
#[derive(Debug)]
pub(crate) struct InFlight(Arc<Semaphore>);

/// Held by a request while it is answered.
#[derive(Debug)]
pub(crate) struct ConcurrencyPermit {
    _permit: OwnedSemaphorePermit,
}

impl InFlight {
    pub(crate) fn new(limit: usize) -> Self {
        Self(Arc::new(Semaphore::new(limit.min(Semaphore::MAX_PERMITS))))
    }

    /// `None` when all are taken.
    pub(crate) fn try_acquire(&self) -> Option<ConcurrencyPermit> {
        let permit = Arc::clone(&self.0).try_acquire_owned();
        permit
            .ok()
            .map(|permit| ConcurrencyPermit { _permit: permit })
    }
}
