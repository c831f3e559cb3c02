//! What is given and has no effect.

use std::collections::BTreeSet;
use std::env;
use std::ffi::OsStr;

use clap::builder::PossibleValuesParser;
use clap::error::{ContextKind, ContextValue};
use clap::{Arg, Command};

use super::effective::EffectiveSettings;
use crate::settings::{InboxChoice, Settings};

/// The settings that are given and have no effect beside the others, and why.
pub(super) fn settings(
    settings: &Settings,
    effective: &EffectiveSettings,
) -> impl Iterator<Item = (&'static str, &'static str)> {
    let mut idle: Vec<(&[&str], &str)> = Vec::new();
    let inbox = settings.inbox.choice;
    if inbox == InboxChoice::Memory {
        idle.push((&["retain_done", "retain_dead"], "the inbox is in memory"));
    } else {
        idle.push((&["max_dead"], "the inbox is not in memory"));
    }
    #[cfg(feature = "disk")]
    if inbox != InboxChoice::Disk {
        let of_disks = &["directory", "recreate_inbox", "inbox_memory"];
        idle.push((of_disks, "the inbox is not on disk"));
    }
    #[cfg(feature = "postgres")]
    if inbox == InboxChoice::Postgres {
        idle.push((&["max_identities"], "the inbox is in PostgreSQL"));
    } else {
        let of_databases = &["database_url", "database_url_file", "database_schema"];
        idle.push((of_databases, "the inbox is not in PostgreSQL"));
    }
    if !effective.is_given("tls_cert") {
        idle.push((&["handshake_timeout"], "there is no certificate"));
    }
    #[cfg(feature = "inspector")]
    if settings.inspector.is_off() {
        let of_inspectors = &["inspector_listen", "inspector_token_file"];
        idle.push((of_inspectors, "there is no inspector"));
    }
    idle.into_iter()
        .flat_map(|(keys, because)| keys.iter().map(move |key| (*key, because)))
        .filter(|(key, _)| effective.is_given(key))
}

/// The variables that are called like the program's and are none, and those that may have been
/// meant.
pub(super) fn variables(command: &Command) -> Vec<(String, Option<String>)> {
    let mut known = BTreeSet::new();
    collect(command, &mut known);
    let given = env::vars_os().filter_map(|(name, value)| {
        let name = name.into_string().ok()?;
        let unknown = name.starts_with("VOIPBIN_") && !known.contains(&name);
        (unknown && !is_of_kubernetes(&name, &value)).then_some(name)
    });
    given
        .map(|name| {
            let meant = meant(&name, known.iter().cloned());
            (name, meant)
        })
        .collect()
}

fn collect(command: &Command, names: &mut BTreeSet<String>) {
    let variables = command.get_arguments().filter_map(Arg::get_env);
    names.extend(variables.map(|name| name.to_string_lossy().into_owned()));
    for command in command.get_subcommands() {
        collect(command, names);
    }
}

/// Pods get some of each service, which may be called voipbin.
fn is_of_kubernetes(name: &str, value: &OsStr) -> bool {
    ["_SERVICE_HOST", "_SERVICE_PORT", "_PORT_"]
        .iter()
        .any(|part| name.contains(part))
        || value.to_string_lossy().starts_with("tcp://")
}

fn meant(name: &str, known: impl Iterator<Item = String>) -> Option<String> {
    let known = Arg::new("variable").value_parser(PossibleValuesParser::new(known));
    let error = Command::new("variables")
        .no_binary_name(true)
        .arg(known)
        .try_get_matches_from([name])
        .err()?;
    match error.get(ContextKind::SuggestedValue) {
        Some(ContextValue::Strings(meant)) => meant.first().cloned(),
        Some(ContextValue::String(meant)) => Some(meant.clone()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_of_kubernetes_are_no_mistakes() {
        for (name, value) in [
            ("VOIPBIN_SERVICE_HOST", "10.0.0.1"),
            ("VOIPBIN_RECEIVER_SERVICE_PORT_HTTP", "80"),
            ("VOIPBIN_PORT", "tcp://10.0.0.1:80"),
            ("VOIPBIN_PORT_80_TCP_ADDR", "10.0.0.1"),
        ] {
            assert!(is_of_kubernetes(name, OsStr::new(value)), "{name}");
        }
        assert!(!is_of_kubernetes("VOIPBIN_PORT", OsStr::new("5000")));
    }
}
