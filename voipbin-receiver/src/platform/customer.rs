use std::fmt;

use serde::{Deserialize, Deserializer, Serialize};
use zeroize::Zeroizing;

use crate::gate::Secret;

/// The account, as far as a receiver needs it. What is absent is empty.
///
/// `Debug` shows the id and the status alone: all else is personal, or may hold a secret.
#[derive(Clone, Deserialize)]
#[non_exhaustive]
pub struct Customer {
    /// The account's id.
    #[serde(default, deserialize_with = "text")]
    pub id: String,
    /// Its name.
    #[serde(default, deserialize_with = "text")]
    pub name: String,
    /// What its owner noted about it.
    #[serde(default, deserialize_with = "text")]
    pub detail: String,
    /// The address of its owner.
    #[serde(default, deserialize_with = "text")]
    pub email: String,
    /// The number of its owner.
    #[serde(default, deserialize_with = "text")]
    pub phone_number: String,
    /// The postal address of its owner.
    #[serde(default, deserialize_with = "text")]
    pub address: String,
    /// The method that events are sent with; empty means `GET`.
    #[serde(default, deserialize_with = "text")]
    pub webhook_method: String,
    /// Where events are sent; empty means nowhere.
    #[serde(default, deserialize_with = "text")]
    pub webhook_uri: String,
    /// What events are signed with. It is made with the account and never changes.
    #[serde(default, deserialize_with = "secret")]
    pub webhook_secret: Option<Secret>,
    /// Whether the account is in use, such as `active` or `frozen`.
    #[serde(default, deserialize_with = "text")]
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

/// A text, where `null` is empty as well.
pub(super) fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

pub(super) fn secret<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Secret>, D::Error> {
    let text: Option<String> = Option::deserialize(deserializer)?;
    let text = text.map(Zeroizing::new).filter(|text| !text.is_empty());
    Ok(text.map(|text| Secret::from(text.as_str())))
}

/// All that `PUT /v1.0/customer` writes: what is left out becomes empty.
#[derive(Clone, PartialEq, Eq, Serialize)]
pub(super) struct Written {
    name: String,
    detail: String,
    email: String,
    phone_number: String,
    address: String,
    pub(super) webhook_method: String,
    pub(super) webhook_uri: String,
}

impl Written {
    pub(super) fn of(customer: &Customer) -> Self {
        let customer = customer.clone();
        Self {
            name: customer.name,
            detail: customer.detail,
            email: customer.email,
            phone_number: customer.phone_number,
            address: customer.address,
            webhook_method: customer.webhook_method,
            webhook_uri: customer.webhook_uri,
        }
    }

    /// The names of the fields that are not the same.
    pub(super) fn differences(&self, other: &Self) -> Vec<&'static str> {
        let fields = |of: &Self| {
            [
                ("name", of.name.clone()),
                ("detail", of.detail.clone()),
                ("email", of.email.clone()),
                ("phone_number", of.phone_number.clone()),
                ("address", of.address.clone()),
                ("webhook_method", of.webhook_method.clone()),
                ("webhook_uri", of.webhook_uri.clone()),
            ]
        };
        let pairs = fields(self).into_iter().zip(fields(other));
        pairs
            .filter(|(one, other)| one != other)
            .map(|((name, _), _)| name)
            .collect()
    }
}
