//! A hash table whose buckets have one line of the processor's cache each.
//!
//! Where there are many entries, one lies in no cache when it is asked for, and to look at it costs what a look
//! at memory costs. So there is one look: keys, what belongs to them and the word whether to look on lie side by
//! side. Identities are looked up here, and which state of a resource was completed last.

use std::hash::BuildHasher;
use std::num::NonZeroU32;

use foldhash::fast::RandomState;

/// Entries of 20 bytes each. It takes 27 to 41 bytes for one, as it has room for half as many again after it has
/// grown, and does not shrink.
///
/// Keys are hashes as a rule, and still are hashed: who may choose what is hashed to a key could choose those that
/// lie in one place.
#[derive(Default)]
pub(crate) struct Table {
    buckets: Vec<Bucket>,
    len: usize,
    hasher: RandomState,
}

/// One line of the cache, as nearly all processors have them.
#[derive(Clone, Copy, Default)]
#[repr(align(64))]
struct Bucket {
    keys: [u64; SLOTS],
    words: [u64; SLOTS],
    /// `None` where there is no entry.
    marks: [Option<NonZeroU32>; SLOTS],
    /// How many entries were to lie here, or before, and lie in a later bucket.
    passed: u32,
}

const SLOTS: usize = 3;

const _: () = assert!(size_of::<Bucket>() == 64);

/// What is under a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Value {
    pub(crate) word: u64,
    pub(crate) mark: NonZeroU32,
}

/// Where an entry lies, until another is added.
#[derive(Clone, Copy)]
pub(crate) struct At {
    bucket: usize,
    slot: usize,
}

impl Table {
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// The first entry of this key that is meant. There may be several.
    pub(crate) fn find(&self, key: u64, is_meant: impl Fn(Value) -> bool) -> Option<(At, Value)> {
        let home = self.home(key);
        let bucket = self.buckets.get(home)?;
        match bucket.find(key, &is_meant) {
            Some((slot, value)) => Some((At { bucket: home, slot }, value)),
            None if bucket.passed == 0 => None,
            None => self.find_beyond(home, key, is_meant),
        }
    }

    /// In the buckets after this one, up to the end and on from the beginning.
    #[cold]
    fn find_beyond(
        &self,
        home: usize,
        key: u64,
        is_meant: impl Fn(Value) -> bool,
    ) -> Option<(At, Value)> {
        for at in (home + 1..self.buckets.len()).chain(0..home) {
            let bucket = self.buckets.get(at)?;
            if let Some((slot, value)) = bucket.find(key, &is_meant) {
                return Some((At { bucket: at, slot }, value));
            }
            if bucket.passed == 0 {
                return None;
            }
        }
        None
    }

    pub(crate) fn set(&mut self, At { bucket, slot }: At, value: Value) {
        if let Some(bucket) = self.buckets.get_mut(bucket)
            && let Some(word) = bucket.words.get_mut(slot)
            && let Some(mark) = bucket.marks.get_mut(slot)
        {
            *word = value.word;
            *mark = Some(value.mark);
        }
    }

    /// Adds an entry, whether or not there is one of its key.
    pub(crate) fn add(&mut self, key: u64, value: Value) {
        // More than four fifths full, too many would lie in another bucket than their own.
        if self.len * 5 >= self.buckets.len() * SLOTS * 4 {
            self.grow();
        }
        self.put(key, value);
    }

    /// Takes out an entry of this key.
    pub(crate) fn remove(&mut self, key: u64, at: At) {
        let home = self.home(key);
        let (to, wrapped_to) = match at.bucket < home {
            true => (self.buckets.len(), at.bucket),
            false => (at.bucket, 0),
        };
        for passed in (home..to).chain(0..wrapped_to) {
            if let Some(bucket) = self.buckets.get_mut(passed) {
                bucket.passed = bucket.passed.saturating_sub(1);
            }
        }
        let bucket = self.buckets.get_mut(at.bucket);
        let mark = bucket.and_then(|bucket| bucket.marks.get_mut(at.slot));
        if mark.and_then(Option::take).is_some() {
            self.len -= 1;
        }
    }

    fn put(&mut self, key: u64, value: Value) {
        let home = self.home(key);
        let (before, from_home) = self.buckets.split_at_mut_checked(home).unwrap_or_default();
        for bucket in from_home.iter_mut().chain(before) {
            if bucket.put(key, value) {
                self.len += 1;
                return;
            }
            bucket.passed = bucket.passed.saturating_add(1);
        }
    }

    /// By half, so that there is never much more room than is used; while it is small, more at a time.
    fn grow(&mut self) {
        const SMALL: usize = 16;
        let count = match self.buckets.len() {
            small @ ..SMALL => 2 * small + 4,
            large => large + large / 2,
        };
        let before = std::mem::replace(&mut self.buckets, vec![Bucket::default(); count]);
        self.len = 0;
        for Bucket {
            keys, words, marks, ..
        } in before
        {
            for ((key, word), mark) in keys.into_iter().zip(words).zip(marks) {
                if let Some(mark) = mark {
                    self.put(key, Value { word, mark });
                }
            }
        }
    }

    fn home(&self, key: u64) -> usize {
        let part = u128::from(self.hasher.hash_one(key));
        ((part * self.buckets.len() as u128) >> 64) as usize
    }
}

impl Bucket {
    fn find(&self, key: u64, is_meant: impl Fn(Value) -> bool) -> Option<(usize, Value)> {
        let entries = self.keys.iter().zip(self.words).zip(self.marks);
        for (slot, ((other, word), mark)) in entries.enumerate() {
            if let Some(mark) = mark
                && *other == key
                && is_meant(Value { word, mark })
            {
                return Some((slot, Value { word, mark }));
            }
        }
        None
    }

    /// Whether there was room.
    fn put(&mut self, key: u64, value: Value) -> bool {
        let entries = self.keys.iter_mut().zip(&mut self.words);
        let mut entries = entries.zip(&mut self.marks);
        let vacant = entries.find(|(_, mark)| mark.is_none());
        let is_room = vacant.is_some();
        if let Some(((of_key, word), mark)) = vacant {
            *of_key = key;
            *word = value.word;
            *mark = Some(value.mark);
        }
        is_room
    }
}

#[cfg(test)]
#[cfg(not(shuttle))]
mod tests {
    use std::collections::HashMap;

    use super::*;

    fn value(word: u64, number: u32) -> Value {
        Value {
            word,
            mark: NonZeroU32::new(number + 1).unwrap(),
        }
    }

    /// Adds, changes and takes out at random, beside a map of the standard library.
    fn at_random(seed: u64, entry: impl Fn(&mut fastrand::Rng) -> (u64, u64)) {
        let mut random = fastrand::Rng::with_seed(seed);
        let (mut table, mut map) = (Table::default(), HashMap::new());
        for step in 0..20_000 {
            let (key, word) = entry(&mut random);
            let found = table.find(key, |value| value.word == word);
            let known = map.get(&(key, word)).copied();
            assert_eq!(found.map(|(_, value)| value), known);
            // More come at first, and more go at the end.
            let goes = random.u32(..20_000) < step;
            match found {
                Some((at, _)) if goes => {
                    table.remove(key, at);
                    map.remove(&(key, word));
                }
                Some((at, _)) => {
                    table.set(at, value(word, step));
                    map.insert((key, word), value(word, step));
                }
                None if !goes => {
                    table.add(key, value(word, step));
                    map.insert((key, word), value(word, step));
                }
                None => {}
            }
            assert_eq!(table.len(), map.len());
        }
        assert!(!map.is_empty());
        for ((key, word), known) in map {
            let (at, found) = table.find(key, |value| value.word == word).unwrap();
            assert_eq!(found, known);
            table.remove(key, at);
        }
        assert_eq!(table.len(), 0);
        // Nothing is left to look on for.
        assert!(table.buckets.iter().all(|bucket| bucket.passed == 0));
    }

    #[test]
    fn it_holds_what_a_map_holds() {
        at_random(1, |random| (random.u64(..3000), 7));
    }

    #[test]
    fn it_does_so_where_many_have_the_same_key() {
        at_random(2, |random| (random.u64(..3), random.u64(..100)));
    }

    #[test]
    fn an_entry_takes_no_more_than_41_bytes() {
        let mut table = Table::default();
        for key in 0..100_000 {
            table.add(key, value(0, 0));
            if key > 1000 {
                let bytes = table.buckets.len() * size_of::<Bucket>();
                assert!(bytes <= 41 * table.len(), "{bytes} for {key}");
            }
        }
    }

    #[test]
    fn most_entries_lie_where_they_are_looked_for_first() {
        let mut table = Table::default();
        (0..100_000).for_each(|key| table.add(key, value(0, 0)));
        let at_home = |key: &u64| {
            let (at, _) = table.find(*key, |_| true).unwrap();
            at.bucket == table.home(*key)
        };
        let at_home = (0..100_000).filter(at_home).count();
        assert!(at_home > 80_000, "{at_home}");
    }
}
