use std::cell::RefCell;
use std::convert::Infallible;
use std::fmt;
use std::future::{Future, Ready, ready};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{self, Poll, ready};

use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::dev::{
    AppService, HttpServiceFactory, Payload, Service, ServiceFactory, ServiceRequest,
    ServiceResponse,
};
use actix_web::error::PayloadError;
use actix_web::http::{self as http02, ConnectionType};
use actix_web::{HttpMessage, HttpRequest, HttpResponse, web};
use bytes::Bytes;
use futures_util::{FutureExt, Stream};
use http::header::{CONNECTION, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Request, Version};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Collected};
use pin_project_lite::pin_project;

use crate::Receiver;
use crate::gate::PeerAddr;
use crate::service::{ReceiverService, ResponseFuture};

impl Receiver {
    /// The receiver at a path of an actix-web app or scope.
    ///
    /// It answers every request there whatever its method is, and reads the body itself: the app's
    /// extractors and their limits have no part in it. Build the receiver once, outside of the
    /// closure that `HttpServer::new` calls for each worker.
    ///
    /// ```
    /// use actix_web::{App, test, web};
    /// use voipbin_receiver::{Receiver, catalog};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let receiver = Receiver::builder()
    ///     .secret("the-webhook-secret-of-a-customer")
    ///     .on(catalog::Any, || async {})
    ///     .build()?;
    ///
    /// let app = App::new()
    ///     .service(receiver.actix("/voipbin/webhook"))
    ///     .service(web::scope("/hooks").service(receiver.actix("/voipbin")));
    ///
    /// let app = test::init_service(app).await;
    /// for path in ["/voipbin/webhook", "/hooks/voipbin"] {
    ///     let unsigned = test::TestRequest::post().uri(path).set_payload("{}");
    ///     let response = test::call_service(&app, unsigned.to_request()).await;
    ///     assert_eq!(response.status(), 401);
    /// }
    /// # Ok(()) }
    /// ```
    ///
    /// [`service`](Self::service) goes wherever actix-web takes a service, with guards, names and
    /// middleware:
    ///
    /// ```
    /// use actix_web::{App, guard, web};
    /// # use voipbin_receiver::{Receiver, catalog};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let receiver = Receiver::builder()
    /// #     .secret("the-webhook-secret-of-a-customer")
    /// #     .on(catalog::Any, || async {})
    /// #     .build()?;
    /// let app = App::new().service(
    ///     web::service("/voipbin/webhook")
    ///         .guard(guard::Host("hooks.example.com"))
    ///         .finish(receiver.service()),
    /// );
    /// # drop(app);
    /// # Ok(()) }
    /// ```
    ///
    /// The peer's address is the server's, for
    /// [`allow_sources`](crate::ReceiverBuilder::allow_sources) and the like; middleware that knows
    /// better puts a [`PeerAddr`] into the request's extensions.
    ///
    /// # The server's settings
    ///
    /// Two defaults of `HttpServer`, 5 seconds each, do not suit VoIPBIN's sender. It keeps idle
    /// connections for 30 seconds, and one that the server closes first can cost it one of its
    /// three tries: set `keep_alive(Duration::from_secs(75))`. A 408 is final for it: set
    /// `client_request_timeout(Duration::from_secs(60))`, by when it has given the request up.
    ///
    /// And its own handling of signals closes the listener before a [`shutdown`](Self::shutdown)
    /// could have ended: `disable_signals()`, and stop the server after it, as the example
    /// `actix-app` does.
    ///
    /// # Panics
    ///
    /// The app panics at its start when the path is a pattern that actix-web cannot read, as with
    /// any other resource.
    #[must_use]
    pub fn actix(&self, path: impl Into<String>) -> ActixResource {
        ActixResource {
            path: path.into(),
            service: self.service(),
        }
    }
}

/// The receiver at a path, to be given to `service` of an `App`, a `Scope` or a `ServiceConfig`.
/// Made by [`Receiver::actix`].
#[derive(Clone, Debug)]
pub struct ActixResource {
    path: String,
    service: ReceiverService,
}

impl HttpServiceFactory for ActixResource {
    fn register(self, config: &mut AppService) {
        web::service(self.path)
            .finish(self.service)
            .register(config);
    }
}

/// Behind the feature `actix`, for each worker of an actix-web server.
impl ServiceFactory<ServiceRequest> for ReceiverService {
    type Response = ServiceResponse;
    type Error = actix_web::Error;
    type Config = ();
    type Service = Self;
    type InitError = ();
    type Future = Ready<Result<Self, ()>>;

    fn new_service(&self, (): ()) -> Self::Future {
        ready(Ok(self.clone()))
    }
}

/// Behind the feature `actix`. It never fails.
impl Service<ServiceRequest> for ReceiverService {
    type Response = ServiceResponse;
    type Error = actix_web::Error;
    type Future = ActixFuture;

    fn poll_ready(&self, _: &mut task::Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&self, request: ServiceRequest) -> Self::Future {
        let (request, payload) = request.into_parts();
        let payload = Rc::new(RefCell::new(payload));
        let converted = convert(&request, &payload);
        let mut service = self.clone();
        ActixFuture {
            answer: tower_service::Service::call(&mut service, converted),
            payload: Some(payload),
            request: Some(request),
        }
    }
}

/// The request for a service over [`http`], without its URI.
pub(crate) fn convert(
    request: &HttpRequest,
    payload: &Rc<RefCell<Payload>>,
) -> Request<SharedPayload> {
    let mut converted = Request::new(SharedPayload(Rc::clone(payload)));
    *converted.version_mut() = version(request.version());
    // A method that is none is refused as such, by its name.
    *converted.method_mut() =
        Method::from_bytes(request.method().as_str().as_bytes()).unwrap_or(Method::CONNECT);
    *converted.headers_mut() = headers(request.headers());
    if let Some(peer) = peer(request) {
        converted.extensions_mut().insert(peer);
    }
    converted
}

/// actix-web's headers are of another version of `http`, so each is a copy.
fn headers(headers: &http02::header::HeaderMap) -> HeaderMap {
    let mut copies = HeaderMap::with_capacity(headers.len());
    for (name, value) in headers {
        let name = HeaderName::from_bytes(name.as_str().as_bytes());
        let value = HeaderValue::from_bytes(value.as_bytes());
        if let (Ok(name), Ok(value)) = (name, value) {
            copies.append(name, value);
        }
    }
    copies
}

/// Who the peer is: as middleware has said, or the server knows.
fn peer(request: &HttpRequest) -> Option<PeerAddr> {
    let said = request.extensions().get().copied();
    said.or_else(|| request.peer_addr().map(PeerAddr))
}

fn version(version: http02::Version) -> Version {
    match version {
        http02::Version::HTTP_09 => Version::HTTP_09,
        http02::Version::HTTP_10 => Version::HTTP_10,
        http02::Version::HTTP_2 => Version::HTTP_2,
        http02::Version::HTTP_3 => Version::HTTP_3,
        _ => Version::HTTP_11,
    }
}

/// A request's payload, which outlives the reading of it; see [`Answer`].
pub(crate) struct SharedPayload(Rc<RefCell<Payload>>);

impl Body for SharedPayload {
    type Data = Bytes;
    type Error = PayloadError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut task::Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, PayloadError>>> {
        let mut payload = self.0.borrow_mut();
        let read = ready!(Pin::new(&mut *payload).poll_next(cx));
        Poll::Ready(read.map(|read| read.map(Frame::data)))
    }
}

pin_project! {
    /// The answer to one request of actix-web.
    ///
    /// See [`ReceiverService`] for what dropping it means.
    pub struct ActixFuture {
        #[pin]
        answer: ResponseFuture<SharedPayload>,
        payload: Option<Rc<RefCell<Payload>>>,
        request: Option<HttpRequest>,
    }
}

impl Future for ActixFuture {
    type Output = Result<ServiceResponse, actix_web::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let Ok(answer) = ready!(this.answer.poll(cx));
        match this.request.take() {
            Some(request) => {
                let response = respond(answer, this.payload.take());
                Poll::Ready(Ok(ServiceResponse::new(request, response)))
            }
            // Polled after its end.
            None => Poll::Pending,
        }
    }
}

impl fmt::Debug for ActixFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ActixFuture").finish_non_exhaustive()
    }
}

/// The answer of a service over [`http`], whose body is there in full.
fn respond<B: Body<Data = Bytes>>(
    answer: http::Response<B>,
    payload: Option<Rc<RefCell<Payload>>>,
) -> HttpResponse {
    let (head, body) = answer.into_parts();
    // All of it is there.
    let body = body.collect().now_or_never().and_then(Result::ok);
    let body = body.map(Collected::to_bytes).unwrap_or_default();
    let close = head.headers.contains_key(CONNECTION);
    let body = if close {
        BoxBody::new(LastAnswer {
            body,
            _unread: payload,
        })
    } else {
        BoxBody::new(body)
    };
    let mut response = respond_with(&head, body);
    if close {
        // The header alone says so to nobody: actix-web writes its own.
        response
            .head_mut()
            .set_connection_type(ConnectionType::Close);
    }
    response
}

/// The answer of a service over [`http`] with a body of actix-web's.
pub(crate) fn respond_with(head: &http::response::Parts, body: BoxBody) -> HttpResponse {
    let status = http02::StatusCode::from_u16(head.status.as_u16())
        .unwrap_or(http02::StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = HttpResponse::with_body(status, body);
    for (name, value) in &head.headers {
        let name = http02::header::HeaderName::from_bytes(name.as_str().as_bytes());
        let value = http02::header::HeaderValue::from_bytes(value.as_bytes());
        if let (Ok(name), Ok(value)) = (name, value) {
            response.headers_mut().append(name, value);
        }
    }
    response
}

/// The body of the last answer on a connection.
///
/// It holds what was not read of the request. Where a chunked request's payload is dropped,
/// actix-web goes on to read it, for as long as it comes, before it closes the connection; while
/// the payload is there it closes in the time that the server sets for that.
struct LastAnswer {
    body: Bytes,
    _unread: Option<Rc<RefCell<Payload>>>,
}

impl MessageBody for LastAnswer {
    type Error = Infallible;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(
        mut self: Pin<&mut Self>,
        cx: &mut task::Context<'_>,
    ) -> Poll<Option<Result<Bytes, Infallible>>> {
        Pin::new(&mut self.body).poll_next(cx)
    }
}
