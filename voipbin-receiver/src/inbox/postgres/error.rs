use std::error::Error as StdError;
use std::fmt;

/// Why an inbox on PostgreSQL cannot be used.
///
/// `Debug` has the message as well: it is what a `main` shows that returns this error.
pub struct PostgresInboxError {
    kind: PostgresInboxErrorKind,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

/// Why an inbox on PostgreSQL cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PostgresInboxErrorKind {
    /// The URL or a setting is not valid.
    Address,
    /// The server cannot be reached, or does not let us in.
    Connect,
    /// The schema cannot be created or read.
    Schema,
    /// A release before the first one that was published created the schema.
    OlderFormat,
    /// A later release created the schema.
    NewerFormat,
    /// The server promises less than [`require`](super::PostgresInboxBuilder::require) asks for.
    Durability,
    /// An inbox on disk cannot be [moved](super::PostgresInbox::move_from).
    #[cfg(feature = "disk-system")]
    Move,
}

impl PostgresInboxError {
    pub(super) fn new(kind: PostgresInboxErrorKind) -> Self {
        Self { kind, source: None }
    }

    pub(super) fn because(self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self {
            source: Some(source.into()),
            ..self
        }
    }

    /// Why, to match on.
    #[must_use]
    pub fn kind(&self) -> PostgresInboxErrorKind {
        self.kind
    }
}

impl fmt::Debug for PostgresInboxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresInboxError")
            .field("kind", &self.kind)
            .field("message", &format_args!("{self}"))
            .field("source", &self.source)
            .finish()
    }
}

impl fmt::Display for PostgresInboxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.kind {
            PostgresInboxErrorKind::Address => {
                "the address of the database or the name of the schema is not valid: a URL such as \
                 postgresql://user@host/database, and lower-case letters, digits and underscores"
            }
            PostgresInboxErrorKind::Connect => {
                "the database cannot be reached, or does not let us in: check its address, user, password and \
                 certificate"
            }
            PostgresInboxErrorKind::Schema => {
                "the schema of the inbox cannot be created or read: have a role create it that may, and grant the \
                 rights that docs/postgres.md lists"
            }
            PostgresInboxErrorKind::OlderFormat => {
                "an earlier build created the schema of the inbox: have its events handled by that one, or drop the \
                 schema; or give the inbox another one"
            }
            PostgresInboxErrorKind::NewerFormat => {
                "a later release created the schema of the inbox: run that one, or a later one"
            }
            PostgresInboxErrorKind::Durability => {
                "the database promises less than is required: check its settings fsync, synchronous_commit and \
                 synchronous_standby_names"
            }
            #[cfg(feature = "disk-system")]
            PostgresInboxErrorKind::Move => {
                "the inbox on disk is not moved, or in part: remove the cause and do it again, which goes on"
            }
        })
    }
}

impl StdError for PostgresInboxError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source
            .as_ref()
            .map(|source| &**source as &(dyn StdError + 'static))
    }
}
