//! Takes the programs that serve out of the pages, for `programs/` to include.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "what fails here fails the build"
)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{env, fs};

/// What each page has, in its order. A program that is not among them has no test.
const PROGRAMS: [(&str, &[&str]); 3] = [
    ("README.md", &["front"]),
    ("coming-from-flask-and-express.md", &["coming_from"]),
    ("mounting.md", &["axum", "actix", "server"]),
];

/// What a test decides instead: where to listen when no socket is handed down, and how long to
/// drain.
const DECIDED: [(&str, &str); 2] = [
    (r#""127.0.0.1:5000""#, "page::address()"),
    ("Duration::from_secs(30)", "Duration::from_secs(1)"),
];

fn main() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let docs = root.join("voipbin-receiver/docs");
    let out = PathBuf::from(env::var_os("OUT_DIR").unwrap());
    let pages = fs::read_dir(&docs).unwrap();
    let pages = pages.map(|page| page.unwrap().path());
    let pages = pages.filter(|page| page.extension().is_some_and(|extension| extension == "md"));
    // The index of the guide has a name that the front page has too.
    let pages = pages.filter(|page| !page.ends_with("README.md"));
    let expected = BTreeMap::from(PROGRAMS);
    for page in pages.chain([root.join("README.md")]) {
        println!("cargo::rerun-if-changed={}", page.display());
        let name = page.file_name().unwrap().to_str().unwrap();
        let expected = expected.get(name).copied().unwrap_or_default();
        let found = programs(&fs::read_to_string(&page).unwrap());
        assert_eq!(found.len(), expected.len(), "programs that serve in {name}");
        for (program, mut code) in expected.iter().zip(found) {
            for (written, decided) in DECIDED {
                assert_eq!(code.matches(written).count(), 1, "{written} in {name}");
                code = code.replace(written, decided);
            }
            fs::write(out.join(program).with_extension("rs"), code).unwrap();
        }
    }
    println!("cargo::rerun-if-changed=build.rs");
}

/// The blocks of Rust that are a whole program with a server in it.
fn programs(page: &str) -> Vec<String> {
    let mut blocks = Vec::new();
    let mut block: Option<String> = None;
    for line in page.lines() {
        match &mut block {
            Some(code) if line == "```" => {
                blocks.push(std::mem::take(code));
                block = None;
            }
            Some(code) => {
                code.push_str(line);
                code.push('\n');
            }
            // Blocks of another language are followed to their end, too.
            None if line.starts_with("```") => block = Some(String::new()),
            None => {}
        }
    }
    let serves = [
        "axum::serve(",
        "HttpServer::new(",
        "Server::new()\n",
        ".serve(",
    ];
    blocks.retain(|code| {
        code.contains("fn main()") && serves.iter().any(|serves| code.contains(serves))
    });
    blocks
}
