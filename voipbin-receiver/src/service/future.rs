use std::convert::Infallible;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use http::header::CONTENT_LENGTH;
use http::request::Parts;
use http::{HeaderMap, Request, Response, Version};
use http_body::Body;
use pin_project_lite::pin_project;
use tokio::time::Sleep;
use tracing::Span;

use super::Edge;
use super::answer::{self, ResponseBody};
use super::body::{Fault, Gathered};
use crate::inbox::Receipt;
use crate::pipeline::{Answer, Refusal, Step};

pin_project! {
    /// The answer to one request.
    ///
    /// See [`ReceiverService`](super::ReceiverService) for what dropping it means.
    pub struct ResponseFuture<B> {
        edge: Arc<Edge>,
        headers: HeaderMap,
        version: Version,
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
        Keeping { receipt: Receipt, span: Span },
    }
}

impl<B: Body> ResponseFuture<B> {
    pub(super) fn new(edge: Arc<Edge>, request: Request<B>) -> Self {
        let (
            Parts {
                method,
                headers,
                version,
                ..
            },
            body,
        ) = request.into_parts();
        let declared = declared_length(&headers).max(body.size_hint().lower());
        let state = match edge.pipeline.before_body(&method, declared) {
            Ok(()) => State::Reading {
                body,
                gathered: Gathered::default(),
                deadline: None,
            },
            Err(refusal) => State::Refused {
                refusal: Some(refusal),
            },
        };
        Self {
            edge,
            headers,
            version,
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
                        Ok(Step::Keeping(receipt, span)) => {
                            this.state.set(State::Keeping { receipt, span });
                        }
                        Ok(Step::Unmatched) => break Ok(Answer::Unmatched),
                        Err(refusal) => break Err(refusal),
                    }
                }
                StateProjection::Keeping { receipt, span } => {
                    let kept = ready!(Pin::new(receipt).poll(cx));
                    delivery = std::mem::replace(span, Span::none());
                    break kept.map(Answer::Kept).map_err(Refusal::Keep);
                }
            }
        };
        // So that a refusal by the inbox tells which event it is about.
        // A subscriber that panics, as one does that cannot write, must not eat the answer.
        let record = AssertUnwindSafe(|| delivery.in_scope(|| pipeline.record(&outcome)));
        if let Err(payload) = catch_unwind(record) {
            std::mem::forget(payload);
        }
        Poll::Ready(Ok(answer::respond(&outcome, *this.version)))
    }
}

impl<B> std::fmt::Debug for ResponseFuture<B> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
