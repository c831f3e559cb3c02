//! Settings in a TOML file: keys with their values, without tables.

use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

use clap::ArgAction;
use clap::error::{ContextKind, ContextValue};
use toml_edit::{Document, Item, Key, Value};

use crate::settings::Settings;

/// What a file says, each value as it stands for a flag.
pub(super) struct File {
    path: PathBuf,
    entries: Vec<Entry>,
}

struct Entry {
    key: String,
    values: Vec<String>,
}

impl File {
    /// Reads a file and checks all that it says. An error tells all that is wrong with it, in the
    /// order of its lines.
    pub(super) fn read(path: &Path) -> Result<Self, String> {
        let at = |line: usize, what: &str| format!("{}:{line}: {what}", path.display());
        let text = fs::read_to_string(path).map_err(|error| {
            let path = path.display();
            format!("the file of --config, {path}, cannot be read: {error}")
        })?;
        // Not the whole error: it shows the line that it is about, in which a secret may stand.
        let document = Document::parse(&*text)
            .map_err(|error| at(line(&text, error.span()), error.message()))?;
        let (mut entries, mut faults) = (Vec::new(), Vec::new());
        for (key, item) in document.iter() {
            match entry(&text, key, item) {
                Ok(entry) => entries.push(entry),
                Err(what) => {
                    let key = document.as_table().key(key);
                    faults.push((line(&text, key.and_then(Key::span)), what));
                }
            }
        }
        if faults.is_empty() {
            let path = path.to_owned();
            return Ok(Self { path, entries });
        }
        faults.sort();
        let faults: Vec<String> = faults.iter().map(|(line, what)| at(*line, what)).collect();
        Err(faults.join("\n       "))
    }

    /// Has what the file says take the place of the defaults: of the server's, and of those that
    /// its tools have as well.
    pub(super) fn defaults(&self, command: clap::Command) -> clap::Command {
        let from_file = |arg: clap::Arg| match self.values(arg.get_id().as_str()) {
            Some(values) => arg.default_values(values.to_owned()),
            None => arg,
        };
        command
            .mut_args(from_file)
            .mut_subcommands(|tools| self.defaults(tools))
    }

    /// What the file says about a setting.
    pub(super) fn values(&self, key: &str) -> Option<&[String]> {
        let entry = self.entries.iter().find(|entry| entry.key == key);
        entry.map(|entry| &*entry.values)
    }

    /// Its path, when there are secrets in it and every user of the machine can read it.
    pub(super) fn exposed(self) -> Option<PathBuf> {
        let holds_secrets = ["secret", "database_url"]
            .iter()
            .any(|key| self.values(key).is_some());
        (holds_secrets && is_readable_by_all(&self.path)).then_some(self.path)
    }
}

/// Whether users of the machine who have nothing to do with a file can read it.
pub(crate) fn is_readable_by_all(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    fs::metadata(path).is_ok_and(|metadata| metadata.permissions().mode() & 0o004 != 0)
}

/// One line of the file, as the flag that it stands for would have it.
fn entry(text: &str, key: &str, item: &Item) -> Result<Entry, String> {
    let flags = Settings::command()
        .no_binary_name(true)
        .disable_help_flag(true)
        .mut_args(|arg| arg.env(None::<&str>));
    let Some(flag) = flags.get_arguments().find(|arg| arg.get_id() == key) else {
        return Err(unknown(key, flags));
    };
    let values = match item.as_value() {
        Some(Value::Array(values)) if matches!(flag.get_action(), ArgAction::Append) => {
            let values = values.iter().map(|value| scalar(text, value));
            values.collect::<Option<Vec<String>>>()
        }
        Some(Value::Array(_)) => return Err(format!("`{key}` takes one value")),
        value => value
            .and_then(|value| scalar(text, value))
            .map(|value| vec![value]),
    };
    let Some(values) = values else {
        return Err(format!(
            "`{key}` takes text in quotes, a number, or true or false"
        ));
    };
    if flag.get_value_delimiter().is_some() && values.iter().any(|value| value.contains(',')) {
        return Err(format!(
            "`{key}` takes several values as a list, [\"…\", \"…\"], and none with a comma in it"
        ));
    }
    for value in &values {
        let argument = format!("--{}={value}", dashed(key));
        if let Err(error) = flags.clone().try_get_matches_from([argument]) {
            return Err(format!("`{key}`: {}", why(&error)));
        }
    }
    let key = key.to_owned();
    Ok(Entry { key, values })
}

fn scalar(text: &str, value: &Value) -> Option<String> {
    match value {
        Value::String(string) => Some(string.value().clone()),
        // As it stands there: a flag takes no 0x10.
        Value::Integer(number) => Some(text.get(number.span()?)?.replace('_', "")),
        Value::Boolean(value) => Some(value.value().to_string()),
        _ => None,
    }
}

/// What the flag of a key would be called.
fn dashed(key: &str) -> String {
    key.replace('_', "-")
}

/// A key that there is not, and the one that may have been meant.
fn unknown(key: &str, flags: clap::Command) -> String {
    let flag = dashed(key);
    let meant = match flags.try_get_matches_from([format!("--{flag}=")]) {
        Err(error) => match error.get(ContextKind::SuggestedArg) {
            Some(ContextValue::String(flag)) => Some(flag.trim_start_matches('-').to_owned()),
            _ if error.kind() == clap::error::ErrorKind::UnknownArgument => None,
            _ => Some(flag),
        },
        // It is the name of a flag, and not written as a key.
        Ok(_) => Some(flag),
    };
    match meant {
        Some(flag) => format!(
            "there is no setting `{key}`: did you mean `{}`?",
            flag.replace('-', "_")
        ),
        None => format!("there is no setting `{key}`: see `standalone --help`"),
    }
}

/// What is wrong with a value. It is not shown: whoever wrote it has the line.
fn why(error: &clap::Error) -> String {
    if let Some(cause) = std::error::Error::source(error) {
        return cause.to_string();
    }
    match error.get(ContextKind::ValidValue) {
        Some(ContextValue::Strings(valid)) if !valid.is_empty() => {
            format!("say {}", valid.join(" or "))
        }
        _ => error.kind().to_string(),
    }
}

/// The number of the line in which something begins.
fn line(text: &str, span: Option<Range<usize>>) -> usize {
    let before = text.bytes().take(span.map_or(0, |span| span.start));
    before.filter(|byte| *byte == b'\n').count() + 1
}
