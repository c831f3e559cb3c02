//! A receiver with an inspector, and somebody who asks.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST};
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use support::{send, signed, within};
use tempfile::TempDir;
use tower::ServiceExt;
use voipbin_receiver::catalog::{Any, Custom};
use voipbin_receiver::gate::{PeerAddr, Secret};
use voipbin_receiver::inbox::{DiskInbox, MemoryInbox, RecordFilter, RecordState};
use voipbin_receiver::inspector::{Access, InspectorService};
use voipbin_receiver::observe::Transition;
use voipbin_receiver::{
    Context, HandlerError, HandlerOptions, Receiver, Registration, RetryPolicy,
};

pub(crate) const TOKEN: &str = "a-token-for-those-who-may-see-it";

/// What a test's requests may do, by a header that the test's own `authorize` reads.
pub(crate) const ACCESS: &str = "x-access";

/// The secret that deliveries are signed with, by a label of its own.
pub(crate) const LABEL: &str = "the-label";

pub(crate) struct Fixture {
    pub(crate) receiver: Receiver,
    pub(crate) inspector: InspectorService,
    /// What observers were told of the inspector.
    pub(crate) audit: Arc<Mutex<Vec<String>>>,
    _directory: Option<TempDir>,
}

/// What is answered.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Fixture {
    /// With an inbox on disk.
    pub(crate) async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let inbox = DiskInbox::builder(directory.path())
            .retain_done(Duration::from_secs(3600))
            .open()
            .await
            .unwrap();
        let mut fixture = Self::with(|builder| builder.inbox(inbox));
        fixture._directory = Some(directory);
        fixture
    }

    pub(crate) fn in_memory() -> Self {
        Self::with(|builder| builder.inbox(MemoryInbox::new()))
    }

    pub(crate) fn with(
        inbox: impl FnOnce(voipbin_receiver::ReceiverBuilder) -> voipbin_receiver::ReceiverBuilder,
    ) -> Self {
        let audit = Arc::new(Mutex::new(Vec::new()));
        let told = Arc::clone(&audit);
        let observer = move |transition: &Transition<'_>| {
            if let Transition::Inspected(inspection) = transition {
                told.lock().unwrap().push(inspection.action.to_owned());
            }
        };
        // Fails as the body of the event says.
        let crm = |context: Context| async move {
            let body = String::from_utf8_lossy(context.delivery().body()).into_owned();
            match body.contains("fails") {
                true => Err(HandlerError::permanent(format!("cannot store {body}"))),
                false => Ok(()),
            }
        };
        let receiver = inbox(Receiver::builder())
            .secret(Secret::from(support::SECRET).with_label(LABEL))
            .observe(observer)
            .handler_options(HandlerOptions::new().retry(RetryPolicy::never()))
            .handlers([Registration::new((Any, Custom), crm).name("crm")])
            .build()
            .unwrap();
        Self {
            audit,
            ..Self::of(receiver)
        }
    }

    /// With an inspector of a receiver.
    pub(crate) fn of(receiver: Receiver) -> Self {
        let inspector = receiver
            .inspector()
            .token(TOKEN)
            .authorize(|head| match head.headers.get(ACCESS) {
                Some(access) if access == "read" => Access::Read,
                Some(access) if access == "reveal" => Access::Reveal,
                Some(access) if access == "act" => Access::Act,
                _ => Access::None,
            })
            .setting("colour", "blue", "flag")
            .build()
            .unwrap();
        Self {
            receiver,
            inspector,
            audit: Arc::default(),
            _directory: None,
        }
    }

    /// Waits until each handler has ended with each event, and how is stored.
    pub(crate) async fn settled(&self) {
        within(self.receiver.idle()).await;
        let all = RecordFilter::new();
        drop(self.receiver.records().unwrap().list(&all, None, 1).await);
    }

    /// Delivers an event and waits until its handler has ended with it.
    pub(crate) async fn deliver(&self, body: impl Into<Bytes>) {
        self.deliver_as(body, "application/json").await;
    }

    /// The same with a content type, where it can be one.
    pub(crate) async fn deliver_as(&self, body: impl Into<Bytes>, content_type: &str) {
        let before = self.receiver.stats();
        let mut request = signed(body);
        if let Ok(content_type) = content_type.parse() {
            request.headers_mut().insert(CONTENT_TYPE, content_type);
        }
        let answer = send(&self.receiver.service(), request).await;
        assert_eq!(answer.status(), 200);
        within(async {
            loop {
                let now = self.receiver.stats();
                if now.handled + now.dead > before.handled + before.dead {
                    return;
                }
                tokio::task::yield_now().await;
            }
        })
        .await;
    }

    pub(crate) async fn deliver_forged(&self, body: &str) {
        let mut request = signed(body.to_owned());
        let signature = format!("sha256={}", "0".repeat(64)).parse().unwrap();
        request
            .headers_mut()
            .insert("x-voipbin-signature", signature);
        let peer = PeerAddr("198.51.100.7:4711".parse().unwrap());
        request.extensions_mut().insert(peer);
        let answer = send(&self.receiver.service(), request).await;
        assert_eq!(answer.status(), 401);
    }

    /// The number of the latest event in this state.
    pub(crate) async fn latest(&self, state: RecordState) -> u64 {
        let records = self.receiver.records().unwrap();
        let filter = RecordFilter::new().state(state);
        within(async {
            loop {
                let page = records.latest(&filter, None, 1).await.unwrap();
                if let Some(record) = page.records.first() {
                    return record.id.get();
                }
                tokio::task::yield_now().await;
            }
        })
        .await
    }

    pub(crate) async fn get(&self, path: &str, access: &str) -> Page {
        self.ask("GET", path, &[(ACCESS, access)], "").await
    }

    /// Looks at what would be done with these dead letters, and gives the form that confirms it.
    pub(crate) async fn preview(&self, action: &str, q: &str, rate: u32) -> String {
        let page = self
            .get(&format!("/bulk?q={q}&action={action}"), "act")
            .await;
        assert_eq!(page.status, StatusCode::OK, "{}", page.text);
        let filter = form(hidden(&page.text, "q"));
        let upto = hidden(&page.text, "upto");
        format!("action={action}&q={filter}&upto={upto}&rate={rate}")
    }

    pub(crate) async fn ask(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        form: &str,
    ) -> Page {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request
            .body(Full::new(Bytes::from(form.to_owned())))
            .unwrap();
        ask(&self.inspector, request).await
    }
}

pub(crate) async fn ask(inspector: &InspectorService, request: Request<Full<Bytes>>) -> Page {
    let response = inspector.clone().oneshot(request).await.unwrap();
    let (head, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    Page {
        status: head.status,
        headers: head.headers,
        text: String::from_utf8(body.to_vec()).unwrap(),
    }
}

/// A hidden field of a page.
pub(crate) fn hidden<'a>(page: &'a str, name: &str) -> &'a str {
    let field = page.split(&format!("name=\"{name}\" value=\"")).nth(1);
    let field = field.unwrap_or_else(|| panic!("no {name}: {page}"));
    field.split('"').next().unwrap()
}

/// What a field of a page is in a form.
pub(crate) fn form(field: &str) -> String {
    let text = field.replace("&#34;", "\"");
    text.bytes().map(|byte| format!("%{byte:02x}")).collect()
}

impl Page {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }
}

/// A request of this machine, as the server passes it on.
pub(crate) fn local(host: &str) -> Request<Full<Bytes>> {
    Request::builder()
        .uri("/")
        .header(HOST, host)
        .extension(PeerAddr("127.0.0.1:4711".parse().unwrap()))
        .body(Full::default())
        .unwrap()
}

pub(crate) fn bearer(token: &str) -> [(&'static str, String); 1] {
    [("authorization", format!("Bearer {token}"))]
}

/// Every page there is, with an event of this number.
pub(crate) fn pages(id: u64) -> Vec<String> {
    let pages = [
        "/",
        "/events",
        "/dead",
        "/refused",
        "/handlers",
        "/settings",
        "/sign-in",
    ];
    let mut pages: Vec<_> = pages.into_iter().map(str::to_owned).collect();
    pages.push(format!("/events/{id}"));
    pages
}

/// Those that take the right to reveal.
pub(crate) fn revealing(id: u64) -> Vec<String> {
    vec![
        "/dead/revealed".to_owned(),
        "/export".to_owned(),
        "/events?q=error%3Astore".to_owned(),
        format!("/events/{id}/revealed"),
        "/events?q=text%3Ac7c1e226".to_owned(),
        "/events?q=number%3A%2B15551234567".to_owned(),
    ]
}

/// Those that take the right to act.
pub(crate) fn acting(id: u64) -> Vec<String> {
    vec![
        format!("/events/{id}/retry"),
        format!("/events/{id}/discard"),
        format!("/events/{id}/edit"),
        "/bulk".to_owned(),
        "/bulk/cancel".to_owned(),
        "/handlers/pause".to_owned(),
        "/handlers/resume".to_owned(),
    ]
}
