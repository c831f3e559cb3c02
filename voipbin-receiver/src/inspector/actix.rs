use std::cell::RefCell;
use std::convert::Infallible;
use std::future::{Ready, ready};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{self, Poll};

use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::dev::{
    AppService, HttpServiceFactory, Service, ServiceFactory, ServiceRequest, ServiceResponse,
};
use actix_web::web;
use bytes::Bytes;
use futures_util::future::LocalBoxFuture;
use http_body::Body;

use super::response::InspectorBody;
use super::service::InspectorService;
use crate::mount::{convert, respond_with};

impl InspectorService {
    /// The inspector at a path of an actix-web app or scope, with everything below it. A request
    /// for the path without a slash at its end is not for the inspector.
    ///
    /// ```
    /// use actix_web::{App, test};
    /// use voipbin_receiver::{Receiver, catalog};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let receiver = Receiver::builder()
    /// #     .secret("the-webhook-secret-of-a-customer")
    /// #     .on(catalog::Any, || async {})
    /// #     .build()?;
    /// let inspector = receiver
    ///     .inspector()
    ///     .token("a-token-for-those-who-may-see-it")
    ///     .build()?;
    ///
    /// let app = test::init_service(App::new().service(inspector.actix("/inspector"))).await;
    /// let request = test::TestRequest::get().uri("/inspector/").to_request();
    /// assert_eq!(test::call_service(&app, request).await.status(), 401);
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn actix(&self, path: &str) -> ActixInspector {
        ActixInspector {
            path: path.to_owned(),
            service: self.clone(),
        }
    }
}

/// The inspector at a path, to be given to `service` of an `App`, a `Scope` or a `ServiceConfig`.
/// Made by [`InspectorService::actix`].
#[derive(Clone, Debug)]
pub struct ActixInspector {
    path: String,
    service: InspectorService,
}

impl HttpServiceFactory for ActixInspector {
    fn register(self, config: &mut AppService) {
        web::scope(&self.path)
            .default_service(self.service)
            .register(config);
    }
}

/// Behind the feature `actix`, for each worker of an actix-web server.
impl ServiceFactory<ServiceRequest> for InspectorService {
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
impl Service<ServiceRequest> for InspectorService {
    type Response = ServiceResponse;
    type Error = actix_web::Error;
    type Future = LocalBoxFuture<'static, Result<ServiceResponse, actix_web::Error>>;

    fn poll_ready(&self, _: &mut task::Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&self, request: ServiceRequest) -> Self::Future {
        let service = self.clone();
        let (request, payload) = request.into_parts();
        let payload = Rc::new(RefCell::new(payload));
        let mut converted = convert(&request, &payload);
        // Both are of RFC 3986, and of two versions of one crate.
        *converted.uri_mut() = request.uri().to_string().parse().unwrap_or_default();
        Box::pin(async move {
            let answer = service.answer(converted).await;
            let (head, body) = answer.into_parts();
            let response = respond_with(&head, BoxBody::new(body));
            Ok(ServiceResponse::new(request, response))
        })
    }
}

/// Behind the feature `actix`. It never fails.
impl MessageBody for InspectorBody {
    type Error = Infallible;

    fn size(&self) -> BodySize {
        self.size_hint()
            .exact()
            .map_or(BodySize::Stream, BodySize::Sized)
    }

    fn poll_next(
        self: Pin<&mut Self>,
        cx: &mut task::Context<'_>,
    ) -> Poll<Option<Result<Bytes, Infallible>>> {
        // It has no trailers.
        let frame = self.poll_frame(cx);
        frame.map(|frame| frame.map(|frame| Ok(frame?.into_data().unwrap_or_default())))
    }
}
