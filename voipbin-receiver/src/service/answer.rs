use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_TYPE};
use http::{HeaderValue, Response, StatusCode, Version};
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;

use crate::event::BodyErrorKind;
use crate::gate::{Exceeded, SignatureErrorKind};
use crate::inbox::{KeepErrorKind, Kept};
use crate::pipeline::{Answer, Refusal};

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

/// How a refusal is answered. The sender tries again only after a 5xx; everything else is final, and
/// so only for what is wrong with the request itself or is meant to be kept out. What this side's operator can
/// mend, in the settings or in a proxy, is a 503.
struct Reply {
    status: StatusCode,
    code: &'static str,
    message: &'static str,
    /// The connection is in no state to carry another request, or should not.
    close: bool,
}

impl Reply {
    const fn new(status: StatusCode, code: &'static str, message: &'static str) -> Self {
        Self {
            status,
            code,
            message,
            close: false,
        }
    }

    const fn closing(self) -> Self {
        Self {
            close: true,
            ..self
        }
    }
}

fn reply(refusal: &Refusal) -> Reply {
    const AGAIN: StatusCode = StatusCode::SERVICE_UNAVAILABLE;
    match refusal {
        Refusal::Method => Reply::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "method_not_allowed",
            "send the event with POST, PUT, GET or DELETE",
        )
        .closing(),
        Refusal::TooLarge => Reply::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "body_too_large",
            "the body is over the receiver's limit; raise body_limit if such events are to be received",
        )
        .closing(),
        Refusal::TooSlow => Reply::new(
            AGAIN,
            "body_timeout",
            "the body did not come in time; send the event again",
        )
        .closing(),
        Refusal::Broken => Reply::new(
            AGAIN,
            "body_incomplete",
            "the body broke off; send the event again",
        )
        .closing(),
        // VoIPBIN sends six short headers: a proxy added the rest, which can be mended.
        Refusal::Head => Reply::new(
            AGAIN,
            "headers_too_large",
            "the request has more headers, or longer ones, than the receiver takes; raise header_limit or header_count_limit if a proxy adds them",
        )
        .closing(),
        Refusal::Busy => Reply::new(
            AGAIN,
            "too_busy",
            "the receiver answers as many requests as it can; send the event again",
        )
        .closing(),
        // The honest word would be 429, which the sender takes for final.
        Refusal::Rate(Exceeded::Source) => Reply::new(
            AGAIN,
            "source_rate_exceeded",
            "more comes from this address than the receiver takes; send the event again later",
        )
        .closing(),
        Refusal::Rate(Exceeded::All) => Reply::new(
            AGAIN,
            "rate_exceeded",
            "more comes than the receiver takes; send the event again later",
        )
        .closing(),
        Refusal::Source(error) if error.is_final() => Reply::new(
            StatusCode::FORBIDDEN,
            "source_not_allowed",
            "the receiver accepts requests from the addresses on its list alone",
        )
        .closing(),
        Refusal::Source(_) => Reply::new(
            AGAIN,
            "source_unknown",
            "the receiver cannot tell where requests come from; see its log, and send the event again",
        )
        .closing(),
        Refusal::Signature(error) => {
            let kind = error.kind();
            let status = match kind {
                // A redirect on this side took the body: it can be mended.
                SignatureErrorKind::NoBody => AGAIN,
                _ => StatusCode::UNAUTHORIZED,
            };
            Reply::new(status, kind.code(), kind.sentence())
        }
        Refusal::Secrets => Reply::new(
            AGAIN,
            "secrets_unavailable",
            "the receiver does not know all of its secrets at present; see its log, and send the event again",
        ),
        Refusal::Body(error) => {
            let (status, code, message) = match error.kind() {
                BodyErrorKind::Empty => (
                    AGAIN,
                    "body_empty",
                    "the request has no body; a redirect from http to https or to another path drops it, so give VoIPBIN the final URL",
                ),
                BodyErrorKind::NotUtf8 => (
                    StatusCode::BAD_REQUEST,
                    "body_not_utf8",
                    "send the event as JSON in UTF-8",
                ),
                BodyErrorKind::NotJson => (
                    StatusCode::BAD_REQUEST,
                    "body_not_json",
                    "send the event as one JSON value",
                ),
            };
            Reply::new(status, code, message)
        }
        // Final: it only gets older.
        Refusal::TooOld(_) => Reply::new(
            StatusCode::FORBIDDEN,
            "event_too_old",
            "the event is older than the receiver accepts; raise max_event_age if events come late",
        ),
        Refusal::Identity => Reply::new(
            AGAIN,
            "identity_failed",
            "the receiver could not tell which event this is; see its log, and send the event again",
        ),
        Refusal::Keep(error) => match error.kind() {
            KeepErrorKind::Full => Reply::new(
                AGAIN,
                "inbox_full",
                "the receiver has no room for the event; send it again later",
            ),
            KeepErrorKind::Draining => Reply::new(
                AGAIN,
                "shutting_down",
                "the receiver is shutting down; send the event again",
            )
            .closing(),
            KeepErrorKind::Storage => Reply::new(
                AGAIN,
                "inbox_failed",
                "the receiver cannot store the event; see its log, and send the event again",
            ),
        },
    }
}

const RECEIVED: &[u8] = br#"{"status":"received"}"#;
const DUPLICATE: &[u8] = br#"{"status":"duplicate"}"#;

/// The response: never a redirect, never to be cached, and closing only where HTTP/1 knows how.
pub(super) fn respond(
    outcome: &Result<Answer, Refusal>,
    version: Version,
) -> Response<ResponseBody> {
    let (status, body, refused) = match outcome {
        Ok(Answer::Kept(Kept::New) | Answer::Unmatched) => {
            (StatusCode::OK, Bytes::from_static(RECEIVED), None)
        }
        Ok(Answer::Kept(Kept::Duplicate)) => (StatusCode::OK, Bytes::from_static(DUPLICATE), None),
        Err(refusal) => {
            let reply = reply(refusal);
            // Neither string needs escaping; a test holds that.
            let body = format!(
                r#"{{"status":"refused","code":"{}","message":"{}"}}"#,
                reply.code, reply.message
            );
            (reply.status, body.into(), Some(reply))
        }
    };
    let mut response = Response::new(ResponseBody(Full::new(body)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Some(reply) = refused {
        if reply.status == StatusCode::METHOD_NOT_ALLOWED {
            headers.insert(ALLOW, HeaderValue::from_static("POST, PUT, GET, DELETE"));
        }
        if reply.close && version <= Version::HTTP_11 {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
    }
    response
}
