//! The library's rooms import each other one way, in the order that CONTRIBUTING.md shows; and
//! comments have a width.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use crate::pages::root;

/// The place of `event`: up to there, rooms of one place may use each other.
const DELIVERY: usize = 1;

/// Each room with its place in the order; rooms of one place stand side by side.
fn order() -> BTreeMap<String, usize> {
    let page = fs::read_to_string(root().join("CONTRIBUTING.md")).unwrap();
    let mut blocks = page
        .split("```text")
        .map(|rest| rest.split("```").next().unwrap());
    let block = blocks.find(|block| block.contains("  <- catalog")).unwrap();
    let rooms = block.split("<-").enumerate().flat_map(|(place, rooms)| {
        let rooms = rooms
            .split(',')
            .map(str::trim)
            .filter(|room| !room.is_empty());
        rooms.map(move |room| (room.to_owned(), place))
    });
    rooms.collect()
}

fn files(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// The rooms that code names by `crate::`. Tests at a file's end and comments may name any.
fn imports(code: &str) -> BTreeSet<String> {
    let code = code.split("#[cfg(test)]\nmod tests {").next().unwrap();
    let lines = code.lines().map(str::trim_start);
    let code: String = lines
        .filter(|line| !line.starts_with("//"))
        .flat_map(|line| [line, "\n"])
        .collect();
    let named = code.split("crate::").skip(1);
    named
        .map(|rest| {
            rest.chars()
                .take_while(|c| c.is_alphanumeric() || *c == '_')
        })
        .map(String::from_iter)
        .collect()
}

#[test]
fn rooms_import_each_other_one_way() {
    let src = root().join("voipbin-receiver/src");
    let order = order();
    let mut found = Vec::new();
    files(&src, &mut found);
    assert!(found.len() > 100, "the sources are not where they were");
    let mut wrong = Vec::new();
    let mut seen = BTreeSet::new();
    for path in found {
        let inside = path.strip_prefix(&src).unwrap();
        // The front door names every room, and test code may.
        let names: Vec<_> = inside.iter().map(|name| name.to_str().unwrap()).collect();
        let of_tests = |name: &&str| ["tests", "tests.rs", "model", "model.rs"].contains(name);
        if ["lib.rs", "guide.rs"].contains(&names[0]) || names.iter().any(of_tests) {
            continue;
        }
        let room = names[0].trim_end_matches(".rs");
        let Some(place) = order.get(room) else {
            wrong.push(format!(
                "{room} has no place in the order of CONTRIBUTING.md"
            ));
            continue;
        };
        seen.insert(room.to_owned());
        for import in imports(&fs::read_to_string(&path).unwrap()) {
            // What is no room is an item of the front door, as macros are.
            if let Some(imported) = order.get(&import)
                && import != room
                && imported >= place
                && !(imported == place && *place <= DELIVERY)
            {
                wrong.push(format!("{}: {room} imports {import}", inside.display()));
            }
        }
    }
    let missing = order.keys().filter(|room| !seen.contains(*room));
    wrong.extend(missing.map(|room| format!("{room} is in the order and not in the sources")));
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// rustfmt holds code to this width, and leaves comments alone. Rows of tables cannot be broken,
/// and code of examples is read as code.
#[test]
fn comments_are_no_wider_than_a_hundred_columns() {
    let folders = [
        "examples",
        "tests",
        "voipbin-receiver",
        "voipbin-receiver-macros",
    ];
    let mut found = Vec::new();
    for folder in folders {
        files(&root().join(folder), &mut found);
    }
    assert!(found.len() > 300, "the sources are not where they were");
    let mut wide = Vec::new();
    for path in found {
        let mut in_example = false;
        for (number, line) in (1..).zip(fs::read_to_string(&path).unwrap().lines()) {
            let Some(text) = line.trim_start().strip_prefix("//") else {
                in_example = false;
                continue;
            };
            let text = text.trim_start_matches(['/', '!']).trim_start();
            in_example ^= text.starts_with("```");
            if line.chars().count() > 100 && !in_example && !text.starts_with('|') {
                wide.push(format!("{}:{number}", path.display()));
            }
        }
    }
    assert!(wide.is_empty(), "{wide:#?}");
}
