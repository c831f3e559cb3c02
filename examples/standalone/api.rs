//! How the tools connect to the platform.

use std::io::{self, IsTerminal};
use std::path::PathBuf;

use clap::Args;
use voipbin_receiver::gate::Secret;
use voipbin_receiver::platform::{Credential, Platform, PlatformBuilder};

use crate::terminal::{cell, in_full, say};

#[derive(Args)]
pub(crate) struct ApiArgs {
    /// The platform; another one than the public one where you run your own
    #[arg(
        id = "api",
        long,
        env = "VOIPBIN_API",
        value_name = "URL",
        default_value = "https://api.voipbin.net"
    )]
    pub(crate) url: String,

    /// A PEM file with certificates to trust beside those of this machine, for a platform of your
    /// own
    #[arg(long, env = "VOIPBIN_API_CA", value_name = "FILE")]
    api_ca: Option<PathBuf>,

    /// A file with an access key or a token, instead of VOIPBIN_TOKEN or VOIPBIN_ACCESS_KEY
    #[arg(long, env = "VOIPBIN_CREDENTIAL_FILE", value_name = "FILE")]
    credential_file: Option<PathBuf>,
}

impl ApiArgs {
    /// Nothing is sent yet. The error says what to give.
    pub(crate) fn connect(&self) -> Result<Platform, String> {
        let built = self.builder()?.build();
        built.map_err(|error| in_full(&error))
    }

    pub(crate) fn builder(&self) -> Result<PlatformBuilder, String> {
        let mut builder = Platform::builder()
            .base_url(&*self.url)
            .credential(self.credential()?);
        if let Some(file) = &self.api_ca {
            builder = builder.ca_file(file).map_err(|error| in_full(&error))?;
        }
        Ok(builder)
    }

    fn credential(&self) -> Result<Credential, String> {
        if let Some(file) = &self.credential_file {
            return Credential::from_file(file).map_err(|error| in_full(&error));
        }
        // A token wins, as on the platform.
        match (variable("VOIPBIN_TOKEN"), variable("VOIPBIN_ACCESS_KEY")) {
            (Some(token), _) => Ok(Credential::token(token)),
            (None, Some(key)) => Ok(Credential::access_key(key)),
            (None, None) => Err(
                "no credential: give VOIPBIN_ACCESS_KEY, VOIPBIN_TOKEN or --credential-file FILE"
                    .to_owned(),
            ),
        }
    }

    /// Says on a terminal who is asked, as that may take a while.
    pub(crate) fn announce(&self) {
        if io::stderr().is_terminal() {
            say(format_args!("asking {} …", cell(&self.url, 100)));
        }
    }
}

fn variable(name: &str) -> Option<Secret> {
    let value = std::env::var(name).ok().filter(|value| !value.is_empty());
    value.map(Secret::from)
}
