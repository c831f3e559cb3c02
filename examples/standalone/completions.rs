//! What shells complete.

use std::process::ExitCode;

use clap::Args;
use clap_complete::Shell;

use crate::options::Options;
use crate::terminal::{Output, complain};

/// Print completions for a shell, to be stored where it looks for them
#[derive(Args)]
#[command(after_help = "\
Examples:
  standalone completions bash > ~/.local/share/bash-completion/completions/standalone
  standalone completions fish > ~/.config/fish/completions/standalone.fish")]
pub(crate) struct CompletionsCommand {
    /// The shell
    shell: Shell,
}

pub(crate) fn run(command: &CompletionsCommand) -> ExitCode {
    let mut script = Vec::new();
    clap_complete::generate(
        command.shell,
        &mut Options::definition(),
        "standalone",
        &mut script,
    );
    match Output::default().print(&String::from_utf8_lossy(&script)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            complain(why);
            ExitCode::FAILURE
        }
    }
}
