use std::any::{Any, TypeId};
use std::fmt;
use std::sync::{Arc, OnceLock};

use serde::de::DeserializeOwned;

use crate::catalog::ResourceKind;

/// A payload in the type in which it was first asked for. Handlers of one event nearly always agree on the type;
/// one that does not pays for its own.
#[derive(Default)]
pub(super) struct Payload(OnceLock<(TypeId, Result<Shared, Box<PayloadError>>)>);

type Shared = Arc<dyn Any + Send + Sync>;

impl Payload {
    /// As a `T`; from JSON that is valid, of a resource of this kind, if it is one.
    pub(super) fn get<T>(
        &self,
        json: &str,
        kind: Option<ResourceKind>,
    ) -> Result<Arc<T>, PayloadError>
    where
        T: DeserializeOwned + Send + Sync + 'static,
    {
        let wanted = TypeId::of::<T>();
        let (held, payload) = self.0.get_or_init(|| {
            let payload = read::<T>(json, kind);
            let payload = payload.map(|payload| payload as Shared);
            (wanted, payload.map_err(Box::new))
        });
        if *held != wanted {
            return read(json, kind);
        }
        match payload {
            Ok(payload) => Arc::clone(payload).downcast().or_else(|_| read(json, kind)),
            Err(error) => Err(PayloadError::clone(error)),
        }
    }
}

fn read<T>(json: &str, kind: Option<ResourceKind>) -> Result<Arc<T>, PayloadError>
where
    T: DeserializeOwned + 'static,
{
    if let Some(payload) = kind.and_then(|kind| kind.read(json)) {
        return Ok(Arc::new(payload));
    }
    serde_json::from_str(json)
        .map(Arc::new)
        .map_err(|error| PayloadError::new::<T>(&error))
}

/// The payload does not fit the type that a handler asked for.
#[derive(Clone, Debug)]
pub struct PayloadError {
    wanted: &'static str,
    line: usize,
    column: usize,
    category: serde_json::error::Category,
}

impl PayloadError {
    /// The cause is not kept: its text can quote the payload.
    fn new<T>(error: &serde_json::Error) -> Self {
        Self {
            wanted: std::any::type_name::<T>(),
            line: error.line(),
            column: error.column(),
            category: error.classify(),
        }
    }
}

impl fmt::Display for PayloadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            wanted,
            line,
            column,
            ..
        } = self;
        match self.category {
            serde_json::error::Category::Data => write!(
                f,
                "the payload does not fit {wanted}: another type or a missing field at line {line}, column {column} of the payload"
            ),
            _ => write!(
                f,
                "the payload cannot be read at line {line}, column {column}"
            ),
        }
    }
}

impl std::error::Error for PayloadError {}
