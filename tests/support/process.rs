//! Processes of this program's own kind, and what the system tells of them.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::ops::Range;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::Duration;

/// Bytes that this process has caused to be written to disks, where the system tells.
pub fn written() -> Option<u64> {
    number_in("/proc/self/io", "write_bytes:")
}

/// A figure of this process's memory in bytes, where the system tells.
pub fn memory(name: &str) -> Option<u64> {
    Some(number_in("/proc/self/status", name)? << 10)
}

/// A figure of the memory of these processes together, in bytes, where the system tells.
pub fn memory_of(processes: &[u32], name: &str) -> Option<u64> {
    let one = |process: &u32| number_in(&format!("/proc/{process}/status"), name);
    Some(processes.iter().map(one).sum::<Option<u64>>()? << 10)
}

/// CPU time that these processes have taken together, in user and in kernel mode, where the system
/// tells.
pub fn cpu_of(processes: &[u32]) -> Option<Duration> {
    let one = |process: &u32| scheduled(*process).or_else(|| ticked(*process));
    processes.iter().map(one).sum()
}

/// To the nanosecond, of all threads that it has now.
fn scheduled(process: u32) -> Option<Duration> {
    let threads = fs::read_dir(format!("/proc/{process}/task")).ok()?;
    let nanos = threads.map(|thread| {
        let text = fs::read_to_string(thread.ok()?.path().join("schedstat")).ok()?;
        text.split_whitespace().next()?.parse::<u64>().ok()
    });
    nanos.sum::<Option<u64>>().map(Duration::from_nanos)
}

/// To the hundredth of a second.
fn ticked(process: u32) -> Option<Duration> {
    #[cfg(target_os = "linux")]
    {
        let fields = fields(process)?;
        let ticks = |place: usize| fields.get(place)?.parse::<u64>().ok();
        let second = rustix::param::clock_ticks_per_second();
        Some(Duration::from_secs_f64(
            (ticks(11)? + ticks(12)?) as f64 / second as f64,
        ))
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = process;
        None
    }
}

/// A process with all that it has started, where the system tells.
pub fn family(process: u32) -> Vec<u32> {
    let mut members = vec![process];
    let Ok(entries) = fs::read_dir("/proc") else {
        return members;
    };
    let ids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
    let parents: Vec<(u32, u32)> = ids
        .filter_map(|id| Some((id, fields(id)?.get(1)?.parse().ok()?)))
        .collect();
    let mut place = 0;
    while let Some(parent) = members.get(place).copied() {
        let children = parents.iter().filter(|(_, of)| *of == parent);
        members.extend(children.map(|(id, _)| id));
        place += 1;
    }
    members
}

/// The fields of `/proc/…/stat` that follow the program's name, which may have blanks: the state is
/// the first of them.
fn fields(process: u32) -> Option<Vec<String>> {
    let text = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    let (_, fields) = text.rsplit_once(')')?;
    Some(fields.split_whitespace().map(str::to_owned).collect())
}

/// Lets this process have as many files and sockets as it may at most, where the system has two
/// limits: how many, where there is a limit.
pub fn may_open_many() -> Option<u64> {
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{Resource, getrlimit, setrlimit};
        let mut limit = getrlimit(Resource::Nofile);
        limit.current = limit.maximum;
        setrlimit(Resource::Nofile, limit).unwrap();
        limit.maximum
    }
    #[cfg(not(target_os = "linux"))]
    None
}

/// As many of these connections as this process may have beside its other files. Says aloud when it
/// is not all of them.
#[expect(clippy::print_stderr, reason = "a test that does less says so")]
pub fn room_for(connections: u64) -> u64 {
    const OTHERS: u64 = 200;
    let files = may_open_many().unwrap_or(u64::MAX);
    let room = files.saturating_sub(OTHERS).min(connections);
    if room < connections {
        eprintln!(
            "\n!!! {room} CONNECTIONS, NOT {connections}: no more open files are allowed here.\n"
        );
    }
    room
}

fn number_in(path: &str, name: &str) -> Option<u64> {
    let text = fs::read_to_string(path).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

/// Bytes that the files of a directory take on the disk, or else their lengths.
pub fn disk_use(directory: &Path) -> u64 {
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

/// Keeps this process to some of the cores that it may use, where the system can and there are
/// several: sender and receiver do not push each other aside then. Beyond the last core there is
/// the last one. For the first thread, before others start.
pub fn keep_to_cores(numbers: Range<usize>) {
    #[cfg(target_os = "linux")]
    {
        use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
        let mine = sched_getaffinity(None).unwrap();
        let cores: Vec<usize> = (0..CpuSet::MAX_CPU)
            .filter(|core| mine.is_set(*core))
            .collect();
        let last = cores.len() - 1;
        let mut only = CpuSet::new();
        for core in &cores[numbers.start.min(last)..numbers.end.clamp(1, cores.len())] {
            only.set(*core);
        }
        sched_setaffinity(None, &only).unwrap();
    }
    #[cfg(not(target_os = "linux"))]
    let _ = numbers;
}

/// The same with one core alone.
pub fn keep_to_core(number: usize) {
    keep_to_cores(number..number.saturating_add(1));
}

/// This program in another process. It is killed when this is dropped.
pub struct Other {
    child: Child,
    lines: BufReader<std::process::ChildStdout>,
    /// It ends when this is closed, or is killed.
    input: Option<ChildStdin>,
}

impl Other {
    /// Starts it with these arguments.
    pub fn start(arguments: &[&str]) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        Self::of(command.args(arguments))
    }

    /// Starts another program in the same way.
    pub fn of(command: &mut Command) -> Self {
        let mut child = command
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

    /// Its number, by which the system knows it.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The next line that it prints.
    pub fn line(&mut self) -> String {
        let mut line = String::new();
        assert!(self.lines.read_line(&mut line).unwrap() > 0, "it ended");
        line.trim_end().to_owned()
    }

    /// Tells it to end.
    pub fn close_input(&mut self) {
        self.input = None;
    }

    /// Kills it at once: no destructor runs in it.
    pub fn kill(self) {}

    /// All else that it prints until it ends by itself.
    pub fn rest(mut self) -> String {
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
