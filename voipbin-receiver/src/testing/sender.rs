use std::error::Error as StdError;
use std::fmt;
use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::pin;
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use http::header::InvalidHeaderValue;
use http::method::InvalidMethod;
use http::{HeaderValue, Method, Request, Response, Uri};
use http_body::Body;
use http_body_util::{BodyExt, Full};
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tower_service::Service;

use super::report::{Answer, AttemptError, Report};
use super::request::{JSON, RequestTemplate};
use super::signer::Signer;
use crate::gate::PeerAddr;

const ATTEMPTS: u32 = 3;
const PAUSE: Duration = Duration::from_secs(1);
const ANSWER_TIMEOUT: Duration = Duration::from_secs(15);
const EXCHANGE_TIMEOUT: Duration = Duration::from_secs(30);
const KEPT_OF_ANSWER: usize = 64 * 1024;

/// Delivers bodies as the platform does.
///
/// Up to 3 attempts in all, 1 s after one another, with the same bytes and the same signature. It
/// tries again after a connection that broke, 15 s without an answer, or a status of 500 and above;
/// every other status is final, 408 and 429 too, and so is `Retry-After` ignored. These are the
/// platform's own numbers, so a test that keeps them sees what the platform would do; a paused
/// tokio clock makes their waits free.
///
/// The service is anything that answers HTTP: one in the same process, or a client that reaches a
/// real server, such as hyper-util's. It is cloned for every delivery, so one sender can have many
/// under way at once.
///
/// Two things of the platform are left out. It follows up to two redirects, turning the request
/// into a `GET` without a body after a 301, 302 or 303; here a redirect is the final answer. And it
/// turns a user and password in the address into the header `Authorization`; here they are dropped.
///
/// ```
/// use bytes::Bytes;
/// use http::{Request, Response, StatusCode};
/// use http_body_util::Full;
/// use voipbin_receiver::testing::{Sender, Signer};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let overloaded = tower::service_fn(|_: Request<Full<Bytes>>| async {
///     let mut response = Response::new(Full::<Bytes>::default());
///     *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
///     Ok::<_, std::convert::Infallible>(response)
/// });
///
/// let sender = Sender::new(overloaded, Signer::new("the-webhook-secret-of-a-customer")).method("PUT")?;
/// let report = sender.send(r#"{"type":"call_hangup","data":{}}"#).await;
///
/// assert!(report.delivered().is_none());
/// assert_eq!(report.attempts().len(), 3);
/// # Ok(()) }
/// ```
#[derive(Clone)]
#[must_use = "a sender does nothing until it is told to send"]
pub struct Sender<S> {
    service: S,
    signer: Option<Signer>,
    template: RequestTemplate,
    schedule: RetrySchedule,
}

#[derive(Clone, Copy, Debug)]
struct RetrySchedule {
    attempts: u32,
    pause: Duration,
    answer_timeout: Duration,
}

/// Shows nothing of the URI, which may hold a password.
impl<S> fmt::Debug for Sender<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender")
            .field("signer", &self.signer)
            .field("schedule", &self.schedule)
            .finish_non_exhaustive()
    }
}

impl<S> Sender<S> {
    /// A sender for a customer with a secret.
    pub fn new(service: S, signer: Signer) -> Self {
        Self::with_signer(service, Some(signer))
    }

    /// A sender for a customer without a secret: the signature's header is missing.
    pub fn unsigned(service: S) -> Self {
        Self::with_signer(service, None)
    }

    fn with_signer(service: S, signer: Option<Signer>) -> Self {
        Self {
            service,
            signer,
            template: RequestTemplate {
                method: Method::POST,
                uri: Uri::from_static("/voipbin/webhook"),
                content_type: Some(JSON),
                signature: None,
                peer: None,
            },
            schedule: RetrySchedule {
                attempts: ATTEMPTS,
                pause: PAUSE,
                answer_timeout: ANSWER_TIMEOUT,
            },
        }
    }

    /// The same sender with something before its service.
    pub(super) fn through<T>(&self, before: impl FnOnce(S) -> T) -> Sender<T>
    where
        S: Clone,
    {
        Sender {
            service: before(self.service.clone()),
            signer: self.signer.clone(),
            template: self.template.clone(),
            schedule: self.schedule,
        }
    }

    /// The address to deliver to. Default: `/voipbin/webhook` on the host `localhost`.
    ///
    /// It is the target of each request, without a user and password, and its host the header
    /// `Host`; where the bytes go is the service's affair.
    pub fn uri(mut self, uri: Uri) -> Self {
        self.template.uri = uri;
        self
    }

    /// The method as the customer configured it. Default: `POST`.
    ///
    /// It is sent verbatim, lower case too; an empty string becomes `GET`, as on the platform.
    ///
    /// # Errors
    ///
    /// When the string cannot be a method in HTTP.
    pub fn method(mut self, configured: &str) -> Result<Self, InvalidMethod> {
        self.template.method = match configured {
            "" => Method::GET,
            method => Method::from_bytes(method.as_bytes())?,
        };
        Ok(self)
    }

    /// The content type. Default: `application/json`, as every event of the platform has.
    ///
    /// The flow action `webhook_send` can send any other, or none: with an empty string the header
    /// is missing.
    ///
    /// # Errors
    ///
    /// When the string cannot be the value of a header.
    pub fn content_type(mut self, configured: &str) -> Result<Self, InvalidHeaderValue> {
        self.template.content_type = match configured {
            "" => None,
            value => Some(HeaderValue::from_str(value)?),
        };
        Ok(self)
    }

    /// Where the requests come from: what a server tells by a [`PeerAddr`], for receivers with
    /// [`allow_sources`](crate::ReceiverBuilder::allow_sources) or a limit for each source.
    /// Default: nobody tells. For services in the same process; over TCP the server knows better.
    ///
    /// ```
    /// use voipbin_receiver::Receiver;
    /// use voipbin_receiver::events::CallHangup;
    /// use voipbin_receiver::testing::{Sender, Signer, event};
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let receiver = Receiver::builder()
    ///     .secret("the-webhook-secret-of-a-customer")
    ///     .allow_sources(["203.0.113.0/24"])
    ///     .on(CallHangup, || async {})
    ///     .build()?;
    /// let sender = Sender::new(receiver.service(), Signer::new("the-webhook-secret-of-a-customer"));
    ///
    /// let stranger = sender.clone().peer("198.51.100.7:4711".parse()?);
    /// let report = stranger.send(event(CallHangup)).await;
    /// assert!(report.delivered().is_some_and(|answer| answer.status() == 403));
    ///
    /// let voipbin = sender.peer("203.0.113.5:4711".parse()?);
    /// let report = voipbin.send(event(CallHangup)).await;
    /// assert!(report.delivered().is_some_and(|answer| answer.status() == 200));
    /// # Ok(()) }
    /// ```
    pub fn peer(mut self, peer: SocketAddr) -> Self {
        self.template.peer = Some(PeerAddr(peer));
        self
    }

    /// How many attempts there are in all. Default: 3. Zero counts as one.
    pub fn attempts(mut self, attempts: u32) -> Self {
        self.schedule.attempts = attempts;
        self
    }

    /// The pause between two attempts. Default: 1 s, without backoff or jitter.
    pub fn pause(mut self, pause: Duration) -> Self {
        self.schedule.pause = pause;
        self
    }

    /// How long an attempt waits for the head of the answer. Default: 15 s.
    ///
    /// It runs from handing the request to the service. The platform counts from the last written
    /// byte of the request, which is the same for a server that reads at once.
    pub fn answer_timeout(mut self, timeout: Duration) -> Self {
        self.schedule.answer_timeout = timeout;
        self
    }
}

impl<S, B> Sender<S>
where
    S: Service<Request<Full<Bytes>>, Response = Response<B>> + Clone,
    S::Error: Into<Box<dyn StdError + Send + Sync>>,
    B: Body,
{
    /// Delivers one body, and tells how it went once it is delivered or given up.
    ///
    /// The body is signed and sent as it is; that it is an event, or JSON at all, is up to the
    /// caller. The future borrows nothing, so it can be spawned; it is `Send` when the service is.
    ///
    /// # Panics
    ///
    /// When polled outside of a tokio runtime with its clock enabled.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future drops the request that is under way, as a sender does that dies; there
    /// is no further attempt.
    pub fn send<T: Into<Bytes>>(&self, body: T) -> impl Future<Output = Report> + use<S, B, T> {
        let body = body.into();
        let mut template = self.template.clone();
        template.signature = self.signer.as_ref().and_then(|signer| signer.header(&body));
        deliver(self.service.clone(), template, body, self.schedule)
    }
}

async fn deliver<S, B>(
    mut service: S,
    template: RequestTemplate,
    body: Bytes,
    schedule: RetrySchedule,
) -> Report
where
    S: Service<Request<Full<Bytes>>, Response = Response<B>>,
    S::Error: Into<Box<dyn StdError + Send + Sync>>,
    B: Body,
{
    let mut attempts = Vec::new();
    for left in (0..schedule.attempts.max(1)).rev() {
        let request = template.addressed(body.clone());
        let attempt = exchange(&mut service, request, schedule.answer_timeout).await;
        let is_final = attempt.as_ref().is_ok_and(Answer::is_final);
        attempts.push(attempt);
        if is_final {
            break;
        }
        if left > 0 {
            sleep(schedule.pause).await;
        }
    }
    Report { attempts }
}

async fn exchange<S, B>(
    service: &mut S,
    request: Request<Full<Bytes>>,
    answer_timeout: Duration,
) -> Result<Answer, AttemptError>
where
    S: Service<Request<Full<Bytes>>, Response = Response<B>>,
    S::Error: Into<Box<dyn StdError + Send + Sync>>,
    B: Body,
{
    let end = Instant::now() + EXCHANGE_TIMEOUT;
    let answer = async {
        poll_fn(|cx| service.poll_ready(cx)).await?;
        service.call(request).await
    };
    let (head, body) = match timeout(answer_timeout, answer).await {
        Ok(Ok(response)) => response.into_parts(),
        Ok(Err(error)) => return Err(AttemptError::broken(error.into())),
        Err(_) => return Err(AttemptError::timed_out()),
    };
    let mut kept = BytesMut::new();
    // The status alone decides: a body that breaks or takes too long changes nothing.
    let _ = timeout_at(end, drain(body, &mut kept)).await;
    Ok(Answer {
        status: head.status,
        headers: head.headers,
        body: kept.freeze(),
    })
}

/// Reads to the end, also beyond what is kept: that is what makes a connection usable again.
async fn drain<B: Body>(body: B, kept: &mut BytesMut) {
    let mut body = pin!(body);
    while let Some(Ok(frame)) = body.as_mut().frame().await {
        if let Ok(data) = frame.into_data() {
            let room = KEPT_OF_ANSWER.saturating_sub(kept.len());
            kept.put(data.take(room));
        }
    }
}

#[cfg(test)]
mod tests;
