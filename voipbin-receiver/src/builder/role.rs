//! Whether a receiver takes in, works, or does both.

use super::ReceiverBuilder;
use crate::build_error::BuildError;
use crate::handler::Registration;

/// What a receiver does with its inbox.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Role {
    /// It takes events in and runs their handlers.
    #[default]
    Both,
    /// It takes events in and runs no handler. It needs their names and events alone:
    /// [`Registration::elsewhere`].
    Ingress,
    /// It runs handlers and takes nothing in: it needs no secret, and its service answers each
    /// request 503.
    Worker,
}

impl ReceiverBuilder {
    /// Whether the receiver takes in, works, or does both, which it does by default.
    ///
    /// An ingress and its workers have the same inbox: one that several processes
    /// [share](crate::inbox::Guarantees::shared), or, in one process, clones of the `Arc` around
    /// it. All of them name the same handlers for the same events.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use voipbin_receiver::catalog::Any;
    /// use voipbin_receiver::inbox::MemoryInbox;
    /// use voipbin_receiver::{Receiver, Registration, Role};
    ///
    /// # fn main() -> Result<(), voipbin_receiver::BuildError> {
    /// let inbox = Arc::new(MemoryInbox::new());
    /// let ingress = Receiver::builder()
    ///     .role(Role::Ingress)
    ///     .secret("the-webhook-secret-of-a-customer")
    ///     .inbox(Arc::clone(&inbox))
    ///     .handlers([Registration::elsewhere(Any, "crm")])
    ///     .build()?;
    /// let worker = Receiver::builder()
    ///     .role(Role::Worker)
    ///     .inbox(inbox)
    ///     .handlers([Registration::new(Any, || async {}).name("crm")])
    ///     .build()?;
    /// # Ok(()) }
    /// ```
    pub fn role(mut self, role: Role) -> Self {
        self.role = role;
        self
    }

    pub(super) fn check_role(&self) -> Result<(), BuildError> {
        if self.role != Role::Both && self.inbox.is_none() {
            return Err(BuildError::setting(
                "inbox",
                "given to an ingress and to its workers: each would have one of its own otherwise",
            ));
        }
        let elsewhere = |registration: &&Registration| registration.elsewhere;
        match self.registrations.iter().find(elsewhere) {
            Some(registration) if self.role != Role::Ingress => Err(BuildError::setting(
                "role",
                &format!(
                    "`Role::Ingress` where `Registration::elsewhere` is used, as for `{}` at {}: here it would never run",
                    registration.name, registration.location
                ),
            )),
            _ => Ok(()),
        }
    }
}
