use std::error::Error;
use std::fs;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use voipbin_receiver::Role;
use voipbin_receiver::inbox::{Durability, PostgresInbox, PostgresInboxBuilder};

use super::values::{default, wait};

/// Where an inbox on PostgreSQL is. Tools have these too.
#[derive(Args)]
pub(crate) struct DatabaseSettings {
    /// The database of an inbox that several servers share, such as postgresql://user@host/database
    ///
    /// Other users of the machine can see the arguments of a process: as a flag, one with a
    /// password is refused.
    #[arg(
        long,
        env = "VOIPBIN_DATABASE_URL",
        value_name = "URL",
        hide_env_values = true
    )]
    database_url: Option<String>,

    /// A file that holds the URL of the database and nothing else
    #[arg(long, env = "VOIPBIN_DATABASE_URL_FILE", value_name = "FILE")]
    pub(crate) database_url_file: Option<PathBuf>,

    /// The schema of the inbox in the database; made when it is not there
    #[arg(
        long,
        env = "VOIPBIN_DATABASE_SCHEMA",
        value_name = "NAME",
        default_value = PostgresInbox::DEFAULT_SCHEMA
    )]
    database_schema: String,
}

/// The inbox on PostgreSQL.
#[derive(Args)]
pub(crate) struct PostgresSettings {
    #[command(flatten)]
    pub(crate) database: DatabaseSettings,

    /// Refuse to start, and events, unless each commit waits for a standby: then a 200 survives the
    /// loss of a machine
    #[arg(long)]
    require_standby: bool,

    /// How long the events of a server that died wait for another one
    #[arg(
        long,
        value_name = "TIME",
        default_value = default(PostgresInbox::DEFAULT_LEASE),
        value_parser = wait
    )]
    lease: humantime::Duration,

    /// What this server does of what several do together that share an inbox on PostgreSQL
    #[arg(long, value_name = "ROLE", default_value = "both")]
    pub(crate) role: RoleChoice,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum RoleChoice {
    /// It takes events in and handles them
    Both,
    /// It only takes in
    Ingress,
    /// It only handles, and answers each event 503
    Worker,
}

impl From<RoleChoice> for Role {
    fn from(choice: RoleChoice) -> Self {
        match choice {
            RoleChoice::Both => Self::Both,
            RoleChoice::Ingress => Self::Ingress,
            RoleChoice::Worker => Self::Worker,
        }
    }
}

impl PostgresSettings {
    /// The inbox, to be connected.
    pub(crate) fn inbox(&self) -> Result<PostgresInboxBuilder, Box<dyn Error>> {
        let builder = self.database.inbox()?.lease(*self.lease);
        Ok(match self.require_standby {
            true => builder.require(Durability::Cluster),
            false => builder,
        })
    }
}

impl DatabaseSettings {
    /// The inbox in this database, to be connected.
    pub(crate) fn inbox(&self) -> Result<PostgresInboxBuilder, Box<dyn Error>> {
        let url = match (&self.database_url, &self.database_url_file) {
            (Some(url), None) => url.clone(),
            (None, Some(file)) => {
                let read = fs::read_to_string(file);
                let read = read.map_err(|error| {
                    format!(
                        "the URL of the database cannot be read from {}: {error}",
                        file.display()
                    )
                });
                read?.trim().to_owned()
            }
            (None, None) => {
                return Err(
                    "an inbox on PostgreSQL needs VOIPBIN_DATABASE_URL or --database-url-file"
                        .into(),
                );
            }
            (Some(_), Some(_)) => {
                return Err("the URL of the database is given twice: leave out --database-url-file or the URL".into());
            }
        };
        Ok(PostgresInbox::builder(url).schema(&self.database_schema))
    }
}

/// Whether a URL, or a list of keys and values, has a password in it. Rather too often than too
/// seldom.
pub(crate) fn has_password(url: &str) -> bool {
    let authority = url.split_once("://").map(|(_, rest)| rest);
    let user = authority.and_then(|rest| rest.rsplit_once('@'));
    user.is_some_and(|(user, _)| user.contains(':')) || url.contains("password")
}

#[test]
fn a_password_is_seen_wherever_it_can_stand() {
    for url in [
        "postgresql://u:p@host/db",
        "postgresql://u:p/w@host/db",
        "postgresql://u@host/db?password=p",
        "host=h user=u password = 'p'",
    ] {
        assert!(has_password(url), "{url}");
    }
    for url in [
        "postgresql://u@host:5432/db",
        "host=/run/postgresql user=u",
        "",
    ] {
        assert!(!has_password(url), "{url}");
    }
}
