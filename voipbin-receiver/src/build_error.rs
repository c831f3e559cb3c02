use std::error::Error;
use std::fmt;
use std::io;

use crate::gate::{NetworkError, SecretError};
use crate::inbox::{InboxError, InboxErrorKind};

/// Why a receiver cannot be built.
#[derive(Debug)]
pub struct BuildError {
    kind: BuildErrorKind,
    message: String,
    source: Option<Box<dyn Error + Send + Sync>>,
}

/// What is wrong with the settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BuildErrorKind {
    /// There is no secret, and unsigned deliveries are not allowed.
    NoSecret,
    /// A secret is empty, has blanks around it, cannot be read, or is labelled badly: the text is
    /// that of the [`SecretError`].
    BadSecret,
    /// There is no handler.
    NoHandlers,
    /// Two handlers have the same name.
    DuplicateName,
    /// A handler's name is empty.
    EmptyName,
    /// A handler names an event twice.
    DuplicateEvent,
    /// A handler names an event in quotes that is no name: a pattern, or a name that differs in a
    /// letter from one that VoIPBIN sends.
    BadEventName,
    /// A handler could never run.
    UnreachableHandler,
    /// A handler asks for a state that was not given.
    MissingState,
    /// A handler asks for a transaction of an inbox that has none.
    NoTransactions,
    /// Two states have the same type.
    DuplicateState,
    /// A setting has a value that makes no sense.
    BadSetting,
    /// The handlers' runtime could not be started.
    Runtime,
    /// The inbox is another receiver's, or cannot be written any more.
    Inbox,
    /// Nobody may see the inspector, or the receiver has one already.
    InspectorAccess,
}

impl BuildError {
    pub(crate) fn new(kind: BuildErrorKind, message: String) -> Self {
        Self {
            kind,
            message,
            source: None,
        }
    }

    pub(crate) fn setting(name: &str, range: &str) -> Self {
        Self::new(
            BuildErrorKind::BadSetting,
            format!("`{name}` must be {range}"),
        )
    }

    pub(crate) fn network(setting: &str, error: &NetworkError) -> Self {
        Self::new(BuildErrorKind::BadSetting, format!("`{setting}`: {error}"))
    }

    pub(crate) fn secret(source: SecretError) -> Self {
        Self {
            kind: BuildErrorKind::BadSecret,
            message: source.to_string(),
            source: Some(source.into()),
        }
    }

    pub(crate) fn runtime(source: io::Error) -> Self {
        Self {
            kind: BuildErrorKind::Runtime,
            message: "the handlers' runtime could not be started".into(),
            source: Some(source.into()),
        }
    }

    pub(crate) fn inbox(source: InboxError) -> Self {
        Self {
            kind: BuildErrorKind::Inbox,
            message: match source.kind() {
                InboxErrorKind::InUse => {
                    "the inbox is used by another receiver of this process: shut that one down first and wait for the end, or give this one an inbox of its own".into()
                }
                InboxErrorKind::Storage => {
                    "the inbox cannot be written any more: open it anew".into()
                }
            },
            source: Some(source.into()),
        }
    }

    /// What is wrong, to match on.
    #[must_use]
    pub fn kind(&self) -> BuildErrorKind {
        self.kind
    }
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Error for BuildError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        let source = &**self.source.as_ref()?;
        match self.kind {
            // Its text is this error's own, and is not told twice.
            BuildErrorKind::BadSecret => source.source(),
            _ => Some(source),
        }
    }
}
