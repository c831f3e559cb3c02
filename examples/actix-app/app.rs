use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::StatusCode;
use actix_web::http::header::AUTHORIZATION;
use actix_web::middleware::{Next, from_fn};
use actix_web::web::{self, Data, Json, Path, PayloadConfig, ServiceConfig};
use actix_web::{Error, HttpResponse};
use voipbin_receiver::Receiver;

use crate::desk::calls::{Calls, EndedCall};
use crate::desk::options::Token;

/// Where VoIPBIN sends events to.
pub(crate) const WEBHOOK: &str = "/voipbin/webhook";

/// How long a note may be.
const NOTE: usize = 4096;

/// What every worker serves.
#[derive(Clone)]
pub(crate) struct App {
    pub(crate) receiver: Receiver,
    pub(crate) calls: Calls,
    pub(crate) token: Token,
}

impl App {
    /// The routes.
    ///
    /// The authentication is around the scope that people use and not around the webhook: VoIPBIN
    /// shows no token, and takes a 401 for final. The limit of notes is no limit of events, as the
    /// receiver reads bodies itself.
    pub(crate) fn configure(self, routes: &mut ServiceConfig) {
        routes
            .service(self.receiver.actix(WEBHOOK))
            .app_data(Data::new(self.receiver))
            .app_data(Data::new(self.calls))
            .app_data(Data::new(self.token))
            .app_data(PayloadConfig::new(NOTE))
            .route("/health", web::get().to(health))
            .service(
                web::scope("/calls")
                    .wrap(from_fn(authenticate))
                    .route("", web::get().to(list))
                    .route("/{id}/note", web::put().to(note)),
            );
    }
}

async fn list(calls: Data<Calls>) -> Json<Vec<EndedCall>> {
    Json(calls.list())
}

async fn note(calls: Data<Calls>, id: Path<String>, note: String) -> HttpResponse {
    HttpResponse::new(if calls.note(&id, note) {
        StatusCode::NO_CONTENT
    } else {
        StatusCode::NOT_FOUND
    })
}

/// Whether events are taken, for a readiness probe.
async fn health(receiver: Data<Receiver>) -> HttpResponse {
    HttpResponse::new(if receiver.health().is_ready() {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    })
}

async fn authenticate(
    token: Data<Token>,
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let shown = request.headers().get(AUTHORIZATION);
    if token.is_shown(shown.map(|header| header.as_bytes())) {
        Ok(next.call(request).await?.map_into_boxed_body())
    } else {
        Ok(request.into_response(HttpResponse::Unauthorized().finish()))
    }
}
