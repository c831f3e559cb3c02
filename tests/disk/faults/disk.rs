//! A disk that loses power.
//!
//! It is given what a process did to its files and says what may be there afterwards. Its rules,
//! which are harsher than those of most file systems:
//!
//! * What was written to a file, and its length, is safe once a sync of that file that began later
//!   has ended well. An entry of a directory (a new file or directory, a removed or renamed one) is
//!   safe once that directory was synced so; a sync of the file itself does nothing for its name.
//! * Of what is not safe, chance decides. A write is there, is not, or is there in some of its
//!   sectors of 512 bytes. A change of length is there or not. Of the changes of one name those up
//!   to some point are there; changes of different names do not depend on each other. So later
//!   writes may be there without earlier ones, in one file and in several; but never is older data
//!   there in the place of newer.
//! * A sector that is there beyond the end of the file moves its end; what was between is zeros.
//! * After a sync that failed, chance decides for each of the writes that it was for whether it
//!   will ever reach the disk, though the process can read all of them: a later sync that ends well
//!   does not bring them back. So does Linux.
//! * The index of a WAL (`-shm`) is never there.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use fastrand::Rng;

use crate::faults::record::{Entry, Operation, Record};

const SECTOR: usize = 512;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Node {
    Directory,
    File(usize),
}

#[derive(Default)]
struct File<'r> {
    safe: Vec<u8>,
    pending: Vec<Change<'r>>,
}

struct Change<'r> {
    /// Which entry of the record it is.
    number: usize,
    what: What<'r>,
    /// A failed sync lost it.
    lost: bool,
}

enum What<'r> {
    Write(usize, &'r [u8]),
    Length(usize),
}

struct Naming {
    number: usize,
    /// The names whose entries it changes, with what they stand for afterwards.
    names: Vec<(String, Option<Node>)>,
}

/// What is there after a number of operations.
pub(crate) struct Disk<'r> {
    record: &'r Record,
    /// How many entries have happened.
    done: usize,
    visible: BTreeMap<String, Node>,
    safe: BTreeMap<String, Node>,
    pending: Vec<Naming>,
    files: Vec<File<'r>>,
    /// Syncs that have begun, by path.
    syncs: HashMap<&'r str, Vec<usize>>,
    chance: Rng,
    /// Whether it says of each sync of a file that all is safe, and does nothing.
    lies: bool,
}

/// The files of a disk.
pub(crate) type Image = BTreeMap<String, Option<Vec<u8>>>;

impl<'r> Disk<'r> {
    /// An empty one. The seed decides what a failed sync loses.
    pub(crate) fn new(record: &'r Record, seed: u64) -> Self {
        Self {
            record,
            done: 0,
            visible: BTreeMap::new(),
            safe: BTreeMap::new(),
            pending: Vec::new(),
            files: Vec::new(),
            syncs: HashMap::new(),
            chance: Rng::with_seed(seed),
            lies: false,
        }
    }

    /// One that makes nothing safe but names, though it says so: to see that it is noticed.
    pub(crate) fn lying(record: &'r Record) -> Self {
        Self {
            lies: true,
            ..Self::new(record, 0)
        }
    }

    /// Lets all entries up to this number happen, without it.
    pub(crate) fn advance(&mut self, to: usize) {
        while self.done < to {
            let entry = &self.record.entries[self.done];
            // A file that has no name any more is of no interest.
            if !entry.path.ends_with(" (deleted)") {
                self.happen(entry);
            }
            self.done += 1;
        }
    }

    fn happen(&mut self, entry: &'r Entry) {
        let path = &*entry.path;
        match entry.operation {
            Operation::Create => {
                self.files.push(File::default());
                let file = Node::File(self.files.len() - 1);
                self.name(vec![(path.to_owned(), Some(file))]);
            }
            Operation::MakeDirectory => self.name(vec![(path.to_owned(), Some(Node::Directory))]),
            Operation::Remove => self.name(vec![(path.to_owned(), None)]),
            Operation::Rename => {
                let node = self.visible.get(path).copied();
                assert!(
                    matches!(node, Some(Node::File(_))),
                    "{path}: {node:?} is renamed"
                );
                let target = self.record.text(entry).to_owned();
                self.name(vec![(path.to_owned(), None), (target, node)]);
            }
            Operation::Write => {
                let data = self.record.data(entry);
                self.change(path, What::Write(entry.offset as usize, data));
            }
            Operation::SetLength => self.change(path, What::Length(entry.offset as usize)),
            Operation::Sync => self.syncs.entry(path).or_default().push(self.done),
            Operation::Synced => {
                let begun = self.syncs.get_mut(path).unwrap().remove(0);
                self.synced(path, begun, entry.failed);
            }
            Operation::Mark => {}
        }
    }

    fn name(&mut self, names: Vec<(String, Option<Node>)>) {
        apply(&names, &mut self.visible);
        self.pending.push(Naming {
            number: self.done,
            names,
        });
    }

    fn change(&mut self, path: &str, what: What<'r>) {
        let Some(Node::File(file)) = self.visible.get(path) else {
            panic!("{path} is written and was never made");
        };
        self.files[*file].pending.push(Change {
            number: self.done,
            what,
            lost: false,
        });
    }

    fn synced(&mut self, path: &str, begun: usize, failed: bool) {
        match self.visible.get(path) {
            Some(Node::File(_)) if self.lies => {}
            Some(Node::File(file)) => {
                let File { safe, pending } = &mut self.files[*file];
                let of_it = pending.partition_point(|change| change.number < begun);
                if failed {
                    for change in &mut pending[..of_it] {
                        change.lost |= matches!(change.what, What::Write(..)) && self.chance.bool();
                    }
                    return;
                }
                for change in pending.drain(..of_it).filter(|change| !change.lost) {
                    change.what.apply(safe);
                }
            }
            // The root, or another directory.
            _ if !failed => {
                let safe = &mut self.safe;
                self.pending.retain(|naming| {
                    let here = naming.names.iter().any(|(name, _)| parent(name) == path);
                    let synced = here && naming.number < begun;
                    if synced {
                        apply(&naming.names, safe);
                    }
                    !synced
                });
            }
            _ => {}
        }
    }

    /// What the process sees.
    pub(crate) fn visible(&self) -> Image {
        self.image(&self.visible, |file| {
            let mut bytes = file.safe.clone();
            for change in &file.pending {
                change.what.apply(&mut bytes);
            }
            bytes
        })
    }

    /// What is there when the power goes now. What is not safe is up to the seed.
    pub(crate) fn cut(&self, seed: u64) -> Image {
        let mut chance = Rng::with_seed(seed);
        let mut names = self.safe.clone();
        let kept_of_8 = chance.u32(0..9);
        let mut without: Vec<&str> = Vec::new();
        for Naming { names: changed, .. } in &self.pending {
            let follows = |(name, _): &(String, _)| without.contains(&&**name);
            if changed.iter().any(follows) || chance.u32(0..8) >= kept_of_8 {
                without.extend(changed.iter().map(|(name, _)| &**name));
            } else {
                apply(changed, &mut names);
            }
        }
        let chance = std::cell::RefCell::new(chance);
        self.image(&names, |file| file.cut(&mut chance.borrow_mut()))
    }

    fn image(&self, names: &BTreeMap<String, Node>, bytes: impl Fn(&File<'r>) -> Vec<u8>) -> Image {
        let there = |name: &String| {
            let above = parent(name);
            above.is_empty() || names.get(above) == Some(&Node::Directory)
        };
        let mut image = Image::new();
        // A directory comes before what is in it.
        for (name, node) in names
            .iter()
            .filter(|(name, _)| there(name) && !is_index(name))
        {
            let above = parent(name);
            if !above.is_empty() && !image.contains_key(above) {
                continue;
            }
            let file = match node {
                Node::Directory => None,
                Node::File(file) => Some(bytes(&self.files[*file])),
            };
            image.insert(name.clone(), file);
        }
        image
    }
}

impl File<'_> {
    fn cut(&self, chance: &mut Rng) -> Vec<u8> {
        let mut bytes = self.safe.clone();
        // Mostly lost, mostly kept, and all between: in each file as it comes.
        let kept_of_8 = chance.u32(0..9);
        for change in self.pending.iter().filter(|change| !change.lost) {
            match chance.u32(0..8) {
                fate if fate < kept_of_8 => change.what.apply(&mut bytes),
                6 | 7 => change.what.torn(chance, &mut bytes),
                _ => {}
            }
        }
        bytes
    }
}

impl What<'_> {
    fn apply(&self, file: &mut Vec<u8>) {
        match self {
            Self::Length(length) => file.resize(*length, 0),
            Self::Write(offset, data) => write(file, *offset, data),
        }
    }

    /// Some of its sectors.
    fn torn(&self, chance: &mut Rng, file: &mut Vec<u8>) {
        if let Self::Write(offset, data) = self {
            let mut at = 0;
            while at < data.len() {
                let end = (offset + at) / SECTOR * SECTOR + SECTOR - offset;
                let end = end.min(data.len());
                if chance.bool() {
                    write(file, offset + at, &data[at..end]);
                }
                at = end;
            }
        }
    }
}

fn write(file: &mut Vec<u8>, offset: usize, data: &[u8]) {
    let end = offset + data.len();
    if file.len() < end {
        file.resize(end, 0);
    }
    file[offset..end].copy_from_slice(data);
}

fn apply(changed: &[(String, Option<Node>)], names: &mut BTreeMap<String, Node>) {
    for (name, node) in changed {
        match node {
            Some(node) => names.insert(name.clone(), *node),
            None => names.remove(name),
        };
    }
}

/// Of a WAL. It is written through a mapping, which is not recorded.
fn is_index(name: &str) -> bool {
    name.ends_with("-shm")
}

fn parent(name: &str) -> &str {
    name.rsplit_once('/').map_or("", |(parent, _)| parent)
}

/// Makes the files of an image in an empty directory.
pub(crate) fn restore(image: &Image, directory: &Path) {
    for (name, file) in image {
        let path = directory.join(name);
        match file {
            None => std::fs::create_dir(path).unwrap(),
            Some(bytes) => std::fs::write(path, bytes).unwrap(),
        }
    }
}

/// The files of a directory, but for the index of a WAL.
pub(crate) fn image(directory: &Path) -> Image {
    let mut image = Image::new();
    let mut left = vec![directory.to_owned()];
    while let Some(folder) = left.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(directory).unwrap().to_str().unwrap();
            if is_index(name) {
                continue;
            }
            let file = (!path.is_dir()).then(|| std::fs::read(&path).unwrap());
            image.insert(name.to_owned(), file);
            if path.is_dir() {
                left.push(path);
            }
        }
    }
    image
}
