//! What the packages say of themselves, as far as their files tell.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;

use crate::pages::{definitions, inline_links, is_local, package, prose, read, root};

const CRATES: [&str; 2] = ["voipbin-receiver", "voipbin-receiver-macros"];

/// Where the documentation of a published version is.
const DOCUMENTATION: &str = "https://docs.rs/voipbin-receiver/latest/voipbin_receiver/";

/// All packages that a build of all features takes.
fn all() -> Value {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut metadata = Command::new(cargo);
    metadata.args([
        "metadata",
        "--offline",
        "--all-features",
        "--format-version=1",
    ]);
    let output = metadata.current_dir(root()).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

fn version(text: &str) -> Vec<u32> {
    text.split('.').map(|part| part.parse().unwrap()).collect()
}

#[test]
fn the_oldest_rust_is_no_older_than_what_a_dependency_says_that_it_takes() {
    let all = all();
    let by_id = |list: &Value| -> BTreeMap<String, Value> {
        let list = list.as_array().unwrap().iter();
        list.map(|one| (one["id"].as_str().unwrap().to_owned(), one.clone()))
            .collect()
    };
    let (packages, nodes) = (by_id(&all["packages"]), by_id(&all["resolve"]["nodes"]));
    let mut to_visit: Vec<String> = CRATES
        .iter()
        .chain(&["standalone"])
        .map(|name| package(name)["id"].as_str().unwrap().to_owned())
        .collect();
    let ours = version(package(CRATES[0])["rust_version"].as_str().unwrap());
    let mut visited = BTreeSet::new();
    while let Some(id) = to_visit.pop() {
        if !visited.insert(id.clone()) {
            continue;
        }
        if let Some(theirs) = packages[&id]["rust_version"].as_str() {
            assert!(version(theirs) <= ours, "{id} takes Rust {theirs}");
        }
        for dependency in nodes[&id]["deps"].as_array().unwrap() {
            let kinds = dependency["dep_kinds"].as_array().unwrap();
            if kinds.iter().any(|kind| kind["kind"] != "dev") {
                to_visit.push(dependency["pkg"].as_str().unwrap().to_owned());
            }
        }
    }
    assert!(visited.len() > 200, "{}", visited.len());
    for page in [
        "README.md",
        "voipbin-receiver/README.md",
        "voipbin-receiver/docs/stability.md",
    ] {
        let oldest = package(CRATES[0])["rust_version"]
            .as_str()
            .unwrap()
            .to_owned();
        assert!(read(page).contains(&format!("Rust {oldest}")), "{page}");
    }
}

#[test]
fn a_package_says_what_a_registry_shows() {
    for name in CRATES {
        let package = package(name);
        for key in ["description", "license", "documentation", "readme"] {
            assert!(
                package[key].as_str().is_some_and(|value| !value.is_empty()),
                "{name}: {key}"
            );
        }
        // Where it is told from the root; empty until it is known.
        assert!(package["repository"].is_string(), "{name}");
        let (keywords, categories) = (&package["keywords"], &package["categories"]);
        assert!(
            (1..=5).contains(&keywords.as_array().unwrap().len()),
            "{name}"
        );
        assert!(
            (1..=5).contains(&categories.as_array().unwrap().len()),
            "{name}"
        );
    }
}

#[test]
fn the_readme_of_the_registry_has_the_app_of_the_front_page() {
    let block = |page: &str| {
        let text = read(page);
        let (_, rest) = text.split_once("```rust,no_run\n").unwrap();
        rest.split_once("\n```").unwrap().0.to_owned()
    };
    assert_eq!(block("voipbin-receiver/README.md"), block("README.md"));
}

/// A registry has no files beside a README. It leads what is relative to the repository, from the
/// folder of the package.
#[test]
fn links_of_the_readmes_of_the_registry_live_there() {
    let guide = read("voipbin-receiver/src/guide.rs");
    let mut to_documentation = 0;
    for name in CRATES {
        let text = read(&format!("{name}/README.md"));
        let prose = prose(&text);
        for target in inline_links(&prose)
            .into_iter()
            .chain(definitions(&prose).into_values())
        {
            if is_local(&target) {
                assert!(root().join(name).join(&target).exists(), "{name}: {target}");
                assert!(
                    !target.contains("docs/"),
                    "{name}: the documentation has {target}"
                );
            } else if let Some(page) = target.strip_prefix(DOCUMENTATION) {
                to_documentation += 1;
                if let Some(module) = page
                    .strip_prefix("guide/")
                    .and_then(|page| page.split_once('/'))
                {
                    let module = format!("    {} \"", module.0);
                    assert!(guide.contains(&module), "{name}: {target}");
                }
            }
        }
    }
    assert!(to_documentation >= 3, "{to_documentation}");
}
