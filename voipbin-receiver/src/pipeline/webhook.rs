use std::pin::Pin;

use http::{HeaderMap, Request};
use http_body::Body;
use pin_project_lite::pin_project;

use super::Pipeline;
use super::accept::AcceptFuture;
use super::body::{ReadBody, declared_length};
use crate::event::{Origin, TraceContext};
use crate::gate::InFlightPermit;
use crate::observe::{Refusal, Trace};

pin_project! {
    /// One webhook on its way.
    #[project = WebhookProjection]
    pub(crate) struct WebhookFuture<B> {
        pub(super) headers: HeaderMap,
        // Until it is answered.
        pub(super) permit: Option<InFlightPermit>,
        pub(super) trace: Trace,
        #[pin]
        pub(super) state: WebhookState<B>,
    }
}

pin_project! {
    #[project = WebhookStateProjection]
    pub(super) enum WebhookState<B> {
        // The head was enough.
        Refused { refusal: Option<Refusal> },
        // Nothing is reserved while a body comes in.
        Reading { #[pin] body: ReadBody<B> },
        // The inbox has the delivery; only its word is missing.
        Accepting { future: AcceptFuture },
    }
}

impl<B: Body> WebhookFuture<B> {
    pub(crate) fn new(pipeline: &Pipeline, request: Request<B>) -> Self {
        let mut trace = pipeline.recorder.begin(Origin::Webhook);
        let (head, body) = request.into_parts();
        let sources = &pipeline.gate.sources;
        trace.note_client(|| sources.client(&head));
        pipeline.recorder.note_parent(&mut trace, || {
            let from_proxy = sources.is_from_proxy(&head);
            from_proxy.then(|| TraceContext::of_request(&head.headers))?
        });
        let length = declared_length(&head.headers).max(body.size_hint().lower());
        let (permit, state) = match pipeline.admit(&head, length) {
            Ok(permit) => {
                let body = ReadBody::new(body);
                (Some(permit), WebhookState::Reading { body })
            }
            Err(refusal) => {
                let refusal = Some(refusal);
                (None, WebhookState::Refused { refusal })
            }
        };
        Self {
            headers: head.headers,
            permit,
            trace,
            state,
        }
    }
}

impl<B> WebhookState<B> {
    /// The body goes, and the memory of the connection that it may hold.
    pub(super) fn accept(mut self: Pin<&mut Self>, future: AcceptFuture) {
        self.set(Self::Accepting { future });
    }
}
