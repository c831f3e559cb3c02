//! A directory with a file of settings, and a look at what the standalone server makes of it.

use std::collections::BTreeMap;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use support::standalone::{Server, command};
use tempfile::TempDir;

/// A directory to run in.
pub(crate) struct Place(TempDir);

/// What `--check` told.
#[derive(Debug)]
pub(crate) struct Checked {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Place {
    /// With this in the file of settings.
    pub(crate) fn with(settings: &str) -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        place.write("settings.toml", settings);
        place
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn settings(&self) -> String {
        self.in_it("settings.toml").to_str().unwrap().to_owned()
    }

    pub(crate) fn in_it(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    /// Writes a file that is for its owner alone.
    pub(crate) fn write(&self, name: &str, text: &str) {
        let path = self.in_it(name);
        std::fs::write(&path, text).unwrap();
        self.set_mode(name, 0o600);
    }

    pub(crate) fn set_mode(&self, name: &str, mode: u32) {
        std::fs::set_permissions(self.in_it(name), Permissions::from_mode(mode)).unwrap();
    }

    /// Has the server look at the file, without an environment.
    pub(crate) async fn check(&self) -> Checked {
        self.check_with(&[], &[]).await
    }

    /// Has the server look at the file, beside these flags and variables.
    pub(crate) async fn check_with(
        &self,
        arguments: &[&str],
        environment: &[(&str, &str)],
    ) -> Checked {
        let settings = self.settings();
        let arguments: Vec<_> = ["--config", &settings, "--check"]
            .iter()
            .chain(arguments)
            .copied()
            .collect();
        let output = command(self.path(), &arguments, environment).output().await;
        let output = output.unwrap();
        Checked {
            code: output.status.code().unwrap(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Starts the server from the file, in this directory.
    pub(crate) async fn serve(&self, arguments: &[&str]) -> Server {
        let settings = self.settings();
        let arguments: Vec<_> = ["--config", &settings]
            .iter()
            .chain(arguments)
            .copied()
            .collect();
        Server::start_in(self.path(), &arguments, &[]).await
    }
}

impl Checked {
    /// A setting, and where it came from.
    pub(crate) fn setting(&self, key: &str) -> (String, String) {
        let all = self.settings();
        all.get(key)
            .unwrap_or_else(|| panic!("no {key} in {self:?}"))
            .clone()
    }

    /// Every setting that has a value, and where it came from.
    pub(crate) fn settings(&self) -> BTreeMap<String, (String, String)> {
        let lines = self.stdout.lines().filter(|line| !line.starts_with('#'));
        lines
            .map(|line| {
                let (written, origin) = line.split_once(" # ").unwrap();
                let (key, value) = written.trim_end().split_once(" = ").unwrap();
                (key.to_owned(), (value.to_owned(), origin.to_owned()))
            })
            .collect()
    }
}
