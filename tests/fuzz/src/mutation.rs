//! Samples with changes, as a coverage-guided fuzzer makes them. Fewer changes are simpler ones, so
//! that a failure is told with as few as it takes.

use proptest::prelude::*;
use proptest::sample::Index;

/// What makes a difference somewhere.
const WORDS: &[&str] = &[
    "\"type\":",
    "\"data\":",
    "\"id\":",
    "\"call_hangup\"",
    "\"tm_update\":",
    "\"tm_create\":",
    "null",
    "true",
    "{}",
    "[]",
    "{",
    "}",
    "[",
    "]",
    "\"",
    "\\",
    ",",
    ":",
    "\n",
    "\n\n",
    " ",
    "\\u0061",
    "\\ud800",
    "\\udc00",
    "\u{feff}",
    "\u{2028}",
    "한",
    "\0",
    "\x7f",
    "\u{ff}",
    "0",
    "-0",
    "1e999",
    "1e-400",
    "0.1",
    "18446744073709551615",
    "-9223372036854775808",
    "00000000-0000-0000-0000-000000000000",
    "9999-01-01 00:00:00.000000",
    "9999-12-31T23:59:59Z",
    "0001-01-01T00:00:00Z",
    "0002-01-01",
    "+09:00",
    ".999999999",
    "-009999-01-01",
    "signed",
    "cut=0",
    "cut=1",
    "breaks",
    "hangs",
    "trailers",
    "guarded",
    "unsigned",
    "unheard",
    "from=203.0.113.9",
    "from=10.0.0.1",
    "from=198.51.100.1",
    "PUT",
    "delete",
    "HEAD",
    "content-length: 1000000",
    "x-voipbin-signature: ",
    "sha256=",
    "secret: ",
    "signature: ",
    "sign",
    "for=",
    "For=\"",
    "host=",
    ";",
    "\"[2001:db8::17]:4711\"",
    "10.0.0.1",
    "::ffff:10.0.0.1",
    "unknown",
    "/0",
    "/33",
    "/128",
];

#[derive(Clone, Debug)]
enum Change {
    Flip(Index, u8),
    Put(Index, u8),
    Insert(Index, Vec<u8>),
    Word(Index, Index),
    Remove(Index, usize),
    Repeat(Index, usize, Index),
    /// A piece of another sample.
    Splice(Index, Index, Index, usize),
    Cut(Index),
}

/// One of the samples with some changes.
pub(crate) fn mutated(samples: Vec<Vec<u8>>) -> impl Strategy<Value = Vec<u8>> {
    let changes = prop::collection::vec(change(), 0..10);
    (any::<Index>(), changes).prop_map(move |(sample, changes)| {
        let mut bytes = sample.get(&samples).clone();
        for change in changes {
            change.apply(&mut bytes, &samples);
        }
        bytes
    })
}

fn change() -> impl Strategy<Value = Change> {
    let place = any::<Index>;
    let byte = prop_oneof![
        any::<u8>(),
        Just(0),
        Just(1),
        Just(0x7f),
        Just(0x80),
        Just(0xff)
    ];
    let few = prop::collection::vec(any::<u8>(), 1..12);
    prop_oneof![
        1 => (place(), 0..8_u8).prop_map(|(at, bit)| Change::Flip(at, bit)),
        1 => (place(), byte).prop_map(|(at, byte)| Change::Put(at, byte)),
        1 => (place(), few).prop_map(|(at, bytes)| Change::Insert(at, bytes)),
        3 => (place(), place()).prop_map(|(at, word)| Change::Word(at, word)),
        2 => (place(), 1..40_usize).prop_map(|(at, len)| Change::Remove(at, len)),
        1 => (place(), 1..200_usize, place()).prop_map(|(at, len, to)| Change::Repeat(at, len, to)),
        1 => (place(), place(), place(), 1..200_usize)
            .prop_map(|(at, sample, from, len)| Change::Splice(at, sample, from, len)),
        1 => place().prop_map(Change::Cut),
    ]
}

impl Change {
    fn apply(&self, bytes: &mut Vec<u8>, samples: &[Vec<u8>]) {
        // The end is a place too.
        let len = bytes.len();
        let place = |at: &Index| at.index(len + 1);
        let some = |from: usize, count: usize| from..len.min(from + count);
        match self {
            Self::Flip(at, bit) => {
                let byte = bytes.get_mut(place(at)).into_iter();
                byte.for_each(|byte| *byte ^= 1 << bit);
            }
            Self::Put(at, value) => {
                let byte = bytes.get_mut(place(at)).into_iter();
                byte.for_each(|byte| *byte = *value);
            }
            Self::Insert(at, piece) => insert(bytes, place(at), piece),
            Self::Word(at, word) => insert(bytes, place(at), word.get(WORDS).as_bytes()),
            Self::Remove(at, count) => drop(bytes.drain(some(place(at), *count))),
            Self::Repeat(at, count, to) => {
                let piece = bytes[some(place(at), *count)].to_vec();
                insert(bytes, place(to), &piece);
            }
            Self::Splice(at, sample, from, count) => {
                let sample = sample.get(samples);
                let from = from.index(sample.len() + 1);
                let end = sample.len().min(from + count);
                insert(bytes, place(at), &sample[from..end]);
            }
            Self::Cut(at) => bytes.truncate(place(at)),
        }
    }
}

fn insert(bytes: &mut Vec<u8>, at: usize, piece: &[u8]) {
    bytes.splice(at..at, piece.iter().copied());
}
