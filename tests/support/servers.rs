use std::net::SocketAddr;

use actix_web::{App, HttpServer};
use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use voipbin_receiver::{Receiver, ReceiverService};

use crate::PATH;

/// Serves the receiver at [`PATH`] of an axum app, until the test ends.
pub async fn serve_axum(receiver: ReceiverService) -> SocketAddr {
    serve_axum_at(PATH, receiver).await
}

/// Serves the receiver at a path of an axum app, until the test ends.
pub async fn serve_axum_at(path: &str, receiver: ReceiverService) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let app = Router::new().route_service(path, receiver);
    tokio::spawn(async { axum::serve(listener, app).await });
    address
}

/// Serves the receiver with plain hyper at any path, until the test ends.
pub async fn serve_hyper(receiver: ReceiverService) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let service = TowerToHyperService::new(receiver.clone());
            let mut http = http1::Builder::new();
            http.timer(TokioTimer::new());
            tokio::spawn(http.serve_connection(TokioIo::new(stream), service));
        }
    });
    address
}

/// Serves the receiver at a path of an actix-web app with two workers, until the test ends.
pub async fn serve_actix_at(path: &str, receiver: &Receiver) -> SocketAddr {
    let (path, receiver) = (path.to_owned(), receiver.clone());
    let server = HttpServer::new(move || App::new().service(receiver.actix(path.as_str())))
        .workers(2)
        .disable_signals()
        .bind("127.0.0.1:0")
        .unwrap();
    let address = server.addrs()[0];
    tokio::spawn(server.run());
    address
}
