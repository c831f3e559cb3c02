//! Who takes part.

use std::path::Path;

use support::process::Other;

use crate::foreign::{Foreign, Runtime};

/// A server that takes part.
pub(crate) struct Contender {
    /// For arguments and for JSON.
    pub(crate) name: &'static str,
    /// For people.
    pub(crate) what: &'static str,
    /// Whose versions matter.
    pub(crate) made_of: &'static [&'static str],
    /// Of those that are not in this program.
    pub(crate) runtime: Option<Runtime>,
}

/// The first is what all are measured by.
pub(crate) const CONTENDERS: &[Contender] = &[
    here("hyper", "hyper, only reads", &["hyper"]),
    here("hyper-verifies", "hyper, verifies", &[]),
    here("hyper-spawns", "hyper, verifies and spawns", &[]),
    here("axum", "axum, only reads", &["axum"]),
    here("actix", "actix-web, only reads", &["actix-web"]),
    here("actix-spawns", "actix-web, verifies and spawns", &[]),
    here("receiver-server", "receiver, mount::Server", &[]),
    here("receiver-hyper", "receiver, hyper", &[]),
    here("receiver-axum", "receiver, axum", &[]),
    here("receiver-actix", "receiver, actix-web", &[]),
    here("receiver-unmatched", "receiver, hyper, no handler", &[]),
    here("receiver-typed", "receiver, hyper, Event<Call>", &[]),
    here("receiver-disk", "receiver, hyper, DiskInbox", &[]),
    here("axum-by-hand", "axum, by hand", &[]),
    elsewhere(
        "node-by-hand",
        "node:http, by hand",
        &["node"],
        Runtime::Node("node.mjs"),
    ),
    elsewhere(
        "express",
        "Express",
        &["express"],
        Runtime::Node("express.mjs"),
    ),
    elsewhere(
        "flask-gunicorn",
        "Flask, gunicorn",
        &["python", "flask", "gunicorn"],
        Runtime::Python(&["-m", "gunicorn", "-c", "gunicorn.conf.py"]),
    ),
    elsewhere(
        "flask",
        "Flask, its own server",
        &["werkzeug"],
        Runtime::Python(&["flask_app.py"]),
    ),
];

const fn here(
    name: &'static str,
    what: &'static str,
    made_of: &'static [&'static str],
) -> Contender {
    Contender {
        name,
        what,
        made_of,
        runtime: None,
    }
}

const fn elsewhere(
    name: &'static str,
    what: &'static str,
    made_of: &'static [&'static str],
    runtime: Runtime,
) -> Contender {
    Contender {
        name,
        what,
        made_of,
        runtime: Some(runtime),
    }
}

impl Contender {
    /// Whether all others are measured by it.
    pub(crate) fn is_the_measure(&self) -> bool {
        self.name == CONTENDERS[0].name
    }

    /// Starts it, or says why it cannot. The first line that it prints is its address.
    pub(crate) fn start(&self, foreign: &Foreign, directory: &Path) -> Result<Other, String> {
        match self.runtime {
            None => Ok(Other::start(&[
                "serve",
                self.name,
                &directory.to_string_lossy(),
                "1",
            ])),
            Some(runtime) => {
                foreign.prepare(runtime)?;
                Ok(foreign.start(runtime))
            }
        }
    }

    /// The versions of what it is made of.
    pub(crate) fn versions(&self, foreign: &Foreign) -> Vec<(String, String)> {
        let version = |of: &&str| {
            let version = match self.runtime {
                None => locked(of),
                Some(runtime) => foreign.version(runtime, of),
            };
            Some(((*of).to_owned(), version?))
        };
        self.made_of.iter().filter_map(version).collect()
    }
}

/// The version of a crate that this program was built with.
fn locked(of: &str) -> Option<String> {
    let lock = include_str!("../../../Cargo.lock");
    let (_, rest) = lock.split_once(&format!("name = \"{of}\"\nversion = \""))?;
    let (version, _) = rest.split_once('"')?;
    Some(version.to_owned())
}
