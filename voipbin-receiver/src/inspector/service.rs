use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body::Body;
use tower_service::Service;

use super::access::Access;
use super::guard::is_safe;
use super::request;
use super::response::InspectorBody;
use super::route::Route;
use super::screens::{self, problem, sign_in};
use super::site::Site;

/// The [inspector](crate::inspector) as a [`tower::Service`](tower_service::Service) over any HTTP
/// body. Made by [`InspectorBuilder::build`](super::InspectorBuilder::build); cheap to clone.
///
/// It is mounted at a path that ends with a slash, with everything below it; whether the server
/// takes that path off or not. All its links are relative. It is always ready, and every failure is
/// an answer.
///
/// # Cancel safety
///
/// Dropping the future leaves nothing behind.
#[derive(Clone)]
pub struct InspectorService {
    site: Arc<Site>,
}

impl InspectorService {
    pub(super) fn new(site: Arc<Site>) -> Self {
        Self { site }
    }

    /// Answers a request: the guard first, then what its sender may do, then the page.
    pub(super) async fn answer<B: Body>(self, request: Request<B>) -> Response<InspectorBody> {
        let (head, body) = request.into_parts();
        let with_body = head.method != Method::HEAD;
        let site = &*self.site;
        site.bulk.watch(&site.receiver);
        let found = Route::find(head.uri.path());
        let root = found.map_or("./", |(_, root)| root);
        if let Err(refusal) = site.guard.check(&head) {
            let refused = problem(StatusCode::FORBIDDEN, root, &refusal.to_string());
            return refused.into_response(with_body);
        }
        let access = site.authority.access(&head, site.now());
        let signs_in = matches!(found, Some((Route::SignIn, _)));
        if access == Access::None && !(signs_in && head.method == Method::POST) {
            return sign_in::refuse(site, root).into_response(with_body);
        }
        let most = match found {
            Some((Route::Edit(_), _)) if access >= Access::Act => request::LONG_FORM,
            _ => request::FORM,
        };
        let form = match is_safe(&head.method) {
            true => Ok(Bytes::new()),
            false => request::read(body, most).await,
        };
        let request = form.and_then(|form| request::Request::new(access, root, &head, &form));
        let reply = match (request, found) {
            (Err(_), _) => problem(
                StatusCode::PAYLOAD_TOO_LARGE,
                root,
                "The request is longer than any of these pages sends, or broke off.",
            ),
            (Ok(_), None) => problem(StatusCode::NOT_FOUND, root, "There is no such page."),
            (Ok(request), Some((route, _))) => {
                screens::answer(&self.site, route, &head.method, request).await
            }
        };
        reply.into_response(with_body)
    }
}

impl<B> Service<Request<B>> for InspectorService
where
    B: Body + Send + 'static,
    B::Data: Send,
{
    type Response = Response<InspectorBody>;
    type Error = Infallible;
    type Future = InspectorFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        InspectorFuture(Box::pin(self.clone().answer(request)))
    }
}

/// The answer to one request.
pub struct InspectorFuture(Pin<Box<dyn Future<Output = Response<InspectorBody>> + Send>>);

impl Future for InspectorFuture {
    type Output = Result<Response<InspectorBody>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.as_mut().poll(cx).map(Ok)
    }
}

impl fmt::Debug for InspectorService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InspectorService").finish_non_exhaustive()
    }
}

impl fmt::Debug for InspectorFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InspectorFuture").finish_non_exhaustive()
    }
}
