use std::collections::HashSet;
use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

// arc-swap: readers take the keys without a lock, and without waiting for whoever changes them.
use arc_swap::{ArcSwap, Guard};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::secret::Secret;
use super::secret_error::{SecretError, SecretErrorKind};
use super::secrets::{SecretSource, SecretUsage};

/// The keys that signatures are checked with, and where they come from.
pub(crate) struct Keyring {
    ring: ArcSwap<Ring>,
    parts: Mutex<Parts>,
    origins: Vec<Origin>,
    /// Held while the sources are asked: an older answer must not replace a newer one.
    turn: tokio::sync::Mutex<()>,
    pub(super) allow_unsigned: bool,
}

/// Where secrets come from that can change.
pub(crate) enum Origin {
    File(PathBuf),
    Source(Box<dyn SecretSource>),
}

/// What a reader sees: all of it, or all of what was there before.
#[derive(Default)]
pub(crate) struct Ring {
    pub(crate) keys: Vec<Arc<Key>>,
    /// Whether every origin has said at its last try which secrets there are. When not, a signature
    /// that matches none may be a good one.
    pub(crate) complete: bool,
}

pub(crate) struct Key {
    pub(crate) label: Arc<str>,
    pub(super) secret: Secret,
    /// The keyed state, so that a request pays for its body alone.
    mac: Hmac<Sha256>,
    used: Arc<Used>,
}

/// How often a key matched, and when last in milliseconds of Unix time.
#[derive(Default)]
struct Used {
    times: AtomicU64,
    last: AtomicU64,
}

#[derive(Clone, Default)]
struct Parts {
    given: Vec<Secret>,
    /// One for each origin.
    found: Vec<Found>,
}

#[derive(Clone, Default)]
struct Found {
    secrets: Vec<Secret>,
    current: bool,
}

impl Keyring {
    /// Reads the files; sources are not asked before the first [`refresh`](Self::refresh).
    pub(crate) fn new(
        given: Vec<Secret>,
        origins: Vec<Origin>,
        allow_unsigned: bool,
    ) -> Result<Self, SecretError> {
        let found: Result<Vec<Found>, SecretError> = origins
            .iter()
            .map(|origin| match origin {
                Origin::File(path) => Ok(Found {
                    secrets: vec![Secret::from_file(path)?],
                    current: true,
                }),
                Origin::Source(_) => Ok(Found::default()),
            })
            .collect();
        let keyring = Self {
            ring: ArcSwap::default(),
            parts: Mutex::default(),
            origins,
            turn: tokio::sync::Mutex::default(),
            allow_unsigned,
        };
        let parts = Parts {
            given,
            found: found?,
        };
        keyring.install(&mut keyring.parts(), parts)?;
        Ok(keyring)
    }

    /// The keys as they are now. Takes no lock.
    pub(crate) fn ring(&self) -> Guard<Arc<Ring>> {
        self.ring.load()
    }

    /// Replaces the secrets that were given by value.
    pub(super) fn set(&self, given: Vec<Secret>) -> Result<(), SecretError> {
        let mut parts = self.parts();
        let found = parts.found.clone();
        self.install(&mut parts, Parts { given, found })
    }

    /// Asks all origins, also after one has failed, and gives the first failure.
    pub(super) async fn refresh(&self) -> Result<(), SecretError> {
        let _turn = self.turn.lock().await;
        let mut outcome = Ok(());
        for (place, origin) in self.origins.iter().enumerate() {
            let found = match origin {
                // A few bytes, on a local disk: not worth a thread.
                Origin::File(path) => Secret::from_file(path).map(|secret| vec![secret]),
                Origin::Source(source) => match source.secrets().await {
                    Ok(secrets) if secrets.is_empty() => {
                        Err(SecretError::provider(place + 1, None))
                    }
                    Ok(secrets) => Ok(secrets),
                    Err(error) => Err(SecretError::provider(place + 1, Some(error))),
                },
            };
            outcome = outcome.and(self.found(place, found));
        }
        outcome
    }

    /// Takes what an origin said. What it said before stays when it failed.
    fn found(
        &self,
        place: usize,
        answer: Result<Vec<Secret>, SecretError>,
    ) -> Result<(), SecretError> {
        let mut parts = self.parts();
        let with = |found: Found| {
            let mut changed = parts.clone();
            if let Some(slot) = changed.found.get_mut(place) {
                *slot = found;
            }
            changed
        };
        let failed = with(Found {
            secrets: parts
                .found
                .get(place)
                .map(|found| found.secrets.clone())
                .unwrap_or_default(),
            current: false,
        });
        let outcome = match answer {
            Ok(secrets) => {
                let changed = with(Found {
                    secrets,
                    current: true,
                });
                self.install(&mut parts, changed)
            }
            Err(error) => Err(error),
        };
        if outcome.is_err() {
            self.install(&mut parts, failed)?;
        }
        outcome
    }

    /// Puts a whole ring together before anybody sees a part of it.
    fn install(&self, current: &mut Parts, parts: Parts) -> Result<(), SecretError> {
        let complete = parts.found.iter().all(|found| found.current);
        let secrets = parts
            .given
            .iter()
            .chain(parts.found.iter().flat_map(|found| &found.secrets));
        let before = self.ring.load();
        let mut labels = HashSet::new();
        let mut keys = Vec::new();
        let mut short = Vec::new();
        for (number, secret) in (1..).zip(secrets) {
            let subject = || format!("secret number {number}");
            secret.check(subject)?;
            let label = secret.label_at(number);
            if label.is_empty() || &*label == secret.as_str() || !labels.insert(Arc::clone(&label))
            {
                return Err(SecretError::new(SecretErrorKind::Label, subject()));
            }
            // HMAC takes a key of any length, so none is left out.
            if let Ok(mac) = Hmac::<Sha256>::new_from_slice(secret.as_bytes()) {
                let same = before.keys.iter().find(|key| key.is_of(&mac));
                if same.is_none() && secret.is_short() {
                    short.push(Arc::clone(&label));
                }
                keys.push(Arc::new(Key {
                    label,
                    secret: secret.clone(),
                    mac,
                    used: same.map(|key| Arc::clone(&key.used)).unwrap_or_default(),
                }));
            }
        }
        if keys.is_empty() && complete && !self.allow_unsigned {
            return Err(SecretError::new(SecretErrorKind::NoSecret, String::new()));
        }
        for label in short {
            tracing::warn!(
                secret = &*label,
                "a secret is shorter than 16 bytes, and VoIPBIN makes them of 32 or 64: is all of it there?"
            );
        }
        self.ring.store(Arc::new(Ring { keys, complete }));
        *current = parts;
        Ok(())
    }

    /// What each key was used for.
    pub(super) fn usage(&self) -> Vec<SecretUsage> {
        let usage = |key: &Arc<Key>| SecretUsage {
            label: Arc::clone(&key.label),
            accepted: key.used.times.load(Ordering::Relaxed),
            last_used: key.last_used(),
        };
        self.ring.load().keys.iter().map(usage).collect()
    }

    pub(super) fn last_used(&self, label: &str) -> Option<SystemTime> {
        let ring = self.ring.load();
        ring.keys
            .iter()
            .find(|key| &*key.label == label)?
            .last_used()
    }

    fn parts(&self) -> MutexGuard<'_, Parts> {
        self.parts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Key {
    /// Whether the key makes this signature of the body. Compares in constant time.
    pub(super) fn verifies(&self, signature: &[u8], body: &[u8]) -> bool {
        let mac = self.mac.clone().chain_update(body);
        mac.verify_slice(signature).is_ok()
    }

    /// The signature of the body.
    pub(super) fn sign(&self, body: &[u8]) -> [u8; 32] {
        self.mac
            .clone()
            .chain_update(body)
            .finalize()
            .into_bytes()
            .into()
    }

    /// It made a signature that was accepted.
    pub(super) fn note_use(&self, now: SystemTime) {
        let millis = now
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default()
            .as_millis();
        let millis = u64::try_from(millis).unwrap_or(u64::MAX);
        self.used.last.fetch_max(millis, Ordering::Relaxed);
        if self.used.times.fetch_add(1, Ordering::Relaxed) == 0 {
            tracing::info!(
                secret = &*self.label,
                "the first delivery that this secret signed"
            );
        }
    }

    pub(super) fn last_used(&self) -> Option<SystemTime> {
        if self.used.times.load(Ordering::Relaxed) == 0 {
            return None;
        }
        let millis = Duration::from_millis(self.used.last.load(Ordering::Relaxed));
        SystemTime::UNIX_EPOCH.checked_add(millis)
    }

    fn is_of(&self, mac: &Hmac<Sha256>) -> bool {
        self.verifies(&mac.clone().finalize().into_bytes(), b"")
    }
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ring = self.ring.load();
        f.debug_struct("Keyring")
            .field(
                "labels",
                &ring.keys.iter().map(|key| &*key.label).collect::<Vec<_>>(),
            )
            .field("complete", &ring.complete)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
            Self::Source(_) => f.write_str("Source"),
        }
    }
}
