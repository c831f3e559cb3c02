//! What a person sees: standard output and standard error, which anybody can close or fill.
//!
//! Nothing else here writes to them but the log and the lines of events: the macros that print
//! panic when they cannot, and the whole process would end.

use std::error::Error;
use std::fmt::Display;
use std::io::{self, ErrorKind, Write};

use serde::Serialize;

/// A line on standard error. Nobody need read it.
pub(crate) fn say(what: impl Display) {
    let _ = writeln!(io::stderr().lock(), "{what}");
}

pub(crate) fn complain(problem: impl Display) {
    say(format_args!("error: {problem}"));
}

/// An error and what it came from.
pub(crate) fn in_full(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

/// Ends the process with what clap says of how it was called.
pub(crate) fn exit(said: &clap::Error) -> ! {
    let printed = said.print().and_then(|()| io::stdout().flush());
    let code = match printed {
        // Help that could not be printed must not look like success.
        Err(error) if !said.use_stderr() && error.kind() != ErrorKind::BrokenPipe => 1,
        _ => said.exit_code(),
    };
    std::process::exit(code)
}

/// Standard output, which whoever reads it may close.
#[derive(Default)]
pub(crate) struct Output {
    /// Whoever read it has seen enough.
    pub(crate) closed: bool,
}

impl Output {
    /// A text that could not be printed must not look like success.
    pub(crate) fn print(&mut self, text: &str) -> Result<(), String> {
        if self.closed || text.is_empty() {
            return Ok(());
        }
        let mut stdout = io::stdout().lock();
        let printed = stdout
            .write_all(text.as_bytes())
            .and_then(|()| stdout.flush());
        match printed {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => self.closed = true,
            Err(error) => return Err(format!("cannot print: {error}")),
            Ok(()) => {}
        }
        Ok(())
    }
}

/// What others wrote, such as a sender's names and the errors of handlers, as a terminal may show
/// it: of at most so many characters, none of which moves the cursor, ends the line or changes its
/// direction.
pub(crate) fn cell(text: &str, most: usize) -> String {
    let mut cell: String = text
        .chars()
        .take(most)
        .map(|char| if steers(char) { ' ' } else { char })
        .collect();
    if text.chars().nth(most).is_some() {
        cell.pop();
        cell.push('…');
    }
    cell
}

/// A line of JSON, with all that [`cell`] leaves out written as `\u…`: it means the same to a
/// program.
pub(crate) fn json(value: &impl Serialize) -> serde_json::Result<String> {
    let json = serde_json::to_string(value)?;
    let mut line = String::with_capacity(json.len() + 1);
    for char in json.chars() {
        // All of them are in the first plane of Unicode, and inside of a text.
        match steers(char) {
            true => line.push_str(&format!("\\u{:04x}", u32::from(char))),
            false => line.push(char),
        }
    }
    line.push('\n');
    Ok(line)
}

/// Whether a terminal does something else with it than show it.
fn steers(char: char) -> bool {
    char.is_control()
        || matches!(
            char,
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
        )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "this is test code")]

    use super::*;

    /// Every character, beside one that a terminal shows.
    fn texts() -> impl Iterator<Item = String> {
        (char::MIN..=char::MAX).map(|char| format!("a{char}"))
    }

    #[test]
    fn a_cell_is_short_and_steers_no_terminal() {
        for (text, most) in texts().zip([1, 2, 3].into_iter().cycle()) {
            let cell = cell(&text, most);
            assert!(!cell.contains(steers), "{text:?}");
            assert_eq!(cell.chars().count(), most.min(2), "{text:?}");
        }
    }

    #[test]
    fn a_line_of_json_steers_no_terminal_and_says_the_same() {
        for text in texts() {
            let line = json(&text).unwrap();
            let line = line.strip_suffix('\n').unwrap();
            assert!(!line.contains(steers), "{text:?}");
            assert_eq!(serde_json::from_str::<String>(line).unwrap(), text);
        }
    }
}
