//! CONFIGURATION.md and standalone.example.toml say what the code of all features says.
#![cfg(feature = "full")]

use std::fmt::Write;
use std::path::{Path, PathBuf};

use clap::{Arg, ArgAction};

use super::effective::quoted;
use super::{File, Options};
use crate::settings::Settings;

const TABLES: &str = "<!-- From here on made from the code. -->\n";

/// What may stand where there is no default.
const SAMPLES: [(&str, &str); 19] = [
    ("api_ca", "/etc/voipbin/ca.pem"),
    ("credential_file", "/etc/voipbin/access-key"),
    ("inspector_listen", "127.0.0.1:5001"),
    ("inspector_token_file", "/etc/voipbin/inspector-token"),
    ("metrics_listen", "127.0.0.1:9464"),
    ("secret", "AbCdEfGhIjKlMnOpQrStUvWxYz012-_9"),
    ("secret_file", "/etc/voipbin/secret"),
    ("max_event_age", "50m"),
    ("allow_sources", "203.0.113.0/24"),
    ("trust_proxies", "10.1.0.0/16"),
    ("source_rate_limit", "500/s burst 2000"),
    ("rate_limit", "5000/s"),
    ("database_url", "postgresql://receiver@db.example.com/app"),
    ("database_url_file", "/etc/voipbin/database-url"),
    ("max_events", "100000"),
    ("max_bytes", "1 GiB"),
    ("handler_timeout", "30s"),
    ("tls_cert", "/etc/voipbin/tls/fullchain.pem"),
    ("tls_key", "/etc/voipbin/tls/privkey.pem"),
];

#[test]
fn a_setting_has_the_same_name_as_a_key_a_flag_and_a_variable() {
    for arg in Settings::command().get_arguments() {
        let key = arg.get_id().as_str();
        assert_eq!(arg.get_long(), Some(&*key.replace('_', "-")));
        // Which has had its name in the ecosystem for long.
        let variable = match key {
            "log" => "RUST_LOG".to_owned(),
            key => format!("VOIPBIN_{}", key.to_uppercase()),
        };
        assert_eq!(
            arg.get_env().and_then(|name| name.to_str()),
            Some(&*variable)
        );
        assert!(
            arg.get_help().is_some() && arg.get_help_heading().is_some(),
            "{key}"
        );
    }
}

/// `CONFIGURATION=overwrite cargo test -p standalone --example standalone` writes them anew.
#[test]
fn the_page_and_the_example_in_the_repository_are_what_the_settings_make() {
    let page = std::fs::read_to_string(path("CONFIGURATION.md")).unwrap();
    let (prose, _) = page.split_once(TABLES).unwrap();
    for (file, text) in [
        ("CONFIGURATION.md", format!("{prose}{TABLES}{}", tables())),
        ("standalone.example.toml", example()),
    ] {
        if std::env::var_os("CONFIGURATION").is_some_and(|mode| mode == "overwrite") {
            std::fs::write(path(file), &text).unwrap();
        }
        let there = std::fs::read_to_string(path(file)).unwrap();
        assert!(there == text, "{file} is out of date");
    }
}

#[test]
fn every_line_of_the_example_can_be_used_as_it_stands() {
    let example = example();
    let lines = example.lines();
    let settings_alone: Vec<&str> = lines.filter_map(|line| line.strip_prefix('#')).collect();
    let settings_alone: Vec<&str> = settings_alone
        .into_iter()
        .filter(|line| !line.starts_with(' ') && !line.is_empty())
        .collect();
    assert_eq!(
        settings_alone.len(),
        Settings::command().get_arguments().count()
    );
    let directory = tempfile::tempdir().unwrap();
    let used = directory.path().join("used.toml");
    std::fs::write(&used, settings_alone.join("\n")).unwrap();
    let file = File::read(&used).unwrap();
    for arg in Settings::command().get_arguments() {
        let values = file.values(arg.get_id().as_str()).unwrap();
        if !arg.get_default_values().is_empty() {
            assert_eq!(values, defaults(arg), "{}", arg.get_id());
        }
    }
}

/// Scripts name them. `API=overwrite cargo test -p standalone --example standalone` writes the list
/// anew, with a line in the CHANGELOG.
#[test]
fn commands_and_their_flags_are_those_that_scripts_of_users_know() {
    let mut flags = String::new();
    list(&Options::definition(), "standalone", &mut flags);
    let file = path("../../tests/public-api/commands.txt");
    if std::env::var_os("API").is_some_and(|mode| mode == "overwrite") {
        std::fs::write(&file, &flags).unwrap();
    }
    let known = std::fs::read_to_string(file).unwrap();
    assert!(known == flags, "is now:\n{flags}");
}

/// A line for each flag and argument of a command and of those below it.
fn list(command: &clap::Command, name: &str, flags: &mut String) {
    for arg in command.get_arguments() {
        let needed = if arg.is_required_set() {
            " (required)"
        } else {
            ""
        };
        match arg.get_long() {
            Some(long) => writeln!(flags, "{name} --{long}{needed}").unwrap(),
            None => writeln!(flags, "{name} <{}>{needed}", arg.get_id()).unwrap(),
        }
    }
    for tool in command.get_subcommands() {
        let name = format!("{name} {}", tool.get_name());
        writeln!(flags, "{name}").unwrap();
        list(tool, &name, flags);
    }
}

fn path(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(file)
}

/// A table for each group of settings.
fn tables() -> String {
    let mut text = String::new();
    for (group, args) in groups() {
        write!(text, "\n## {group}\n\n").unwrap();
        text.push_str(
            "| key | flag and variable | default | what it is |\n| --- | --- | --- | --- |\n",
        );
        for arg in args {
            let key = arg.get_id();
            let flag = key.as_str().replace('_', "-");
            let variable = arg.get_env().unwrap().to_str().unwrap();
            let default = match &*defaults(&arg) {
                [] => String::new(),
                values => format!("`{}`", values.join(", ")),
            };
            let help = words(&arg).join(" ").replace('|', "\\|");
            writeln!(
                text,
                "| `{key}` | `--{flag}` `{variable}` | {default} | {help} |"
            )
            .unwrap();
        }
    }
    text
}

/// A file with all settings, each behind a `#`.
fn example() -> String {
    let mut text = String::from(
        "\
# Settings of the standalone server, to be used with `standalone --config FILE`. Each is here with its
# default, or with an example where there is none; CONFIGURATION.md tells how they are written.
",
    );
    for (group, args) in groups() {
        write!(text, "\n# ---- {group} ----\n").unwrap();
        for arg in args {
            text.push('\n');
            for line in words(&arg).iter().flat_map(|words| wrapped(words)) {
                writeln!(text, "# {line}").unwrap();
            }
            let key = arg.get_id();
            let value = match &*defaults(&arg) {
                [] => quoted(SAMPLES.iter().find(|(of, _)| of == key).unwrap().1),
                values => quoted(&values[0]),
            };
            match arg.get_action() {
                ArgAction::Append => writeln!(text, "#{key} = [{value}]").unwrap(),
                _ => writeln!(text, "#{key} = {value}").unwrap(),
            }
        }
    }
    text
}

/// In the order in which the help has them.
fn groups() -> Vec<(String, Vec<Arg>)> {
    let mut groups: Vec<(String, Vec<Arg>)> = Vec::new();
    for arg in Settings::command().get_arguments() {
        let heading = arg.get_help_heading().unwrap();
        match groups.last_mut() {
            Some((group, args)) if group == heading => args.push(arg.clone()),
            _ => groups.push((heading.to_owned(), vec![arg.clone()])),
        }
    }
    groups
}

fn defaults(arg: &Arg) -> Vec<String> {
    let values = arg.get_default_values().iter();
    values
        .map(|value| value.to_str().unwrap().to_owned())
        .collect()
}

/// The help, a sentence or paragraph each, and what else the value may be.
fn words(arg: &Arg) -> Vec<String> {
    let help = arg.get_long_help().or(arg.get_help()).unwrap().to_string();
    let mut words: Vec<String> = help
        .split("\n\n")
        .map(|paragraph| paragraph.replace('\n', " "))
        .collect();
    let first = words.first_mut().unwrap();
    first.push('.');
    let named: Vec<String> = arg
        .get_possible_values()
        .iter()
        .filter_map(|value| {
            Some(format!(
                "`{}`: {}.",
                value.get_name(),
                lower(&value.get_help()?.to_string())
            ))
        })
        .collect();
    words.extend(named);
    words.iter().map(|words| keys(words)).collect()
}

/// What the help calls by its flag is a key here.
fn keys(text: &str) -> String {
    let words = text.split(' ').map(|word| match word.strip_prefix("--") {
        Some(flag) => flag.replace('-', "_"),
        None => word.to_owned(),
    });
    words.collect::<Vec<_>>().join(" ")
}

fn wrapped(text: &str) -> Vec<String> {
    const WIDTH: usize = 100;
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let line = lines.last_mut().unwrap();
        if line.is_empty() {
            line.push_str(word);
        } else if line.chars().count() + word.chars().count() < WIDTH {
            line.push(' ');
            line.push_str(word);
        } else {
            lines.push(word.to_owned());
        }
    }
    lines
}

fn lower(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| {
        first.to_lowercase().chain(chars).collect()
    })
}
