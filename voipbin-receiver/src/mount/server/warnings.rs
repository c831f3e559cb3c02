//! What a server warns of and counts. Strangers can cause all of it, so each is told once a minute
//! at most.

use std::io;

use tokio::time::Instant;

use super::connection::ConnectionLimits;
use super::failures::{Failure, FailureCounters};
use crate::observe::WarnLimiter;

#[derive(Debug)]
pub(super) struct Warnings {
    failures: FailureCounters,
    since: Instant,
    accept: WarnLimiter,
    full: WarnLimiter,
    too_large: WarnLimiter,
    not_http: WarnLimiter,
    clock: WarnLimiter,
    #[cfg(feature = "tls")]
    handshake: WarnLimiter,
}

#[cfg(test)]
impl Default for Warnings {
    fn default() -> Self {
        Self::new(FailureCounters::noop())
    }
}

impl Warnings {
    pub(super) fn new(failures: FailureCounters) -> Self {
        Self {
            failures,
            since: Instant::now(),
            accept: WarnLimiter::default(),
            full: WarnLimiter::default(),
            too_large: WarnLimiter::default(),
            not_http: WarnLimiter::default(),
            clock: WarnLimiter::default(),
            #[cfg(feature = "tls")]
            handshake: WarnLimiter::default(),
        }
    }

    fn allow(&self, limiter: &WarnLimiter) -> bool {
        limiter.allow(self.since.elapsed())
    }

    pub(super) fn accept_failed(&self, error: &io::Error, connections: usize) {
        if self.allow(&self.accept) {
            tracing::warn!(
                %error,
                connections,
                "cannot accept a connection: where the process may open no more files, others are closed; told once a minute"
            );
        }
    }

    pub(super) fn full(&self, connections: usize) {
        if self.allow(&self.full) {
            tracing::warn!(
                connections,
                "all connections are being answered, and one more waits; told once a minute"
            );
        }
    }

    pub(super) fn head_too_large(&self, limits: ConnectionLimits) {
        self.failures.count(Failure::HeadTooLarge);
        if self.allow(&self.too_large) {
            tracing::warn!(
                longest = limits.head_length,
                most = limits.headers,
                "the head of a request is longer or has more headers than the server reads: it was answered 431, which is final; told once a minute"
            );
        }
    }

    pub(super) fn not_http(&self, error: &hyper::Error, first_byte: Option<u8>) {
        /// The type of the record in which a TLS client greets.
        const HANDSHAKE: u8 = 22;
        self.failures.count(Failure::NotHttp);
        if !self.allow(&self.not_http) {
            tracing::debug!(%error, "what came is not HTTP/1.1");
        } else if first_byte == Some(HANDSHAKE) {
            tracing::warn!(
                "TLS has come to a port that speaks none: give the server a certificate, or VoIPBIN an address that does; told once a minute"
            );
        } else {
            tracing::warn!(%error, "what came is not HTTP/1.1; told once a minute");
        }
    }

    pub(super) fn clock(&self) {
        if self.allow(&self.clock) {
            tracing::error!(
                "the machine's clock says a time before 1970, so that requests cannot be answered: set it; told once a minute"
            );
        }
    }

    /// VoIPBIN tells nobody that it does not accept a certificate.
    #[cfg(feature = "tls")]
    pub(super) fn handshake_failed(&self, error: &io::Error) {
        // Probes connect and leave; whoever does not accept a certificate says so.
        let refused = error.kind() == io::ErrorKind::InvalidData;
        if refused {
            self.failures.count(Failure::Handshake);
        }
        if refused && self.allow(&self.handshake) {
            tracing::warn!(
                %error,
                "a TLS handshake failed: where it was VoIPBIN's, its event is lost; told once a minute"
            );
        } else {
            tracing::debug!(%error, "a TLS handshake failed");
        }
    }
}
