use std::fmt;
use std::time::Duration;

use http::Method;
use serde::{Deserialize, Serialize};

use super::client::{Platform, in_path, in_query};
use super::credential::Credential;
use super::customer::secret;
use super::error::{PlatformError, PlatformErrorKind};
use crate::gate::Secret;

/// The account's access keys. Made by [`Platform::access_keys`].
///
/// Each is a full admin of the account and cannot be narrowed; give programs keys of their own,
/// that expire.
#[derive(Clone, Debug)]
pub struct AccessKeys(pub(super) Platform);

/// An access key, without the key itself. `Debug` does not show what its owner noted.
#[derive(Clone, Default, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct AccessKey {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// What its owner noted about it.
    pub detail: String,
    /// How the key begins.
    pub token_prefix: String,
    #[serde(deserialize_with = "secret")]
    token: Option<Secret>,
}

impl AccessKey {
    /// The key itself: given once, by [`AccessKeys::create`].
    #[must_use]
    pub fn credential(&self) -> Option<Credential> {
        self.token.clone().map(Credential::access_key)
    }
}

impl fmt::Debug for AccessKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccessKey")
            .field("id", &self.id)
            .field("token", &self.token)
            .finish_non_exhaustive()
    }
}

/// An access key to be made.
#[derive(Clone, Debug, Serialize)]
pub struct NewAccessKey {
    name: String,
    detail: String,
    /// In seconds.
    expire: u64,
}

/// What the platform asks for at least.
const SHORTEST_LIFE: Duration = Duration::from_secs(24 * 60 * 60);

impl NewAccessKey {
    /// One that is good for so long, a day at least.
    pub fn new(name: impl Into<String>, life: Duration) -> Self {
        Self {
            name: name.into(),
            detail: String::new(),
            expire: life.as_secs(),
        }
    }

    /// A note about it.
    #[must_use]
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = detail.into();
        self
    }
}

#[derive(Deserialize)]
struct Page {
    result: Vec<AccessKey>,
    #[serde(default)]
    next_page_token: String,
}

/// As many pages as are read of a list.
const PAGES: usize = 100;
const PATH: &str = "/v1.0/accesskeys";

impl AccessKeys {
    /// Makes one, and gives the key itself, this once.
    ///
    /// # Errors
    ///
    /// With [`PlatformErrorKind::Request`] for a life of less than a day.
    pub async fn create(&self, key: &NewAccessKey) -> Result<AccessKey, PlatformError> {
        if key.expire < SHORTEST_LIFE.as_secs() {
            let subject = "an access key is good for a day at least";
            return Err(PlatformError::new(PlatformErrorKind::Request, subject));
        }
        self.0.ask(Method::POST, PATH, Some(key)).await
    }

    /// All of them, or the first 10,000.
    ///
    /// # Errors
    ///
    /// When the platform cannot be asked, or does not answer.
    pub async fn list(&self) -> Result<Vec<AccessKey>, PlatformError> {
        let mut keys = Vec::new();
        let mut path = format!("{PATH}?page_size=100");
        for _ in 0..PAGES {
            let page: Page = self.0.ask(Method::GET, &path, None::<&()>).await?;
            // A token comes with every page that is not empty.
            if page.result.is_empty() {
                break;
            }
            keys.extend(page.result);
            let Some(token) = in_query(&page.next_page_token) else {
                break;
            };
            path = format!("{PATH}?page_size=100&page_token={token}");
        }
        Ok(keys)
    }

    /// One of them.
    ///
    /// # Errors
    ///
    /// With [`PlatformErrorKind::NotFound`] when it is not there.
    pub async fn get(&self, id: &str) -> Result<AccessKey, PlatformError> {
        let path = format!("{PATH}/{}", in_path(id)?);
        self.0.ask(Method::GET, &path, None::<&()>).await
    }

    /// Gives one another name and note.
    ///
    /// # Errors
    ///
    /// With [`PlatformErrorKind::NotFound`] when it is not there.
    pub async fn rename(
        &self,
        id: &str,
        name: &str,
        detail: &str,
    ) -> Result<AccessKey, PlatformError> {
        #[derive(Serialize)]
        struct Names<'a> {
            name: &'a str,
            detail: &'a str,
        }
        let path = format!("{PATH}/{}", in_path(id)?);
        self.0
            .ask(Method::PUT, &path, Some(&Names { name, detail }))
            .await
    }

    /// Ends one. Who uses it is refused from then on.
    ///
    /// # Errors
    ///
    /// With [`PlatformErrorKind::NotFound`] when it is not there.
    pub async fn delete(&self, id: &str) -> Result<(), PlatformError> {
        let path = format!("{PATH}/{}", in_path(id)?);
        self.0.exchange(Method::DELETE, &path, None::<&()>).await?;
        Ok(())
    }
}
