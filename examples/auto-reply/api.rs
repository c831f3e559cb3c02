use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use reqwest::{Client, StatusCode, Url};
use serde_json::json;
use voipbin_receiver::resource::Address;

/// How long VoIPBIN may take to answer.
const TIMEOUT: Duration = Duration::from_secs(10);

/// What the handlers need of VoIPBIN's API.
///
/// For `https://api.voipbin.net`, turn on reqwest's feature `rustls`.
#[derive(Clone)]
pub(crate) struct Api {
    client: Client,
    messages: Url,
    access_key: Arc<str>,
}

impl Api {
    /// The API at this address, with an access key (`vb_…`) of the customer.
    pub(crate) fn new(base: &Url, access_key: &str) -> Result<Self, ApiError> {
        Ok(Self {
            client: Client::builder()
                .timeout(TIMEOUT)
                .redirect(reqwest::redirect::Policy::none())
                .build()?,
            messages: base.join("/v1.0/messages").map_err(|_| ApiError::Base)?,
            access_key: access_key.into(),
        })
    }

    /// Sends an SMS. After a timeout nobody knows whether it went out, and each one costs money:
    /// see
    /// [`ApiError::may_try_again`].
    pub(crate) async fn send_message(
        &self,
        source: &Address,
        destination: &Address,
        text: &str,
    ) -> Result<(), ApiError> {
        let body = json!({"source": source, "destinations": [destination], "text": text});
        let response = self
            .client
            .post(self.messages.clone())
            // VoIPBIN takes an access key in the query or a cookie, not in a header of its own.
            .query(&[("accesskey", &*self.access_key)])
            .json(&body)
            .send()
            .await?;
        match response.status() {
            status if status.is_success() => Ok(()),
            status => Err(ApiError::Refused(status)),
        }
    }
}

/// Why a message was not sent.
#[derive(Debug)]
pub(crate) enum ApiError {
    Base,
    Refused(StatusCode),
    NoAnswer(reqwest::Error),
}

impl ApiError {
    /// Whether the message was certainly not sent, and may be the next time.
    pub(crate) fn may_try_again(&self) -> bool {
        match self {
            Self::Base => false,
            Self::Refused(status) => *status == StatusCode::TOO_MANY_REQUESTS,
            Self::NoAnswer(error) => error.is_connect(),
        }
    }
}

/// The address of a request holds the access key: the error goes on without it.
impl From<reqwest::Error> for ApiError {
    fn from(error: reqwest::Error) -> Self {
        Self::NoAnswer(error.without_url())
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Base => f.write_str(
                "the address of the API cannot have a path: give one such as https://api.voipbin.net",
            ),
            Self::Refused(status) => {
                write!(f, "VoIPBIN refused the message with {status}: ")?;
                f.write_str(match status.as_u16() {
                    400 => "the source must be a number of the account",
                    401 | 403 => "check the access key, it may have expired",
                    402 => "the account is out of balance",
                    429 => "too many messages in a short time",
                    _ => "see the account's messages for what became of it",
                })
            }
            Self::NoAnswer(error) if error.is_timeout() => write!(
                f,
                "VoIPBIN did not answer within {} s; the message may have been sent",
                TIMEOUT.as_secs()
            ),
            Self::NoAnswer(error) if error.is_connect() => {
                f.write_str("VoIPBIN cannot be reached; check the address of the API")
            }
            Self::NoAnswer(error) => write!(f, "no usable answer from VoIPBIN: {error}"),
        }
    }
}

impl std::error::Error for ApiError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::NoAnswer(error) => Some(error),
            Self::Base | Self::Refused(_) => None,
        }
    }
}
