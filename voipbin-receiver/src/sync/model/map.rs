//! What is used of dashmap, on shuttle's locks.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, Hash};
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::rc::Rc;
use std::sync::PoisonError;

use shuttle::sync::{Mutex, MutexGuard};

/// Few enough that two keys often share one, and more than one.
const SHARDS: usize = 2;

type Shard<K, V> = BTreeMap<K, V>;

/// The shard of a key is told by its hash, as with dashmap, and the hash is the same in each run.
pub(crate) struct DashMap<K, V, S = ()> {
    shards: [Mutex<Shard<K, V>>; SHARDS],
    hasher: PhantomData<S>,
}

impl<K, V, S> Default for DashMap<K, V, S> {
    fn default() -> Self {
        Self {
            shards: std::array::from_fn(|_| Mutex::new(Shard::new())),
            hasher: PhantomData,
        }
    }
}

impl<K: Ord + Hash + Clone, V> DashMap<K, V> {
    pub(crate) fn new() -> Self {
        Self::default()
    }
}

impl<K: Ord + Hash + Clone, V, S> DashMap<K, V, S> {
    pub(crate) fn with_hasher(_: S) -> Self {
        Self::default()
    }

    fn shard(&self, key: &K) -> MutexGuard<'_, Shard<K, V>> {
        let hash = foldhash::fast::FixedState::default().hash_one(key);
        lock(&self.shards[hash as usize % SHARDS])
    }

    pub(crate) fn insert(&self, key: K, value: V) -> Option<V> {
        self.shard(&key).insert(key, value)
    }

    pub(crate) fn remove(&self, key: &K) -> Option<(K, V)> {
        self.shard(key).remove_entry(key)
    }

    pub(crate) fn remove_if(&self, key: &K, which: impl FnOnce(&K, &V) -> bool) -> Option<(K, V)> {
        let mut shard = self.shard(key);
        let goes = shard.get(key).is_some_and(|value| which(key, value));
        goes.then(|| shard.remove_entry(key)).flatten()
    }

    pub(crate) fn get(&self, key: &K) -> Option<Locked<'_, K, V>> {
        self.get_mut(key)
    }

    pub(crate) fn get_mut(&self, key: &K) -> Option<Locked<'_, K, V>> {
        let shard = self.shard(key);
        let key = key.clone();
        shard.contains_key(&key).then_some(Locked { shard, key })
    }

    pub(crate) fn entry(&self, key: K) -> Entry<'_, K, V> {
        let shard = self.shard(&key);
        let locked = Locked { shard, key };
        if locked.shard.contains_key(&locked.key) {
            Entry::Occupied(Occupied(locked))
        } else {
            Entry::Vacant(Vacant(locked))
        }
    }

    /// There is no room to give back.
    pub(crate) fn shrink_to_fit(&self) {
        self.shards.iter().for_each(|shard| drop(lock(shard)));
    }

    /// Holds the lock of one shard after the other, for as long as anything of it is still to come.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Item<'_, K, V>> {
        self.shards.iter().flat_map(|shard| {
            let shard = Rc::new(lock(shard));
            let keys: Vec<K> = shard.keys().cloned().collect();
            keys.into_iter().map(move |key| Item {
                shard: Rc::clone(&shard),
                key,
            })
        })
    }
}

/// A value under the lock of its shard.
pub(crate) struct Locked<'a, K, V> {
    shard: MutexGuard<'a, Shard<K, V>>,
    key: K,
}

impl<K: Ord, V> Deref for Locked<'_, K, V> {
    type Target = V;

    fn deref(&self) -> &V {
        &self.shard[&self.key]
    }
}

impl<K: Ord, V> DerefMut for Locked<'_, K, V> {
    fn deref_mut(&mut self) -> &mut V {
        self.shard.get_mut(&self.key).unwrap()
    }
}

pub(crate) enum Entry<'a, K, V> {
    Occupied(Occupied<'a, K, V>),
    Vacant(Vacant<'a, K, V>),
}

pub(crate) struct Occupied<'a, K, V>(Locked<'a, K, V>);

impl<K: Ord, V> Occupied<'_, K, V> {
    pub(crate) fn get(&self) -> &V {
        &self.0
    }

    pub(crate) fn insert(&mut self, value: V) -> V {
        std::mem::replace(&mut self.0, value)
    }
}

pub(crate) struct Vacant<'a, K, V>(Locked<'a, K, V>);

impl<K: Ord, V> Vacant<'_, K, V> {
    pub(crate) fn insert(self, value: V) {
        let Locked { mut shard, key } = self.0;
        shard.insert(key, value);
    }
}

pub(crate) struct Item<'a, K, V> {
    shard: Rc<MutexGuard<'a, Shard<K, V>>>,
    key: K,
}

impl<K: Ord, V> Item<'_, K, V> {
    pub(crate) fn key(&self) -> &K {
        &self.key
    }

    pub(crate) fn value(&self) -> &V {
        &self.shard[&self.key]
    }
}

fn lock<K, V>(shard: &Mutex<Shard<K, V>>) -> MutexGuard<'_, Shard<K, V>> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}
