//! How somebody shows what they may do: a token, the app's word, or that they are on this machine.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, SystemTime};

use hmac::{Hmac, KeyInit, Mac};
use http::header::{AUTHORIZATION, COOKIE};
use http::request::Parts;
use sha2::Sha256;

use super::access::Access;
use crate::gate::Secret;

/// How long a sign-in lasts.
const SESSION: Duration = Duration::from_secs(12 * 3600);

type Authorize = dyn Fn(&Parts) -> Access + Send + Sync;

/// Tells what a request may do.
#[derive(Default)]
pub(super) struct Authority {
    pub(super) token: Option<Secret>,
    pub(super) authorize: Option<Box<Authorize>>,
    /// Whether whoever is on this machine may read.
    pub(super) loopback_only: bool,
    /// Whether the browser is to send the cookie over TLS alone.
    pub(super) over_tls: bool,
}

impl Authority {
    pub(super) fn access(&self, head: &Parts, now: SystemTime) -> Access {
        if self.shows_token(head, now) {
            return Access::Act;
        }
        if let Some(authorize) = &self.authorize {
            // One that panics has not said that anything is allowed.
            return catch_unwind(AssertUnwindSafe(|| authorize(head))).unwrap_or_default();
        }
        match self.loopback_only {
            true => Access::Read,
            false => Access::None,
        }
    }

    /// Whether there is a token to sign in with.
    pub(super) fn has_token(&self) -> bool {
        self.token.is_some()
    }

    pub(super) fn is_token(&self, given: &str) -> bool {
        let token = self.token.as_ref();
        token.is_some_and(|token| same(token, given.as_bytes(), token.as_bytes()))
    }

    /// The cookie of a sign-in. Its path is the one that the browser takes by itself, that of the
    /// page: the inspector does not know where it is mounted.
    pub(super) fn sign_in(&self, now: SystemTime) -> Option<String> {
        let token = self.token.as_ref()?;
        let ends = unix(now) + SESSION.as_secs();
        let proof = hmac(token, session(ends).as_bytes());
        let name = cookie_name(token);
        let (age, secure) = (SESSION.as_secs(), self.secure());
        Some(format!(
            "{name}={ends}.{proof}; Max-Age={age}; HttpOnly; SameSite=Strict{secure}"
        ))
    }

    pub(super) fn sign_out(&self) -> Option<String> {
        let name = cookie_name(self.token.as_ref()?);
        let secure = self.secure();
        Some(format!(
            "{name}=; Max-Age=0; HttpOnly; SameSite=Strict{secure}"
        ))
    }

    fn secure(&self) -> &'static str {
        match self.over_tls {
            true => "; Secure",
            false => "",
        }
    }

    fn shows_token(&self, head: &Parts, now: SystemTime) -> bool {
        let Some(token) = &self.token else {
            return false;
        };
        let text = |value: &'_ http::HeaderValue| value.to_str().ok().map(str::to_owned);
        let bearer = head.headers.get(AUTHORIZATION).and_then(text);
        if let Some(given) = bearer
            .as_deref()
            .and_then(|all| all.strip_prefix("Bearer "))
        {
            return self.is_token(given);
        }
        let name = cookie_name(token);
        let lines = head.headers.get_all(COOKIE).iter().filter_map(text);
        lines.into_iter().any(|line| {
            let mut cookies = line.split("; ").filter_map(|one| one.split_once('='));
            cookies.any(|(named, value)| named == name && is_session(token, value, now))
        })
    }
}

fn is_session(token: &Secret, value: &str, now: SystemTime) -> bool {
    let Some((ends, proof)) = value.split_once('.') else {
        return false;
    };
    let Ok(ends) = ends.parse::<u64>() else {
        return false;
    };
    let expected = hmac(token, session(ends).as_bytes());
    same(token, proof.as_bytes(), expected.as_bytes()) && unix(now) < ends
}

/// Cookies are the same for all ports of a host: each token has a name of its own.
fn cookie_name(token: &Secret) -> String {
    let mark: String = hmac(token, b"inspector cookie").chars().take(8).collect();
    format!("voipbin-inspector-{mark}")
}

fn session(ends: u64) -> String {
    format!("inspector session until {ends}")
}

fn unix(time: SystemTime) -> u64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH);
    since.unwrap_or_default().as_secs()
}

fn keyed(token: &Secret, content: &[u8]) -> Option<Hmac<Sha256>> {
    let keyed = Hmac::<Sha256>::new_from_slice(token.as_bytes()).ok()?;
    Some(keyed.chain_update(content))
}

/// HMAC-SHA256 in hexadecimal digits.
pub(super) fn hmac(token: &Secret, content: &[u8]) -> String {
    let made = keyed(token, content).map(|mac| mac.finalize().into_bytes());
    let made = made.into_iter().flatten();
    made.map(|byte| format!("{byte:02x}")).collect()
}

/// Compares in constant time, whatever the lengths are.
fn same(token: &Secret, one: &[u8], other: &[u8]) -> bool {
    let other = keyed(token, other).map(|mac| mac.finalize().into_bytes());
    let equals = other.and_then(|other| keyed(token, one).map(|one| one.verify(&other).is_ok()));
    equals.unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn authority() -> Authority {
        Authority {
            token: Some(Secret::from("a-token-that-is-long-enough")),
            ..Authority::default()
        }
    }

    fn head(name: &str, value: &str) -> Parts {
        let request = Request::builder().header(name, value).body(());
        request.unwrap().into_parts().0
    }

    #[test]
    fn a_session_ends_and_cannot_be_made_longer() {
        let authority = authority();
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
        let cookie = authority.sign_in(now).unwrap();
        let pair = cookie.split(';').next().unwrap();
        let access = |pair: &str, now| authority.access(&head("cookie", pair), now);
        assert_eq!(access(pair, now), Access::Act);
        assert_eq!(access(&format!("a=b; {pair}"), now), Access::Act);
        assert_eq!(access(pair, now + SESSION), Access::None);
        let longer = pair.replace("=1043200.", "=9043200.");
        assert_ne!(pair, longer);
        assert_eq!(access(&longer, now), Access::None);
        let name = pair.split('=').next().unwrap();
        for value in ["", ".", "1.", "x.y", "9043200."] {
            assert_eq!(access(&format!("{name}={value}"), now), Access::None);
        }
    }

    #[test]
    fn the_token_itself_is_in_no_cookie() {
        let cookie = authority().sign_in(SystemTime::now()).unwrap();
        assert!(!cookie.contains("a-token"));
        assert!(cookie.contains("HttpOnly; SameSite=Strict"));
        assert!(!cookie.contains("Path"));
    }

    #[test]
    fn a_bearer_must_show_the_whole_token() {
        let now = SystemTime::now();
        let access = |value: &str| authority().access(&head("authorization", value), now);
        assert_eq!(access("Bearer a-token-that-is-long-enough"), Access::Act);
        for wrong in [
            "Bearer a-token-that-is-long-enoug",
            "Bearer ",
            "Basic a",
            "",
        ] {
            assert_eq!(access(wrong), Access::None, "{wrong}");
        }
    }

    #[test]
    fn one_that_panics_allows_nothing() {
        let authority = Authority {
            authorize: Some(Box::new(|_| panic!("by its own fault"))),
            ..Authority::default()
        };
        let head = head("a", "b");
        assert_eq!(authority.access(&head, SystemTime::now()), Access::None);
    }
}
