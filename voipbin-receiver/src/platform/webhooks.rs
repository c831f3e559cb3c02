use std::fmt;

use http::Method;
use serde::{Deserialize, Serialize};

use super::client::{Platform, in_path};
use super::error::PlatformError;

/// The webhooks of the tutorial, `/v1.0/webhooks`. Made by [`Platform::webhooks`].
///
/// The platform's documents had them until April 2026, and its code never did: it answers with
/// [`PlatformErrorKind::NoRoute`](super::PlatformErrorKind::NoRoute), and has one
/// [`Destination`](super::Destination) for each account instead.
#[derive(Clone, Debug)]
pub struct Webhooks(pub(super) Platform);

/// A webhook of the tutorial. `Debug` does not show its URI, which may hold a password.
#[derive(Clone, Default, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Webhook {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// What its owner noted about it.
    pub detail: String,
    /// Where events are sent.
    pub uri: String,
    /// The method that they are sent with.
    pub method: String,
    /// The events that are sent, by the tutorial's names.
    pub event_types: Vec<String>,
    /// Such as `active`.
    pub status: String,
}

impl fmt::Debug for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Webhook")
            .field("id", &self.id)
            .field("status", &self.status)
            .finish_non_exhaustive()
    }
}

/// The fields of a webhook to be made or changed. What is `None` is left out, and stays as it is.
#[derive(Clone, Default, Serialize)]
pub struct WebhookFields {
    /// Its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// A note about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// Where events are sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uri: Option<String>,
    /// The method that they are sent with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// The events that are sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event_types: Option<Vec<String>>,
}

impl fmt::Debug for WebhookFields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebhookFields")
            .field("event_types", &self.event_types)
            .finish_non_exhaustive()
    }
}

const PATH: &str = "/v1.0/webhooks";

impl Webhooks {
    /// All of them.
    ///
    /// # Errors
    ///
    /// With [`PlatformErrorKind::NoRoute`](super::PlatformErrorKind::NoRoute) where there is no
    /// such thing.
    pub async fn list(&self) -> Result<Vec<Webhook>, PlatformError> {
        #[derive(Deserialize)]
        struct List {
            result: Vec<Webhook>,
        }
        let list: List = self.0.ask(Method::GET, PATH, None::<&()>).await?;
        Ok(list.result)
    }

    /// Makes one.
    ///
    /// # Errors
    ///
    /// As [`list`](Self::list).
    pub async fn create(&self, fields: &WebhookFields) -> Result<Webhook, PlatformError> {
        self.0.ask(Method::POST, PATH, Some(fields)).await
    }

    /// Changes one.
    ///
    /// # Errors
    ///
    /// As [`list`](Self::list).
    pub async fn update(&self, id: &str, fields: &WebhookFields) -> Result<Webhook, PlatformError> {
        let path = format!("{PATH}/{}", in_path(id)?);
        self.0.ask(Method::PUT, &path, Some(fields)).await
    }

    /// Takes one away.
    ///
    /// # Errors
    ///
    /// As [`list`](Self::list).
    pub async fn delete(&self, id: &str) -> Result<(), PlatformError> {
        let path = format!("{PATH}/{}", in_path(id)?);
        self.0.exchange(Method::DELETE, &path, None::<&()>).await?;
        Ok(())
    }
}
