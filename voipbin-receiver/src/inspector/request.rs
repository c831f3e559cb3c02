//! What a request asks for, read within bounds.

use std::pin::pin;
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes};
use http::request::Parts;
use http_body::Body;
use http_body_util::BodyExt;
use tokio::time::timeout;

use super::access::Access;
use crate::observe::RefusalReason;

/// The longest query of an address, in bytes.
const QUERY: usize = 2048;

/// The longest form, in bytes.
pub(super) const FORM: usize = 16 << 10;

/// The same of one with a body.
pub(super) const LONG_FORM: usize = 4 << 20;

/// How long a form may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// A request that has passed the guard.
pub(super) struct Request {
    /// What its sender may do.
    pub(super) access: Access,
    /// From the page to the inspector's own root: `./` or one `../` for each folder.
    pub(super) root: &'static str,
    /// Whether the page is kept up to date while it is open.
    pub(super) live: Option<u64>,
    /// What a stream has sent last.
    pub(super) last_event: Option<String>,
    query: Fields,
    form: Fields,
}

type Fields = Vec<(String, String)>;

/// It is longer than it may be, broke off or took too long.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unreadable;

impl Request {
    pub(super) fn new(
        access: Access,
        root: &'static str,
        head: &Parts,
        form: &[u8],
    ) -> Result<Self, Unreadable> {
        let query = head.uri.query().unwrap_or_default();
        if query.len() > QUERY {
            return Err(Unreadable);
        }
        let last_event = head.headers.get("last-event-id");
        Ok(Self {
            last_event: last_event.and_then(|id| id.to_str().ok().map(str::to_owned)),
            form: fields(form),
            ..Self::of_page(access, root, query)
        })
    }

    /// One for a page.
    pub(super) fn of_page(access: Access, root: &'static str, query: &str) -> Self {
        Self {
            access,
            root,
            live: None,
            last_event: None,
            query: fields(query.as_bytes()),
            form: Vec::new(),
        }
    }

    /// A parameter of the address.
    pub(super) fn query(&self, name: &str) -> Option<&str> {
        field(&self.query, name)
    }

    /// The reason of the refusals that are asked for.
    pub(super) fn reason(&self) -> Option<RefusalReason> {
        let wanted = self.query("reason")?;
        let mut all = RefusalReason::ALL.iter().copied();
        all.find(|reason| reason.as_str() == wanted)
    }

    /// A field of the form.
    pub(super) fn form(&self, name: &str) -> Option<&str> {
        field(&self.form, name)
    }
}

fn fields(text: &[u8]) -> Fields {
    form_urlencoded::parse(text).into_owned().collect()
}

fn field<'a>(fields: &'a Fields, name: &str) -> Option<&'a str> {
    let mut fields = fields.iter();
    let found = fields.find(|(named, _)| named == name);
    found.map(|(_, value)| value.as_str())
}

/// The body of a request that may change something.
pub(super) async fn read<B: Body>(body: B, most: usize) -> Result<Bytes, Unreadable> {
    match timeout(PATIENCE, collect(body, most)).await {
        Ok(read) => read,
        Err(_) => Err(Unreadable),
    }
}

async fn collect<B: Body>(body: B, most: usize) -> Result<Bytes, Unreadable> {
    let mut body = pin!(body);
    let mut form = Vec::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| Unreadable)?.into_data() else {
            continue;
        };
        if form.len() + data.remaining() > most {
            return Err(Unreadable);
        }
        form.put(data);
    }
    Ok(form.into())
}
