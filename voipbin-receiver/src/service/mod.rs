//! The HTTP edge: a tower service that is always ready and never fails.

mod answer;
mod body;
mod future;

use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::{Request, Response};
use http_body::Body;
use tower_service::Service;

pub use self::answer::ResponseBody;
pub use self::future::ResponseFuture;
use crate::pipeline::Pipeline;

/// The receiver as a [`tower::Service`](tower_service::Service) over any HTTP body.
///
/// It mounts wherever such a service does: `Router::route_service` of axum, a hyper connection
/// through `hyper_util::service::TowerToHyperService`, warp, poem and salvo through their adapters.
/// With the feature `actix` it is a service of actix-web too.
/// Cloning it is one atomic increment.
///
/// It is always ready: overload is an answer (503, so that the sender tries again) and never a
/// wait. Every failure is an answer too. Neither the body nor the future needs to be `Send`; the
/// future is `Send` when the body is.
///
/// # Cancel safety
///
/// Dropping the future, as a server does when the client goes away, leaves nothing behind: before
/// the body is complete nothing is reserved, and a delivery that was handed to the inbox is kept or
/// refused there whether or not anybody waits for the answer.
///
/// # Runtime
///
/// Reading a body that does not come at once takes a tokio runtime with its timer enabled, for the
/// read timeout.
#[derive(Clone)]
pub struct ReceiverService {
    pub(crate) edge: Arc<Edge>,
}

/// What all services of a receiver share.
pub(crate) struct Edge {
    pub(crate) pipeline: Pipeline,
    pub(crate) read_timeout: Duration,
}

impl ReceiverService {
    pub(crate) fn new(edge: Edge) -> Self {
        Self {
            edge: Arc::new(edge),
        }
    }
}

impl<B> Service<Request<B>> for ReceiverService
where
    B: Body,
{
    type Response = Response<ResponseBody>;
    type Error = Infallible;
    type Future = ResponseFuture<B>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        ResponseFuture::new(Arc::clone(&self.edge), request)
    }
}

impl fmt::Debug for ReceiverService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReceiverService").finish_non_exhaustive()
    }
}
