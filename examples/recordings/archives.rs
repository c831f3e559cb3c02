use std::fmt;
use std::fs::File;
use std::sync::Arc;
use std::time::Duration;

use reqwest::redirect::Policy;
use reqwest::{Client, StatusCode, Url};
use tokio::io::{AsyncSeekExt, AsyncWriteExt};
use zip::ZipArchive;

/// How long one download may take; an hour of a call is about 100 MB.
const TIMEOUT: Duration = Duration::from_secs(300);

/// The recordings' files in VoIPBIN's API.
///
/// For `https://api.voipbin.net`, turn on reqwest's feature `rustls`.
#[derive(Clone)]
pub(crate) struct Archives {
    client: Client,
    base: Url,
    access_key: Arc<str>,
}

impl Archives {
    /// The API at this address, with an access key (`vb_…`) of the customer.
    pub(crate) fn new(base: Url, access_key: &str) -> Result<Self, ArchiveError> {
        let client = Client::builder()
            .timeout(TIMEOUT)
            .redirect(Policy::limited(3))
            // The API redirects to a storage elsewhere, which the address with the access key is
            // none of the business of.
            .referer(false)
            .build()?;
        Ok(Self {
            client,
            base,
            access_key: access_key.into(),
        })
    }

    /// The names of a recording's files. When it has just ended there are none yet, which is an
    /// error.
    pub(crate) async fn files(&self, recording: &str) -> Result<Vec<String>, ArchiveError> {
        let mut url = self.base.clone();
        url.path_segments_mut()
            .map_err(|()| ArchiveError::Base)?
            .clear()
            // As one segment, whatever the id holds.
            .extend(["v1.0", "recordingfiles", recording]);
        let mut response = self
            .client
            .get(url)
            .query(&[("accesskey", &*self.access_key)])
            .send()
            .await?;
        if !response.status().is_success() {
            return Err(ArchiveError::Refused(response.status()));
        }
        let mut file = tokio::fs::File::from_std(tempfile::tempfile()?);
        while let Some(chunk) = response.chunk().await? {
            file.write_all(&chunk).await?;
        }
        file.flush().await?;
        file.rewind().await?;
        let file = file.into_std().await;
        let files = tokio::task::spawn_blocking(|| entries(file))
            .await
            .map_err(std::io::Error::other)??;
        if files.is_empty() {
            return Err(ArchiveError::Empty);
        }
        Ok(files)
    }
}

fn entries(file: File) -> Result<Vec<String>, ArchiveError> {
    let archive = ZipArchive::new(file)?;
    archive
        .file_names()
        .map(|name| Ok(name?.into_owned()))
        .collect()
}

/// Why there is no archive.
#[derive(Debug)]
pub(crate) enum ArchiveError {
    Base,
    Empty,
    Refused(StatusCode),
    NoAnswer(reqwest::Error),
    NotAnArchive(zip::result::ZipError),
    File(std::io::Error),
}

impl ArchiveError {
    /// Whether asking again is in vain.
    pub(crate) fn is_final(&self) -> bool {
        match self {
            Self::Refused(status) => {
                status.is_client_error()
                    && !matches!(
                        *status,
                        StatusCode::NOT_FOUND
                            | StatusCode::REQUEST_TIMEOUT
                            | StatusCode::TOO_MANY_REQUESTS
                    )
            }
            Self::Empty | Self::NoAnswer(_) | Self::NotAnArchive(_) | Self::File(_) => false,
            Self::Base => true,
        }
    }
}

/// The addresses of both requests are credentials: the error goes on without them.
impl From<reqwest::Error> for ArchiveError {
    fn from(error: reqwest::Error) -> Self {
        Self::NoAnswer(error.without_url())
    }
}

impl From<zip::result::ZipError> for ArchiveError {
    fn from(error: zip::result::ZipError) -> Self {
        Self::NotAnArchive(error)
    }
}

impl From<std::io::Error> for ArchiveError {
    fn from(error: std::io::Error) -> Self {
        Self::File(error)
    }
}

impl fmt::Display for ArchiveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Base => f.write_str(
                "the address of the API cannot have a path: give one such as https://api.voipbin.net",
            ),
            Self::Empty => f.write_str(
                "the archive has no files yet; later they are at /v1.0/recordingfiles",
            ),
            Self::Refused(status) => {
                write!(f, "the archive was refused with {status}: ")?;
                f.write_str(match status.as_u16() {
                    400 | 401 | 403 => "check the access key, it may have expired",
                    _ => "look the recording up under /v1.0/recordings",
                })
            }
            Self::NoAnswer(error) if error.is_connect() => {
                f.write_str("the API or its storage cannot be reached; check the address")
            }
            Self::NoAnswer(error) => write!(f, "the archive did not come: {error}"),
            Self::NotAnArchive(error) => write!(f, "what came is no whole ZIP: {error}"),
            Self::File(error) => write!(
                f,
                "cannot keep the archive in the folder for temporary files: {error}"
            ),
        }
    }
}

impl std::error::Error for ArchiveError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::NoAnswer(error) => Some(error),
            Self::NotAnArchive(error) => Some(error),
            Self::File(error) => Some(error),
            Self::Base | Self::Empty | Self::Refused(_) => None,
        }
    }
}
