use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, Method};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The methods that a customer can configure. The platform sends the name as it was typed there, so
/// lower case is real.
pub(crate) fn accepts_method(method: &Method) -> bool {
    ["POST", "PUT", "GET", "DELETE"]
        .iter()
        .any(|name| method.as_str().eq_ignore_ascii_case(name))
}

/// How much a request may be, and how many there may be; given to
/// [`ReceiverBuilder::limits`](crate::ReceiverBuilder::limits).
///
/// ```
/// use voipbin_receiver::Receiver;
/// use voipbin_receiver::catalog::Any;
/// use voipbin_receiver::gate::Limits;
///
/// # fn main() -> Result<(), voipbin_receiver::BuildError> {
/// let receiver = Receiver::builder()
///     .secret("the-webhook-secret-of-a-customer")
///     .limits(Limits::new().body_limit(4 << 20).in_flight_limit(1000))
///     .on(Any, || async {})
///     .build()?;
/// # drop(receiver);
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "limits do nothing until they are given to the builder"]
pub struct Limits {
    pub(crate) body: usize,
    pub(crate) head: usize,
    pub(crate) headers: usize,
    pub(crate) in_flight: usize,
    pub(crate) read_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self::new()
    }
}

impl Limits {
    /// The default of [`body_limit`](Self::body_limit): 1 MiB.
    pub const DEFAULT_BODY_LIMIT: usize = 1 << 20;
    /// The most that [`body_limit`](Self::body_limit) can be: 512 MiB. SQLite keeps no value of
    /// 1,000,000,000 bytes, and PostgreSQL none of 1 GiB.
    pub const MAX_BODY_LIMIT: usize = 512 << 20;
    /// The default of [`header_limit`](Self::header_limit): 32 KiB.
    pub const DEFAULT_HEADER_LIMIT: usize = 32 << 10;
    /// The default of [`header_count_limit`](Self::header_count_limit).
    pub const DEFAULT_HEADER_COUNT_LIMIT: usize = 128;
    /// The default of [`in_flight_limit`](Self::in_flight_limit).
    pub const DEFAULT_IN_FLIGHT_LIMIT: usize = 4096;
    /// The default of [`read_timeout`](Self::read_timeout): 10 seconds.
    pub const DEFAULT_READ_TIMEOUT: Duration = Duration::from_secs(10);

    /// All at their defaults.
    pub const fn new() -> Self {
        Self {
            body: Self::DEFAULT_BODY_LIMIT,
            head: Self::DEFAULT_HEADER_LIMIT,
            headers: Self::DEFAULT_HEADER_COUNT_LIMIT,
            in_flight: Self::DEFAULT_IN_FLIGHT_LIMIT,
            read_timeout: Self::DEFAULT_READ_TIMEOUT,
        }
    }

    /// The largest body that is accepted, in bytes; 1 MiB by default, at least 1 and at most
    /// [512 MiB](Self::MAX_BODY_LIMIT). Larger ones get a 413, which the sender takes as final.
    ///
    /// The sender has no limit of its own: `activeflow_*` events grow with every executed action.
    pub const fn body_limit(mut self, bytes: usize) -> Self {
        self.body = bytes;
        self
    }

    /// How long all names and values of the headers may be together, in bytes; 32 KiB by default.
    /// Longer ones get a 503.
    ///
    /// VoIPBIN sends six headers of some 300 bytes; proxies add theirs. Most servers have limits of
    /// their own, and an answer that the sender takes as final: hyper, and so axum, one of 100
    /// headers and 431, actix-web of 96 headers and 128 KiB and 400. What is set here beyond those
    /// has no effect there. `mount::Server` takes its own from these: `Server::limits`.
    pub const fn header_limit(mut self, bytes: usize) -> Self {
        self.head = bytes;
        self
    }

    /// How many headers a request may have; 128 by default. More get a 503, as with
    /// [`header_limit`](Self::header_limit).
    pub const fn header_count_limit(mut self, headers: usize) -> Self {
        self.headers = headers;
        self
    }

    /// How many requests may be read or kept at the same time; 4096 by default. More get a 503, and
    /// the sender tries again.
    ///
    /// Each may hold a body of up to [`body_limit`](Self::body_limit): this times that bounds the
    /// memory that strangers can take.
    ///
    /// One whose body comes slowly has its place for up to [`read_timeout`](Self::read_timeout), so
    /// strangers with many connections can take them all;
    /// [`allow_sources`](crate::ReceiverBuilder::allow_sources) leaves them none.
    pub const fn in_flight_limit(mut self, requests: usize) -> Self {
        self.in_flight = requests;
        self
    }

    /// How long a body may take to come in; 10 seconds by default. After that the sender gets a 503
    /// and the connection is closed.
    pub const fn read_timeout(mut self, timeout: Duration) -> Self {
        self.read_timeout = timeout;
        self
    }

    /// Whether the headers are few and short enough.
    pub(crate) fn allow(&self, headers: &HeaderMap) -> bool {
        let size = |(name, value): (&http::HeaderName, &http::HeaderValue)| {
            name.as_str().len() + value.len()
        };
        headers.len() <= self.headers && headers.iter().map(size).sum::<usize>() <= self.head
    }

    /// The setting that makes no sense, and what it must be.
    pub(crate) fn check(&self) -> Result<(), (&'static str, &'static str)> {
        if self.body == 0 {
            Err(("body_limit", "at least 1 byte"))
        } else if self.body > Self::MAX_BODY_LIMIT {
            Err((
                "body_limit",
                "at most 512 MiB, as no database keeps a value of 1 GB",
            ))
        } else if self.head == 0 {
            Err(("header_limit", "at least 1"))
        } else if self.headers == 0 {
            Err(("header_count_limit", "at least 1"))
        } else if self.in_flight == 0 {
            Err(("in_flight_limit", "at least 1"))
        } else if self.read_timeout.is_zero() {
            Err(("read_timeout", "more than zero"))
        } else {
            Ok(())
        }
    }
}

/// The requests that are being answered, so many at once.
#[derive(Debug)]
pub(crate) struct InFlight(Arc<Semaphore>);

/// Held by a request while it is answered.
#[derive(Debug)]
pub(crate) struct InFlightPermit {
    _permit: OwnedSemaphorePermit,
}

impl InFlight {
    pub(crate) fn new(limit: usize) -> Self {
        Self(Arc::new(Semaphore::new(limit.min(Semaphore::MAX_PERMITS))))
    }

    /// `None` when all are taken.
    pub(crate) fn try_acquire(&self) -> Option<InFlightPermit> {
        let permit = Arc::clone(&self.0).try_acquire_owned();
        permit.ok().map(|permit| InFlightPermit { _permit: permit })
    }
}
