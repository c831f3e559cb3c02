//! A directory with a file of settings, and a look at what the standalone server makes of it.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use support::standalone::{Finished, Server, run};
use tempfile::TempDir;

/// A directory to run in.
pub(crate) struct SettingsDir(TempDir);

impl SettingsDir {
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
    pub(crate) async fn check(&self) -> Finished {
        self.check_with(&[], &[]).await
    }

    /// Has the server look at the file, beside these flags and variables.
    pub(crate) async fn check_with(
        &self,
        arguments: &[&str],
        environment: &[(&str, &str)],
    ) -> Finished {
        let settings = self.settings();
        let arguments: Vec<_> = ["--config", &settings, "--check"]
            .iter()
            .chain(arguments)
            .copied()
            .collect();
        run(self.path(), &arguments, environment).await
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
