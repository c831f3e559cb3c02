use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use http::{Request, Response, Version};
use http_body::Body;
use pin_project_lite::pin_project;

use super::Edge;
use super::answer::{self, ResponseBody};
use crate::pipeline::WebhookFuture;

pin_project! {
    /// The answer to one request.
    ///
    /// See [`ReceiverService`](super::ReceiverService) for what dropping it means.
    pub struct ResponseFuture<B> {
        edge: Arc<Edge>,
        version: Version,
        #[pin]
        webhook: WebhookFuture<B>,
    }
}

impl<B: Body> ResponseFuture<B> {
    pub(super) fn new(edge: Arc<Edge>, request: Request<B>) -> Self {
        Self {
            version: request.version(),
            webhook: WebhookFuture::new(&edge.pipeline, request),
            edge,
        }
    }
}

impl<B: Body> Future for ResponseFuture<B> {
    type Output = Result<Response<ResponseBody>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let result = ready!(this.webhook.poll(&this.edge.pipeline, cx));
        Poll::Ready(Ok(answer::respond(&result, *this.version)))
    }
}

impl<B> std::fmt::Debug for ResponseFuture<B> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
