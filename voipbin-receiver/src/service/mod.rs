//! The HTTP edge: a tower service that is always ready and never fails.

mod answer;
mod future;

use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{Request, Response};
use http_body::Body;
use tower_service::Service;

pub use self::answer::ResponseBody;
pub use self::future::ResponseFuture;
use crate::dispatch::Dispatch;
use crate::pipeline::Pipeline;

/// The receiver as a [`tower::Service`](tower_service::Service) over any HTTP body.
///
/// It mounts wherever such a service does: `Router::route_service` of axum, a hyper connection
/// through `hyper_util::service::TowerToHyperService`, [other frameworks](#other-frameworks)
/// through their adapters. With the feature `actix` it is a service of actix-web too. Cloning it is
/// one atomic increment.
///
/// It is always ready: overload is an answer (503, so that the sender tries again) and never a
/// wait. Every failure is an answer too. Neither the body nor the future needs to be `Send`; the
/// future is `Send` when the body is.
///
/// # Beside layers
///
/// Mount it beside the layers of what people use, not under them. VoIPBIN tries again after a 5xx
/// or a broken connection only, so an answer that is right for a browser loses it an event:
///
/// | layer | what it does to an event | instead |
/// | --- | --- | --- |
/// | a timeout, such as tower-http's `TimeoutLayer` | answers 408, which is final | [`read_timeout`](crate::gate::Limits::read_timeout), answered 503 |
/// | a body limit, such as `RequestBodyLimitLayer` | answers 413 to what the receiver would take | [`body_limit`](crate::gate::Limits::body_limit) |
/// | authentication, CSRF protection | answers 401 or 403: VoIPBIN shows nothing but its signature | [`secret`](crate::ReceiverBuilder::secret) |
/// | a rate limit | answers 429, which is final | room in the inbox, answered 503 |
/// | a redirect to https, or to a path with or without a slash at its end | after a 301 or 302 the request comes without its body | the final URL for VoIPBIN |
/// | whatever changes bodies | the signature is over the bytes as they were sent | |
///
/// Tracing, request ids, CORS and compression of answers do no harm.
///
/// ```
/// use axum::Router;
/// use axum::extract::Request;
/// use axum::http::StatusCode;
/// use axum::middleware::{Next, from_fn};
/// use axum::response::{IntoResponse, Response};
/// use axum::routing::get;
/// # use voipbin_receiver::{Receiver, catalog};
///
/// async fn authenticate(request: Request, next: Next) -> Response {
///     if request.headers().contains_key("authorization") {
///         next.run(request).await
///     } else {
///         StatusCode::UNAUTHORIZED.into_response()
///     }
/// }
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let receiver = Receiver::builder()
/// #     .secret("the-webhook-secret-of-a-customer")
/// #     .on(catalog::Any, || async {})
/// #     .build()?;
/// let app: Router = Router::new()
///     .route("/calls", get(|| async { "none" }))
///     // Around the routes that are there, and not around those that come after.
///     .layer(from_fn(authenticate))
///     .route_service("/voipbin/webhook", receiver.service());
/// # drop(app);
/// # Ok(()) }
/// ```
///
/// The examples `axum-app` and `actix-app` are whole apps of this kind, with a graceful end.
///
/// # Servers
///
/// Every server gets the same answers from the receiver; what it does before and after is its own.
/// So they do by default:
///
/// | | axum's `serve` | actix-web's `HttpServer` | `mount::Server` | a connection of hyper |
/// | --- | --- | --- | --- | --- |
/// | an idle connection | stays | is closed after 5 s | is closed after 75 s | with a timer, is closed after 30 s |
/// | a head that does not end | may take for ever | a 408 after 5 s | is closed after 10 s | with a timer, is closed after 30 s |
/// | a client that closes its side and waits | is taken for gone | is answered | is answered | is taken for gone |
/// | `Expect: 100-continue` | 100 when the receiver reads | 100 at once | 100 when the receiver reads | 100 when the receiver reads |
///
/// VoIPBIN's sender keeps idle connections for 30 seconds, and one that the server closes first can
/// cost it one of its three tries; a 408 is final for it. So give actix-web other times
/// ([`Receiver::actix`](crate::Receiver) says which), and hyper, whose time for a head runs from
/// the answer before it, a `header_read_timeout` of 75 seconds. A client that is taken for gone
/// loses nothing: what was handed to the receiver by then is kept, and its next try is told so.
/// VoIPBIN closes no side and waits for no 100; others that test a webhook may.
///
/// # Other frameworks
///
/// poem takes tower services with its feature `tower-compat`:
///
/// ```
/// use poem::endpoint::TowerCompatExt;
/// use poem::{Endpoint, Request, Route, get, handler};
/// # use voipbin_receiver::{Receiver, catalog};
///
/// #[handler]
/// fn calls() -> &'static str {
///     "none"
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let receiver = Receiver::builder()
/// #     .secret("the-webhook-secret-of-a-customer")
/// #     .on(catalog::Any, || async {})
/// #     .build()?;
/// let app = Route::new()
///     .at("/calls", get(calls))
///     .at("/voipbin/webhook", receiver.service().compat());
///
/// let unsigned = Request::builder().uri_str("/voipbin/webhook").body("{}");
/// assert_eq!(app.call(unsigned).await?.status(), 401);
/// # Ok(()) }
/// ```
///
/// salvo, with a feature of the same name, has to be told which body it passes on: the goal of a
/// route is `TowerServiceCompat::<ReqBody, _, _, _>::compat(receiver.service())`. warp takes none:
/// serve the receiver on a port of its own, with `mount::Server`.
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
    pub(crate) dispatch: Arc<Dispatch>,
}

/// With the last receiver and the last service: nothing new can come, so whoever takes events may
/// end when none is left.
impl Drop for Edge {
    fn drop(&mut self) {
        self.dispatch.close();
    }
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
