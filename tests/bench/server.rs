//! The servers, each in a process of its own.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::Path;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use support::{builder, serve_hyper};
use tokio::net::TcpListener;
use voipbin_receiver::Context;
use voipbin_receiver::catalog::Any;
use voipbin_receiver::inbox::DiskInbox;

pub(crate) const KINDS: [&str; 3] = ["bare hyper", "memory", "disk"];

/// Prints where it listens, and serves until it is killed.
pub(crate) fn run(kind: &str, directory: &Path) {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(serve(kind, directory));
}

async fn serve(kind: &str, directory: &Path) {
    let receiver = match kind {
        "memory" => Some(builder()),
        "disk" => Some(builder().inbox(DiskInbox::open(directory).unwrap())),
        _ => None,
    };
    let receiver = receiver.map(|builder| {
        let builder = builder.on(Any, |_: Context| async {});
        builder.build().unwrap()
    });
    let address = match &receiver {
        Some(receiver) => serve_hyper(receiver.service()).await,
        None => serve_bare().await,
    };
    println!("{address}");
    std::future::pending::<()>().await;
}

async fn serve_bare() -> SocketAddr {
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
    Ok(Response::new(Full::new(Bytes::from_static(b"{}"))))
}
