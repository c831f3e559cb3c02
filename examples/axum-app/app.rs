use std::time::Duration;

use axum::extract::{Path, Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, put};
use axum::{Json, Router};
use http::StatusCode;
use http::header::AUTHORIZATION;
use tower_http::compression::CompressionLayer;
use tower_http::limit::RequestBodyLimitLayer;
use tower_http::timeout::TimeoutLayer;
use tower_http::trace::TraceLayer;
use voipbin_receiver::Receiver;

use crate::desk::calls::{Calls, EndedCall};
use crate::desk::options::Token;

/// Where VoIPBIN sends events to.
pub(crate) const WEBHOOK: &str = "/voipbin/webhook";

/// How long a note may be.
const NOTE: usize = 4096;

/// The whole app.
///
/// What people use has layers that must not be around the webhook, because VoIPBIN takes every
/// status below 500 for final: a missing token (401), a body over the limit of notes (413) or a
/// timeout (408) would lose events. The receiver brings its own limits, and answers in VoIPBIN's
/// terms.
pub(crate) fn app(receiver: &Receiver, calls: Calls, token: Token) -> Router {
    let people = Router::new()
        .route("/calls", get(list))
        .route("/calls/{id}/note", put(note))
        .with_state(calls)
        .layer(RequestBodyLimitLayer::new(NOTE))
        .layer(from_fn_with_state(token, authenticate))
        .layer(TimeoutLayer::with_status_code(
            StatusCode::REQUEST_TIMEOUT,
            Duration::from_secs(10),
        ))
        .layer(CompressionLayer::new());
    let machines = Router::new()
        .route_service(WEBHOOK, receiver.service())
        .route("/health", get(health))
        .with_state(receiver.clone());
    // Around everything: it changes no answer, and its spans have no header and no body.
    people.merge(machines).layer(TraceLayer::new_for_http())
}

async fn list(State(calls): State<Calls>) -> Json<Vec<EndedCall>> {
    Json(calls.list())
}

async fn note(State(calls): State<Calls>, Path(id): Path<String>, note: String) -> StatusCode {
    if calls.note(&id, note) {
        StatusCode::NO_CONTENT
    } else {
        StatusCode::NOT_FOUND
    }
}

/// Whether events are taken, for a readiness probe.
async fn health(State(receiver): State<Receiver>) -> StatusCode {
    if receiver.health().is_ready() {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    }
}

async fn authenticate(State(token): State<Token>, request: Request, next: Next) -> Response {
    let shown = request.headers().get(AUTHORIZATION);
    if token.is_shown(shown.map(|header| header.as_bytes())) {
        next.run(request).await
    } else {
        StatusCode::UNAUTHORIZED.into_response()
    }
}
