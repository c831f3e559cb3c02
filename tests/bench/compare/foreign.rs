//! Servers in other languages, where there is what runs them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use support::SECRET;
use support::process::Other;

/// What runs a server that is not in Rust.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Runtime {
    /// Node.js, with this file.
    Node(&'static str),
    /// Python, with these arguments.
    Python(&'static [&'static str]),
}

/// The place where servers and what they need are, and which of them can run.
pub(crate) struct Foreign {
    place: PathBuf,
}

impl Foreign {
    /// In the build's own folder, for the next time too.
    pub(crate) fn new() -> Self {
        let place = Path::new(env!("CARGO_TARGET_TMPDIR")).join("foreign");
        fs::create_dir_all(&place).unwrap();
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("bench/compare");
        for file in fs::read_dir(source).unwrap() {
            let file = file.unwrap().path();
            if file.extension().is_some_and(|extension| extension != "rs") {
                fs::copy(&file, place.join(file.file_name().unwrap())).unwrap();
            }
        }
        Self { place }
    }

    /// Installs what a server needs, unless it is there; or says why it cannot run.
    pub(crate) fn prepare(&self, runtime: Runtime) -> Result<(), String> {
        match runtime {
            Runtime::Node(_) => {
                self.says(Command::new("node").arg("--version"))?;
                self.once("package.json", || {
                    let options = ["install", "--no-audit", "--no-fund", "--no-package-lock"];
                    self.says(Command::new("npm").args(options))
                })
            }
            Runtime::Python(_) => self.once("requirements.txt", || {
                self.says(Command::new("python3").args(["-m", "venv", "python"]))?;
                let options = ["-m", "pip", "install", "--quiet", "-r", "requirements.txt"];
                self.says(Command::new(self.python()).args(options))
            }),
        }
    }

    /// Installs what a list names, unless it was done for the same list.
    fn once(
        &self,
        list: &str,
        install: impl FnOnce() -> Result<String, String>,
    ) -> Result<(), String> {
        let done = self.place.join(format!("installed-{list}"));
        let wanted = fs::read_to_string(self.place.join(list)).unwrap();
        if fs::read_to_string(&done).is_ok_and(|done| done == wanted) {
            return Ok(());
        }
        install()?;
        fs::write(done, wanted).unwrap();
        Ok(())
    }

    /// The version of what a server is made of.
    pub(crate) fn version(&self, runtime: Runtime, of: &str) -> Option<String> {
        match (runtime, of) {
            (Runtime::Node(_), "node") => self.says(Command::new("node").arg("--version")).ok(),
            (Runtime::Node(_), package) => {
                let path = format!("node_modules/{package}/package.json");
                let text = fs::read_to_string(self.place.join(path)).ok()?;
                let json: serde_json::Value = serde_json::from_str(&text).ok()?;
                json.get("version")?.as_str().map(str::to_owned)
            }
            (Runtime::Python(_), "python") => {
                let version = self
                    .says(Command::new(self.python()).arg("--version"))
                    .ok()?;
                version.strip_prefix("Python ").map(str::to_owned)
            }
            (Runtime::Python(_), package) => {
                let ask = format!("import importlib.metadata as m; print(m.version('{package}'))");
                self.says(Command::new(self.python()).args(["-c", &ask]))
                    .ok()
            }
        }
    }

    /// Starts a server. The first line that it prints is its address.
    pub(crate) fn start(&self, runtime: Runtime) -> Other {
        let program = match runtime {
            Runtime::Node(_) => PathBuf::from("node"),
            Runtime::Python(_) => self.python(),
        };
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.arg("become").arg(program);
        match runtime {
            Runtime::Node(file) => command.arg(file),
            Runtime::Python(arguments) => command.args(arguments),
        };
        command.current_dir(&self.place);
        command.env("VOIPBIN_SECRET", SECRET);
        command.env("NODE_ENV", "production");
        Other::of(&mut command)
    }

    fn python(&self) -> PathBuf {
        let folder = if cfg!(windows) { "Scripts" } else { "bin" };
        self.place.join("python").join(folder).join("python")
    }

    /// What a command says, or why it fails.
    fn says(&self, command: &mut Command) -> Result<String, String> {
        let name = command.get_program().to_string_lossy().into_owned();
        let name = name.rsplit('/').next().unwrap_or_default().to_owned();
        let output = command
            .current_dir(&self.place)
            .stdin(Stdio::null())
            .output()
            .map_err(|error| format!("{name} cannot be run: {error}"))?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            let last = said.trim().lines().last().unwrap_or_default().to_owned();
            return Err(format!("{name} failed: {last}"));
        }
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }
}

/// Becomes another program, on the core of the servers.
pub(crate) fn become_program(program: &str, arguments: &[&str]) {
    support::process::keep_to_core(0);
    let mut command = Command::new(program);
    command.args(arguments);
    #[cfg(unix)]
    panic!("{}", std::os::unix::process::CommandExt::exec(&mut command));
    #[cfg(not(unix))]
    assert!(command.status().unwrap().success());
}
