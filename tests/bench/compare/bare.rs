//! Servers that read the body and answer, and do nothing else.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Duration;

use actix_web::{App, HttpResponse, HttpServer, web};
use axum::Router;
use axum::routing::post;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use support::PATH;
use tokio::net::TcpListener;

/// What the receiver answers.
pub(crate) const ANSWER: &str = r#"{"status":"received"}"#;

pub(crate) async fn hyper() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let mut http = http1::Builder::new();
            http.timer(TokioTimer::new());
            tokio::spawn(http.serve_connection(TokioIo::new(stream), service_fn(read)));
        }
    });
    address
}

async fn read(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let _ = request.into_body().collect().await;
    let mut response = Response::new(Full::new(Bytes::from_static(ANSWER.as_bytes())));
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, json);
    Ok(response)
}

pub(crate) async fn axum() -> SocketAddr {
    let read = |_: Bytes| async { ([(CONTENT_TYPE, "application/json")], ANSWER) };
    serve_axum(Router::new().route(PATH, post(read))).await
}

pub(crate) async fn serve_axum(app: Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async { axum::serve(listener, app).await });
    address
}

pub(crate) fn actix() -> SocketAddr {
    let read = |_: Bytes| async {
        let mut answer = HttpResponse::Ok();
        answer.content_type("application/json").body(ANSWER)
    };
    serve_actix(move |app| {
        app.route(PATH, web::post().to(read));
    })
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
