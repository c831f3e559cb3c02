use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;
use voipbin_receiver::ReceiverBuilder;
#[cfg(feature = "rate-limit")]
use voipbin_receiver::gate::Rate;
use voipbin_receiver::gate::Secret;

#[cfg(feature = "rate-limit")]
use super::values::rate;
use super::values::{secret, time, wait};

/// Who may deliver, and how often.
#[derive(Args)]
pub(crate) struct GateSettings {
    /// The customer's webhook_secret, as it stands in GET /v1.0/customer; better: --secret-file
    ///
    /// May be given several times, for a rotation: a delivery is accepted when any of them matches.
    /// In the environment they are separated by commas. Other users of the machine can see the
    /// arguments of a process: never give one that is in use as a flag.
    #[arg(
        id = "secret",
        long = "secret",
        value_name = "SECRET",
        value_delimiter = ',',
        hide_env_values = true,
        value_parser = secret
    )]
    secrets: Vec<Secret>,

    /// A file that holds a secret and nothing else; may be given several times
    ///
    /// It is read again on SIGHUP and every --reload-interval.
    #[arg(
        id = "secret_file",
        long = "secret-file",
        value_name = "FILE",
        value_delimiter = ','
    )]
    pub(crate) secret_files: Vec<PathBuf>,

    /// How often files of secrets and certificates are read again, besides on SIGHUP; 0s is never
    #[arg(long, value_name = "TIME", default_value = "1m", value_parser = time)]
    pub(crate) reload_interval: humantime::Duration,

    /// Accept events without a signature, from anybody; one with a wrong signature is still refused
    /// when there is a secret
    #[arg(long)]
    allow_unsigned: bool,

    /// How old the change may be that an event tells of; at most --identity-ttl
    ///
    /// The signature covers no time: without this, a request that somebody has recorded can be sent
    /// again once its identity is forgotten.
    #[arg(long, value_name = "TIME", value_parser = wait)]
    max_event_age: Option<humantime::Duration>,

    /// The addresses and networks that requests may come from, separated by commas; anywhere
    /// without it
    #[arg(long, value_name = "NETS", value_delimiter = ',')]
    allow_sources: Vec<String>,

    /// The proxies whose Forwarded or X-Forwarded-For is believed, separated by commas
    #[arg(long, value_name = "NETS", value_delimiter = ',')]
    pub(crate) trust_proxies: Vec<String>,

    /// How often requests may come from one source, such as 500/s, or 500/s burst 2000
    #[cfg(feature = "rate-limit")]
    #[arg(long, value_name = "RATE", value_parser = rate)]
    source_rate_limit: Option<Rate>,

    /// How often requests may come from all sources together
    #[cfg(feature = "rate-limit")]
    #[arg(long, value_name = "RATE", value_parser = rate)]
    rate_limit: Option<Rate>,
}

/// Who may deliver.
pub(crate) enum Access {
    /// Whoever knows one of so many secrets.
    Signed(usize),
    /// Whoever knows the secret that was made for this run.
    Generated(String),
    /// Anybody.
    Unsigned,
    /// Nobody: the server only handles.
    Closed,
}

impl GateSettings {
    /// Who may deliver to a server that listens here. Makes a secret where there is none and nobody
    /// but this machine's users can connect.
    pub(crate) fn access(&self, listen: SocketAddr) -> Result<Access, AccessError> {
        let secrets = self.secrets.len() + self.secret_files.len();
        if secrets > 0 {
            Ok(Access::Signed(secrets))
        } else if self.allow_unsigned {
            Ok(Access::Unsigned)
        } else if listen.ip().is_loopback() {
            generate().map(Access::Generated)
        } else {
            Err(AccessError::NoSecret(listen))
        }
    }

    pub(crate) fn apply(&self, mut builder: ReceiverBuilder, access: &Access) -> ReceiverBuilder {
        for secret in &self.secrets {
            builder = builder.secret(secret.clone());
        }
        for file in &self.secret_files {
            builder = builder.secret_file(file);
        }
        if let Access::Generated(secret) = access {
            builder = builder.secret(secret.as_str());
        }
        if self.allow_unsigned {
            builder = builder.allow_unsigned();
        }
        if let Some(age) = self.max_event_age {
            builder = builder.max_event_age(*age);
        }
        if !self.allow_sources.is_empty() {
            builder = builder.allow_sources(&self.allow_sources);
        }
        #[cfg(feature = "rate-limit")]
        if let Some(rate) = self.source_rate_limit {
            builder = builder.source_rate_limit(rate);
        }
        #[cfg(feature = "rate-limit")]
        if let Some(rate) = self.rate_limit {
            builder = builder.rate_limit(rate);
        }
        builder.trust_proxies(&self.trust_proxies)
    }
}

#[derive(Debug)]
pub(crate) enum AccessError {
    NoSecret(SocketAddr),
    NoRandomness(getrandom::Error),
}

impl fmt::Display for AccessError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSecret(address) => write!(
                f,
                "no secret: {address} can be reached from other machines, so give the customer's webhook_secret with --secret-file or VOIPBIN_SECRET, or accept anybody's events with --allow-unsigned"
            ),
            Self::NoRandomness(error) => {
                write!(
                    f,
                    "cannot make a secret for this run, give one with --secret-file: {error}"
                )
            }
        }
    }
}

impl std::error::Error for AccessError {}

/// A secret of the platform's own shape: 32 characters out of 64.
pub(crate) fn generate() -> Result<String, AccessError> {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut random = [0; 32];
    getrandom::fill(&mut random).map_err(AccessError::NoRandomness)?;
    let characters = random
        .iter()
        .filter_map(|byte| ALPHABET.get(usize::from(byte % 64)).copied());
    Ok(characters.map(char::from).collect())
}
