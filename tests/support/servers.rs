use std::future::{IntoFuture, pending};
use std::net::SocketAddr;

use actix_web::dev::Server;
use actix_web::{App, HttpServer};
use axum::Router;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use voipbin_receiver::{Receiver, ReceiverService, mount};

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

/// Serves the receiver with the crate's own server at any path, until the test ends.
pub async fn serve_alone(receiver: ReceiverService) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let serve = async {
        mount::Server::new()
            .serve(listener, receiver, pending())
            .await
    };
    tokio::spawn(serve);
    address
}

/// Serves the receiver at a path of an actix-web app with two workers, until the test ends.
pub async fn serve_actix_at(path: &str, receiver: &Receiver) -> SocketAddr {
    let (address, server) = actix(path, receiver);
    tokio::spawn(server);
    address
}

fn actix(path: &str, receiver: &Receiver) -> (SocketAddr, Server) {
    let (path, receiver) = (path.to_owned(), receiver.clone());
    let server = HttpServer::new(move || App::new().service(receiver.actix(path.as_str())))
        .workers(2)
        .disable_signals()
        .bind("127.0.0.1:0")
        .unwrap();
    (server.addrs()[0], server.run())
}

/// A server that a test stops, as an app does at its end.
pub struct Stoppable {
    /// Where it listens.
    pub address: SocketAddr,
    stop: BoxFuture<'static, ()>,
}

impl Stoppable {
    /// Serves the receiver at [`PATH`] of an axum app.
    pub async fn axum(receiver: &Receiver) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let app = Router::new().route_service(PATH, receiver.service());
        let (close, closed) = oneshot::channel::<()>();
        let server = axum::serve(listener, app).with_graceful_shutdown(closed.map(drop));
        let server = tokio::spawn(server.into_future());
        let stop = async {
            close.send(()).unwrap();
            server.await.unwrap().unwrap();
        };
        let stop = stop.boxed();
        Self { address, stop }
    }

    /// Serves the receiver at [`PATH`] of an actix-web app.
    pub fn actix(receiver: &Receiver) -> Self {
        let (address, server) = actix(PATH, receiver);
        let handle = server.handle();
        let server = tokio::spawn(server);
        let stop = async move {
            handle.stop(true).await;
            server.await.unwrap().unwrap();
        };
        let stop = stop.boxed();
        Self { address, stop }
    }

    /// Serves the receiver with the crate's own server.
    pub async fn alone(receiver: &Receiver) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (close, closed) = oneshot::channel::<()>();
        let service = receiver.service();
        let serve = async {
            let server = mount::Server::new();
            server.serve(listener, service, closed.map(drop)).await;
        };
        let server = tokio::spawn(serve);
        let stop = async {
            close.send(()).unwrap();
            server.await.unwrap();
        };
        let stop = stop.boxed();
        Self { address, stop }
    }

    /// Closes the listener, lets every request end, and ends when no connection is left.
    pub async fn stop(self) {
        self.stop.await;
    }
}
