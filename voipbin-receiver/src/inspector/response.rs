//! The one place that makes responses, so that none is without the headers that keep a browser
//! safe.

use std::convert::Infallible;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use askama::Template;
use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::stream::Stream;
use http::header::{
    ALLOW, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName,
    HeaderValue, LOCATION, REFERRER_POLICY, RETRY_AFTER, SET_COOKIE, WWW_AUTHENTICATE,
    X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use http::{Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt, Full};

/// The body of a response of the inspector: a page, or a stream of what comes.
#[derive(Debug, Default)]
pub struct InspectorBody(Content);

enum Content {
    Full(Full<Bytes>),
    Stream(Pin<Box<dyn Stream<Item = Bytes> + Send>>),
}

impl Body for InspectorBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match &mut self.0 {
            Content::Full(full) => Pin::new(full).poll_frame(cx),
            Content::Stream(stream) => {
                let next = stream.as_mut().poll_next(cx);
                next.map(|next| next.map(|bytes| Ok(Frame::data(bytes))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Content::Full(full) => full.is_end_stream(),
            Content::Stream(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Content::Full(full) => full.size_hint(),
            Content::Stream(_) => SizeHint::default(),
        }
    }
}

impl Default for Content {
    fn default() -> Self {
        Self::Full(Full::default())
    }
}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full(_) => "Full",
            Self::Stream(_) => "Stream",
        })
    }
}

/// On every response, whatever it is.
const HARDENING: [(HeaderName, &str); 7] = [
    (
        CONTENT_SECURITY_POLICY,
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
         frame-ancestors 'none'; base-uri 'none'; form-action 'self'",
    ),
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (X_FRAME_OPTIONS, "DENY"),
    (CACHE_CONTROL, "no-store"),
    (REFERRER_POLICY, "no-referrer"),
    (
        HeaderName::from_static("cross-origin-opener-policy"),
        "same-origin",
    ),
    (
        HeaderName::from_static("cross-origin-resource-policy"),
        "same-origin",
    ),
];

pub(super) const HTML: &str = "text/html; charset=utf-8";

/// What is answered.
pub(super) struct PageResponse {
    status: StatusCode,
    content_type: &'static str,
    body: Content,
    headers: Vec<(HeaderName, String)>,
    /// Whether a browser may keep it: its address changes with its content.
    is_lasting: bool,
}

impl PageResponse {
    pub(super) fn new(content_type: &'static str, body: impl Into<Bytes>) -> Self {
        Self {
            status: StatusCode::OK,
            content_type,
            body: Content::Full(Full::new(body.into())),
            headers: Vec::new(),
            is_lasting: false,
        }
    }

    /// One that goes on.
    pub(super) fn stream(
        content_type: &'static str,
        stream: Pin<Box<dyn Stream<Item = Bytes> + Send>>,
    ) -> Self {
        Self {
            body: Content::Stream(stream),
            ..Self::new(content_type, "")
        }
    }

    /// The text of it, where it was answered like this.
    pub(super) fn page_text(self, status: StatusCode) -> Option<Bytes> {
        let Content::Full(page) = self.body else {
            return None;
        };
        let page = page.collect().now_or_never()?.ok()?.to_bytes();
        (self.status == status).then_some(page)
    }

    pub(super) fn lasting(self) -> Self {
        Self {
            is_lasting: true,
            ..self
        }
    }

    /// To be saved under this name.
    pub(super) fn attachment(self, name: &str) -> Self {
        let value = format!("attachment; filename=\"{name}\"");
        self.header(CONTENT_DISPOSITION, value)
    }

    pub(super) fn retry_after(self, seconds: u32) -> Self {
        self.header(RETRY_AFTER, seconds.to_string())
    }

    /// A template that cannot be written has a field that cannot.
    pub(super) fn page(page: &impl Template) -> Self {
        match page.render() {
            // A browser would read a return for the end of a line.
            Ok(page) => Self::new(HTML, page.replace('\r', "&#13;")),
            Err(_) => Self::new("text/plain", "the page could not be written")
                .status(StatusCode::INTERNAL_SERVER_ERROR),
        }
    }

    /// To be read with GET. The place is relative to the page.
    pub(super) fn see_other(place: String) -> Self {
        Self::new("text/plain", "")
            .status(StatusCode::SEE_OTHER)
            .header(LOCATION, place)
    }

    pub(super) fn status(self, status: StatusCode) -> Self {
        Self { status, ..self }
    }

    pub(super) fn allow(self, methods: &str) -> Self {
        self.header(ALLOW, methods.to_owned())
    }

    pub(super) fn authenticate(self, scheme: &str) -> Self {
        self.header(WWW_AUTHENTICATE, scheme.to_owned())
    }

    pub(super) fn cookie(self, cookie: Option<String>) -> Self {
        match cookie {
            Some(cookie) => self.header(SET_COOKIE, cookie),
            None => self,
        }
    }

    fn header(mut self, name: HeaderName, value: String) -> Self {
        self.headers.push((name, value));
        self
    }

    /// For HEAD the body is left out.
    pub(super) fn into_response(self, with_body: bool) -> Response<InspectorBody> {
        let body = match with_body {
            true => self.body,
            false => Content::default(),
        };
        let mut response = Response::new(InspectorBody(body));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(self.content_type));
        for (name, value) in self.headers {
            if let Ok(value) = HeaderValue::from_str(&value) {
                headers.insert(name, value);
            }
        }
        for (name, value) in HARDENING {
            headers.insert(name, HeaderValue::from_static(value));
        }
        if self.is_lasting {
            const YEAR: &str = "private, max-age=31536000, immutable";
            headers.insert(CACHE_CONTROL, HeaderValue::from_static(YEAR));
        }
        response
    }
}
