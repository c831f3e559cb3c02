use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Deserializer};
use zeroize::Zeroizing;

use crate::gate::Secret;

/// The account, as far as a receiver needs it. What is absent is empty.
///
/// `Debug` shows the id and the status alone: all else is personal, or may hold a secret.
#[derive(Clone, Default, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Customer {
    /// The account's id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// What its owner noted about it.
    pub detail: String,
    /// The address of its owner.
    pub email: String,
    /// The number of its owner.
    pub phone_number: String,
    /// The postal address of its owner.
    pub address: String,
    /// The method that events are sent with; empty means `GET`.
    pub webhook_method: String,
    /// Where events are sent; empty means nowhere.
    pub webhook_uri: String,
    /// What events are signed with. It is made with the account and never changes.
    #[serde(deserialize_with = "secret")]
    pub webhook_secret: Option<Secret>,
    /// Whether the account is in use, such as `active` or `frozen`.
    pub status: String,
}

impl fmt::Debug for Customer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Customer")
            .field("id", &self.id)
            .field("status", &self.status)
            .finish_non_exhaustive()
    }
}

/// One that is empty is none.
pub(super) fn secret<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Secret>, D::Error> {
    let text: Option<String> = Option::deserialize(deserializer)?;
    let text = text.map(Zeroizing::new).filter(|text| !text.is_empty());
    Ok(text.map(|text| Secret::from(text.as_str())))
}

/// All that `PUT /v1.0/customer` writes, by name: what is left out becomes empty.
pub(super) type WritableFields = BTreeMap<&'static str, String>;

impl Customer {
    pub(super) fn writable(&self) -> WritableFields {
        let fields = [
            ("name", &self.name),
            ("detail", &self.detail),
            ("email", &self.email),
            ("phone_number", &self.phone_number),
            ("address", &self.address),
            ("webhook_method", &self.webhook_method),
            ("webhook_uri", &self.webhook_uri),
        ];
        fields.map(|(name, value)| (name, value.clone())).into()
    }
}
