//! How many instructions a delivery takes, and whether that is within its budget.
//!
//! `cargo run --release -p voipbin-receiver-cost --bin instructions` runs each step under
//! valgrind's callgrind and prints what it counted for one delivery beside the budget in
//! `budget.txt`. It fails where a count is over its budget. Counts repeat, on a busy machine too;
//! times do not.
//!
//! SHA-256 is counted apart: valgrind knows no SHA instructions, so it counts the code for
//! processors without them.
//!
//! Arguments: `--keep` leaves callgrind's files beside the program, for `callgrind_annotate`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "this is test code"
)]

mod callgrind;
mod steps;

use std::process::ExitCode;

use crate::callgrind::Counts;
use crate::steps::STEPS;

/// A name, the count that was measured and the budget, one step a line.
const BUDGETS: &str = include_str!("budget.txt");

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let keep = match *arguments.as_slice() {
        // What runs under callgrind.
        ["run", step] => {
            steps::run(step);
            return ExitCode::SUCCESS;
        }
        [] => false,
        ["--keep"] => true,
        _ => panic!("unknown arguments: {arguments:?}"),
    };
    println!(
        "{:<12} {:>12} {:>10} {:>12}",
        "step", "instructions", "budget", "SHA-256"
    );
    let mut over = Vec::new();
    for step in STEPS {
        let Counts { all, sha256 } = callgrind::count(step.name, keep).per(step.deliveries());
        let (counted, budget) = (all - sha256, budget(step.name));
        println!("{:<12} {counted:>12} {budget:>10} {sha256:>12}", step.name);
        if counted > budget {
            over.push(step.name);
        }
    }
    if over.is_empty() {
        return ExitCode::SUCCESS;
    }
    println!("over budget: {}", over.join(", "));
    println!("Take out what is not needed, or raise the budget and say in the commit why.");
    ExitCode::FAILURE
}

fn budget(step: &str) -> u64 {
    let mut rows = BUDGETS.lines().map(str::split_whitespace);
    let row = rows.find_map(|mut row| (row.next() == Some(step)).then_some(row));
    let budget = row.and_then(|mut row| row.nth(1)?.parse().ok());
    budget.unwrap_or_else(|| panic!("budget.txt has no budget for {step}"))
}
