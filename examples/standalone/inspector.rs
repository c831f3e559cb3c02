//! The inspector, on an address of its own.

use std::error::Error;
use std::future::pending;
use std::io::{self, IsTerminal, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;
use voipbin_receiver::Receiver;
use voipbin_receiver::gate::Secret;
use voipbin_receiver::inspector::InspectorService;
use voipbin_receiver::mount::Server;

use crate::options::EffectiveSettings;
use crate::server::bind_when_free;
use crate::settings::{Settings, generate};
use crate::terminal::say;

/// Where the inspector is to be, and who may see it.
#[derive(Clone)]
pub(crate) struct Inspector {
    address: SocketAddr,
    token: Option<Secret>,
    /// How somebody learns of a token that was made for this run.
    token_output: Option<TokenOutput>,
    settings: Vec<(String, String, &'static str)>,
}

/// Where a token can be read that was made for this run.
#[derive(Clone)]
enum TokenOutput {
    Terminal,
    File(PathBuf),
}

impl Inspector {
    /// That of a server that listens here, if there is to be one.
    pub(crate) fn new(
        settings: &Settings,
        effective: &EffectiveSettings,
        server: SocketAddr,
    ) -> Result<Option<Self>, Box<dyn Error>> {
        let Some(address) = settings.inspector.address(server) else {
            return Ok(None);
        };
        check(settings)?;
        let mut inspector = Self {
            address,
            token: settings.inspector.token()?,
            token_output: None,
            settings: effective.rows().collect(),
        };
        if inspector.token.is_none() {
            inspector.make_token(settings.inbox.directory())?;
        }
        Ok(Some(inspector))
    }

    /// A token for this run, where somebody can read it: in a terminal, or in this directory.
    fn make_token(&mut self, directory: Option<&Path>) -> Result<(), Box<dyn Error>> {
        let token_output = match directory {
            _ if io::stderr().is_terminal() => TokenOutput::Terminal,
            Some(directory) => TokenOutput::File(directory.join("inspector-token")),
            None => return Ok(()),
        };
        let token = generate()?;
        self.token = Some(Secret::from(token));
        self.token_output = Some(token_output);
        Ok(())
    }

    /// Answers for as long as it is polled.
    pub(crate) async fn serve(self, receiver: Receiver) {
        if let Err(error) = self.try_serve(receiver).await {
            tracing::warn!(
                "there is no inspector on {}, see --inspector-listen: {error}",
                self.address
            );
        }
        pending().await
    }

    async fn try_serve(&self, receiver: Receiver) -> Result<(), Box<dyn Error + Send + Sync>> {
        let listener = bind_when_free(self.address).await?;
        let service = self.service(&receiver)?;
        say(format_args!(
            "inspector on http://{}/",
            listener.local_addr()?
        ));
        match (&self.token_output, &self.token) {
            (Some(TokenOutput::Terminal), Some(token)) => say(format_args!(
                "its token for this run, to see bodies and the texts of errors: {}",
                token.expose()
            )),
            (Some(TokenOutput::File(file)), Some(token)) => {
                write(file, token.expose())?;
                say(format_args!(
                    "its token for this run, to see bodies and the texts of errors, is in {}",
                    file.display()
                ));
            }
            _ => {}
        }
        Server::new().serve(listener, service, pending()).await;
        Ok(())
    }

    fn service(
        &self,
        receiver: &Receiver,
    ) -> Result<InspectorService, voipbin_receiver::BuildError> {
        let mut builder = receiver.inspector();
        // With a token of one's own it may be behind a proxy.
        if self.token_output.is_some() || self.token.is_none() {
            builder = builder.loopback_only();
        }
        if let Some(token) = &self.token {
            builder = builder.token(token.clone());
        }
        for (name, value, origin) in &self.settings {
            builder = builder.setting(name, value, *origin);
        }
        builder.build()
    }
}

/// What is wrong with the settings.
pub(crate) fn check(settings: &Settings) -> Result<(), Box<dyn Error>> {
    let server = settings.server.listen;
    let Some(address) = settings.inspector.address(server) else {
        return Ok(());
    };
    if address.port() != 0
        && [Some(server), settings.server.metrics_listen()].contains(&Some(address))
    {
        return Err(format!(
            "the inspector cannot have {address}, which the webhook or the metrics have: give it another port"
        )
        .into());
    }
    let has_token = settings.inspector.token()?.is_some();
    if !has_token && !address.ip().is_loopback() {
        return Err(format!(
            "{address} can be reached from other machines: give the inspector a token with \
             --inspector-token-file, or an address of this machine alone"
        )
        .into());
    }
    Ok(())
}

/// For its owner alone, all of it or nothing.
fn write(file: &Path, token: &str) -> io::Result<()> {
    let mut new = NamedTempFile::new_in(file.parent().unwrap_or(Path::new(".")))?;
    writeln!(new, "{token}")?;
    new.persist(file)?;
    Ok(())
}
