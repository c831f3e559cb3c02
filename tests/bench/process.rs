//! Processes of this program's own kind, and what the system tells of them.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};

/// Bytes that this process has caused to be written to disks, where the system tells.
pub(crate) fn written() -> Option<u64> {
    number_in("/proc/self/io", "write_bytes:")
}

/// A figure of this process's memory in bytes, where the system tells.
pub(crate) fn memory(name: &str) -> Option<u64> {
    Some(number_in("/proc/self/status", name)? << 10)
}

fn number_in(path: &str, name: &str) -> Option<u64> {
    let text = fs::read_to_string(path).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

/// Bytes that the files of a directory take on the disk, or else their lengths.
pub(crate) fn disk_use(directory: &Path) -> u64 {
    let files = fs::read_dir(directory).unwrap();
    files
        .map(|file| {
            let metadata = file.unwrap().metadata().unwrap();
            #[cfg(unix)]
            return std::os::unix::fs::MetadataExt::blocks(&metadata) * 512;
            #[cfg(not(unix))]
            return metadata.len();
        })
        .sum()
}

/// Keeps this process to one of the cores it may use, where the system can and there are several:
/// sender and receiver do not push each other aside then. For the first thread, before others start.
pub(crate) fn keep_to_core(number: usize) {
    #[cfg(target_os = "linux")]
    {
        use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
        let mine = sched_getaffinity(None).unwrap();
        let cores: Vec<usize> = (0..CpuSet::MAX_CPU)
            .filter(|core| mine.is_set(*core))
            .collect();
        if cores.len() > 1 {
            let mut only = CpuSet::new();
            only.set(cores[number % cores.len()]);
            sched_setaffinity(None, &only).unwrap();
        }
    }
    #[cfg(not(target_os = "linux"))]
    let _ = number;
}

/// This program in another process. It is killed when this is dropped.
pub(crate) struct Other {
    child: Child,
    lines: BufReader<std::process::ChildStdout>,
    /// It ends when this is closed, or is killed.
    input: Option<ChildStdin>,
}

impl Other {
    pub(crate) fn start(arguments: &[&str]) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        Self {
            lines: BufReader::new(child.stdout.take().unwrap()),
            input: child.stdin.take(),
            child,
        }
    }

    /// The next line that it prints.
    pub(crate) fn line(&mut self) -> String {
        let mut line = String::new();
        assert!(self.lines.read_line(&mut line).unwrap() > 0, "it ended");
        line.trim_end().to_owned()
    }

    /// Tells it to end.
    pub(crate) fn close_input(&mut self) {
        self.input = None;
    }

    /// Kills it at once: no destructor runs in it.
    pub(crate) fn kill(self) {}

    /// All else that it prints until it ends by itself.
    pub(crate) fn rest(mut self) -> String {
        let mut rest = String::new();
        self.lines.read_to_string(&mut rest).unwrap();
        assert!(self.child.wait().unwrap().success());
        rest
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        let _ = self.child.kill();
        self.child.wait().unwrap();
    }
}
