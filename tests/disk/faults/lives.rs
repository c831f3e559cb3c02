//! Lives of an inbox, lived by a process of their own and recorded.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use support::life::Mark;
use tempfile::TempDir;

use crate::faults::expected::Expected;
use crate::faults::record::{Operation, Record, scratch, shim};

/// A place for an inbox, the record of what is done there, and all that is said.
pub(crate) struct RecordedDir(TempDir);

impl RecordedDir {
    pub(crate) fn new() -> Self {
        let place = Self(scratch());
        std::fs::create_dir(place.disk()).unwrap();
        place
    }

    /// Where what is recorded happens.
    pub(crate) fn disk(&self) -> PathBuf {
        self.0.path().join("disk")
    }

    pub(crate) fn record(&self) -> Record {
        Record::read(&self.0.path().join("record"))
    }

    /// A process opens the inbox, goes on with it, and closes it or is killed. What fails is as
    /// `shim.c` says.
    pub(crate) fn live(
        &self,
        seed: u64,
        events: usize,
        end: &str,
        failure: Option<&str>,
    ) -> Output {
        let program = std::env::var_os("LIFE").unwrap_or(env!("CARGO_BIN_EXE_life").into());
        let mut life = Command::new(program);
        let marks = self.0.path().join("marks");
        life.arg(self.disk().join(INBOX)).arg(&marks);
        life.args([&seed.to_string(), &events.to_string(), end]);
        life.env("LD_PRELOAD", shim())
            .env("DISK_ROOT", self.disk())
            .env("DISK_MARKS", marks)
            .env("DISK_LOG", self.0.path().join("record"));
        if let Some(failure) = failure {
            life.env("DISK_FAIL", failure);
        }
        life.stdin(Stdio::null()).output().unwrap()
    }
}

/// The inbox beneath the disk: its directories are its own to make.
pub(crate) const INBOX: &str = "inbox";

pub(crate) fn inbox(disk: &Path) -> PathBuf {
    disk.join(INBOX)
}

/// What was said up to this entry.
pub(crate) fn marks(record: &Record, from: usize, to: usize, expected: &mut Expected) {
    for entry in &record.entries[from..to] {
        if entry.operation == Operation::Mark {
            let mark: Mark = record.text(entry).parse().unwrap();
            expected.add(mark);
        }
    }
}
