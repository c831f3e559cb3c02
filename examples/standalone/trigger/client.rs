//! Requests over TCP and TLS, as the platform's sender makes them.

use std::error::Error;
use std::fs::File;
use std::io::BufReader;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::uri::{Authority, Scheme};
use http::{Request, Response, Uri};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};
use tower::Service;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const IDLE_CONNECTIONS: usize = 5;
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

type Https = legacy::Client<HttpsConnector<HttpConnector>, Full<Bytes>>;

/// A service that sends to one host, and notes how long each request took.
#[derive(Clone)]
pub(crate) struct Client {
    https: Https,
    scheme: Scheme,
    authority: Authority,
    times: Times,
}

/// How long requests took, in the order in which they ended.
#[derive(Clone, Default)]
pub(crate) struct Times(Arc<Mutex<Vec<Duration>>>);

impl Times {
    pub(super) fn get(&self, place: usize) -> Option<Duration> {
        let times = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        times.get(place).copied()
    }
}

impl Client {
    pub(crate) fn new(to: &Uri, ca: Option<&Path>) -> Result<Self, Box<dyn Error>> {
        let (Some(scheme), Some(authority)) = (to.scheme(), to.authority()) else {
            return Err(
                "--to takes a whole URL, such as http://127.0.0.1:5000/voipbin/webhook".into(),
            );
        };
        let mut roots = RootCertStore::empty();
        if *scheme == Scheme::HTTPS {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
        for certificate in ca.map(certificates).transpose()?.unwrap_or_default() {
            roots.add(certificate)?;
        }
        let tls = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(CONNECT_TIMEOUT));
        // Without HTTP/2 it offers no protocols by ALPN, as the platform's does not.
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_or_http()
            .enable_http1()
            .wrap_connector(tcp);
        let https = legacy::Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_TIMEOUT)
            .pool_max_idle_per_host(IDLE_CONNECTIONS)
            .http1_title_case_headers(true)
            // A connection that was closed costs the platform an attempt.
            .retry_canceled_requests(false)
            .build(connector);
        Ok(Self {
            https,
            scheme: scheme.clone(),
            authority: authority.clone(),
            times: Times::default(),
        })
    }

    /// The same connections, with times of its own.
    pub(crate) fn timed(&self) -> (Self, Times) {
        let times = Times::default();
        let client = Self {
            times: times.clone(),
            ..self.clone()
        };
        (client, times)
    }
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, Box<dyn Error>> {
    let unusable = |why: String| format!("--ca {}: {why}", file.display());
    let reader = BufReader::new(File::open(file).map_err(|error| unusable(error.to_string()))?);
    let certificates = CertificateDer::pem_reader_iter(reader)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| unusable(error.to_string()))?;
    match certificates.is_empty() {
        true => Err(unusable("there is no certificate in it".to_owned()).into()),
        false => Ok(certificates),
    }
}

/// Notes the time when the request ends: by an answer, a failure, or being given up.
struct Clock {
    start: Instant,
    times: Times,
}

impl Drop for Clock {
    fn drop(&mut self) {
        let mut times = self.times.0.lock().unwrap_or_else(PoisonError::into_inner);
        times.push(self.start.elapsed());
    }
}

impl Service<Request<Full<Bytes>>> for Client {
    type Response = Response<Incoming>;
    type Error = legacy::Error;
    type Future =
        std::pin::Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<Full<Bytes>>) -> Self::Future {
        let mut parts = std::mem::take(request.uri_mut()).into_parts();
        parts.scheme = Some(self.scheme.clone());
        parts.authority = Some(self.authority.clone());
        // With a scheme and an authority, and the path that every request has, it is one.
        *request.uri_mut() = Uri::from_parts(parts).unwrap_or_default();
        let clock = Clock {
            start: Instant::now(),
            times: self.times.clone(),
        };
        let answer = self.https.request(request);
        Box::pin(async move {
            let answer = answer.await;
            drop(clock);
            answer
        })
    }
}
