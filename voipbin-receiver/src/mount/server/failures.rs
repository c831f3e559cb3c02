//! Counts connections that end before they carry a request.

#[cfg(feature = "metrics")]
use ::metrics::Counter;

#[cfg(feature = "metrics")]
use crate::observe::Metrics;

/// Why a connection carried no request.
#[derive(Clone, Copy)]
pub(super) enum Failure {
    /// Its TLS handshake failed.
    #[cfg_attr(not(feature = "tls"), expect(dead_code, reason = "there is no TLS"))]
    Handshake,
    NotHttp,
    /// Answered 431.
    HeadTooLarge,
}

#[cfg(feature = "metrics")]
impl Failure {
    const WORDS: [&str; 3] = ["handshake", "not_http", "head_too_large"];
}

/// A counter of each [`Failure`].
#[derive(Clone, Debug)]
pub(super) struct FailureCounters {
    #[cfg(feature = "metrics")]
    counters: [Counter; 3],
}

impl FailureCounters {
    pub(super) const fn noop() -> Self {
        Self {
            #[cfg(feature = "metrics")]
            counters: [const { Counter::noop() }; 3],
        }
    }

    #[cfg(feature = "metrics")]
    pub(super) fn of(metrics: &Metrics) -> Self {
        Self {
            counters: Failure::WORDS.map(|reason| metrics.failed_connections(reason)),
        }
    }

    pub(super) fn count(&self, failure: Failure) {
        #[cfg(feature = "metrics")]
        self.counters[failure as usize].increment(1);
        #[cfg(not(feature = "metrics"))]
        let _ = failure;
    }
}
