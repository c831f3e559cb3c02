use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_TYPE};
use http::{HeaderValue, Response, StatusCode, Version};
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;

use crate::observe::{Accepted, Connection, Refusal};

/// The body of an answer: a few bytes of JSON, in one frame.
#[derive(Clone, Debug)]
pub struct ResponseBody(Full<Bytes>);

impl Body for ResponseBody {
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

const RECEIVED: &[u8] = br#"{"status":"received"}"#;
const DUPLICATE: &[u8] = br#"{"status":"duplicate"}"#;

/// The response: never a redirect, never to be cached, and closing only where HTTP/1 knows how.
pub(super) fn respond(
    result: &Result<Accepted, Refusal>,
    version: Version,
) -> Response<ResponseBody> {
    let body = match result {
        Ok(Accepted::New | Accepted::Unmatched) => Bytes::from_static(RECEIVED),
        Ok(Accepted::Duplicate) => Bytes::from_static(DUPLICATE),
        Err(refusal) => {
            // Neither string needs escaping; a test holds that.
            let (code, message) = refusal.answer();
            format!(r#"{{"status":"refused","code":"{code}","message":"{message}"}}"#).into()
        }
    };
    let mut response = Response::new(ResponseBody(Full::new(body)));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Err(refusal) = result {
        let row = refusal.reason().row();
        if row.status == StatusCode::METHOD_NOT_ALLOWED {
            headers.insert(ALLOW, HeaderValue::from_static("POST, PUT, GET, DELETE"));
        }
        if row.connection == Connection::Close && version <= Version::HTTP_11 {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        *response.status_mut() = row.status;
    }
    response
}
