use std::sync::Arc;

use http::request::Parts;

use super::access::Access;
use super::authority::Authority;
use super::bulk::Bulk;
use super::guard::Guard;
use super::journal::Journal;
use super::live::Live;
use super::service::InspectorService;
use super::site::{Setting, Site};
use crate::build_error::{BuildError, BuildErrorKind};
use crate::gate::Secret;
use crate::observe::WarnLimiter;
use crate::receiver::Receiver;

/// The settings of an [inspector](crate::inspector). Made by [`Receiver::inspector`].
#[must_use = "settings do nothing until `build` is called"]
pub struct InspectorBuilder {
    receiver: Receiver,
    authority: Authority,
    guard: Guard,
    settings: Vec<Setting>,
}

impl Receiver {
    /// The settings of a page to look into this receiver with; see [`inspector`](crate::inspector).
    ///
    /// There is one inspector of a receiver. It is as much the receiver as a clone of it.
    pub fn inspector(&self) -> InspectorBuilder {
        InspectorBuilder {
            receiver: self.clone(),
            authority: Authority::default(),
            guard: Guard::default(),
            settings: Vec::new(),
        }
    }
}

impl InspectorBuilder {
    /// A token that lets its holder do everything: they sign in with it for twelve hours, or send
    /// it as `Authorization: Bearer`. Another token ends all sign-ins. At least 16 bytes; none by
    /// default.
    ///
    /// Send it over TLS, or on this machine alone.
    pub fn token(mut self, token: impl Into<Secret>) -> Self {
        self.authority.token = Some(token.into());
        self
    }

    /// Asks the app what a request may do, by its head: its own login's cookie, or what its
    /// middleware has put into the extensions. One that panics has said [`Access::None`].
    ///
    /// The inspector sees to it that a page of another site cannot send a browser to act.
    pub fn authorize(
        mut self,
        authorize: impl Fn(&Parts) -> Access + Send + Sync + 'static,
    ) -> Self {
        self.authority.authorize = Some(Box::new(authorize));
        self
    }

    /// Lets whoever is on this machine read, and refuses everybody else, with a token too: requests
    /// whose [`PeerAddr`](crate::gate::PeerAddr) is not a loopback address or not there, that came
    /// by a proxy, or that are for another host than a name or address of this machine.
    pub fn loopback_only(mut self) -> Self {
        self.authority.loopback_only = true;
        self.guard.loopback_only = true;
        self
    }

    /// Where the inspector is, as browsers see it: `https://ops.example.com`. To be set where a
    /// proxy changes the `Host`; with `https` the cookie of a sign-in is sent over TLS alone.
    pub fn public_origin(mut self, origin: impl Into<String>) -> Self {
        let origin = origin.into();
        self.authority.over_tls = origin.starts_with("https://");
        self.guard.public_origin = Some(origin);
        self
    }

    /// A setting of the program that the page is to show, and where it comes from. No secrets.
    pub fn setting(
        mut self,
        name: impl Into<String>,
        value: impl Into<String>,
        origin: impl Into<String>,
    ) -> Self {
        self.settings.push(Setting {
            name: name.into(),
            value: value.into(),
            origin: origin.into(),
        });
        self
    }

    /// The inspector. From here on it sees what the receiver does, and takes over what a process
    /// that is gone was told to do with many dead letters: at once where the inbox is this
    /// process's alone, within half a minute where others share it. Outside of a tokio runtime that
    /// begins with the first request.
    ///
    /// # Errors
    ///
    /// [`BuildErrorKind::InspectorAccess`] when nobody could see it, or there is an inspector
    /// already; [`BuildErrorKind::BadSecret`] and [`BuildErrorKind::BadSetting`] for a token or an
    /// origin that is none.
    pub fn build(self) -> Result<InspectorService, BuildError> {
        let Self {
            receiver,
            authority,
            guard,
            settings,
        } = self;
        let refused = |message: &str| {
            Err(BuildError::new(
                BuildErrorKind::InspectorAccess,
                message.to_owned(),
            ))
        };
        if !authority.has_token() && authority.authorize.is_none() && !guard.loopback_only {
            return refused(
                "nobody may see the inspector: give it `.token(…)`, `.authorize(…)` or `.loopback_only()`",
            );
        }
        if let Some(token) = &authority.token {
            const SHORTEST: usize = 16;
            let subject = || "the inspector's token".to_owned();
            token.check(subject).map_err(BuildError::secret)?;
            if token.as_bytes().len() < SHORTEST {
                return Err(BuildError::setting("token", "at least 16 bytes long"));
            }
        }
        if guard
            .public_origin
            .as_deref()
            .is_some_and(|origin| !is_origin(origin))
        {
            return Err(BuildError::setting(
                "public_origin",
                "`http://` or `https://`, a host and perhaps a port, without a path",
            ));
        }
        let journal = Arc::new(Journal::new(receiver.clock()));
        if !receiver.watch(Arc::<Journal>::clone(&journal)) {
            return refused("the receiver has an inspector already: mount clones of it");
        }
        let bulk = Arc::new(Bulk::new());
        bulk.watch(&receiver);
        let site = Arc::new(Site {
            receiver,
            journal,
            authority,
            guard,
            settings,
            bulk,
            live: Live::new(),
            sign_ins: WarnLimiter::default(),
        });
        Ok(InspectorService::new(site))
    }
}

fn is_origin(origin: &str) -> bool {
    let parts = origin.split_once("://");
    parts.is_some_and(|(scheme, authority)| {
        ["http", "https"].contains(&scheme)
            && !authority.contains('@')
            && authority.parse::<http::uri::Authority>().is_ok()
    })
}

impl std::fmt::Debug for InspectorBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("InspectorBuilder").finish_non_exhaustive()
    }
}
