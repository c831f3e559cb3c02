use std::error::Error as StdError;
use std::fmt;

use http::StatusCode;

use super::client::Platform;
use super::customer::{Customer, WritableFields};
use super::error::{PlatformError, PlatformErrorKind};
use super::probe::{look, probe};
use super::unfit::{UnfitDestination, check};

/// Where the account's events are sent: the one webhook that it has. Made by
/// [`Platform::destination`].
///
/// The platform stores it beside five fields of the account, and empties each that a request leaves
/// out. So a change reads all, reads again just before it writes, writes all seven, and reads what
/// came of it. Somebody else's change in between is told and not overwritten; one in the last
/// instant, between that reading and the write, cannot be seen, as the platform has no means for
/// it.
#[derive(Clone, Debug)]
#[must_use = "it does nothing until it is told to"]
pub struct Destination {
    platform: Platform,
    private_hosts: bool,
    probe: bool,
}

/// A URI and a method. `Debug` does not show the URI, which may hold a password.
#[derive(Clone, PartialEq, Eq)]
pub struct Target {
    uri: String,
    method: String,
}

impl Target {
    /// As the platform has it: an empty URI is nowhere, an empty method is `GET`.
    #[must_use]
    pub fn new(uri: impl Into<String>, method: impl Into<String>) -> Self {
        Self {
            uri: uri.into(),
            method: method.into(),
        }
    }

    fn of(customer: &Customer) -> Self {
        Self::new(&*customer.webhook_uri, &*customer.webhook_method)
    }

    /// What is written to make this the target of an account.
    fn within(&self, customer: &Customer) -> WritableFields {
        let mut fields = customer.writable();
        fields.insert("webhook_uri", self.uri.clone());
        fields.insert("webhook_method", self.method.clone());
        fields
    }

    /// Where events are sent; empty when nowhere.
    #[must_use]
    pub fn uri(&self) -> &str {
        &self.uri
    }

    /// The method as it is stored; empty means `GET`.
    #[must_use]
    pub fn method(&self) -> &str {
        &self.method
    }

    /// Whether no events are sent.
    #[must_use]
    pub fn is_off(&self) -> bool {
        self.uri.is_empty()
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Target")
            .field("is_off", &self.is_off())
            .field("method", &self.method)
            .finish_non_exhaustive()
    }
}

/// What was changed, to be told and to be undone.
#[derive(Clone, Debug)]
#[must_use = "it is what an undo takes"]
pub struct Change {
    customer_id: String,
    before: Target,
    after: Target,
    warnings: Vec<Warning>,
}

impl Change {
    /// One that was kept elsewhere, for [`Destination::undo`].
    pub fn new(customer_id: impl Into<String>, before: Target, after: Target) -> Self {
        Self {
            customer_id: customer_id.into(),
            before,
            after,
            warnings: Vec::new(),
        }
    }

    /// The account that it is about.
    #[must_use]
    pub fn customer_id(&self) -> &str {
        &self.customer_id
    }

    /// What was there.
    #[must_use]
    pub fn before(&self) -> &Target {
        &self.before
    }

    /// What is there now.
    #[must_use]
    pub fn after(&self) -> &Target {
        &self.after
    }

    /// Whether anything is different. Where nothing is, nothing was written.
    #[must_use]
    pub fn is_change(&self) -> bool {
        self.before != self.after
    }

    /// What may keep events from arriving.
    #[must_use]
    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }
}

/// What may keep events from arriving at a destination. It is as this machine sees it; the platform
/// may see something else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Warning {
    /// Bodies, which are personal data, travel in plain text.
    PlainHttp,
    /// The host has no address.
    Unresolved,
    /// The host has an address that the platform never sends to.
    PrivateAddress,
    /// There is no answer, or no trusted certificate.
    NoAnswer,
    /// The answer is a redirect: after a 301, 302 or 303 the platform's request has no body.
    Redirects(StatusCode),
    /// Something else than this crate's receiver answers, or something before it, or it takes what
    /// is not signed.
    NotThisReceiver(StatusCode),
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PlainHttp => f.write_str("plain http: whoever is between reads the events"),
            Self::Unresolved => f.write_str(
                "the host's name does not resolve from here: the platform drops events at once where it does not resolve for it",
            ),
            Self::PrivateAddress => f.write_str(
                "the host's name leads to a private or loopback address from here: the platform sends to none",
            ),
            Self::NoAnswer => f.write_str(
                "nothing answers there, as seen from here, or not with a certificate that is trusted: the platform tries three times within seconds, then the event is lost",
            ),
            Self::Redirects(status) => write!(
                f,
                "it answers with a redirect ({}): after a 301, 302 or 303 the events come without their bodies, give the final URI",
                status.as_u16()
            ),
            Self::NotThisReceiver(status) => write!(
                f,
                "not this receiver, or a proxy before it: it answers {} to an event without a signature",
                status.as_u16()
            ),
        }
    }
}

impl Destination {
    pub(super) fn new(platform: Platform) -> Self {
        Self {
            platform,
            private_hosts: false,
            probe: true,
        }
    }

    /// Takes private and loopback hosts, for an installation whose sender is told to as well.
    /// Default: they are refused, as VoIPBIN sends to none.
    pub fn allow_private_hosts(mut self) -> Self {
        self.private_hosts = true;
        self
    }

    /// Sets without looking whether anything answers there, which sends one unsigned event.
    /// Default: it looks.
    pub fn without_probe(mut self) -> Self {
        self.probe = false;
        self
    }

    /// Where events are sent.
    ///
    /// # Errors
    ///
    /// Those of [`Platform::customer`].
    pub async fn get(&self) -> Result<Target, PlatformError> {
        Ok(Target::of(&self.platform.customer().await?))
    }

    /// Has events sent to a URI from now on.
    ///
    /// # Errors
    ///
    /// With [`DestinationErrorKind::Refused`] for a URI or method that events would not arrive
    /// with, before anything is asked; otherwise when the change could not be made, or another one
    /// came between.
    pub async fn set(&self, uri: &str, method: &str) -> Result<Change, DestinationError> {
        let parsed = check(uri, method, self.private_hosts)
            .map_err(|refusal| DestinationError::new(DestinationErrorKind::Refused(refusal)))?;
        let read = self.platform.customer().await?;
        let mut warnings: Vec<Warning> = look(&parsed).into_iter().collect();
        if self.probe {
            warnings.extend(probe(self.platform.probe_client(), &parsed, self.private_hosts).await);
        }
        let change = self.write(&read, Target::new(uri, method)).await?;
        Ok(Change { warnings, ..change })
    }

    /// Has no more events sent. The method stays, for whoever sets a URI again.
    ///
    /// # Errors
    ///
    /// When the change could not be made, or another one came between.
    pub async fn disable(&self) -> Result<Change, DestinationError> {
        let read = self.platform.customer().await?;
        let method = read.webhook_method.clone();
        self.write(&read, Target::new("", method)).await
    }

    /// Brings back what was there before a change, whatever it is; the change that does so can be
    /// undone as well. The account's other fields stay as they are now.
    ///
    /// # Errors
    ///
    /// With [`DestinationErrorKind::Changed`] when what the change made is there no more, and with
    /// [`DestinationErrorKind::OtherCustomer`] for a change of another account.
    pub async fn undo(&self, change: &Change) -> Result<Change, DestinationError> {
        let read = self.platform.customer().await?;
        if read.id != change.customer_id {
            return Err(DestinationError::new(DestinationErrorKind::OtherCustomer));
        }
        unchanged(&change.after.within(&read), &read.writable())?;
        self.write(&read, change.before.clone()).await
    }

    async fn write(&self, read: &Customer, target: Target) -> Result<Change, DestinationError> {
        let change = Change::new(&*read.id, Target::of(read), target);
        // As late as can be: whatever happened meanwhile must not be overwritten.
        let now = self.platform.customer().await?;
        unchanged(&read.writable(), &now.writable())?;
        if !change.is_change() {
            return Ok(change);
        }
        let wanted = change.after.within(read);
        self.platform.write_customer(&wanted).await?;
        let stored = self.platform.customer().await?;
        match differences(&wanted, &stored.writable()) {
            differences if differences.is_empty() => Ok(change),
            differences => Err(DestinationError::new(DestinationErrorKind::NotStored(
                differences,
            ))),
        }
    }
}

/// The names of the fields that are not the same.
fn differences(one: &WritableFields, other: &WritableFields) -> Vec<&'static str> {
    let pairs = one.iter().zip(other.values());
    let differing = pairs.filter(|((_, one), other)| one != other);
    differing.map(|((name, _), _)| *name).collect()
}

fn unchanged(expected: &WritableFields, now: &WritableFields) -> Result<(), DestinationError> {
    match differences(expected, now) {
        differences if differences.is_empty() => Ok(()),
        differences => Err(DestinationError::new(DestinationErrorKind::Changed(
            differences,
        ))),
    }
}

/// Why the destination was not changed, or not as it should be.
#[derive(Debug)]
pub struct DestinationError {
    kind: DestinationErrorKind,
    source: Option<Box<PlatformError>>,
}

/// The ways in which a change of the destination fails.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DestinationErrorKind {
    /// Events would not arrive there. Nothing was asked.
    Refused(UnfitDestination),
    /// Somebody else has changed these fields of the account meanwhile. Nothing was written.
    Changed(Vec<&'static str>),
    /// The change was written, and these fields of the account are not what they should be:
    /// somebody else has changed them at the same time, or the platform stores them otherwise.
    NotStored(Vec<&'static str>),
    /// The change is one of another account. Nothing was written.
    OtherCustomer,
    /// The platform could not be asked, or did not do it.
    Platform(PlatformErrorKind),
}

impl DestinationError {
    fn new(kind: DestinationErrorKind) -> Self {
        Self { kind, source: None }
    }

    /// What went wrong.
    #[must_use]
    pub fn kind(&self) -> &DestinationErrorKind {
        &self.kind
    }

    /// What the platform said, when it is that.
    #[must_use]
    pub fn platform(&self) -> Option<&PlatformError> {
        self.source.as_deref()
    }
}

impl From<PlatformError> for DestinationError {
    fn from(error: PlatformError) -> Self {
        Self {
            kind: DestinationErrorKind::Platform(error.kind()),
            source: Some(Box::new(error)),
        }
    }
}

impl fmt::Display for DestinationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            DestinationErrorKind::Refused(refusal) => refusal.fmt(f),
            DestinationErrorKind::Changed(fields) => write!(
                f,
                "somebody else has changed {} meanwhile: nothing was written, look at it and try again",
                fields.join(", ")
            ),
            DestinationErrorKind::NotStored(fields) => write!(
                f,
                "the change was written, and {} is not as it should be: look at the account",
                fields.join(", ")
            ),
            DestinationErrorKind::OtherCustomer => {
                f.write_str("the change is one of another account: nothing was written")
            }
            DestinationErrorKind::Platform(_) => {
                f.write_str("the destination could not be changed")
            }
        }
    }
}

impl StdError for DestinationError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}
