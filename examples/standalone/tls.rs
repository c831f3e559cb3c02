//! The certificate, and how long it is valid.

use std::time::{Duration, SystemTime};

#[cfg(feature = "tls")]
pub(crate) use voipbin_receiver::mount::Tls;

/// Without the feature `tls` there is none.
#[cfg(not(feature = "tls"))]
#[derive(Clone)]
pub(crate) enum Tls {}

#[cfg(not(feature = "tls"))]
impl Tls {
    pub(crate) fn expires(&self) -> Option<SystemTime> {
        match *self {}
    }
}

/// Reads the files again.
#[cfg(feature = "tls")]
pub(crate) async fn reload(tls: &Tls) {
    let reloaded = tls.clone();
    let read = tokio::task::spawn_blocking(move || reloaded.reload()).await;
    if let Ok(Err(error)) = read {
        tracing::warn!(
            error = crate::terminal::in_full(&error),
            "the certificate could not be read again: the one before stays in use"
        );
    }
}

#[cfg(not(feature = "tls"))]
pub(crate) async fn reload(tls: &Tls) {
    match *tls {}
}

const DAY: Duration = Duration::from_secs(86_400);

/// Authorities give certificates for 90 days and less, and are asked for the next one a month
/// before.
const SOON: Duration = Duration::from_secs(14 * 86_400);

/// What is left of a certificate's time.
pub(crate) enum Expiry {
    Left(Duration),
    Over(Duration),
}

/// What is left of the certificate's time, where it says.
pub(crate) fn expiry(tls: &Tls) -> Option<Expiry> {
    let ends = tls.expires()?;
    Some(match ends.duration_since(SystemTime::now()) {
        Ok(left) => Expiry::Left(left),
        Err(over) => Expiry::Over(over.duration()),
    })
}

impl Expiry {
    /// What keeps VoIPBIN from delivering.
    pub(crate) fn problem(&self) -> Option<String> {
        match self {
            Self::Left(_) => None,
            Self::Over(over) => Some(format!(
                "the certificate ended {} days ago: VoIPBIN refuses it, and each event is lost",
                days(*over)
            )),
        }
    }

    /// Logs it, the more loudly the less is left.
    pub(crate) fn log(&self) {
        match self {
            Self::Left(left) if *left > SOON => {
                tracing::info!(days = days(*left), "the certificate is valid");
            }
            Self::Left(left) => {
                tracing::warn!(days = days(*left), "the certificate ends soon: renew it");
            }
            Self::Over(over) => tracing::error!(
                days = days(*over),
                "the certificate has ended: VoIPBIN refuses it, and each event is lost"
            ),
        }
    }
}

fn days(time: Duration) -> u64 {
    time.as_secs() / DAY.as_secs()
}
