//! Servers that read the body and answer, and do nothing else; or as little as a receiver can do.

use std::net::SocketAddr;
use std::time::Duration;

use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use axum::Router;
use axum::routing::post;
use bytes::Bytes;
use hmac::Hmac;
use http::header::CONTENT_TYPE;
use sha2::Sha256;
use support::{PATH, RECEIVED, serve_app, serve_bare_with};

use crate::by_hand::{SIGNATURE, key, verified};

/// Verifies with a key that is made once.
pub(crate) async fn verifying() -> SocketAddr {
    let key = key();
    serve_bare_with(move |headers, body| {
        let signature = headers.get(SIGNATURE).and_then(|value| value.to_str().ok());
        assert!(verified(key.clone(), signature, &body).is_some());
    })
    .await
}

/// The same, and has a copy of the body looked at in a task.
pub(crate) async fn spawning() -> SocketAddr {
    let key = key();
    serve_bare_with(move |headers, body| {
        let signature = headers.get(SIGNATURE).and_then(|value| value.to_str().ok());
        assert!(verified(key.clone(), signature, &body).is_some());
        spawn_a_look(&body);
    })
    .await
}

fn spawn_a_look(body: &[u8]) {
    let body = Bytes::copy_from_slice(body);
    tokio::spawn(async move {
        std::hint::black_box(&body);
    });
}

pub(crate) async fn axum() -> SocketAddr {
    let read = |_: Bytes| async { ([(CONTENT_TYPE, "application/json")], RECEIVED) };
    serve_app(Router::new().route(PATH, post(read))).await
}

pub(crate) fn actix() -> SocketAddr {
    let read = |_: Bytes| async { received() };
    serve_actix(move |app| {
        app.route(PATH, web::post().to(read));
    })
}

/// As [`spawning`]; its tasks run on the thread that answers.
pub(crate) fn actix_spawning() -> SocketAddr {
    async fn receive(
        key: web::Data<Hmac<Sha256>>,
        request: HttpRequest,
        body: Bytes,
    ) -> HttpResponse {
        let signature = request.headers().get(SIGNATURE);
        let signature = signature.and_then(|value| value.to_str().ok());
        assert!(verified(Hmac::clone(&key), signature, &body).is_some());
        spawn_a_look(&body);
        received()
    }
    let key = web::Data::new(key());
    serve_actix(move |app| {
        app.app_data(key.clone())
            .route(PATH, web::post().to(receive));
    })
}

fn received() -> HttpResponse {
    let mut answer = HttpResponse::Ok();
    answer.content_type("application/json").body(RECEIVED)
}

/// As many workers as there are cores for it.
pub(crate) fn serve_actix<F>(configure: F) -> SocketAddr
where
    F: Fn(&mut web::ServiceConfig) + Clone + Send + 'static,
{
    let cores = std::thread::available_parallelism().unwrap().get();
    let server = HttpServer::new(move || App::new().configure(configure.clone()))
        .workers(cores)
        .keep_alive(Duration::from_secs(75))
        .disable_signals()
        .bind("127.0.0.1:0")
        .unwrap();
    let address = server.addrs()[0];
    tokio::spawn(server.run());
    address
}
