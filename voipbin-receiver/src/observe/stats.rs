use std::sync::atomic::{AtomicU64, Ordering};

use crate::inbox::InboxStats;

/// One macro names each counter once: the counter, its reading, and what it means.
macro_rules! counters {
    ($($(#[$doc:meta])+ $name:ident,)+) => {
        #[derive(Debug, Default)]
        pub(crate) struct Counters {
            $(pub(crate) $name: Counter,)+
        }

        /// What a receiver has counted since it was built.
        ///
        /// A delivery is counted when it is answered: one whose sender left before is not among them.
        /// Figures that are read together may be a moment apart.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[non_exhaustive]
        pub struct Stats {
            $($(#[$doc])+ pub $name: u64,)+
            /// Runs of handlers that have begun and not ended.
            pub running: usize,
            /// How many may run at once; see
            /// [`concurrency`](crate::ReceiverBuilder::concurrency).
            pub slots: usize,
            /// How full the inbox is.
            pub inbox: InboxStats,
        }

        impl Counters {
            pub(crate) fn read(&self, running: usize, slots: usize, inbox: InboxStats) -> Stats {
                Stats { $($name: self.$name.get(),)+ running, slots, inbox }
            }
        }
    };
}

counters! {
    /// Deliveries that were kept for their handlers.
    accepted,
    /// Copies of kept events: answered 200 and dropped.
    duplicates,
    /// Envelopes whose type is not in the catalogue.
    unknown_types,
    /// Bodies that are not envelopes.
    custom,
    /// Deliveries that no handler is registered for: answered 200 and not kept.
    unmatched,
    /// Requests with a method other than POST, PUT, GET and DELETE: answered 405.
    refused_method,
    /// Bodies over the limit: answered 413.
    refused_size,
    /// Bodies that did not come in time or broke off: answered 503.
    refused_read,
    /// Requests with more headers than may be, or longer ones: answered 503.
    refused_head,
    /// Requests that came while as many as may be were being answered: answered 503.
    refused_busy,
    /// Requests over a rate limit: answered 503.
    refused_rate,
    /// Requests from addresses that are not allowed: answered 403. From nobody knows where: 503.
    refused_source,
    /// Deliveries without a valid signature: answered 401, and 503 when they came without a body.
    refused_signature,
    /// Signed deliveries that could not be decided on, because not all secrets were known: answered 503.
    refused_secrets,
    /// Bodies with a valid signature that are not JSON: answered 400, and 503 when they are empty.
    refused_body,
    /// Events with a valid signature that are older than may be: answered 403.
    refused_age,
    /// Deliveries that could not be kept: answered 503.
    refused_inbox,
    /// Runs of handlers that ended well.
    handled,
    /// Runs of handlers that ended with an error or a panic.
    failed,
    /// Failed runs that another attempt follows.
    retried,
    /// Events that were left out because they were stale and their handler asked for that.
    skipped,
    /// Jobs that became dead letters: no further attempt will be made.
    dead,
}

#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
