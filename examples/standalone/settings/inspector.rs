use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use clap::Args;
use voipbin_receiver::gate::{Secret, SecretError};

/// Who may look into the server by a browser, and where.
#[derive(Args)]
pub(crate) struct InspectorSettings {
    /// The address of the inspector, a page that shows what came and what failed; port 0 takes a
    /// free one
    ///
    /// 127.0.0.1:5001 where the server listens on a loopback address, and none elsewhere. One that
    /// is taken is tried again for 30s; without it the server runs all the same.
    #[arg(long, value_name = "ADDR")]
    inspector_listen: Option<SocketAddr>,

    /// A file that holds the inspector's token and nothing else; whoever signs in with it sees
    /// everything
    ///
    /// Any other than a loopback address takes one: put a proxy with TLS before it. Without one the
    /// users of this machine see the pages, and for bodies, numbers and the texts of errors there
    /// is a token for this run: a terminal shows it, else it is in the file inspector-token of the
    /// inbox's directory.
    #[arg(long, value_name = "FILE")]
    inspector_token_file: Option<PathBuf>,

    /// No inspector
    #[arg(long)]
    no_inspector: bool,
}

/// Where the inspector listens where nobody says so.
const DEFAULT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 5001);

impl InspectorSettings {
    /// Where the inspector of a server that listens here is to be.
    pub(crate) fn address(&self, server: SocketAddr) -> Option<SocketAddr> {
        let by_default = server.ip().is_loopback().then_some(DEFAULT);
        let address = self.inspector_listen.or(by_default);
        address.filter(|_| !self.no_inspector)
    }

    /// The address that somebody has given.
    pub(crate) fn given_address(&self) -> Option<SocketAddr> {
        self.inspector_listen.filter(|_| !self.no_inspector)
    }

    pub(crate) const fn is_off(&self) -> bool {
        self.no_inspector
    }

    pub(crate) fn token_file(&self) -> Option<&Path> {
        self.inspector_token_file.as_deref()
    }

    /// The token of the file, if there is one.
    pub(crate) fn token(&self) -> Result<Option<Secret>, SecretError> {
        self.token_file().map(Secret::from_file).transpose()
    }
}
