//! What the pages say of the code, where it can be checked, and that their links lead somewhere.
//!
//! Needs `sh` and `curl`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use support::standalone::{Server, paste, within};
use voipbin_receiver::observe::metrics::METRICS;

/// The root of the repository.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

pub(crate) fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The files of a folder with this ending, by their paths from the root.
fn files(folder: &str, ending: &str) -> Vec<String> {
    let entries = std::fs::read_dir(root().join(folder)).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let names = names.filter(|name| name.ends_with(ending));
    let mut files: Vec<_> = names.map(|name| format!("{folder}/{name}")).collect();
    files.sort();
    assert!(!files.is_empty(), "{folder}");
    files
}

/// The pages of the guide, its index left out.
fn pages() -> Vec<String> {
    let mut pages = files("voipbin-receiver/docs", ".md");
    pages.retain(|page| !page.ends_with("/README.md") && !page.ends_with("/features.md"));
    pages
}

/// Those that the documentation has too. It has no files beside its modules, so a page with
/// pictures is for the repository alone.
fn modules() -> Vec<String> {
    let mut modules = pages();
    modules.retain(|page| !read(page).contains("\n!["));
    modules
}

/// Every page that people read.
fn documents() -> Vec<String> {
    let mut documents = files(".", ".md");
    let others = [
        "examples/README.md",
        "voipbin-receiver/EVENTS.md",
        "voipbin-receiver/README.md",
        "voipbin-receiver-macros/README.md",
    ];
    documents.extend(others.map(String::from));
    documents.extend(files("voipbin-receiver/docs", ".md"));
    documents
}

/// What cargo knows of a package of the workspace.
pub(crate) fn package(name: &str) -> Value {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut metadata = Command::new(cargo);
    metadata.args(["metadata", "--no-deps", "--offline", "--format-version=1"]);
    let output = metadata.current_dir(root()).output().unwrap();
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    let package = packages.iter().find(|package| package["name"] == name);
    package.unwrap().clone()
}

/// The text without blocks of code.
pub(crate) fn prose(text: &str) -> String {
    let mut inside = false;
    let lines = text.lines().filter(|line| {
        let fence = line.trim_start().starts_with("```");
        inside ^= fence;
        !inside && !fence
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// What stands in single backticks.
fn code_words(prose: &str) -> BTreeSet<&str> {
    prose
        .lines()
        .flat_map(|line| line.split('`').skip(1).step_by(2))
        .collect()
}

/// `[name]: target` at the beginning of a line.
pub(crate) fn definitions(text: &str) -> BTreeMap<String, String> {
    let lines = text.lines().filter(|line| line.starts_with('['));
    lines
        .filter_map(|line| line.split_once("]: "))
        .map(|(name, target)| (name[1..].to_owned(), target.to_owned()))
        .collect()
}

/// `[text](target)`. Pictures are not among them: the benchmark that draws them has a test of its
/// own.
pub(crate) fn inline_links(prose: &str) -> Vec<String> {
    let lines = prose.lines().filter(|line| !line.starts_with("!["));
    let links = lines.flat_map(|line| line.split("](").skip(1));
    links
        .filter_map(|rest| Some(rest.split_once(')')?.0.to_owned()))
        .collect()
}

pub(crate) fn is_local(target: &str) -> bool {
    !target.contains("://")
}

/// The anchors that a heading has on GitHub and in rustdoc.
fn anchors(text: &str) -> BTreeSet<String> {
    let prose = prose(text);
    let headings = prose.lines().filter(|line| line.starts_with('#'));
    headings
        .map(|heading| {
            let heading = heading.trim_start_matches('#').trim().to_lowercase();
            let kept = heading
                .chars()
                .filter(|char| char.is_alphanumeric() || " -_".contains(*char));
            kept.map(|char| if char == ' ' { '-' } else { char })
                .collect()
        })
        .collect()
}

#[test]
fn the_table_of_features_has_each_feature_with_its_default() {
    let features = package("voipbin-receiver")["features"].clone();
    let mut features: BTreeMap<String, Vec<String>> = serde_json::from_value(features).unwrap();
    let default = features.remove("default").unwrap();
    let table = read("voipbin-receiver/docs/features.md");
    let rows: BTreeMap<_, _> = table
        .lines()
        .skip(2)
        .map(|row| {
            let mut cells = row.trim_matches('|').split(" |");
            let name = cells.next().unwrap().trim().trim_matches('`').to_owned();
            (name, cells.next().unwrap().trim() == "yes")
        })
        .collect();
    let expected = features.into_keys();
    let expected = expected.map(|name| (name.clone(), default.contains(&name)));
    assert_eq!(rows, expected.collect());
}

#[test]
fn the_front_page_has_the_table_of_features_as_the_crate_has_it() {
    let table = read("voipbin-receiver/docs/features.md");
    assert!(read("README.md").contains(table.trim_end()));
}

#[test]
fn every_page_is_in_the_guide_and_on_the_front_page() {
    let (front, index) = (read("README.md"), read("voipbin-receiver/docs/README.md"));
    let guide = read("voipbin-receiver/src/guide.rs");
    for page in pages() {
        let (_, name) = page.rsplit_once('/').unwrap();
        assert!(front.contains(&format!("({page})")), "{page} in README.md");
        assert!(
            index.contains(&format!("]: {name}\n")),
            "{page} in the index"
        );
    }
    for page in modules() {
        let (_, name) = page.rsplit_once('/').unwrap();
        assert!(
            guide.contains(&format!("\"{name}\",")),
            "{page} in guide.rs"
        );
    }
}

#[test]
fn links_lead_to_files_and_headings_that_are_there() {
    for document in documents() {
        let text = read(&document);
        let prose = prose(&text);
        let here = Path::new(&document).parent().unwrap();
        let targets = inline_links(&prose)
            .into_iter()
            .chain(definitions(&prose).into_values());
        for target in targets.filter(|target| is_local(target)) {
            let (path, anchor) = target.split_once('#').unwrap_or((&target, ""));
            let file = if path.is_empty() {
                root().join(&document)
            } else {
                root().join(here).join(path)
            };
            assert!(file.exists(), "{document} links to {target}");
            if !anchor.is_empty() {
                let anchors = anchors(&std::fs::read_to_string(file).unwrap());
                assert!(anchors.contains(anchor), "{document} links to {target}");
            }
        }
    }
}

/// A link to a file is dead in the documentation, where the pages are no files.
#[test]
fn every_link_of_a_page_leads_somewhere_in_the_documentation() {
    let links = definitions(&read("voipbin-receiver/src/guide/links.md"));
    let index = "voipbin-receiver/docs/README.md".to_owned();
    let mut used = BTreeSet::new();
    for page in modules().into_iter().chain([index]) {
        let text = read(&page);
        let prose = prose(&text);
        for target in inline_links(&prose) {
            let leads = !is_local(&target) || target.starts_with('#');
            assert!(
                leads,
                "{page}: define {target} below, and in src/guide/links.md"
            );
        }
        for (name, target) in definitions(&prose) {
            let body = prose.replace(&format!("\n[{name}]: "), "\n");
            assert!(
                body.contains(&format!("[{name}]")),
                "{page}: nothing uses {name}"
            );
            if is_local(&target) {
                assert!(
                    links.contains_key(&name),
                    "{page}: define {name} in src/guide/links.md too"
                );
                used.insert(name);
            }
        }
    }
    assert_eq!(used, links.into_keys().collect());
}

#[test]
fn metrics_that_a_page_names_are_recorded() {
    let known: BTreeSet<_> = METRICS.iter().map(|metric| metric.name).collect();
    for document in documents() {
        let prose = prose(&read(&document));
        for word in code_words(&prose) {
            let name = word.split_whitespace().next().unwrap_or_default();
            // The name of a schema.
            if name == "voipbin_inbox" {
                continue;
            }
            if name.starts_with("voipbin_") && !name.starts_with("voipbin_receiver") {
                assert!(known.contains(name), "{document}: {name}");
            }
        }
    }
}

#[test]
fn codes_that_the_operations_page_names_are_answered() {
    let answers = [
        "observe/refusal.rs",
        "gate/signature.rs",
        "event/envelope.rs",
    ];
    let answers = answers.map(|file| read(&format!("voipbin-receiver/src/{file}")));
    let page = read("voipbin-receiver/docs/operations.md");
    let rows = page
        .lines()
        .filter(|line| line.starts_with("| 4") || line.starts_with("| 5"));
    let mut codes = 0;
    for row in rows {
        for code in code_words(row.split(" |").next().unwrap()) {
            codes += 1;
            let literal = format!("\"{code}\"");
            assert!(answers.iter().any(|file| file.contains(&literal)), "{code}");
        }
    }
    assert!(codes >= 5, "the rows are not where they were");
}

#[test]
fn examples_that_a_page_runs_are_there() {
    let packages = [
        "voipbin-receiver-examples",
        "crm-postgres",
        "opentelemetry-example",
        "standalone",
    ]
    .map(package);
    let examples: BTreeSet<_> = packages
        .iter()
        .flat_map(|package| package["targets"].as_array().unwrap())
        .filter(|target| target["kind"][0] == "example")
        .map(|target| target["name"].as_str().unwrap())
        .map(String::from)
        .collect();
    let mut named = BTreeSet::new();
    for document in documents() {
        for rest in read(&document).split("--example ").skip(1) {
            let end = rest.find(|char: char| !char.is_alphanumeric() && char != '-');
            let name = rest[..end.unwrap_or(rest.len())].to_owned();
            assert!(examples.contains(&name), "{document}: {name}");
            named.insert(name);
        }
    }
    assert_eq!(named, examples);
}

#[tokio::test]
async fn the_event_of_the_front_page_is_signed_with_its_secret() {
    let front = read("README.md");
    let curl = &front[front.find("curl -X POST").unwrap()..];
    let curl = &curl[..curl.find("\n```").unwrap()];
    within(async {
        let secret = &front[front.find("VOIPBIN_SECRET=").unwrap()..];
        let secret = secret.split(['=', ' ']).nth(1).unwrap();
        let mut server = Server::start(&[], &[("VOIPBIN_SECRET", secret)]).await;
        let here = curl.replace("http://127.0.0.1:5000/voipbin/webhook", &server.url);
        assert_ne!(here, curl);
        assert_eq!(paste(&here).await, r#"{"status":"received"}"#);
        assert_eq!(server.event().await["event"], "call_hangup");
    })
    .await;
}

/// What stands in a page is copied: a secret in it has the form of VoIPBIN's own.
#[test]
fn every_secret_that_people_are_shown_is_as_long_as_a_real_one() {
    let mut texts: Vec<(String, String)> = documents()
        .into_iter()
        .map(|document| (read(&document), document))
        .collect();
    let mut folders = vec![root().join("voipbin-receiver/src"), root().join("examples")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                let code = std::fs::read_to_string(&path).unwrap();
                let comments = code.lines().map(str::trim_start);
                let comments = comments
                    .filter(|line| line.starts_with("///") || line.starts_with("//!"))
                    .collect::<Vec<_>>();
                texts.push((comments.join("\n"), path.display().to_string()));
            }
        }
    }
    let mut shown = 0;
    for (text, place) in &texts {
        let openings = [
            ".secret(\"",
            "Secret::from(\"",
            "Signer::new(\"",
            "VOIPBIN_SECRET=",
        ];
        let openings = openings.iter().chain(&["--secret "]);
        for opening in openings {
            for rest in text.split(opening).skip(1) {
                let rest = rest.trim_start_matches("\\\"");
                let end =
                    rest.find(|char: char| !char.is_ascii_alphanumeric() && !"_-".contains(char));
                let secret = &rest[..end.unwrap_or(rest.len())];
                assert!(
                    ["", "FILE"].contains(&secret) || secret.len() == 32,
                    "{secret} in {place}"
                );
                shown += usize::from(secret.len() == 32);
            }
        }
    }
    assert!(shown > 40, "{shown}: they are not where they were");
}
