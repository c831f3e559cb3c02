mod report;
mod service;

use std::error::Error as StdError;
use std::fmt;
use std::future::Future;
use std::time::Duration;

use bytes::Bytes;
use fastrand::Rng;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use http::{Request, Response};
use http_body::Body;
use http_body_util::Full;
use tokio::time::sleep;
use tower_service::Service;

pub use self::report::{Arrival, ChaosDelivery, ChaosReport};
use self::service::{Faulty, Log};
use super::Sender;

/// Delivers a list of events as badly as the platform may, by a seed.
///
/// The platform promises no order, sends copies, and loses what it cannot deliver. For each event
/// and each request chance decides, by the shares below, which fault it meets:
///
/// | what | default | as on the platform |
/// | --- | --- | --- |
/// | dropped: it is never sent | 5 % | when the platform itself fails or restarts |
/// | sent twice, side by side, with the same bytes | 20 % | an account and a flow with the same address |
/// | a request that does not arrive | 10 % | a connection that breaks |
/// | a request whose answer is lost or comes too late | 10 % | the same, or a proxy in between |
/// | the delay of each delivery | up to 2 s | there is no order |
///
/// The [`Sender`] then does what the platform does: it tries again what was answered with a 5xx or
/// not at all, 1 s after, three times in all. The same seed makes the same decisions, so on a
/// paused clock a test that fails does so again: print the [report](ChaosReport).
///
/// ```
/// use voipbin_receiver::catalog::Any;
/// use voipbin_receiver::events::CallUpdated;
/// use voipbin_receiver::testing::{Chaos, Recorder, TestReceiver, event};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// for seed in 0..20 {
///     let crm = Recorder::new();
///     let mut receiver = TestReceiver::build(|builder| builder.on(Any, crm.clone()))?;
///
///     let events = (0..50).map(|id| event(CallUpdated).id(format!("c-{id}")));
///     let report = Chaos::new(receiver.sender(), seed).send(events).await;
///     receiver.run_until_done().await;
///
///     // Whatever was answered 200, seen or not, is handled once.
///     assert_eq!(crm.runs().len(), report.accepted().len(), "{report}");
/// }
/// # Ok(()) }
/// ```
#[derive(Clone)]
#[must_use = "it does nothing until it is told to send"]
pub struct Chaos<S> {
    sender: Sender<S>,
    seed: u64,
    faults: Faults,
}

#[derive(Clone, Copy, Debug)]
struct Faults {
    drops: f64,
    copies: f64,
    broken_connections: f64,
    lost_answers: f64,
    interval: Duration,
    delay: Duration,
}

/// Shows nothing of the sender's address, which may hold a password.
impl<S> fmt::Debug for Chaos<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Chaos")
            .field("seed", &self.seed)
            .field("faults", &self.faults)
            .finish_non_exhaustive()
    }
}

impl<S> Chaos<S> {
    /// Delivers by this sender, with its secret, its address and its attempts.
    pub fn new(sender: Sender<S>, seed: u64) -> Self {
        Self {
            sender,
            seed,
            faults: Faults {
                drops: 0.05,
                copies: 0.2,
                broken_connections: 0.1,
                lost_answers: 0.1,
                interval: Duration::from_millis(100),
                delay: Duration::from_secs(2),
            },
        }
    }

    /// The share of events that are never sent, from 0 to 1. Default: 0.05.
    pub fn drops(mut self, share: f64) -> Self {
        self.faults.drops = share;
        self
    }

    /// The share of events that are delivered twice, independently of each other. Default: 0.2.
    pub fn copies(mut self, share: f64) -> Self {
        self.faults.copies = share;
        self
    }

    /// The share of requests that break before they arrive. Default: 0.1.
    pub fn broken_connections(mut self, share: f64) -> Self {
        self.faults.broken_connections = share;
        self
    }

    /// The share of requests that arrive, are answered, and whose answer is not seen: half of them
    /// because the connection breaks, half because 15 s pass. Default: 0.1.
    pub fn lost_answers(mut self, share: f64) -> Self {
        self.faults.lost_answers = share;
        self
    }

    /// The time from one event to the next, before any delay. Default: 100 ms.
    pub fn interval(mut self, time: Duration) -> Self {
        self.faults.interval = time;
        self
    }

    /// The longest delay of a delivery before its first attempt. What comes within this time of
    /// each other may come in any order. Default: 2 s; no more than 100 years.
    pub fn delay(mut self, longest: Duration) -> Self {
        const CENTURY: Duration = Duration::from_secs(100 * 365 * 24 * 3600);
        self.faults.delay = longest.min(CENTURY);
        self
    }
}

impl<S, B> Chaos<S>
where
    S: Service<Request<Full<Bytes>>, Response = Response<B>> + Clone + Send + 'static,
    S::Error: Into<Box<dyn StdError + Send + Sync>>,
    S::Future: Send,
    B: Body,
{
    /// Delivers the events, and tells what it did once the last one is delivered or given up.
    ///
    /// Handlers run meanwhile as they do in life; those of a
    /// [`TestReceiver`](super::TestReceiver) when the test says so.
    ///
    /// # Panics
    ///
    /// When polled outside of a tokio runtime with its clock enabled.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future drops all requests that are under way.
    pub fn send<T: Into<Bytes>>(
        &self,
        events: impl IntoIterator<Item = T>,
    ) -> impl Future<Output = ChaosReport> {
        let events: Vec<Bytes> = events.into_iter().map(Into::into).collect();
        let Self {
            sender,
            seed,
            faults,
        } = self.clone();
        async move {
            let log = Log::new();
            let mut rng = Rng::with_seed(seed);
            let under_way = FuturesUnordered::new();
            let total = events.len();
            for (event, body) in events.into_iter().enumerate() {
                // Of each event its own, so that the faults of one do not change the others.
                let mut rng = rng.fork();
                let (dropped, copied) = (rng.f64() < faults.drops, rng.f64() < faults.copies);
                let copies = match (dropped, copied) {
                    (true, _) => 0,
                    (false, true) => 2,
                    (false, false) => 1,
                };
                let sent = faults
                    .interval
                    .saturating_mul(u32::try_from(event).unwrap_or(u32::MAX));
                for copy in 1..=copies {
                    let mut rng = rng.fork();
                    let delay = faults.delay.mul_f64(rng.f64());
                    let sender = sender.through(|service| Faulty {
                        service,
                        faults,
                        rng,
                        event,
                        copy,
                        attempt: 0,
                        log: log.clone(),
                    });
                    let body = body.clone();
                    under_way.push(async move {
                        sleep(sent.saturating_add(delay)).await;
                        let report = sender.send(body).await;
                        ChaosDelivery {
                            event,
                            copy,
                            report,
                        }
                    });
                }
            }
            let mut deliveries: Vec<_> = under_way.collect().await;
            deliveries.sort_by_key(|delivery| (delivery.event, delivery.copy));
            ChaosReport {
                seed,
                events: total,
                deliveries,
                arrivals: log.arrivals(),
            }
        }
    }
}

#[cfg(test)]
mod tests;
