//! The one place that makes responses, so that none is without the headers that keep a browser
//! safe.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use askama::Template;
use bytes::Bytes;
use http::header::{
    ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, HeaderValue, LOCATION,
    REFERRER_POLICY, SET_COOKIE, WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use http::{Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;

/// The body of a response of the inspector.
#[derive(Clone, Debug, Default)]
pub struct InspectorBody(Full<Bytes>);

impl Body for InspectorBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Pin::new(&mut self.0).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.size_hint()
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
pub(super) struct Reply {
    status: StatusCode,
    content_type: &'static str,
    body: Bytes,
    headers: Vec<(HeaderName, String)>,
}

impl Reply {
    pub(super) fn new(content_type: &'static str, body: impl Into<Bytes>) -> Self {
        Self {
            status: StatusCode::OK,
            content_type,
            body: body.into(),
            headers: Vec::new(),
        }
    }

    /// A template that cannot be written has a field that cannot.
    pub(super) fn page(page: &impl Template) -> Self {
        match page.render() {
            Ok(page) => Self::new(HTML, page),
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
            false => Bytes::new(),
        };
        let mut response = Response::new(InspectorBody(Full::new(body)));
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
        response
    }
}
