//! A stand-in of the platform's API on loopback, as unkind as the real one.

use std::collections::VecDeque;
use std::future::pending;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, COOKIE, LOCATION, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Map, Value, json};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use voipbin_receiver::testing::{Report, Sender, Signer};

use crate::{Certificate, SECRET};

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
    /// What another client does when the customer is read or written for so many more times.
    meddle: Option<(Method, u32, Meddle)>,
    seen: Vec<Seen>,
    made: u32,
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

    /// The same with TLS, for `localhost`.
    pub async fn start_tls(certificate: &Certificate) -> Self {
        let chain = CertificateDer::pem_file_iter(certificate.chain()).unwrap();
        let chain = chain.collect::<Result<_, _>>().unwrap();
        let key = PrivateKeyDer::from_pem_file(certificate.key()).unwrap();
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

    async fn connection(self, stream: impl AsyncRead + AsyncWrite + Unpin) {
        let service = service_fn(|request| self.answer(request));
        let _ = http1::Builder::new()
            .serve_connection(TokioIo::new(stream), service)
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

    /// Has another client change the account just before the customer is read or written for the `nth`
    /// time from now.
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

    /// The requests that came.
    pub fn seen(&self) -> Vec<Seen> {
        self.state().seen.clone()
    }

    /// Their methods and paths.
    pub fn lines(&self) -> Vec<String> {
        self.seen().into_iter().map(|seen| seen.line).collect()
    }

    /// Sends an event to where the account says, signed with its secret; to this machine too, which the
    /// real one does not. `None` when that is nowhere.
    pub async fn send(&self, body: impl Into<Bytes>) -> Option<Report> {
        let customer = self.customer();
        let text = |field: &str| customer[field].as_str().unwrap_or_default().to_owned();
        let uri: Uri = text("webhook_uri")
            .parse()
            .ok()
            .filter(|_| !text("webhook_uri").is_empty())?;
        let signer = Signer::new(text("webhook_secret"));
        let sender = Sender::new(crate::http_client(), signer).uri(uri);
        let sender = sender.method(&text("webhook_method")).ok()?;
        Some(sender.send(body.into()).await)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    async fn answer(&self, request: Request<Incoming>) -> io::Result<Response<Full<Bytes>>> {
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
            state.faults.pop_front()
        };
        let mut response = match fault {
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

impl State {
    fn new() -> Self {
        let customer = json!({
            "id": "5e4a0680-804e-11ec-8477-2fea5968d85b",
            "name": "Example",
            "detail": "a customer of the tests",
            "email": "owner@example.com",
            "phone_number": "+15550100",
            "address": "1 Example Street",
            "webhook_method": "",
            "webhook_uri": "",
            "billing_account_id": "b1d5c6f0-0000-4000-8000-000000000000",
            "metadata": {"rtp_debug": false},
            "email_verified": true,
            "status": "active",
            "identity_verification_status": "none",
            "tm_deletion_scheduled": null,
            "tm_create": "2026-01-01T00:00:00Z",
            "tm_update": "2026-01-01T00:00:00Z",
            "tm_delete": null,
            "webhook_secret": SECRET,
        });
        let Value::Object(customer) = customer else {
            unreachable!("it is an object")
        };
        Self {
            customer,
            keys: Vec::new(),
            frozen: false,
            webhooks: None,
            faults: VecDeque::new(),
            meddle: None,
            seen: Vec::new(),
            made: 0,
        }
    }

    fn route(&mut self, method: &Method, path: &str, seen: &Seen) -> Response<Full<Bytes>> {
        if (method, path) == (&Method::POST, "/auth/login") {
            let login: Value = serde_json::from_slice(&seen.body).unwrap_or_default();
            // It tells no more of any failure.
            return match login["username"] == LOGIN.0 && login["password"] == LOGIN.1 {
                true => object(json!({"username": LOGIN.0, "token": TOKENS[0].0})),
                false => answer(400, Bytes::new()),
            };
        }
        let Some(rest) = path.strip_prefix("/v1.0/") else {
            return refuse(404, "ROUTE_NOT_FOUND");
        };
        let role = match self.role(seen) {
            Ok(role) => role,
            Err(reason) => return refuse(401, reason),
        };
        if self.frozen {
            return refuse(403, "ACCOUNT_FROZEN");
        }
        let (first, id) = match rest.split_once('/') {
            Some((first, id)) => (first, Some(id)),
            None => (rest, None),
        };
        match (first, id) {
            ("customer", None) => self.customer(method, role, &seen.body),
            ("accesskeys", _) if role != Role::Admin => refuse(403, "PERMISSION_DENIED"),
            ("accesskeys", None) => self.access_keys(method, seen),
            ("accesskeys", Some(id)) => self.access_key(method, id, &seen.body),
            ("webhooks", id) if self.webhooks.is_some() => self.webhook(method, id, &seen.body),
            _ => refuse(404, "ROUTE_NOT_FOUND"),
        }
    }

    /// A JWT: cookie, query, header. A key: cookie, query, and never a header. With both, the JWT.
    fn role(&self, seen: &Seen) -> Result<Role, &'static str> {
        let cookies = seen
            .headers
            .get(COOKIE)
            .and_then(|cookies| cookies.to_str().ok());
        let cookies = cookies.unwrap_or_default().split("; ");
        let pairs = cookies.chain(seen.query.as_deref().unwrap_or_default().split('&'));
        let pairs: Vec<_> = pairs.filter_map(|pair| pair.split_once('=')).collect();
        let named = |name: &str| {
            pairs
                .iter()
                .find(|(key, _)| *key == name)
                .map(|(_, value)| *value)
        };
        let bearer = seen
            .headers
            .get(AUTHORIZATION)
            .and_then(|value| value.to_str().ok());
        let bearer = bearer.and_then(|value| value.strip_prefix("Bearer "));
        if let Some(token) = named("token").or(bearer) {
            let known = TOKENS.iter().find(|(known, _)| *known == token);
            return known.map(|(_, role)| *role).ok_or("INVALID_CREDENTIALS");
        }
        let key = named("accesskey").ok_or("AUTHENTICATION_REQUIRED")?;
        let known = key == ACCESS_KEY || self.keys.iter().any(|known| known["token"] == key);
        known.then_some(Role::Admin).ok_or("INVALID_CREDENTIALS")
    }

    fn customer(&mut self, method: &Method, role: Role, body: &[u8]) -> Response<Full<Bytes>> {
        if let Some((when, left, edit)) = self.meddle.take() {
            match (when == *method, left) {
                (true, 1) => edit(&mut self.customer),
                (true, left) => self.meddle = Some((when, left - 1, edit)),
                (false, left) => self.meddle = Some((when, left, edit)),
            }
        }
        match (method, role) {
            (&Method::GET, Role::Admin | Role::Manager) => object(self.shown(true)),
            (&Method::PUT, Role::Admin) => {
                let Ok(Value::Object(sent)) = serde_json::from_slice(body) else {
                    return refuse(400, "INVALID_JSON_BODY");
                };
                if SEVEN
                    .iter()
                    .any(|field| sent.get(*field).is_some_and(|value| !value.is_string()))
                {
                    return refuse(400, "INVALID_JSON_BODY");
                }
                // One that is left out becomes empty, and nothing is validated.
                for field in SEVEN {
                    let value = sent.get(field).cloned().unwrap_or_else(|| "".into());
                    self.customer.insert(field.to_owned(), value);
                }
                object(self.shown(false))
            }
            (&Method::GET | &Method::PUT, _) => refuse(403, "PERMISSION_DENIED"),
            _ => refuse(404, "ROUTE_NOT_FOUND"),
        }
    }

    /// Eight fields are absent when they are empty.
    fn shown(&self, with_secret: bool) -> Value {
        let mut shown = self.customer.clone();
        shown.retain(|field, value| {
            let may_be_absent = SEVEN.contains(&field.as_str()) || field == "webhook_secret";
            !(may_be_absent && value == "") && (with_secret || field != "webhook_secret")
        });
        Value::Object(shown)
    }

    fn access_keys(&mut self, method: &Method, seen: &Seen) -> Response<Full<Bytes>> {
        match *method {
            Method::GET => {
                let query = seen.query.as_deref().unwrap_or_default();
                let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
                // The newest first; a token is the time of the last one of a page.
                let before = pairs
                    .find(|(key, _)| *key == "page_token")
                    .map(|(_, value)| value);
                let older = self.keys.iter().rev().filter(|key| {
                    before.is_none_or(|before| key["tm_create"].as_str().unwrap() < before)
                });
                let page: Vec<Value> = older.take(2).map(hidden).collect();
                match page.last().map(|last| last["tm_create"].clone()) {
                    Some(token) => object(json!({"result": page, "next_page_token": token})),
                    None => object(json!({"result": []})),
                }
            }
            Method::POST => {
                let sent: Value = serde_json::from_slice(&seen.body).unwrap_or_default();
                if sent["expire"].as_u64().is_none_or(|expire| expire < 86_400) {
                    return refuse(400, "INVALID_ARGUMENT");
                }
                self.made += 1;
                let key = json!({
                    "id": format!("00000000-0000-4000-8000-{:012}", self.made),
                    "name": sent["name"],
                    "detail": sent["detail"],
                    "token_prefix": "vb_Made",
                    "tm_create": format!("2026-11-30T12:00:{:02}.000000Z", self.made),
                    "token": format!("vb_Made{:014}", self.made),
                });
                let Value::Object(key) = key else {
                    unreachable!("it is an object")
                };
                self.keys.push(key.clone());
                object(Value::Object(key))
            }
            _ => refuse(404, "ROUTE_NOT_FOUND"),
        }
    }

    fn access_key(&mut self, method: &Method, id: &str, body: &[u8]) -> Response<Full<Bytes>> {
        let Some(place) = self.keys.iter().position(|key| key["id"] == id) else {
            return refuse(404, "ACCESSKEY_NOT_FOUND");
        };
        match *method {
            Method::GET => {}
            Method::PUT => {
                let sent: Value = serde_json::from_slice(body).unwrap_or_default();
                for field in ["name", "detail"] {
                    self.keys[place].insert(field.to_owned(), sent[field].clone());
                }
            }
            Method::DELETE => return object(hidden(&self.keys.remove(place))),
            _ => return refuse(404, "ROUTE_NOT_FOUND"),
        }
        object(hidden(&self.keys[place]))
    }

    fn webhook(&mut self, method: &Method, id: Option<&str>, body: &[u8]) -> Response<Full<Bytes>> {
        let sent: Value = serde_json::from_slice(body).unwrap_or_default();
        let webhooks = self.webhooks.as_mut().unwrap();
        let place = webhooks
            .iter()
            .position(|webhook| id.is_some_and(|id| webhook["id"] == id));
        match (method, id, place) {
            (&Method::GET, None, _) => object(json!({"result": webhooks})),
            (&Method::POST, None, _) => {
                self.made += 1;
                let mut made = json!({
                    "id": format!("00000000-0000-4000-9000-{:012}", self.made),
                    "status": "active",
                    "tm_create": "2026-01-20 09:30:00.000000",
                    "tm_delete": "9999-01-01 00:00:00.000000",
                });
                merge(&mut made, &sent);
                webhooks.push(made.clone());
                object(made)
            }
            (&Method::PUT, Some(_), Some(place)) => {
                merge(&mut webhooks[place], &sent);
                object(webhooks[place].clone())
            }
            (&Method::DELETE, Some(_), Some(place)) => object(webhooks.remove(place)),
            _ => refuse(404, "WEBHOOK_NOT_FOUND"),
        }
    }
}

fn merge(into: &mut Value, from: &Value) {
    for (field, value) in from.as_object().unwrap() {
        into[field] = value.clone();
    }
}

/// A key after the answer that made it.
fn hidden(key: &Map<String, Value>) -> Value {
    let mut key = key.clone();
    key.remove("token");
    Value::Object(key)
}

fn object(value: Value) -> Response<Full<Bytes>> {
    answer(200, value.to_string().into())
}

/// An error as the platform writes it, with words that are nobody else's business.
fn refuse(status: u16, reason: &str) -> Response<Full<Bytes>> {
    let error = json!({
        "status": "ERROR",
        "reason": reason,
        "message": "owner@example.com may not",
        "request_id": "req-0123",
    });
    answer(status, json!({"error": error}).to_string().into())
}

fn answer(status: u16, body: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    response
}
