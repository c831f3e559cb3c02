//! Runs a step of this program under callgrind, and reads what it wrote.

use std::collections::HashMap;
use std::fs;
use std::process::Command;

/// The function whose instructions are counted, with all that it calls.
const COUNTED: &str = "*instructions*steps*counted*";

/// Instructions that were counted.
pub(crate) struct Counts {
    pub(crate) all: u64,
    /// Those of the hash's own code.
    pub(crate) sha256: u64,
}

impl Counts {
    pub(crate) fn per(&self, deliveries: u64) -> Self {
        Self {
            all: self.all / deliveries,
            sha256: self.sha256 / deliveries,
        }
    }
}

pub(crate) fn count(step: &str, keep: bool) -> Counts {
    let program = std::env::current_exe().unwrap();
    let written = program.with_file_name(format!("callgrind.out.{step}"));
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--dump-line=no"])
        .arg(format!("--toggle-collect={COUNTED}"))
        .arg(format!("--callgrind-out-file={}", written.display()))
        .arg(program)
        .args(["run", step])
        .output()
        .expect("valgrind is needed: install the package of this name");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let counts = read(&fs::read_to_string(&written).unwrap());
    assert!(counts.all > 0, "callgrind found no function {COUNTED}");
    if !keep {
        fs::remove_file(written).unwrap();
    }
    counts
}

/// Sums up callgrind's format: `fn=(number) name` begins a function, the name being there the first
/// time only; a line of figures is what it took itself, unless `calls=` comes before.
fn read(text: &str) -> Counts {
    let mut names = HashMap::new();
    let mut counts = Counts { all: 0, sha256: 0 };
    let (mut is_hash, mut of_a_call) = (false, false);
    for line in text.lines() {
        if let Some((kind, function)) = line.split_once("fn=")
            && let Some((number, name)) = function.split_once(')')
        {
            let name = name.trim();
            if !name.is_empty() {
                names.insert(number, name.contains("sha2::"));
            }
            if kind.is_empty() {
                is_hash = names.get(number).copied().unwrap_or_default();
            }
        } else if line.starts_with("calls=") {
            of_a_call = true;
        } else if line.starts_with(|first: char| first.is_ascii_digit() || "+-*".contains(first)) {
            let cost = line.split_whitespace().nth(1);
            let cost: u64 = cost.and_then(|cost| cost.parse().ok()).unwrap_or_default();
            if !std::mem::take(&mut of_a_call) {
                counts.all += cost;
                counts.sha256 += if is_hash { cost } else { 0 };
            }
        }
    }
    counts
}
