use std::convert::Infallible;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use http::header::CONTENT_LENGTH;
use http::{HeaderMap, Request, Response, Version};
use http_body::Body;
use pin_project_lite::pin_project;
use tokio::time::Sleep;
use tracing::Span;

use super::Edge;
use super::answer::{self, ResponseBody};
use super::body::{Fault, Gathered};
use crate::catalog::EventType;
use crate::gate::Seat;
use crate::inbox::Receipt;
use crate::pipeline::{Answer, Answered, Refusal, Step};

pin_project! {
    /// The answer to one request.
    ///
    /// See [`ReceiverService`](super::ReceiverService) for what dropping it means.
    pub struct ResponseFuture<B> {
        edge: Arc<Edge>,
        headers: HeaderMap,
        version: Version,
        // Only where somebody wants to know.
        began: Option<Instant>,
        // Until it is answered.
        seat: Option<Seat>,
        #[pin]
        state: State<B>,
    }
}

pin_project! {
    #[project = StateProjection]
    enum State<B> {
        /// The head was enough.
        Refused { refusal: Option<Refusal> },
        /// Nothing is reserved while a body comes in.
        Reading {
            #[pin]
            body: B,
            gathered: Gathered,
            // Set when the body does not come at once: most do, and save the timer.
            #[pin]
            deadline: Option<Sleep>,
        },
        /// The inbox has the delivery; only its word is missing.
        Keeping { receipt: Receipt, span: Span, event_type: Option<EventType> },
    }
}

impl<B: Body> ResponseFuture<B> {
    pub(super) fn new(edge: Arc<Edge>, request: Request<B>) -> Self {
        let (head, body) = request.into_parts();
        let declared = declared_length(&head.headers).max(body.size_hint().lower());
        let (seat, state) = match edge.pipeline.before_body(&head, declared) {
            Ok(seat) => (
                Some(seat),
                State::Reading {
                    body,
                    gathered: Gathered::default(),
                    deadline: None,
                },
            ),
            Err(refusal) => (
                None,
                State::Refused {
                    refusal: Some(refusal),
                },
            ),
        };
        let began = edge.pipeline.hooks.observe().then(Instant::now);
        Self {
            edge,
            began,
            seat,
            headers: head.headers,
            version: head.version,
            state,
        }
    }
}

/// A body type need not know its length; the head may.
fn declared_length(headers: &HeaderMap) -> u64 {
    let length = headers
        .get(CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok());
    length.and_then(|length| length.parse().ok()).unwrap_or(0)
}

impl<B: Body> Future for ResponseFuture<B> {
    type Output = Result<Response<ResponseBody>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let pipeline = &this.edge.pipeline;
        let mut delivery = Span::none();
        let mut observed = None;
        let outcome = loop {
            match this.state.as_mut().project() {
                StateProjection::Refused { refusal } => {
                    break Err(refusal.take().unwrap_or(Refusal::Broken));
                }
                StateProjection::Reading {
                    body,
                    gathered,
                    mut deadline,
                } => {
                    let read = match gathered.poll(body, pipeline.body_limit, cx) {
                        Poll::Ready(read) => read,
                        Poll::Pending => {
                            if deadline.is_none() {
                                deadline.set(Some(tokio::time::sleep(this.edge.read_timeout)));
                            }
                            if let Some(deadline) = deadline.as_mut().as_pin_mut() {
                                ready!(deadline.poll(cx));
                            }
                            break Err(Refusal::TooSlow);
                        }
                    };
                    match read {
                        Ok(()) => {}
                        Err(Fault::TooLarge) => break Err(Refusal::TooLarge),
                        Err(Fault::Broken) => break Err(Refusal::Broken),
                    }
                    let (bytes, owned) = gathered.finish();
                    match pipeline.after_body(this.headers, bytes, owned) {
                        Ok(Step::Keeping(receipt, span, event_type)) => {
                            this.state.set(State::Keeping {
                                receipt,
                                span,
                                event_type,
                            });
                        }
                        Ok(Step::Unmatched(event_type)) => {
                            observed = event_type;
                            break Ok(Answer::Unmatched);
                        }
                        Err(refusal) => break Err(refusal),
                    }
                }
                StateProjection::Keeping {
                    receipt,
                    span,
                    event_type,
                } => {
                    let kept = ready!(Pin::new(receipt).poll(cx));
                    observed = event_type.take();
                    delivery = std::mem::replace(span, Span::none());
                    break kept.map(Answer::Kept).map_err(Refusal::Keep);
                }
            }
        };
        *this.seat = None;
        // So that a refusal by the inbox tells which event it is about.
        // A subscriber that panics, as one does that cannot write, must not eat the answer.
        let answered = Answered {
            outcome,
            event_type: observed,
            began: *this.began,
        };
        let record = AssertUnwindSafe(|| delivery.in_scope(|| pipeline.record(&answered)));
        if let Err(payload) = catch_unwind(record) {
            std::mem::forget(payload);
        }
        Poll::Ready(Ok(answer::respond(&answered.outcome, *this.version)))
    }
}

impl<B> std::fmt::Debug for ResponseFuture<B> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
