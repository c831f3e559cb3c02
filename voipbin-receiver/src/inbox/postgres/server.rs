//! Connections to the server, and how certain the outcome of a statement is.

use std::error::Error as StdError;
use std::fmt;
use std::future::poll_fn;
use std::net::IpAddr;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_postgres::config::{Host, SslMode, TargetSessionAttrs};
use tokio_postgres::error::{Severity, SqlState};
use tokio_postgres::types::{FromSql, ToSql, Type};
use tokio_postgres::{AsyncMessage, Client, Config, Row};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::error::{PostgresInboxError, PostgresInboxErrorKind};
use crate::client_tls::client_config;

/// How long a connection may take to be made.
const CONNECT: Duration = Duration::from_secs(3);

/// How long the network may say nothing of what was sent.
const NETWORK: Duration = Duration::from_secs(10);

/// What a statement is called with.
pub(super) type Params<'a> = &'a [(&'a (dyn ToSql + Sync), Type)];

/// Where the server is and how to talk to it.
#[derive(Clone)]
pub(super) struct Address {
    config: Config,
    tls: MakeRustlsConnect,
}

impl Address {
    pub(super) fn parse(url: &str) -> Result<Self, PostgresInboxError> {
        let invalid =
            |error| PostgresInboxError::new(PostgresInboxErrorKind::Address).because(error);
        let mut config = Config::from_str(url).map_err(invalid)?;
        if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
            return Err(PostgresInboxError::new(PostgresInboxErrorKind::Address));
        }
        // With `prefer` whoever is in between could do without. `disable` is somebody's word.
        let by_address = config.get_hostaddrs().iter().any(|ip| !ip.is_loopback());
        let is_remote = by_address || config.get_hosts().iter().any(is_remote);
        if config.get_ssl_mode() == SslMode::Prefer && is_remote {
            config.ssl_mode(SslMode::Require);
        }
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(CONNECT);
        }
        if config.get_tcp_user_timeout().is_none() {
            config.tcp_user_timeout(NETWORK);
        }
        if config.get_application_name().is_none() {
            config.application_name("voipbin-receiver");
        }
        // One that waits for an answer notices a peer that is gone within twice that.
        config.keepalives_idle(NETWORK);
        config.keepalives_interval(NETWORK / 5);
        config.keepalives_retries(5);
        // Of several hosts the one that is the primary.
        config.target_session_attrs(TargetSessionAttrs::ReadWrite);
        Ok(Self {
            config,
            tls: MakeRustlsConnect::new(client_config(&[]).map_err(|error| {
                PostgresInboxError::new(PostgresInboxErrorKind::Address).because(error)
            })?),
        })
    }

    /// What comes by NOTIFY goes to `heard`.
    pub(super) async fn connect(
        &self,
        heard: Option<mpsc::UnboundedSender<String>>,
    ) -> Result<Connection, tokio_postgres::Error> {
        let (client, mut connection) = self.config.connect(self.tls.clone()).await?;
        let warned = Arc::new(AtomicBool::new(false));
        let warns = Arc::clone(&warned);
        tokio::spawn(async move {
            while let Some(Ok(message)) = poll_fn(|cx| connection.poll_message(cx)).await {
                match message {
                    AsyncMessage::Notice(notice)
                        if notice.parsed_severity() == Some(Severity::Warning) =>
                    {
                        tracing::warn!(message = notice.message(), "the database warns");
                        warns.store(true, Ordering::Release);
                    }
                    AsyncMessage::Notification(notification) => {
                        if let Some(heard) = &heard {
                            drop(heard.send(notification.payload().to_owned()));
                        }
                    }
                    _ => {}
                }
            }
        });
        Ok(Connection { client, warned })
    }
}

fn is_remote(host: &Host) -> bool {
    match host {
        Host::Tcp(name) => {
            let ip: Result<IpAddr, _> = name.parse();
            name != "localhost" && !ip.is_ok_and(|ip| ip.is_loopback())
        }
        #[cfg(unix)]
        Host::Unix(_) => false,
    }
}

pub(super) struct Connection {
    client: Client,
    /// The server gave a warning: a commit may have been cut short before it was as safe as it
    /// should be.
    warned: Arc<AtomicBool>,
}

impl Connection {
    /// One statement, which is a transaction of its own: unnamed, and one round trip.
    pub(super) async fn call(&self, sql: &str, params: Params<'_>) -> Result<Vec<Row>, Trouble> {
        self.warned.store(false, Ordering::Release);
        let rows = self.client.query_typed(sql, params).await;
        self.certain(rows)
    }

    /// Several statements, without parameters.
    pub(super) async fn batch(&self, sql: &str) -> Result<(), Trouble> {
        self.warned.store(false, Ordering::Release);
        let done = self.client.batch_execute(sql).await;
        self.certain(done)
    }

    fn certain<T>(&self, result: Result<T, tokio_postgres::Error>) -> Result<T, Trouble> {
        match result {
            Ok(_) if self.warned.load(Ordering::Acquire) => Err(Trouble::Unknown(
                "the server warned: what was committed may be on one machine alone".into(),
            )),
            Ok(result) => Ok(result),
            Err(error) => Err(Trouble::of(error, &self.client)),
        }
    }

    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    pub(super) fn is_closed(&self) -> bool {
        self.client.is_closed()
    }

    pub(super) async fn closed(&self) {
        /// Between two looks. A connection that only listens has nothing else to tell it by.
        const LOOK: Duration = Duration::from_secs(1);
        while !self.is_closed() {
            tokio::time::sleep(LOOK).await;
        }
    }
}

/// Why a statement did not do what it should.
pub(crate) enum Trouble {
    /// The server refused it: nothing happened.
    Refused(tokio_postgres::Error),
    /// There is no connection, or it broke: it may have happened or not.
    Unknown(Box<dyn StdError + Send + Sync>),
}

impl Trouble {
    pub(crate) fn of(error: tokio_postgres::Error, client: &Client) -> Self {
        let refused = match error.as_db_error() {
            // What ends the connection can come after the commit.
            Some(db) => db.parsed_severity() == Some(Severity::Error),
            None => !client.is_closed(),
        };
        match refused {
            true => Self::Refused(error),
            false => Self::Unknown(error.into()),
        }
    }

    pub(super) fn code(&self) -> Option<&SqlState> {
        match self {
            Self::Refused(error) => error.code(),
            Self::Unknown(_) => None,
        }
    }

    /// Whether the same may do well a moment later, on another connection.
    pub(super) fn is_passing(&self) -> bool {
        let Self::Refused(error) = self else {
            return true;
        };
        error.code().is_some_and(|code| {
            [
                SqlState::T_R_DEADLOCK_DETECTED,
                SqlState::T_R_SERIALIZATION_FAILURE,
                SqlState::READ_ONLY_SQL_TRANSACTION,
                SqlState::TOO_MANY_CONNECTIONS,
                SqlState::QUERY_CANCELED,
            ]
            .contains(code)
        })
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // Without the detail, which can hold values.
            Self::Refused(error) => match error.as_db_error() {
                Some(db) => write!(
                    f,
                    "the database refused it: {} ({})",
                    db.message(),
                    db.code().code()
                ),
                None => write!(f, "the database cannot be asked: {error}"),
            },
            Self::Unknown(error) => write!(f, "the database does not answer: {error}"),
        }
    }
}

impl fmt::Debug for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl StdError for Trouble {}

/// A column of a row.
pub(super) fn get<'a, T: FromSql<'a>>(row: &'a Row, column: usize) -> Result<T, Trouble> {
    row.try_get(column).map_err(Trouble::Refused)
}

/// The one column of the one row.
pub(super) fn single<T: for<'a> FromSql<'a>>(rows: &[Row]) -> Result<T, Trouble> {
    match rows {
        [row] => get(row, 0),
        _ => Err(Trouble::Unknown(
            "it answers with other rows than one".into(),
        )),
    }
}

/// A connection that is made anew when it broke.
pub(super) struct Session {
    address: Arc<Address>,
    connection: Option<Connection>,
}

impl Session {
    pub(super) fn new(address: Arc<Address>) -> Self {
        Self {
            address,
            connection: None,
        }
    }

    /// As [`Connection::call`]. After an outcome that is unknown, the next call has a fresh
    /// connection.
    pub(super) async fn call(
        &mut self,
        sql: &str,
        params: Params<'_>,
    ) -> Result<Vec<Row>, Trouble> {
        let open = self
            .connection
            .take()
            .filter(|connection| !connection.is_closed());
        let connection = match open {
            Some(connection) => connection,
            None => self.address.connect(None).await.map_err(|error| {
                // Whatever it says, another one may do.
                Trouble::Unknown(error.into())
            })?,
        };
        let result = connection.call(sql, params).await;
        let keep = match &result {
            Ok(_) => true,
            Err(trouble @ Trouble::Refused(_)) => {
                trouble.code() != Some(&SqlState::READ_ONLY_SQL_TRANSACTION)
            }
            Err(Trouble::Unknown(_)) => false,
        };
        if keep {
            self.connection = Some(connection);
        }
        result
    }
}
