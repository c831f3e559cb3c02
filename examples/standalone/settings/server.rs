use std::error::Error;
use std::net::SocketAddr;
use std::path::Path;

use clap::Args;
use voipbin_receiver::BuildError;
use voipbin_receiver::gate::Limits;
use voipbin_receiver::mount::{Server, descriptor_limit};

use super::values::{count, default, path, time, wait};
use crate::tls::Tls;

/// Files beside connections: the inbox, logs, what is read anew.
const SPARE: usize = 48;

/// Where and how the server listens, and how it ends.
#[derive(Args)]
pub(crate) struct ServerSettings {
    /// The address to listen on; port 0 takes a free one
    ///
    /// A socket that is handed down, as by systemd (LISTEN_FDS), is used instead.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:5000")]
    pub(crate) listen: SocketAddr,

    /// The path of the webhook, exactly as VoIPBIN is given it: a redirect would lose the event
    #[arg(long, value_name = "PATH", default_value = "/voipbin/webhook", value_parser = path)]
    pub(crate) path: String,

    #[cfg(feature = "tls")]
    #[command(flatten)]
    tls: super::TlsSettings,

    /// How many connections there may be; for one more the one that has been idle the longest is
    /// closed
    #[arg(
        long,
        value_name = "N",
        default_value_t = Server::DEFAULT_MAX_CONNECTIONS,
        value_parser = count()
    )]
    max_connections: usize,

    /// How long a connection may wait for its first or its next request; less than 30s costs
    /// VoIPBIN tries
    #[arg(
        long,
        value_name = "TIME",
        default_value = default(Server::DEFAULT_IDLE_TIMEOUT),
        value_parser = wait
    )]
    idle_timeout: humantime::Duration,

    /// How long the head of a request may take from its first byte on
    #[arg(
        long,
        value_name = "TIME",
        default_value = default(Server::DEFAULT_HEAD_TIMEOUT),
        value_parser = wait
    )]
    head_timeout: humantime::Duration,

    /// How long a client may not read of its answer
    #[arg(
        long,
        value_name = "TIME",
        default_value = default(Server::DEFAULT_WRITE_TIMEOUT),
        value_parser = wait
    )]
    write_timeout: humantime::Duration,

    /// How long handlers may go on after the first Ctrl-C or SIGTERM; the server listens until then
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = time)]
    pub(crate) drain: humantime::Duration,

    /// Take over from the server that has the inbox on disk: its listening socket, which is never
    /// closed, and then the inbox
    ///
    /// What comes meanwhile waits for the inbox for up to 10s. Where no server answers, it starts
    /// as without.
    #[arg(long)]
    pub(crate) take_over: bool,

    /// Take nothing in, which gets a 503, and end once every event in the inbox is handled or a
    /// dead letter: for a machine that is given up
    ///
    /// It ends with 0 when nothing is left. Have VoIPBIN send elsewhere first.
    #[arg(long)]
    pub(crate) until_empty: bool,

    /// The address for metrics, on which /metrics answers Prometheus; port 0 takes a free one
    ///
    /// Without it there are none. It is never the address of the webhook, which others may reach:
    /// whoever reaches this one can read how much comes in and how it goes. One that is taken is
    /// tried again for 30s; without it the server runs all the same.
    #[cfg(feature = "metrics")]
    #[arg(long, value_name = "ADDR")]
    metrics_listen: Option<SocketAddr>,
}

impl ServerSettings {
    /// What is to be said where the process may open fewer files than there may be connections.
    pub(crate) fn files(&self) -> Option<String> {
        let (files, connections) = (descriptor_limit()?, self.max_connections);
        (files < connections.saturating_add(SPARE)).then(|| {
            format!(
                "the process may open {files} files, which is too few for max_connections = {connections}: \
                 raise its limit (ulimit -n, LimitNOFILE=), or there will be fewer"
            )
        })
    }

    /// Where metrics are asked for.
    pub(crate) fn metrics_listen(&self) -> Option<SocketAddr> {
        #[cfg(feature = "metrics")]
        return self.metrics_listen;
        #[cfg(not(feature = "metrics"))]
        None
    }

    /// The certificate, if there is one.
    pub(crate) fn tls(&self) -> Result<Option<Tls>, Box<dyn Error>> {
        #[cfg(feature = "tls")]
        return self.tls.load();
        #[cfg(not(feature = "tls"))]
        Ok(None)
    }

    /// Whether there is to be a certificate.
    pub(crate) fn has_tls(&self) -> bool {
        self.tls_key().is_some()
    }

    /// The file of the certificate's key.
    pub(crate) fn tls_key(&self) -> Option<&Path> {
        #[cfg(feature = "tls")]
        return self.tls.key();
        #[cfg(not(feature = "tls"))]
        None
    }

    /// The server, to be given a listener.
    ///
    /// # Errors
    ///
    /// When a proxy is no network.
    pub(crate) fn http(
        &self,
        tls: Option<Tls>,
        limits: &Limits,
        proxies: &[String],
    ) -> Result<Server, BuildError> {
        let server = match tls {
            #[cfg(feature = "tls")]
            Some(tls) => {
                let handshake = *self.tls.handshake_timeout;
                Server::new().tls(tls).handshake_timeout(handshake)
            }
            None => Server::new(),
        };
        #[cfg(feature = "metrics")]
        let server = server.metrics(&voipbin_receiver::observe::Metrics::new());
        server
            .limits(limits)
            .max_connections(self.max_connections)
            .idle_timeout(*self.idle_timeout)
            .head_timeout(*self.head_timeout)
            .write_timeout(*self.write_timeout)
            .trust_proxies(proxies)
    }
}
