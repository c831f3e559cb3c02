use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode};
use http_body::{Body, Frame};
use ipnet::IpNet;
use tokio::runtime::{Builder, Handle};
use voipbin_receiver::catalog::{Any, Custom, EventType};
use voipbin_receiver::event::{BodyErrorKind, Delivery};
use voipbin_receiver::gate::{Limits, PeerAddr, SIGNATURE_HEADER, SignatureErrorKind};
use voipbin_receiver::testing::{Recorder, TokioClock, delivery};
use voipbin_receiver::{Receiver, ReceiverBuilder, events};

use crate::envelope::refusal;
use crate::signature::{signed, verdict};
use crate::{head_and_body, send};

const SECRET: &str = "AbCdEfGhIjKlMnOpQrStUvWxYz012-_9";
const BODY_LIMIT: usize = 3000;
const HEADER_LIMIT: usize = 600;
const HEADER_COUNT_LIMIT: usize = 12;
const ALLOWED: &str = "203.0.113.0/24";
const FRIEND: &str = "203.0.113.9";

/// Any request is answered as documented, 200 only for what is kept or unmatched. What is refused
/// is not remembered, and what is kept reaches its handler once, byte for byte, however its body
/// was cut.
///
/// The first line has the method and words: `signed` adds the signature; `cut=3` ends a frame of
/// the body after so many bytes; `breaks`, `hangs` and `trailers` are its end; `from=203.0.113.9`
/// is the peer; `guarded` sets a list of sources; `unsigned` allows what is not signed; `unheard`
/// has a handler for another event alone. Then come headers, an empty line and the body.
pub fn edge(bytes: &[u8]) {
    let Some(script) = Script::read(bytes) else {
        return;
    };
    let runtime = Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(script.run());
}

#[derive(Default)]
struct Script {
    method: Method,
    headers: HeaderMap,
    cuts: VecDeque<usize>,
    end: End,
    peer: Option<IpAddr>,
    guarded: bool,
    unsigned: bool,
    unheard: bool,
    body: Bytes,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum End {
    #[default]
    Ends,
    Trailers,
    Breaks,
    Hangs,
}

impl Script {
    fn read(bytes: &[u8]) -> Option<Self> {
        let (mut lines, body) = head_and_body(bytes);
        let mut words = lines.next()?.split(|byte| *byte == b' ');
        let mut script = Self {
            method: Method::from_bytes(words.next()?).ok()?,
            body: Bytes::copy_from_slice(body),
            ..Self::default()
        };
        for line in lines {
            let colon = line.iter().position(|byte| *byte == b':')?;
            let name = HeaderName::from_bytes(&line[..colon]).ok()?;
            let value = HeaderValue::from_bytes(line[colon + 1..].trim_ascii()).ok()?;
            script.headers.append(name, value);
        }
        for word in words {
            script.add(std::str::from_utf8(word).ok()?);
        }
        Some(script)
    }

    fn add(&mut self, word: &str) {
        let (word, value) = word.split_once('=').unwrap_or((word, ""));
        match word {
            "signed" => {
                let signature = signed(SECRET, &self.body).unwrap();
                self.headers.append(SIGNATURE_HEADER, signature);
            }
            "cut" => self.cuts.extend(value.parse::<usize>()),
            "trailers" => self.end = End::Trailers,
            "breaks" => self.end = End::Breaks,
            "hangs" => self.end = End::Hangs,
            "from" => self.peer = value.parse().ok(),
            "guarded" => self.guarded = true,
            "unsigned" => self.unsigned = true,
            "unheard" => self.unheard = true,
            _ => {}
        }
    }

    async fn run(self) {
        let recorder = Recorder::new();
        let receiver = self.receiver(recorder.clone());
        let answer = send(&receiver, self.request()).await;
        let first = self.expected();
        assert!(
            answer.status == first || (self.is_proxied() && is_kept_out(answer.status)),
            "{answer:?}, not {first}"
        );
        let is_kept = answer.is_ok() && !self.is_unmatched();
        let stats = receiver.stats();
        assert_eq!(stats.accepted, u64::from(is_kept));
        assert_eq!(stats.unmatched, u64::from(answer.is_ok() && !is_kept));
        assert_eq!(stats.duplicates, 0);
        assert_eq!(answer.word == "received", answer.is_ok());
        assert_eq!(answer.word == "refused", !answer.is_ok());

        // Nothing that was refused is remembered, and of what was kept this is a copy.
        let again = send(&receiver, self.regular()).await;
        let is_copy = is_kept && self.verdict().is_ok() && self.has_own_identity();
        assert_eq!(again.status, self.after_head(true), "{again:?}");
        assert_eq!(again.word == "duplicate", is_copy, "{again:?}");
        let runs =
            usize::from(is_kept) + usize::from(again.is_ok() && !is_copy && !self.is_unmatched());

        let report = receiver.shutdown(Duration::from_secs(3600)).await;
        assert!(report.is_drained());
        let ran = recorder.runs();
        assert_eq!(ran.len(), runs);
        for run in ran {
            assert_eq!(run.delivery().body(), &self.body);
        }
    }

    fn receiver(&self, recorder: Recorder) -> Receiver {
        let configured = |builder: ReceiverBuilder| {
            let builder = match self.unheard {
                true => builder.on(events::CallCreated, recorder),
                false => builder.on((Any, Custom), recorder),
            };
            let builder = match self.guarded {
                true => builder
                    .allow_sources([ALLOWED])
                    .trust_proxies(["10.0.0.0/8"]),
                false => builder,
            };
            match self.unsigned {
                true => builder.allow_unsigned(),
                false => builder,
            }
        };
        let builder = Receiver::builder()
            .secret(SECRET)
            .limits(
                Limits::new()
                    .body_limit(BODY_LIMIT)
                    .header_limit(HEADER_LIMIT)
                    .header_count_limit(HEADER_COUNT_LIMIT),
            )
            .runtime(Handle::current())
            .clock(Arc::new(TokioClock::new()));
        configured(builder).build().unwrap()
    }

    fn request(&self) -> Request<Frames> {
        let mut frames = VecDeque::new();
        let mut rest = self.body.clone();
        for cut in &self.cuts {
            frames.push_back(rest.split_to(rest.len().min(*cut)));
        }
        if !rest.is_empty() {
            frames.push_back(rest);
        }
        let mut request = Request::new(Frames {
            frames,
            end: self.end,
        });
        *request.method_mut() = self.method.clone();
        *request.headers_mut() = self.headers.clone();
        if let Some(address) = self.peer {
            request.extensions_mut().insert(peer(address));
        }
        request
    }

    /// The same body as the platform would send it, by a friend.
    fn regular(&self) -> Request<Frames> {
        let mut request = Request::new(Frames {
            frames: VecDeque::from([self.body.clone()]),
            end: End::Ends,
        });
        let signature = signed(SECRET, &self.body).unwrap();
        *request.method_mut() = Method::POST;
        request.headers_mut().insert(SIGNATURE_HEADER, signature);
        request
            .extensions_mut()
            .insert(peer(FRIEND.parse().unwrap()));
        request
    }

    /// The documented answer, the cheap checks first.
    fn expected(&self) -> StatusCode {
        let method = self.method.as_str().to_ascii_uppercase();
        if !["POST", "PUT", "GET", "DELETE"].contains(&&*method) {
            return StatusCode::METHOD_NOT_ALLOWED;
        }
        let size = |(name, value): (&HeaderName, &HeaderValue)| name.as_str().len() + value.len();
        let bytes: usize = self.headers.iter().map(size).sum();
        if self.headers.len() > HEADER_COUNT_LIMIT || bytes > HEADER_LIMIT {
            return StatusCode::SERVICE_UNAVAILABLE;
        }
        let declared = self.headers.get("content-length");
        let declared = declared.and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
        if declared.is_some_and(|length| length > BODY_LIMIT as u64) {
            return StatusCode::PAYLOAD_TOO_LARGE;
        }
        match self.peer.map(|peer| peer.to_canonical()) {
            _ if !self.guarded => {}
            None => return StatusCode::SERVICE_UNAVAILABLE,
            Some(peer) if is_friend(peer) || self.is_proxied() => {}
            Some(peer) if is_private(peer) => return StatusCode::SERVICE_UNAVAILABLE,
            Some(_) => return StatusCode::FORBIDDEN,
        }
        self.after_head(false)
    }

    /// What is answered once a body is read: that of the request, or the same sent as it should be.
    fn after_head(&self, regular: bool) -> StatusCode {
        if self.body.len() > BODY_LIMIT {
            return StatusCode::PAYLOAD_TOO_LARGE;
        }
        if !regular && matches!(self.end, End::Breaks | End::Hangs) {
            return StatusCode::SERVICE_UNAVAILABLE;
        }
        let unsigned = self.unsigned && !self.headers.contains_key(SIGNATURE_HEADER);
        if !regular && !unsigned {
            match self.verdict() {
                Ok(()) => {}
                Err(SignatureErrorKind::NoBody) => return StatusCode::SERVICE_UNAVAILABLE,
                Err(_) => return StatusCode::UNAUTHORIZED,
            }
        }
        match refusal(&self.body) {
            Some(BodyErrorKind::Empty) => StatusCode::SERVICE_UNAVAILABLE,
            Some(_) => StatusCode::BAD_REQUEST,
            None => StatusCode::OK,
        }
    }

    fn verdict(&self) -> Result<(), SignatureErrorKind> {
        verdict(&[SECRET], &self.headers, &self.body)
    }

    /// Whether a proxy is asked who the client is: what becomes of that is another property.
    fn is_proxied(&self) -> bool {
        let peer = self.peer.map(|peer| peer.to_canonical().to_string());
        self.guarded && peer.is_some_and(|peer| peer.starts_with("10."))
    }

    fn delivery(&self) -> Option<Delivery> {
        delivery(self.body.clone()).ok()
    }

    fn has_own_identity(&self) -> bool {
        self.delivery()
            .is_some_and(|delivery| delivery.has_own_identity())
    }

    fn is_unmatched(&self) -> bool {
        let event_type = self.delivery().and_then(|delivery| delivery.event_type());
        self.unheard && event_type != Some(EventType::CallCreated)
    }
}

fn is_friend(peer: IpAddr) -> bool {
    matches!(peer, IpAddr::V4(peer) if peer.octets()[..3] == [203, 0, 113])
}

/// Behind a proxy: it names nobody, or somebody who may not.
fn is_kept_out(status: StatusCode) -> bool {
    status == StatusCode::FORBIDDEN || status == StatusCode::SERVICE_UNAVAILABLE
}

fn is_private(peer: IpAddr) -> bool {
    let networks = [
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "::1/128",
        "fc00::/7",
        "fe80::/10",
    ];
    let contains = |network: &str| network.parse::<IpNet>().unwrap().contains(&peer);
    networks.into_iter().any(contains)
}

fn peer(address: IpAddr) -> PeerAddr {
    PeerAddr(SocketAddr::new(address, 443))
}

/// A body in frames.
struct Frames {
    frames: VecDeque<Bytes>,
    end: End,
}

impl Body for Frames {
    type Data = Bytes;
    type Error = &'static str;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, &'static str>>> {
        if let Some(frame) = self.frames.pop_front() {
            return Poll::Ready(Some(Ok(Frame::data(frame))));
        }
        match std::mem::take(&mut self.end) {
            End::Ends => Poll::Ready(None),
            End::Trailers => Poll::Ready(Some(Ok(Frame::trailers(HeaderMap::new())))),
            End::Breaks => Poll::Ready(Some(Err("it broke off"))),
            End::Hangs => {
                self.end = End::Hangs;
                Poll::Pending
            }
        }
    }
}
