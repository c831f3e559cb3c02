use std::fmt;
use std::ops::Deref;

use serde::{Deserialize, Serialize};

/// The id of a resource, as it came.
///
/// Today's platform sends UUIDs. It stays text here: older and documented deliveries hold ids of
/// other shapes, and an id is only ever compared, stored and put into a URL. It dereferences to
/// [`str`]. The nil UUID never becomes an `Id`: where a resource has none, the field is `None`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Id(Box<str>);

impl Id {
    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Deref for Id {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for Id {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Id {
    fn from(id: &str) -> Self {
        Self(id.into())
    }
}

impl From<String> for Id {
    fn from(id: String) -> Self {
        Self(id.into())
    }
}

impl From<Id> for String {
    fn from(id: Id) -> Self {
        id.0.into()
    }
}

impl PartialEq<str> for Id {
    fn eq(&self, other: &str) -> bool {
        &*self.0 == other
    }
}

impl PartialEq<&str> for Id {
    fn eq(&self, other: &&str) -> bool {
        &*self.0 == *other
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}
