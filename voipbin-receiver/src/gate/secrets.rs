use std::error::Error;
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::SystemTime;

use async_trait::async_trait;
use http::HeaderMap;

use super::diagnosis::Diagnosis;
use super::secret::Secret;
use super::secret_error::SecretError;
use super::verifier::Verifier;

/// The secrets of a running receiver: to be changed without dropping a request, and to see which of
/// them are in use. From [`Receiver::secrets`](crate::Receiver::secrets); cheap to clone.
///
/// A rotation takes three steps: add the new secret beside the old one, change it at the platform,
/// and take the old one away when [`last_used`](Self::last_used) of it has stood still for a while.
///
/// ```
/// use voipbin_receiver::Receiver;
/// use voipbin_receiver::catalog::Any;
/// use voipbin_receiver::gate::Secret;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let receiver = Receiver::builder()
///     .secret(Secret::from("my-old-webhook-secret-at-VoIPBIN").with_label("old"))
///     .on(Any, || async {})
///     .build()?;
///
/// receiver.secrets().set([
///     Secret::from("my-new-webhook-secret-at-VoIPBIN").with_label("new"),
///     Secret::from("my-old-webhook-secret-at-VoIPBIN").with_label("old"),
/// ])?;
/// for secret in receiver.secrets().usage() {
///     println!("{}: {} deliveries, last {:?}", secret.label, secret.accepted, secret.last_used);
/// }
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Secrets(Arc<Verifier>);

impl Secrets {
    pub(crate) fn new(verifier: Arc<Verifier>) -> Self {
        Self(verifier)
    }

    /// Replaces the secrets that were given by value, to the builder or here, all at once. Those of
    /// files and sources stay. A request is checked with the ones before or with the new ones,
    /// never with a part of both.
    ///
    /// # Errors
    ///
    /// When one is empty, has blanks around it or control characters in it, two have the same
    /// label, or none would be left and unsigned deliveries are not allowed. Then nothing changes.
    pub fn set<I>(&self, secrets: I) -> Result<(), SecretError>
    where
        I: IntoIterator,
        I::Item: Into<Secret>,
    {
        self.0
            .keyring
            .set(secrets.into_iter().map(Into::into).collect())
    }

    /// Reads all [files](crate::ReceiverBuilder::secret_file) again and asks all
    /// [sources](crate::ReceiverBuilder::secret_source), one after the other. Call it at the start
    /// where there are sources, and then on a signal or every so often.
    ///
    /// # Errors
    ///
    /// The first failure. What a file or a source said before it failed stays in use. Until it
    /// succeeds, a signature that matches no known secret is answered 503 and not 401: it may be a
    /// new secret's.
    ///
    /// # Cancel safety
    ///
    /// Whatever was asked before it was dropped counts, the rest is as before.
    ///
    /// ```
    /// use std::time::Duration;
    /// use voipbin_receiver::Receiver;
    ///
    /// async fn keep_fresh(receiver: Receiver) {
    ///     let secrets = receiver.secrets();
    ///     let mut every_minute = tokio::time::interval(Duration::from_secs(60));
    ///     loop {
    ///         every_minute.tick().await;
    ///         if let Err(error) = secrets.refresh().await {
    ///             eprintln!("the secrets may be out of date: {error}");
    ///         }
    ///     }
    /// }
    /// # drop(keep_fresh);
    /// ```
    pub async fn refresh(&self) -> Result<(), SecretError> {
        self.0.keyring.refresh().await
    }

    /// When a delivery that the secret with this label signed was last accepted, to the
    /// millisecond. `None` when there was none since the receiver was built or the secret was
    /// added, or there is no such secret.
    #[must_use]
    pub fn last_used(&self, label: &str) -> Option<SystemTime> {
        self.0.keyring.last_used(label)
    }

    /// What each secret was used for, in the order in which they are tried.
    #[must_use]
    pub fn usage(&self) -> Vec<SecretUsage> {
        self.0.keyring.usage()
    }

    /// Finds out why the signature of a request does not fit, with the secrets and the header of
    /// this receiver; see [`diagnose`](super::diagnose), also for what it costs and whom not to
    /// tell.
    ///
    /// A receiver does so itself where `debug` is logged, once a second at most.
    #[must_use]
    pub fn diagnose(&self, headers: &HeaderMap, body: &[u8]) -> Diagnosis {
        self.0.diagnose(headers, body)
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Secrets").field(&self.0.keyring).finish()
    }
}

/// What one secret was used for.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SecretUsage {
    /// Its label.
    pub label: Arc<str>,
    /// How many deliveries with a signature of it came since the secret was added, copies included.
    pub accepted: u64,
    /// When the last of them came, to the millisecond.
    pub last_used: Option<SystemTime>,
}

/// Knows the secrets: a vault, a database, a service of the cloud. Given to
/// [`secret_source`](crate::ReceiverBuilder::secret_source).
///
/// A closure is one:
///
/// ```
/// use voipbin_receiver::Receiver;
/// use voipbin_receiver::catalog::Any;
/// use voipbin_receiver::gate::Secret;
///
/// async fn ask_the_vault() -> Result<String, std::io::Error> {
///     Ok("AbCdEfGhIjKlMnOpQrStUvWxYz012-_9".into())
/// }
///
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let receiver = Receiver::builder()
///     .secret_source(|| async {
///         let current = ask_the_vault().await?;
///         Ok(vec![Secret::from(current).with_label("vault")])
///     })
///     .on(Any, || async {})
///     .build()?;
/// receiver.secrets().refresh().await?;
/// assert_eq!(receiver.secrets().usage().len(), 1);
/// # Ok(()) }
/// ```
#[async_trait]
pub trait SecretSource: Send + Sync + 'static {
    /// All secrets that are valid now: the new one and the old one while one replaces the other. An
    /// empty list counts as a failure.
    ///
    /// # Errors
    ///
    /// Whatever keeps it from knowing. The error is passed on as the cause of a [`SecretError`]: it
    /// should hold no secret.
    async fn secrets(&self) -> Result<Vec<Secret>, Box<dyn Error + Send + Sync>>;
}

#[async_trait]
impl<F, Fut> SecretSource for F
where
    F: Fn() -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Vec<Secret>, Box<dyn Error + Send + Sync>>> + Send + 'static,
{
    async fn secrets(&self) -> Result<Vec<Secret>, Box<dyn Error + Send + Sync>> {
        self().await
    }
}
