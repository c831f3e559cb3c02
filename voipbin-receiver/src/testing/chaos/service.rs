//! What happens to the requests of one delivery on their way.

use std::error::Error as StdError;
use std::fmt;
use std::future::{pending, poll_fn};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use fastrand::Rng;
use futures_util::future::BoxFuture;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use tokio::time::Instant;
use tower_service::Service;

use super::Faults;
use super::report::Arrival;

type BoxError = Box<dyn StdError + Send + Sync>;

/// What arrives, of all deliveries, in order.
#[derive(Clone)]
pub(super) struct Log {
    start: Instant,
    arrivals: Arc<Mutex<Vec<Arrival>>>,
}

impl Log {
    pub(super) fn new() -> Self {
        Self {
            start: Instant::now(),
            arrivals: Arc::default(),
        }
    }

    pub(super) fn arrivals(&self) -> Vec<Arrival> {
        self.with(|arrivals| arrivals.clone())
    }

    fn with<T>(&self, read: impl FnOnce(&mut Vec<Arrival>) -> T) -> T {
        read(&mut self.arrivals.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The way of one delivery to the receiver.
#[derive(Clone)]
pub(super) struct Faulty<S> {
    pub(super) service: S,
    pub(super) faults: Faults,
    /// Of this delivery alone: faults of others change nothing here.
    pub(super) rng: Rng,
    pub(super) event: usize,
    pub(super) copy: u32,
    pub(super) attempt: u32,
    pub(super) log: Log,
}

/// What goes wrong with one request.
enum Fault {
    None,
    NotArrived,
    AnswerBroken,
    AnswerLate,
}

impl<S> Faulty<S> {
    fn fault(&mut self) -> Fault {
        // As many rolls for each request, whatever comes out.
        let (arrives, answered, late) = (self.rng.f64(), self.rng.f64(), self.rng.bool());
        if arrives < self.faults.broken_connections {
            Fault::NotArrived
        } else if answered >= self.faults.lost_answers {
            Fault::None
        } else if late {
            Fault::AnswerLate
        } else {
            Fault::AnswerBroken
        }
    }

    /// Gives the place in the log where the answer is noted.
    fn arrive(&self, answer_seen: bool) -> usize {
        let arrival = Arrival {
            event: self.event,
            copy: self.copy,
            attempt: self.attempt,
            at: self.log.start.elapsed(),
            status: None,
            answer_seen,
        };
        self.log.with(|arrivals| {
            arrivals.push(arrival);
            arrivals.len() - 1
        })
    }
}

fn note(log: &Log, place: usize, status: StatusCode) {
    log.with(|arrivals| {
        if let Some(arrival) = arrivals.get_mut(place) {
            arrival.status = Some(status);
        }
    });
}

impl<S, B> Service<Request<Full<Bytes>>> for Faulty<S>
where
    S: Service<Request<Full<Bytes>>, Response = Response<B>> + Clone + Send + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send,
{
    type Response = Response<B>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Response<B>, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Full<Bytes>>) -> Self::Future {
        self.attempt += 1;
        let fault = self.fault();
        if matches!(fault, Fault::NotArrived) {
            return Box::pin(async { Err(Broken.into()) });
        }
        let place = self.arrive(matches!(fault, Fault::None));
        let (log, mut service) = (self.log.clone(), self.service.clone());
        Box::pin(async move {
            let answer = async {
                poll_fn(|cx| service.poll_ready(cx)).await?;
                service.call(request).await
            };
            let seen = answer.await.map(|response| {
                note(&log, place, response.status());
                matches!(fault, Fault::None).then_some(response)
            });
            if let Some(response) = seen.map_err(Into::into)? {
                return Ok(response);
            }
            match fault {
                Fault::AnswerLate => pending().await,
                _ => Err(Broken.into()),
            }
        })
    }
}

/// A connection that broke by chance.
#[derive(Debug)]
struct Broken;

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the connection broke, as the seed had it")
    }
}

impl StdError for Broken {}
