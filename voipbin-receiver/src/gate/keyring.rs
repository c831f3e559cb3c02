use std::collections::HashSet;
use std::fmt;
use std::mem;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

// arc-swap: readers take the keys without a lock, and without waiting for whoever changes them.
use arc_swap::{ArcSwap, Guard};
use hmac::{Hmac, KeyInit};
use sha2::Sha256;

use super::secret::Secret;
use super::secret_error::{SecretError, SecretErrorKind};
use super::secrets::{SecretSource, SecretUsage};
use super::signature::Signature;

/// The keys that signatures are checked with, and where they come from.
pub(crate) struct Keyring {
    keys: ArcSwap<KeySet>,
    secrets: Mutex<KnownSecrets>,
    origins: Vec<SecretOrigin>,
    /// Held while the origins are asked: an older answer must not replace a newer one.
    refresh_lock: tokio::sync::Mutex<()>,
    pub(super) allow_unsigned: bool,
}

/// Where secrets come from that can change.
pub(crate) enum SecretOrigin {
    File(PathBuf),
    Source(Box<dyn SecretSource>),
}

/// What a reader sees: all of it, or all of what was there before.
#[derive(Default)]
pub(crate) struct KeySet {
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
    usage: Arc<KeyUsage>,
}

/// How often a key matched, and when last in milliseconds of Unix time.
#[derive(Default)]
struct KeyUsage {
    times: AtomicU64,
    last: AtomicU64,
}

/// What the keys are made of.
struct KnownSecrets {
    given: Vec<Secret>,
    /// One for each origin.
    fetched: Vec<Fetched>,
}

#[derive(Default)]
struct Fetched {
    secrets: Vec<Secret>,
    /// Whether the last try succeeded.
    current: bool,
}

impl Keyring {
    /// Reads the files; sources are not asked before the first [`refresh`](Self::refresh).
    pub(crate) fn new(
        given: Vec<Secret>,
        origins: Vec<SecretOrigin>,
        allow_unsigned: bool,
    ) -> Result<Self, SecretError> {
        let fetched: Result<Vec<Fetched>, SecretError> = origins
            .iter()
            .map(|origin| match origin {
                SecretOrigin::File(path) => Ok(Fetched {
                    secrets: vec![Secret::from_file(path)?],
                    current: true,
                }),
                SecretOrigin::Source(_) => Ok(Fetched::default()),
            })
            .collect();
        let fetched = fetched?;
        let keyring = Self {
            keys: ArcSwap::default(),
            secrets: Mutex::new(KnownSecrets { given, fetched }),
            origins,
            refresh_lock: tokio::sync::Mutex::default(),
            allow_unsigned,
        };
        keyring.install(&keyring.secrets())?;
        Ok(keyring)
    }

    /// The keys as they are now. Takes no lock.
    pub(crate) fn keys(&self) -> Guard<Arc<KeySet>> {
        self.keys.load()
    }

    /// Replaces the secrets that were given by value.
    pub(super) fn set(&self, given: Vec<Secret>) -> Result<(), SecretError> {
        let mut known = self.secrets();
        let before = mem::replace(&mut known.given, given);
        let outcome = self.install(&known);
        if outcome.is_err() {
            known.given = before;
        }
        outcome
    }

    /// Asks all origins, also after one has failed, and gives the first failure.
    pub(super) async fn refresh(&self) -> Result<(), SecretError> {
        let _lock = self.refresh_lock.lock().await;
        let mut outcome = Ok(());
        for (place, origin) in self.origins.iter().enumerate() {
            let answer = match origin {
                // A few bytes, on a local disk: not worth a thread.
                SecretOrigin::File(path) => Secret::from_file(path).map(|secret| vec![secret]),
                SecretOrigin::Source(source) => match source.secrets().await {
                    Ok(secrets) if secrets.is_empty() => {
                        Err(SecretError::provider(place + 1, None))
                    }
                    Ok(secrets) => Ok(secrets),
                    Err(error) => Err(SecretError::provider(place + 1, Some(error))),
                },
            };
            outcome = outcome.and(self.update(place, answer));
        }
        outcome
    }

    /// Takes what an origin said. What it said before stays when it failed.
    fn update(
        &self,
        place: usize,
        answer: Result<Vec<Secret>, SecretError>,
    ) -> Result<(), SecretError> {
        let mut known = self.secrets();
        let outcome = answer.and_then(|secrets| {
            let fetched = Fetched {
                secrets,
                current: true,
            };
            let before = mem::replace(&mut known.fetched[place], fetched);
            let outcome = self.install(&known);
            if outcome.is_err() {
                known.fetched[place] = before;
            }
            outcome
        });
        if outcome.is_err() {
            known.fetched[place].current = false;
            self.install(&known)?;
        }
        outcome
    }

    /// Makes the whole set of keys before anybody sees a part of it.
    fn install(&self, known: &KnownSecrets) -> Result<(), SecretError> {
        let complete = known.fetched.iter().all(|fetched| fetched.current);
        let secrets = known
            .given
            .iter()
            .chain(known.fetched.iter().flat_map(|fetched| &fetched.secrets));
        let before = self.keys.load();
        let mut labels = HashSet::new();
        let mut keys = Vec::new();
        let mut short = Vec::new();
        for (number, secret) in (1..).zip(secrets) {
            let subject = || format!("secret number {number}");
            secret.check(subject)?;
            let label = secret.label_at(number);
            if label.is_empty() || &*label == secret.expose() || !labels.insert(Arc::clone(&label))
            {
                return Err(SecretError::new(SecretErrorKind::Label, subject()));
            }
            // HMAC takes a key of any length, so none is left out.
            if let Ok(mac) = Hmac::<Sha256>::new_from_slice(secret.as_bytes()) {
                let same = before.keys.iter().find(|key| key.same_key_as(&mac));
                if same.is_none() && secret.is_short() {
                    short.push(Arc::clone(&label));
                }
                keys.push(Arc::new(Key {
                    label,
                    secret: secret.clone(),
                    mac,
                    usage: same.map(|key| Arc::clone(&key.usage)).unwrap_or_default(),
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
        self.keys.store(Arc::new(KeySet { keys, complete }));
        Ok(())
    }

    /// What each key was used for.
    pub(super) fn usage(&self) -> Vec<SecretUsage> {
        let usage = |key: &Arc<Key>| SecretUsage {
            label: Arc::clone(&key.label),
            accepted: key.usage.times.load(Ordering::Relaxed),
            last_used: key.last_used(),
        };
        self.keys.load().keys.iter().map(usage).collect()
    }

    pub(super) fn last_used(&self, label: &str) -> Option<SystemTime> {
        let set = self.keys.load();
        set.keys
            .iter()
            .find(|key| &*key.label == label)?
            .last_used()
    }

    fn secrets(&self) -> MutexGuard<'_, KnownSecrets> {
        self.secrets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Key {
    pub(super) fn verifies(&self, signature: &Signature, body: &[u8]) -> bool {
        signature.verify(&self.mac, body)
    }

    pub(super) fn sign(&self, body: &[u8]) -> Signature {
        Signature::sign(&self.mac, body)
    }

    /// It made a signature that was accepted.
    pub(super) fn note_use(&self, now: SystemTime) {
        let millis = now
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default()
            .as_millis();
        let millis = u64::try_from(millis).unwrap_or(u64::MAX);
        self.usage.last.fetch_max(millis, Ordering::Relaxed);
        if self.usage.times.fetch_add(1, Ordering::Relaxed) == 0 {
            tracing::info!(
                secret = &*self.label,
                "the first delivery that this secret signed"
            );
        }
    }

    pub(super) fn last_used(&self) -> Option<SystemTime> {
        if self.usage.times.load(Ordering::Relaxed) == 0 {
            return None;
        }
        let millis = Duration::from_millis(self.usage.last.load(Ordering::Relaxed));
        SystemTime::UNIX_EPOCH.checked_add(millis)
    }

    fn same_key_as(&self, mac: &Hmac<Sha256>) -> bool {
        self.verifies(&Signature::sign(mac, b""), b"")
    }
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let set = self.keys.load();
        let labels = set.keys.iter().map(|key| &*key.label);
        f.debug_struct("Keyring")
            .field("labels", &labels.collect::<Vec<_>>())
            .field("complete", &set.complete)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for SecretOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
            Self::Source(_) => f.write_str("Source"),
        }
    }
}
