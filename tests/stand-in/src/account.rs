//! The account: customer, access keys, and the webhooks of the tutorial.

use std::collections::VecDeque;

use bytes::Bytes;
use http::header::{AUTHORIZATION, COOKIE};
use http::{Method, Response};
use http_body_util::Full;
use serde_json::{Map, Value, json};

use crate::history::History;
use crate::stream::Stream;
use crate::{
    ACCESS_KEY, Fault, LOGIN, Role, SECRET, SEVEN, Seen, State, TOKENS, answer, object, refuse,
};

impl State {
    pub(crate) fn new() -> Self {
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
            later: None,
            meddle: None,
            seen: Vec::new(),
            made: 0,
            time: None,
            history: History::default(),
            stream: Stream::default(),
        }
    }

    pub(crate) fn fault(&mut self) -> Option<Fault> {
        match self.later.take() {
            Some((0, fault)) => Some(fault),
            Some((left, fault)) => {
                self.later = Some((left - 1, fault));
                None
            }
            None => self.faults.pop_front(),
        }
    }

    pub(crate) fn route(
        &mut self,
        method: &Method,
        path: &str,
        seen: &Seen,
    ) -> Response<Full<Bytes>> {
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
            _ => self.history.route(method, rest, seen.query.as_deref()),
        }
    }

    /// A JWT: cookie, query, header. A key: cookie, query, and never a header. With both, the JWT.
    pub(crate) fn role(&self, seen: &Seen) -> Result<Role, &'static str> {
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
