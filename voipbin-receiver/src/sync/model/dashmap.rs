//! What is used of dashmap's `DashMap`, as one map behind one lock of shuttle's: a model that
//! waited for a real lock would hold up the thread that all of its threads run on.

use std::collections::HashMap;
use std::hash::Hash;
use std::marker::PhantomData;

use shuttle::sync::{Mutex, MutexGuard};

pub(crate) struct DashMap<K, V, S> {
    map: Mutex<HashMap<K, V>>,
    hasher: PhantomData<S>,
}

pub(crate) enum Entry<'a, K, V> {
    Occupied(Occupied<'a, K, V>),
    Vacant(Vacant<'a, K, V>),
}

pub(crate) struct Occupied<'a, K, V>(K, MutexGuard<'a, HashMap<K, V>>);

pub(crate) struct Vacant<'a, K, V>(K, MutexGuard<'a, HashMap<K, V>>);

impl<K: Eq + Hash, V, S> DashMap<K, V, S> {
    pub(crate) fn with_hasher(_: S) -> Self {
        Self {
            map: Mutex::default(),
            hasher: PhantomData,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.map.lock().unwrap().len()
    }

    pub(crate) fn entry(&self, key: K) -> Entry<'_, K, V> {
        let map = self.map.lock().unwrap();
        match map.contains_key(&key) {
            true => Entry::Occupied(Occupied(key, map)),
            false => Entry::Vacant(Vacant(key, map)),
        }
    }
}

impl<K: Eq + Hash, V> Entry<'_, K, V> {
    pub(crate) fn key(&self) -> &K {
        match self {
            Self::Occupied(Occupied(key, _)) | Self::Vacant(Vacant(key, _)) => key,
        }
    }
}

impl<K: Eq + Hash, V> Occupied<'_, K, V> {
    pub(crate) fn get(&self) -> &V {
        self.1.get(&self.0).unwrap()
    }

    pub(crate) fn get_mut(&mut self) -> &mut V {
        self.1.get_mut(&self.0).unwrap()
    }

    pub(crate) fn remove(mut self) {
        self.1.remove(&self.0);
    }
}

impl<K: Eq + Hash, V> Vacant<'_, K, V> {
    pub(crate) fn insert(mut self, value: V) {
        self.1.insert(self.0, value);
    }
}
