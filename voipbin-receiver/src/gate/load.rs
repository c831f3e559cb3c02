use std::sync::Arc;

use http::HeaderMap;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

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

/// A request's place among those that are being answered; free when this is dropped.
#[derive(Debug)]
pub(crate) struct Seat {
    _permit: OwnedSemaphorePermit,
}

impl InFlight {
    pub(crate) fn new(limit: usize) -> Self {
        Self(Arc::new(Semaphore::new(limit.min(Semaphore::MAX_PERMITS))))
    }

    /// `None` when all are taken.
    pub(crate) fn enter(&self) -> Option<Seat> {
        let permit = Arc::clone(&self.0).try_acquire_owned();
        permit.ok().map(|permit| Seat { _permit: permit })
    }
}
