use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use clap::Parser;

/// A desk that shows the calls that have ended.
#[derive(Parser)]
pub(crate) struct Options {
    /// The customer's `webhook_secret`.
    #[arg(long, env = "VOIPBIN_SECRET", hide_env_values = true)]
    pub(crate) secret: String,
    /// What people have to show: `Authorization: Bearer TOKEN`.
    #[arg(long, env = "DESK_TOKEN", hide_env_values = true, value_parser = token)]
    pub(crate) token: String,
    /// Where to listen.
    #[arg(long, default_value = "127.0.0.1:5000")]
    pub(crate) listen: SocketAddr,
    /// Where events are kept from their answer to the end of their handlers.
    #[arg(long, default_value = "voipbin-inbox")]
    pub(crate) directory: PathBuf,
    /// A URL to POST the id of each ended call to.
    #[arg(long)]
    pub(crate) tell: Option<String>,
    /// How many seconds handlers may go on, after the first Ctrl-C or SIGTERM.
    #[arg(long, default_value_t = 10)]
    pub(crate) drain: u64,
}

/// An empty one would let everybody in.
fn token(text: &str) -> Result<String, &'static str> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("a token has letters, digits and signs, and no blanks");
    }
    Ok(text.to_owned())
}

/// What people have to show.
#[derive(Clone)]
pub(crate) struct Token(Arc<str>);

impl Token {
    pub(crate) fn new(token: &str) -> Self {
        Self(token.into())
    }

    /// Whether an `Authorization` header shows it.
    pub(crate) fn is_shown(&self, authorization: Option<&[u8]>) -> bool {
        authorization
            .and_then(|header| header.strip_prefix(b"Bearer "))
            .is_some_and(|shown| constant_time_eq::constant_time_eq(shown, self.0.as_bytes()))
    }
}
