use std::any::{Any, TypeId};
use std::fmt;
use std::sync::{Arc, OnceLock};

/// A payload in the type in which it was first asked for. Handlers of one event nearly always agree
/// on the type; one that does not pays for its own. Boxed, as an event that waits has none.
#[derive(Default)]
pub(super) struct Payload(OnceLock<Box<(TypeId, Result<Shared, PayloadError>)>>);

/// A copy reads its own.
impl Clone for Payload {
    fn clone(&self) -> Self {
        Self::default()
    }
}

type Shared = Arc<dyn Any + Send + Sync>;

impl Payload {
    pub(super) fn get<T>(
        &self,
        json: &str,
        read: fn(&str) -> serde_json::Result<T>,
    ) -> Result<Arc<T>, PayloadError>
    where
        T: Send + Sync + 'static,
    {
        let read = || {
            let read = read(json).map(Arc::new);
            read.map_err(|error| PayloadError::new::<T>(&error))
        };
        let wanted = TypeId::of::<T>();
        let (held, payload) = &**self.0.get_or_init(|| {
            let payload = read().map(|payload| payload as Shared);
            Box::new((wanted, payload))
        });
        if *held != wanted {
            return read();
        }
        match payload {
            Ok(payload) => Arc::clone(payload).downcast().or_else(|_| read()),
            Err(error) => Err(error.clone()),
        }
    }
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
