//! A stand-in of the platform's API on loopback, as unkind as the real one.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "this is test code"
)]

mod account;
mod history;
mod stream;

use std::collections::VecDeque;
use std::future::pending;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::header::{CONTENT_TYPE, LOCATION, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use voipbin_receiver::testing::{Report, Sender, Signer};

use self::history::History;
use self::stream::Stream;
pub use self::stream::{Ending, Published};

/// The secret that the account's events are signed with.
pub const SECRET: &str = "AbCdEfGhIjKlMnOpQrStUvWxYz012-_9";

/// The fields that a `PUT` of the customer writes, all of them.
pub const SEVEN: [&str; 7] = [
    "name",
    "detail",
    "email",
    "phone_number",
    "address",
    "webhook_method",
    "webhook_uri",
];

/// An access key of the account.
pub const ACCESS_KEY: &str = "vb_StandIn0AccessKey1";
/// The admin's user and password.
pub const LOGIN: (&str, &str) = ("admin@example.com", "pa55-word-of-the-admin");
/// The tokens of an admin, a manager and an agent.
pub const TOKENS: [(&str, Role); 3] = [
    ("jwt.of.admin", Role::Admin),
    ("jwt.of.manager", Role::Manager),
    ("jwt.of.agent", Role::Agent),
];

/// What a credential may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// All.
    Admin,
    /// Read the account.
    Manager,
    /// Not even that.
    Agent,
}

/// What happens to a request instead of an answer.
#[derive(Clone, Copy, Debug)]
pub enum Fault {
    /// An error with this status and reason.
    Error(u16, &'static str),
    /// A 429, with or without `Retry-After`.
    Limited(Option<u64>),
    /// A redirect to another path of this host.
    Redirect,
    /// The connection ends.
    Close,
    /// No answer, ever.
    Silence,
    /// More than anybody reads.
    Endless,
    /// A page for people, with a 200.
    Page,
}

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Its method and path.
    pub line: String,
    /// Its query.
    pub query: Option<String>,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
}

type Meddle = Box<dyn FnOnce(&mut Map<String, Value>) + Send>;

struct State {
    /// As it is stored: nothing is absent.
    customer: Map<String, Value>,
    keys: Vec<Map<String, Value>>,
    frozen: bool,
    /// Of an installation that serves what the tutorial shows.
    webhooks: Option<Vec<Value>>,
    faults: VecDeque<Fault>,
    later: Option<(u32, Fault)>,
    /// What another client does when the customer is read or written for so many more times.
    meddle: Option<(Method, u32, Meddle)>,
    seen: Vec<Seen>,
    made: u32,
    /// Where it is not the machine's.
    time: Option<SystemTime>,
    history: History,
    stream: Stream,
}

/// The stand-in. It serves until the runtime ends.
#[derive(Clone)]
pub struct Platform {
    address: SocketAddr,
    scheme: &'static str,
    state: Arc<Mutex<State>>,
}

impl Platform {
    /// One with an account that has all of its fields.
    pub async fn start() -> Self {
        Self::serve("127.0.0.1:0", None).await
    }

    /// The same at an address.
    pub async fn start_at(address: &str) -> Self {
        Self::serve(address, None).await
    }

    /// The same with TLS, for `localhost`, with these files.
    pub async fn start_tls(chain: &Path, key: &Path) -> Self {
        let chain = CertificateDer::pem_file_iter(chain).unwrap();
        let chain = chain.collect::<Result<_, _>>().unwrap();
        let key = PrivateKeyDer::from_pem_file(key).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .unwrap();
        Self::serve("127.0.0.1:0", Some(TlsAcceptor::from(Arc::new(config)))).await
    }

    async fn serve(address: &str, tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let platform = Self {
            address: listener.local_addr().unwrap(),
            scheme: if tls.is_some() { "https" } else { "http" },
            state: Arc::new(Mutex::new(State::new())),
        };
        let serving = platform.clone();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (platform, tls) = (serving.clone(), tls.clone());
                tokio::spawn(async move {
                    match tls {
                        // Who does not trust it goes.
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(stream).await {
                                platform.connection(stream).await;
                            }
                        }
                        None => platform.connection(stream).await,
                    }
                });
            }
        });
        platform
    }

    async fn connection(self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
        let service = service_fn(|request| self.answer(request));
        let _ = http1::Builder::new()
            .serve_connection(TokioIo::new(stream), service)
            .with_upgrades()
            .await;
    }

    /// Where it is.
    pub fn url(&self) -> String {
        match self.scheme {
            "https" => format!("https://localhost:{}", self.address.port()),
            _ => format!("http://{}", self.address),
        }
    }

    /// The account as it is stored.
    pub fn customer(&self) -> Map<String, Value> {
        self.state().customer.clone()
    }

    /// Changes the account behind everybody's back.
    pub fn edit(&self, edit: impl FnOnce(&mut Map<String, Value>)) {
        edit(&mut self.state().customer);
    }

    /// Has another client change the account just before the customer is read or written for the
    /// `nth` time from now.
    pub fn meddle(
        &self,
        method: Method,
        nth: u32,
        edit: impl FnOnce(&mut Map<String, Value>) + Send + 'static,
    ) {
        self.state().meddle = Some((method, nth, Box::new(edit)));
    }

    /// Freezes the account.
    pub fn freeze(&self) {
        self.state().frozen = true;
    }

    /// Serves the webhooks of the tutorial from now on.
    pub fn serve_webhooks(&self) {
        self.state().webhooks = Some(Vec::new());
    }

    /// What befalls the next requests, one each.
    pub fn fail(&self, faults: impl IntoIterator<Item = Fault>) {
        self.state().faults.extend(faults);
    }

    /// What befalls the request after so many that nothing does.
    pub fn fail_after(&self, requests: u32, fault: Fault) {
        self.state().later = Some((requests, fault));
    }

    /// The requests that came.
    pub fn seen(&self) -> Vec<Seen> {
        self.state().seen.clone()
    }

    /// Their methods and paths.
    pub fn lines(&self) -> Vec<String> {
        self.seen().into_iter().map(|seen| seen.line).collect()
    }

    /// Sends an event to where the account says, signed with its secret; to this machine too, which
    /// the real one does not. `None` when that is nowhere.
    pub async fn send(&self, body: impl Into<Bytes>) -> Option<Report> {
        let customer = self.customer();
        let text = |field: &str| customer[field].as_str().unwrap_or_default().to_owned();
        let uri: Uri = text("webhook_uri")
            .parse()
            .ok()
            .filter(|_| !text("webhook_uri").is_empty())?;
        let signer = Signer::new(text("webhook_secret"));
        let sender = Sender::new(http_client(), signer).uri(uri);
        let sender = sender.method(&text("webhook_method")).ok()?;
        Some(sender.send(body.into()).await)
    }

    /// An event happens: the stream and the history have it from now on. Its webhook is
    /// [`send`](Self::send)'s.
    pub fn publish(&self, body: &str) {
        #[derive(Deserialize)]
        struct Event<'a> {
            #[serde(rename = "type")]
            name: &'a str,
            #[serde(borrow)]
            data: &'a RawValue,
        }
        let Event { name, data } = serde_json::from_str(body).unwrap();
        let mut state = self.state();
        let now = state.time.unwrap_or_else(SystemTime::now);
        let customer = state.customer["id"].as_str().unwrap().to_owned();
        state.history.add(now, name, data.get());
        state.stream.publish(now, &customer, name, data.get());
    }

    /// Sets the platform's clock; until then it is the machine's.
    pub fn set_time(&self, time: SystemTime) {
        self.state().time = Some(time);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    async fn answer(&self, mut request: Request<Incoming>) -> io::Result<Response<Full<Bytes>>> {
        let upgrade = hyper::upgrade::on(&mut request);
        let (head, body) = request.into_parts();
        let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
        let seen = Seen {
            line: format!("{} {}", head.method, head.uri.path()),
            query: head.uri.query().map(str::to_owned),
            headers: head.headers,
            body,
        };
        let fault = {
            let mut state = self.state();
            state.seen.push(seen.clone());
            state.fault()
        };
        let mut response = match fault {
            None if head.uri.path() == "/v1.0/ws" => return Ok(self.upgrade(&seen, upgrade)),
            None => self.state().route(&head.method, head.uri.path(), &seen),
            Some(Fault::Error(status, reason)) => refuse(status, reason),
            Some(Fault::Limited(retry_after)) => {
                let mut response = refuse(429, "RATE_LIMIT_EXCEEDED");
                if let Some(seconds) = retry_after {
                    response.headers_mut().insert(RETRY_AFTER, seconds.into());
                }
                response
            }
            Some(Fault::Redirect) => {
                let mut response = answer(302, Bytes::new());
                let elsewhere = HeaderValue::from_static("/elsewhere");
                response.headers_mut().insert(LOCATION, elsewhere);
                response
            }
            Some(Fault::Close) => return Err(io::ErrorKind::ConnectionReset.into()),
            Some(Fault::Silence) => return pending().await,
            Some(Fault::Endless) => answer(200, vec![b' '; 17 * 1024 * 1024].into()),
            Some(Fault::Page) => answer(200, Bytes::from_static(b"<html>Welcome</html>")),
        };
        let json = HeaderValue::from_static("application/json; charset=utf-8");
        response.headers_mut().insert(CONTENT_TYPE, json);
        Ok(response)
    }
}

pub(crate) fn object(value: Value) -> Response<Full<Bytes>> {
    answer(200, value.to_string().into())
}

/// An error as the platform writes it, with words that are nobody else's business.
pub(crate) fn refuse(status: u16, reason: &str) -> Response<Full<Bytes>> {
    let error = json!({
        "status": "ERROR",
        "reason": reason,
        "message": "owner@example.com may not",
        "request_id": "req-0123",
    });
    answer(status, json!({"error": error}).to_string().into())
}

pub(crate) fn answer(status: u16, body: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    response
}

/// Sends as the platform does, and repeats no request on another connection.
fn http_client() -> Client<HttpConnector, Full<Bytes>> {
    let mut connector = HttpConnector::new();
    connector.set_connect_timeout(Some(Duration::from_secs(10)));
    Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(Duration::from_secs(30))
        .retry_canceled_requests(false)
        .http1_title_case_headers(true)
        .build(connector)
}
