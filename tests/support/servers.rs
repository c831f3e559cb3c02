use std::convert::Infallible;
use std::future::{IntoFuture, pending};
use std::net::SocketAddr;

use actix_web::dev::Server;
use actix_web::{App, HttpServer};
use axum::Router;
use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{HeaderMap, Request, Response};
use http_body::Body;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use voipbin_receiver::{Receiver, ReceiverService, mount};

use crate::{Certificate, PATH};

/// The body of the answer to a new event.
pub const RECEIVED: &str = r#"{"status":"received"}"#;

/// Serves the receiver at [`PATH`] of an axum app, until the test ends.
pub async fn serve_axum(receiver: ReceiverService) -> SocketAddr {
    serve_axum_at(PATH, receiver).await
}

/// Serves the receiver at a path of an axum app, until the test ends.
pub async fn serve_axum_at(path: &str, receiver: ReceiverService) -> SocketAddr {
    serve_app(Router::new().route_service(path, receiver)).await
}

/// Serves an axum app until the test ends.
pub async fn serve_app(app: Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async { axum::serve(listener, app).await });
    address
}

/// Serves the receiver with plain hyper at any path, until the test ends.
pub async fn serve_hyper(receiver: ReceiverService) -> SocketAddr {
    serve_with_hyper(TowerToHyperService::new(receiver)).await
}

/// Reads bodies with plain hyper and answers with [`RECEIVED`], and does nothing else, until the
/// test ends.
pub async fn serve_bare() -> SocketAddr {
    serve_bare_with(|_, _| {}).await
}

/// The same, and does this with each request before it answers.
pub async fn serve_bare_with<F>(work: F) -> SocketAddr
where
    F: Fn(&HeaderMap, Bytes) + Clone + Send + 'static,
{
    let read = move |request: Request<Incoming>| {
        let work = work.clone();
        async move {
            let (head, body) = request.into_parts();
            if let Ok(body) = body.collect().await {
                work(&head.headers, body.to_bytes());
            }
            let mut response = Response::new(Full::new(Bytes::from_static(RECEIVED.as_bytes())));
            let json = HeaderValue::from_static("application/json");
            response.headers_mut().insert(CONTENT_TYPE, json);
            Ok::<_, Infallible>(response)
        }
    };
    serve_with_hyper(service_fn(read)).await
}

async fn serve_with_hyper<S, B>(service: S) -> SocketAddr
where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>,
    S: Clone + Send + 'static,
    S::Future: Send,
    B: Body<Data = Bytes, Error = Infallible> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let mut http = http1::Builder::new();
            http.timer(TokioTimer::new());
            tokio::spawn(http.serve_connection(TokioIo::new(stream), service.clone()));
        }
    });
    address
}

/// Serves the receiver with the crate's own server at any path, until the test ends.
pub async fn serve_alone(receiver: ReceiverService) -> SocketAddr {
    serve_with(mount::Server::new(), receiver).await
}

/// The same over TLS.
pub async fn serve_tls(receiver: ReceiverService) -> (SocketAddr, Certificate) {
    let certificate = Certificate::new();
    let server = mount::Server::new().tls(certificate.tls());
    (serve_with(server, receiver).await, certificate)
}

async fn serve_with(server: mount::Server, receiver: ReceiverService) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { server.serve(listener, receiver, pending()).await });
    address
}

/// Serves the receiver at a path of an actix-web app with two workers, until the test ends.
pub async fn serve_actix_at(path: &str, receiver: &Receiver) -> SocketAddr {
    let (address, server) = actix(path, receiver, false);
    tokio::spawn(server);
    address
}

/// The same for clients that know beforehand that it speaks HTTP/2, too.
pub async fn serve_actix_h2c(path: &str, receiver: &Receiver) -> SocketAddr {
    let (address, server) = actix(path, receiver, true);
    tokio::spawn(server);
    address
}

fn actix(path: &str, receiver: &Receiver, h2c: bool) -> (SocketAddr, Server) {
    let (path, receiver) = (path.to_owned(), receiver.clone());
    let server = HttpServer::new(move || App::new().service(receiver.actix(path.as_str())))
        .workers(2)
        .disable_signals();
    let server = if h2c {
        server.bind_auto_h2c("127.0.0.1:0")
    } else {
        server.bind("127.0.0.1:0")
    };
    let server = server.unwrap();
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
        let (address, server) = actix(PATH, receiver, false);
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
