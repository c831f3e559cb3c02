use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use super::refusal::RefusalReason;
use crate::inbox::InboxStats;

/// One macro names each counter once: the counter, its reading, and what it means.
macro_rules! counters {
    ($($(#[$doc:meta])+ $name:ident,)+) => {
        #[derive(Debug, Default)]
        pub(crate) struct Counters {
            $(pub(crate) $name: Counter,)+
            pub(crate) refused: RefusalCounters,
        }

        /// What a receiver has counted since it was built.
        ///
        /// A delivery is counted when it is answered: one whose sender left before is not among
        /// them. Figures that are read together may be a moment apart.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[non_exhaustive]
        pub struct Stats {
            $($(#[$doc])+ pub $name: u64,)+
            refused: RefusalCounts,
            /// Runs of handlers that have begun and not ended.
            pub running: usize,
            /// Runs that have been going on for more than five minutes, and may hang: looked at
            /// once a minute, and each is logged once. One whose timeout is over does not count,
            /// though its thread go on.
            pub long_running: usize,
            /// Handlers that are [paused](crate::Receiver::pause).
            pub paused: usize,
            /// How many may run at once; see
            /// [`concurrency`](crate::ReceiverBuilder::concurrency).
            pub slots: usize,
            /// How full the inbox is.
            pub inbox: InboxStats,
        }

        impl Counters {
            pub(crate) fn read(&self, runs: RunCounts, inbox: InboxStats) -> Stats {
                let refused = self.refused.read();
                let RunCounts { running, long_running, paused, slots } = runs;
                Stats { $($name: self.$name.get(),)+ refused, running, long_running, paused, slots, inbox }
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

/// What runs at one moment.
pub(crate) struct RunCounts {
    pub(crate) running: usize,
    pub(crate) long_running: usize,
    pub(crate) paused: usize,
    pub(crate) slots: usize,
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

impl Stats {
    /// Deliveries that were refused for this reason.
    ///
    /// ```
    /// use voipbin_receiver::observe::RefusalReason;
    ///
    /// # fn main() -> Result<(), voipbin_receiver::BuildError> {
    /// # let receiver = voipbin_receiver::Receiver::builder()
    /// #     .secret("the-webhook-secret-of-a-customer")
    /// #     .on(voipbin_receiver::catalog::Any, || async {})
    /// #     .build()?;
    /// let forged = receiver.stats().refused(RefusalReason::Signature);
    /// assert_eq!(forged, 0);
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn refused(&self, reason: RefusalReason) -> u64 {
        self.refused
            .0
            .get(reason as usize)
            .copied()
            .unwrap_or_default()
    }

    /// Deliveries that were refused, for whatever reason.
    #[must_use]
    pub fn refused_total(&self) -> u64 {
        self.refused.0.iter().sum()
    }
}

/// How many deliveries were refused, by the place of the reason among all.
#[derive(Clone, Copy, PartialEq, Eq)]
struct RefusalCounts([u64; REASONS]);

const REASONS: usize = RefusalReason::ALL.len();

/// Shows those reasons that there were.
impl fmt::Debug for RefusalCounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counted = RefusalReason::ALL.iter().zip(self.0);
        let counted = counted.filter(|(_, count)| *count > 0);
        f.debug_map()
            .entries(counted.map(|(reason, count)| (reason.as_str(), count)))
            .finish()
    }
}

#[derive(Debug, Default)]
pub(crate) struct RefusalCounters([Counter; REASONS]);

impl RefusalCounters {
    pub(crate) fn add(&self, reason: RefusalReason) {
        if let Some(counter) = self.0.get(reason as usize) {
            counter.add();
        }
    }

    fn read(&self) -> RefusalCounts {
        RefusalCounts(self.0.each_ref().map(Counter::get))
    }
}
